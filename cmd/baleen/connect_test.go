package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"baleen/internal/chat"
)

// far is a server that answers every request with a text, after a status.
func far(t *testing.T, status int, text string) *remote {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return &remote{base: s.URL, client: s.Client()}
}

func TestRemoteAnswers(t *testing.T) {
	for _, c := range []struct {
		name, stream string
		status       int
		want         string // content|reasoning|progress|finish prompt+answer, or an error
	}{
		{"whole", ": keep-alive 64/256\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n: keep-alive 128/256\n\n" +
			"data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"Hm.\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"Yes\"}}]}\n\n: keep-alive\n\n" +
			"data: {\"choices\":[{\"delta\":{\"content\":\"!\"},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n",
			200, "Yes!|Hm.|64/256 128/256|stop 9+3"},
		{"raw text", "data: {\"choices\":[{\"text\":\"Once\",\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n", 200, "Once|||length 0+0"},
		{"no blank after the colon", "data:{\"choices\":[{\"text\":\"a\"}]}\r\n\r\ndata:[DONE]\r\n\r\n", 200, "a||| 0+0"},
		{"cut off", "data: {\"choices\":[{\"text\":\"Once\"}]}\n\n", 200, "the answer is cut off: "},
		{"error in the stream", "data: {\"error\":{\"message\":\"state lost: run: ask again\"}}\n\n", 200, "state lost: run: ask again"},
		{"refusal", `{"error":{"message":"no valid key: the request: send one"}}`, 401, "no valid key: the request: send one"},
		{"another server", "<html>", 404, "the server refused: URL: 404 Not Found: "},
		{"another server's page", "<html>", 200, "the answer is cut off: URL: "},
		{"no JSON", "data: {\n\n", 200, "not an answer: the server's stream: "},
		{"a progress that is none", ": 5/3\n\n: x/y\n\n: 99999999999999999999/1\n\ndata: [DONE]\n\n", 200, "||| 0+0"},
	} {
		r := far(t, c.status, c.stream)
		var content, reasoning string
		var progress []string
		a, err := r.ask(context.Background(), "/v1/x", map[string]any{}, func(d chat.Delta) error {
			content, reasoning = content+d.Content, reasoning+d.Reasoning
			return nil
		}, func(done, total int) { progress = append(progress, fmt.Sprintf("%d/%d", done, total)) })
		got := fmt.Sprintf("%s|%s|%s|%s %d+%d", content, reasoning, strings.Join(progress, " "), a.finish, a.prompt, a.answer)
		if err != nil {
			got = strings.ReplaceAll(err.Error(), r.base, "URL")
		}
		if err == nil && got != c.want || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s\nexpected %s", c.name, got, c.want)
		}
	}
}

// What is asked for goes to the server, and nothing else; the key as it is in the file.
func TestRemoteRequest(t *testing.T) {
	bodies := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- r.URL.Path + " " + r.Header.Get("Authorization") + " " + string(body)
		io.WriteString(w, "data: [DONE]\n\n")
	}))
	defer s.Close()
	for args, want := range map[string]string{
		"hello": `/v1/chat/completions  {"messages":[{"content":"hello","role":"user"}],"model":"baleen","stream":true,"stream_options":{"include_usage":true}}`,
		"hello --no-think --temperature 0 --system S --stop x --max-tokens 5 --logit-bias 1=-100": `/v1/chat/completions  {"logit_bias":{"1":-100},"max_tokens":5,` +
			`"messages":[{"content":"S","role":"system"},{"content":"hello","role":"user"}],"model":"baleen","stop":["x"],"stream":true,"stream_options":{"include_usage":true},"temperature":0,"thinking":{"type":"disabled"}}`,
		"hello --raw --seed 3": `/v1/completions  {"max_tokens":1024,"model":"baleen","prompt":"hello","seed":3,"stream":true,"stream_options":{"include_usage":true}}`,
	} {
		root := newRoot()
		root.SetOut(io.Discard)
		var stderr strings.Builder
		if code := execute(root, append([]string{"run", "--connect", s.URL}, strings.Fields(args)...), &stderr); code != 0 {
			t.Errorf("%s: status %d, %s", args, code, stderr.String())
			continue
		}
		if got := <-bodies; got != want {
			t.Errorf("%s: %s\nexpected %s", args, got, want)
		}
	}
}

// An interrupt ends an answer that does not come.
func TestRemoteInterrupt(t *testing.T) {
	hold := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer s.Close()
	defer close(hold)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	r := &remote{base: s.URL, client: s.Client()}
	_, err := r.ask(ctx, "/v1/x", map[string]any{}, nil, nil)
	if err != context.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}

// stopper stops an answer when the progress of its prompt is shown.
type stopper struct {
	strings.Builder
	stop context.CancelFunc
}

func (s *stopper) Write(data []byte) (int, error) {
	if strings.Contains(string(data), "reading") {
		s.stop()
	}
	return s.Builder.Write(data)
}

// A talk that is stopped while the prompt is read shows neither that line nor how fast the answer before was.
func TestRemoteStop(t *testing.T) {
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, ": keep-alive 64/256\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer far.Close()
	ctx, cancel := context.WithCancel(t.Context())
	aside := &stopper{stop: cancel}
	s := &session{remote: &remote{base: far.URL, client: far.Client()}, out: io.Discard, aside: aside, dim: true, last: pace{answer: 9}}
	finish, err := s.answer(ctx, "Hi")
	if err != nil || !errors.Is(finish.Err, context.Canceled) {
		t.Errorf("%v %v", finish.Err, err)
	}
	if shown := aside.String(); !strings.HasSuffix(shown, "(reading: 64 of 256 tokens)\x1b[K\r\x1b[K") || s.last.answer != 0 {
		t.Errorf("%q, pace %+v", shown, s.last)
	}
}

// What was answered before a fault ends its line, so that neither the fault nor the next answer goes on from it; where nothing was
// answered, nothing is written.
func TestRemoteFault(t *testing.T) {
	for _, c := range []struct{ begin, want string }{
		{"data: {\"choices\":[{\"delta\":{\"content\":\"Half\"}}]}\n\n", "Half\n"},
		{"data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"Hm\"}}]}\n\n", ""},
		{"", ""},
	} {
		var out, aside strings.Builder
		s := &session{remote: far(t, http.StatusOK, c.begin+"data: {\"error\":{\"message\":\"shutting down\"}}\n\n"), out: &out, aside: &aside}
		if _, err := s.answer(t.Context(), "Hi"); err == nil || err.Error() != "shutting down" || out.String() != c.want || len(s.request.Messages) > 0 {
			t.Errorf("after %q: %v, %q, %v", c.begin, err, out.String(), s.request.Messages)
		}
	}
}
