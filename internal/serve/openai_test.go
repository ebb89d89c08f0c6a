package serve

import (
	"fmt"
	"strings"
	"testing"
)

const whoSays = "I am a tiny demo model. I can tell short stories and answer a few simple questions."

func TestChat(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"/v1/chat/completions", "/chat/completions", "/beta/chat/completions"} {
		var b chatBody
		r.ask(path, `{"model":"gpt-99","messages":[{"role":"user","content":"Who are you?"}],"temperature":0,"unknown":{"x":[1]}}`, &b)
		if c := b.Choices[0]; *c.Message.Content != whoSays || *c.Finish != "stop" || b.Model != "gpt-99" || b.Object != "chat.completion" || c.Message.Role != "assistant" || c.Message.Reasoning != nil {
			t.Errorf("%+v", b)
		}
		if u := b.Usage; u.Prompt == 0 || u.Completion == 0 || u.Total != u.Prompt+u.Completion || u.Hit+u.Miss != u.Prompt || u.PromptDetails.Cached != u.Hit {
			t.Errorf("usage %+v", u)
		}
	}
}

func TestChatStream(t *testing.T) {
	r := newRig(t, nil)
	events := r.stream("/v1/chat/completions", `{"messages":[{"role":"user","content":[{"type":"text","text":"Who are you?"}]}],"temperature":0,"stream":true,"stream_options":{"include_usage":true},"n":2,"logprobs":true,"top_logprobs":2}`)
	text, finish := [2]string{}, [2]string{}
	var tokens [2]string
	for i, e := range events[:len(events)-2] {
		var b chatBody
		r.read(e, &b)
		c := b.Choices[0]
		if i < 2 && (c.Index != i || c.Delta.Role != "assistant") || b.Object != "chat.completion.chunk" || b.Usage != nil {
			t.Errorf("event %d: %s", i, e.data)
		}
		if c.Delta.Content != nil {
			text[c.Index] += *c.Delta.Content
		}
		if c.Logs != nil {
			for _, l := range c.Logs.Content {
				for _, b := range l.Bytes {
					tokens[c.Index] += string(rune(b))
				}
				if len(*l.Top) != 2 || l.LogProb > 0 || (*l.Top)[0].LogProb < (*l.Top)[1].LogProb {
					t.Errorf("%+v", l)
				}
			}
		}
		if c.Finish != nil {
			finish[c.Index] = *c.Finish
		}
	}
	for i := range 2 {
		if text[i] != whoSays || finish[i] != "stop" || tokens[i] != whoSays {
			t.Errorf("choice %d: %q, tokens %q, %s", i, text[i], tokens[i], finish[i])
		}
	}
	var last chatBody
	r.read(events[len(events)-2], &last)
	if len(last.Choices) != 0 || last.Usage == nil || last.Usage.Completion == 0 {
		t.Errorf("last: %+v", last)
	}
	if events[len(events)-1].data != "[DONE]" {
		t.Errorf("end: %+v", events[len(events)-1])
	}
}

func TestStops(t *testing.T) {
	r := newRig(t, nil)
	var b chatBody
	for _, stop := range []string{`"short"`, `["zzz","short st","short"]`} {
		r.ask("/v1/chat/completions", fmt.Sprintf(`{"messages":[{"role":"user","content":"Who are you?"}],"temperature":0,"stop":%s}`, stop), &b)
		if want, _, _ := strings.Cut(whoSays, "short"); *b.Choices[0].Message.Content != want || *b.Choices[0].Finish != "stop" {
			t.Errorf("%s: %q", stop, *b.Choices[0].Message.Content)
		}
	}
	r.ask("/v1/chat/completions", `{"messages":[{"role":"user","content":"Who are you?"}],"temperature":0,"max_tokens":3}`, &b)
	if *b.Choices[0].Finish != "length" || b.Usage.Completion != 3 {
		t.Errorf("%+v", b)
	}
}
