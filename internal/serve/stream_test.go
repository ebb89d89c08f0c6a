package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"baleen/internal/chat"
	"baleen/internal/engine"
)

// endless is a request that goes on until somebody ends it.
const endless = `{"messages":[{"role":"user","content":"Tell me a story."}],"logit_bias":{"1":-100},"stream":true}`

// leaver is a client that goes away after some writes.
type leaver struct {
	*httptest.ResponseRecorder
	left  int
	leave context.CancelFunc
}

func (l *leaver) Write(data []byte) (int, error) {
	if l.left--; l.left == 0 {
		l.leave()
	}
	return l.ResponseRecorder.Write(data)
}

// TestDisconnect: when a client goes away in the middle, the handler ends, and with it the answer. The model may be so far
// ahead of a slow test that the answer has ended by itself; that can happen once, but not each time.
func TestDisconnect(t *testing.T) {
	r := newRig(t, nil)
	handler := r.server.Handler()
	for path, body := range map[string]string{
		"/v1/chat/completions": endless,
		"/v1/completions":      `{"prompt":"Once","max_tokens":2000,"logit_bias":{"1":-100},"stream":true}`,
		"/v1/messages":         `{"max_tokens":100000,` + endless[1:],
		"/v1/responses":        `{"input":"Tell me a story.","logit_bias":{"1":-100},"stream":true}`,
	} {
		cancelled := false
		for range 5 {
			before := r.server.options.Engine.Stats().Cancelled
			ctx, cancel := context.WithCancel(t.Context())
			request := httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(body))
			request.Host = "localhost"
			handler.ServeHTTP(&leaver{httptest.NewRecorder(), 20, cancel}, request)
			cancel()
			r.post("/v1/completions", `{"prompt":"a","max_tokens":1}`) // the engine counts with the next batch
			if cancelled = r.server.options.Engine.Stats().Cancelled > before; cancelled {
				break
			}
		}
		if !cancelled {
			t.Errorf("%s: an answer that nobody reads goes on", path)
		}
	}
}

// TestDrain: a server that drains takes nothing new and waits for what it has.
func TestDrain(t *testing.T) {
	r := newRig(t, nil)
	response, err := http.Post(r.http.URL+"/v1/chat/completions", "application/json", strings.NewReader(endless))
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.server.Drain(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("draining with a stream that goes on: %v", err)
	}
	for _, path := range []string{"/v1/chat/completions", "/v1/messages"} {
		again, err := http.Post(r.http.URL+path, "application/json", strings.NewReader(endless))
		if err != nil {
			t.Fatal(err)
		}
		again.Body.Close()
		if again.StatusCode != http.StatusServiceUnavailable || again.Header.Get("Retry-After") == "" {
			t.Errorf("%s while draining: %d", path, again.StatusCode)
		}
	}
	response.Body.Close()
	if err := r.server.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCut: answers that go on for longer than a server can wait end with an error in each form's own way, not just so. The model
// may be so far ahead of a slow test that an answer has ended by itself; that can happen once, but not each time.
func TestCut(t *testing.T) {
	bodies := map[string]string{
		"/v1/chat/completions": endless,
		"/v1/messages":         `{"max_tokens":100000,` + endless[1:],
		"/v1/responses":        `{"input":"Tell me a story.","logit_bias":{"1":-100},"stream":true}`,
	}
	ends := map[string]string{
		"/v1/chat/completions": `"code":"shutting_down"}}` + "\n\n" + done,
		"/v1/messages":         `"overloaded_error","message":"shutting down: the server: ask another one, or later"}}` + "\n\n",
		"/v1/responses":        `"type":"response.failed"`,
	}
	for path, body := range bodies {
		cut := false
		for range 5 {
			r := newRig(t, nil)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- r.server.Serve(ctx, l, nil, 0) }()
			response, err := http.Post("http://"+l.Addr().String()+path, "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			stop()
			text, err := io.ReadAll(response.Body)
			response.Body.Close()
			if fault := <-ended; err != nil || fault != nil {
				t.Fatalf("%s: %v %v", path, err, fault)
			}
			events := strings.SplitAfter(string(text), "\n\n")
			if cut = strings.Contains(strings.Join(events[max(0, len(events)-3):], ""), ends[path]); cut {
				break
			}
		}
		if !cut {
			t.Errorf("%s: an answer that was cut has no end", path)
		}
	}
}

// TestCutWhole: an answer that is not a stream, and cannot be waited for, is 503, and says when to come again.
func TestCutWhole(t *testing.T) {
	r := newRig(t, nil)
	close(r.server.cut)
	for _, path := range []string{"/v1/chat/completions", "/v1/messages"} {
		response, err := http.Post(r.http.URL+path, "application/json", strings.NewReader(`{"max_tokens":100000,`+strings.Replace(endless[1:], `"stream":true`, `"stream":false`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" || !strings.Contains(string(text), "shutting down") {
			t.Errorf("%s: %d %v %s", path, response.StatusCode, response.Header, text)
		}
	}
}

// TestKeepAlive: who waits hears something, in each form's own way, and a body that is not a stream stays JSON.
func TestKeepAlive(t *testing.T) {
	r := newRig(t, func(o *Options) { o.KeepAlive = time.Microsecond })
	for path, want := range map[string]string{"/v1/chat/completions": ": keep-alive", "/v1/responses": ": keep-alive", "/v1/messages": "ping"} {
		body := `{"input":"Who are you?","max_tokens":5,"max_output_tokens":5,"messages":[{"role":"user","content":"Who are you?"}]`
		found := false
		for _, e := range r.stream(path, body+`,"stream":true}`) {
			found = found || e.name == want
		}
		if !found {
			t.Errorf("%s: nothing while waiting", path)
		}
		var any map[string]any
		if r.ask(path, body+"}", &any); any["id"] == nil {
			t.Errorf("%s: %v", path, any)
		}
		if _, text := r.post(path, body+"}"); text[0] != '\n' {
			t.Errorf("%s: nothing while waiting for the whole: %.40s", path, text)
		}
	}
}

// TestBusy: where the engine has no room, a client is told to come again, and what was begun of its request is ended.
func TestBusy(t *testing.T) {
	e, tokenizer := newEngine(engine.Options{Queue: 2})
	t.Cleanup(e.Close)
	r := newRig(t, func(o *Options) { o.Engine, o.Tokenizer = e, tokenizer })
	for range 2 {
		status, text := r.post("/v1/chat/completions", `{"n":3,`+endless[1:])
		if status != http.StatusTooManyRequests || !strings.Contains(text, "rate_limit_error") {
			t.Errorf("%d %s", status, text)
		}
	}
	status, text := http.StatusTooManyRequests, ""
	for status == http.StatusTooManyRequests { // until the engine has seen the ends, or the test's time is over
		status, text = r.post("/v1/messages", `{"max_tokens":2,"messages":[{"role":"user","content":"hi"}]}`)
	}
	if status != http.StatusOK {
		t.Errorf("afterwards: %d %s", status, text)
	}
}

// TestModes: when the model thinks (contract.md and formats spec 5.1 and 5.2).
func TestModes(t *testing.T) {
	for _, c := range []struct {
		form, more string
		demo       bool
		mode       chat.Mode
		effort     string
	}{
		{"chat", ``, false, chat.Thinking, "high"},
		{"chat", ``, true, chat.Chat, "none"},
		{"chat", `,"thinking":{"type":"enabled"}`, true, chat.Thinking, "high"},
		{"chat", `,"thinking":{"type":"disabled"},"reasoning_effort":"max"`, false, chat.Chat, "none"},
		{"chat", `,"reasoning_effort":"none"`, false, chat.Chat, "none"},
		{"chat", `,"reasoning_effort":"minimal"`, false, chat.Thinking, "low"},
		{"chat", `,"reasoning_effort":"ultra"`, true, chat.Thinking, "max"},
		{"chat", `,"model":"deepseek-chat"`, false, chat.Chat, "none"},
		{"chat", `,"model":"deepseek-reasoner"`, true, chat.Thinking, "high"},
		{"chat", `,"chat_template_kwargs":{"thinking":false}`, false, chat.Chat, "none"},
		{"chat", `,"chat_template_kwargs":{"enable_thinking":true,"reasoning_effort":"max"}`, true, chat.Thinking, "max"},
		{"responses", ``, false, chat.Thinking, "high"},
		{"responses", `,"reasoning":{"effort":"none"}`, false, chat.Chat, "none"},
		{"responses", `,"reasoning":{"effort":"xhigh"}`, true, chat.Thinking, "high"},
		{"responses", `,"reasoning":{"summary":"auto"}`, true, chat.Chat, "none"},
		{"messages", ``, false, chat.Chat, "none"},
		{"messages", `,"thinking":{"type":"enabled","budget_tokens":5}`, false, chat.Thinking, "high"},
		{"messages", `,"thinking":{"type":"adaptive"},"output_config":{"effort":"low"}`, true, chat.Thinking, "low"},
		{"messages", `,"output_config":{"effort":"max"}`, false, chat.Chat, "none"},
	} {
		r := newRig(t, func(o *Options) { o.Think, o.Encoding = !c.demo, chat.V40731 })
		var a *ask
		read := map[string]func(*object) *ask{
			"chat":      r.server.readChat,
			"responses": func(o *object) *ask { a, _ := r.server.readResponse(o); return a },
			"messages":  r.server.readMessages,
		}[c.form]
		r.promptOf(func(o *object) *ask { a = read(o); return a }, `{"input":"hi","max_tokens":1,"messages":[{"role":"user","content":"hi"}]`+c.more+`}`)
		if got := a.conversation; got.Mode != c.mode || got.Effort != c.effort {
			t.Errorf("%s %s, demo %t: %s %s, expected %s %s", c.form, c.more, c.demo, got.Mode, got.Effort, c.mode, c.effort)
		}
	}
}
