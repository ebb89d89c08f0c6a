package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"baleen/internal/chat"
	"baleen/internal/engine"
)

// remote is a server that answers in place of a model of one's own.
type remote struct {
	base, key string
	client    *http.Client
	sampling  map[string]any // fields of a request
}

const (
	answerTimeout = 5 * time.Minute // without any sign of life; servers send one every few seconds
	maxLine       = 16 << 20        // of a stream
	maxRefusal    = 64 << 10
)

// newRemote reads an address. Only flags that were given are sent: the rest the server knows better.
func (r *running) newRemote(cmd *cobra.Command) (*remote, error) {
	address, err := url.Parse(r.connect)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" {
		return nil, misuse("bad value of a flag", "--connect "+r.connect, "give an address such as http://127.0.0.1:8000")
	}
	if cmd.Flags().Changed("isa") || cmd.Flags().Changed("device") || cmd.Flags().Changed("numerics") || cmd.Flags().Changed("threads") || cmd.Flags().Changed("memory") || cmd.Flags().Changed("quirk") || cmd.Flags().Changed("context") {
		return nil, misuse("flags do not go together", "--connect and flags of a model", "give those to the server")
	}
	remote := &remote{base: strings.TrimSuffix(strings.TrimSuffix(r.connect, "/"), "/v1"), client: &http.Client{}}
	if r.keyFile != "" {
		keys, err := readKeys(r.keyFile)
		if err != nil {
			return nil, err
		}
		remote.key = keys[0]
	}
	remote.sampling, err = r.sampling.fields(cmd)
	return remote, err
}

// fields are the sampling flags that were given, as a request has them.
func (s *sampling) fields(cmd *cobra.Command) (map[string]any, error) {
	fields := map[string]any{}
	for name, value := range map[string]any{
		"temperature": s.Temperature, "top-p": s.TopP, "top-k": s.TopK, "min-p": s.MinP, "repetition-penalty": s.RepetitionPenalty,
		"presence-penalty": s.PresencePenalty, "frequency-penalty": s.FrequencyPenalty, "seed": s.Seed, "stop": s.stop,
	} {
		if cmd.Flags().Changed(name) {
			fields[strings.ReplaceAll(name, "-", "_")] = value
		}
	}
	if s.maxTokens > 0 {
		fields["max_tokens"] = s.maxTokens
	}
	if len(s.bias) > 0 {
		bias := map[string]float64{}
		for id, text := range s.bias {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, misuse("bad value of a flag", fmt.Sprintf("--logit-bias %s=%s", id, text), "give a token id and a number, such as 412=-5")
			}
			bias[id] = value
		}
		fields["logit_bias"] = bias
	}
	return fields, nil
}

// answered is what is known of an answer at its end.
type answered struct {
	finish         string
	prompt, answer int // tokens
	first, all     time.Duration
}

// message is what a stream says, of either form.
type streamed struct {
	Choices []struct {
		Text  string `json:"text"`
		Delta struct {
			Content   string `json:"content"`
			Reasoning string `json:"reasoning_content"`
		} `json:"delta"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Prompt int `json:"prompt_tokens"`
		Answer int `json:"completion_tokens"`
	} `json:"usage"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// ask posts a request and hands out the answer as it comes. progress is told how far the prompt was read.
func (r *remote) ask(ctx context.Context, path string, request map[string]any, use func(chat.Delta) error, progress func(done, total int)) (a answered, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(answerTimeout, func() { cancel(errSilent) })
	defer silence.Stop()
	began := time.Now()
	response, err := r.post(ctx, path, request)
	if err != nil {
		return a, r.trouble(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return a, r.refusal(response)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		silence.Reset(answerTimeout)
		line := lines.Text()
		if done, total, ok := readProgress(line); ok && a.first == 0 {
			progress(done, total)
		}
		data, ok := strings.CutPrefix(line, "data:")
		if data = strings.TrimSpace(data); !ok || data == "" {
			continue
		}
		if data == "[DONE]" {
			a.all = time.Since(began)
			return a, nil
		}
		if err := a.take(data, began, use); err != nil {
			return a, err
		}
	}
	if err := lines.Err(); err != nil {
		return a, r.trouble(ctx, err)
	}
	return a, fault("the answer is cut off", r.base, "ask again; the server's log says more")
}

var errSilent = errors.New("nothing was heard for a long time")

func (r *remote) post(ctx context.Context, path string, request map[string]any) (*http.Response, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	post.Header.Set("Content-Type", "application/json")
	if r.key != "" {
		post.Header.Set("Authorization", "Bearer "+r.key)
	}
	return r.client.Do(post)
}

// take takes one piece of an answer.
func (a *answered) take(data string, began time.Time, use func(chat.Delta) error) error {
	var s streamed
	if err := json.Unmarshal([]byte(data), &s); err != nil {
		return fault("not an answer", "the server's stream", "check that --connect names a server of this API")
	}
	if s.Error != nil {
		return errors.New(s.Error.Message)
	}
	if s.Usage != nil {
		a.prompt, a.answer = s.Usage.Prompt, s.Usage.Answer
	}
	for _, c := range s.Choices {
		if c.Finish != "" {
			a.finish = c.Finish
		}
		d := chat.Delta{Content: c.Text + c.Delta.Content, Reasoning: c.Delta.Reasoning}
		if d.Content == "" && d.Reasoning == "" {
			continue
		}
		if a.first == 0 {
			a.first = time.Since(began)
		}
		if err := use(d); err != nil {
			return err
		}
	}
	return nil
}

var progressForm = regexp.MustCompile(`^:.*?(\d+)\s*/\s*(\d+)`)

// readProgress reads a comment that tells how far the prompt was read.
func readProgress(line string) (done, total int, ok bool) {
	found := progressForm.FindStringSubmatch(line)
	if found == nil {
		return 0, 0, false
	}
	done, err := strconv.Atoi(found[1])
	total, other := strconv.Atoi(found[2])
	return done, total, err == nil && other == nil && done <= total
}

// trouble says what a connection suffered.
func (r *remote) trouble(ctx context.Context, err error) error {
	var dial *net.OpError
	switch {
	case errors.Is(context.Cause(ctx), errSilent):
		return fault("no answer", r.base+" says nothing any more", "see whether the server is well")
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &dial) && dial.Op == "dial":
		return fault("cannot connect", fmt.Sprintf("%s (%v)", r.base, dial.Err), "start one with 'baleen serve', or check the address")
	case errors.Is(err, bufio.ErrTooLong):
		return fault("not an answer", r.base+" sent an endless line", "check that --connect names a server of this API")
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fault("the connection broke", fmt.Sprintf("%s (%v)", r.base, err), "ask again")
}

// refusal says why a server does not answer.
func (r *remote) refusal(response *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusal)) // what came is what is told
	var s streamed
	if json.Unmarshal(body, &s) == nil && s.Error != nil && s.Error.Message != "" {
		return errors.New(s.Error.Message)
	}
	return fault("the server refused", fmt.Sprintf("%s: %s", r.base, response.Status), "check that --connect names a server of this API")
}

// ending is the end of an answer as an engine of one's own would tell it.
func (a answered) ending() engine.Finish {
	f := engine.Finish{Reason: engine.AtStop}
	if a.finish == "length" {
		f.Reason = engine.AtMaxTokens
	}
	return f
}
