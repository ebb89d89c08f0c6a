package serve

import (
	"fmt"
	"strings"
	"testing"
)

func TestCompletions(t *testing.T) {
	r := newRig(t, nil)
	tokenizer := r.server.options.Tokenizer
	var one textBody
	r.ask("/v1/completions", `{"prompt":"Once upon a time","temperature":0,"max_tokens":12,"logprobs":2}`, &one)
	logs := one.Choices[0].Logs
	if len(logs.Tokens) != 12 || strings.Join(logs.Tokens, "") != one.Choices[0].Text || len(logs.Top[3]) != 2 || logs.Offsets[0] != 0 || logs.Offsets[1] != len(logs.Tokens[0]) || *one.Choices[0].Finish != "length" {
		t.Errorf("%+v %+v", one, logs)
	}
	ids := strings.Join(strings.Fields(fmt.Sprint(append([]int32{0}, tokenizer.Encode("Once upon a time")...))), ",")
	var two textBody
	r.ask("/beta/completions", `{"prompt":["Once upon a time",`+ids+`],"echo":true,"n":2,"temperature":0,"max_tokens":12}`, &two)
	for i, c := range two.Choices {
		if c.Index != i || c.Text != "Once upon a time"+one.Choices[0].Text {
			t.Errorf("choice %d: %+v", i, c)
		}
	}
	if len(two.Choices) != 4 || two.Usage.Completion != 48 || two.Usage.Prompt != 2*one.Usage.Prompt {
		t.Errorf("%d choices, %+v", len(two.Choices), two.Usage)
	}
	events := r.stream("/v1/completions", `{"prompt":"Once upon a time","temperature":0,"max_tokens":12,"stream":true,"echo":true}`)
	text := ""
	for _, e := range events[:len(events)-1] {
		var b textBody
		r.read(e, &b)
		text += b.Choices[0].Text
	}
	if text != "Once upon a time"+one.Choices[0].Text || events[len(events)-1].data != "[DONE]" {
		t.Errorf("%q", text)
	}
}

// TestPrompts: what the model reads, to the letter (formats spec 4.7 and 5.1).
func TestPrompts(t *testing.T) {
	r := newRig(t, nil)
	user := `{"messages":[{"role":"user","content":"U"}`
	for _, c := range []struct{ body, want string }{
		{user + `,{"role":"assistant","content":"Sure, ","prefix":true}]}`, "<｜User｜>U<｜Assistant｜></think>Sure, "},
		{user + `,{"role":"assistant","content":"Sure, ","reasoning_content":"R","prefix":true}],"thinking":{"type":"enabled"}}`, "<｜User｜>U<｜Assistant｜><think>R</think>Sure, "},
		{user + `],"response_format":{"type":"json_object"}}`, "\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n{\"type\": \"json_object\"}<｜User｜>U<｜Assistant｜></think>"},
		{`{"messages":[{"role":"system","content":"S"},{"role":"developer","content":"D"},{"role":"user","content":"U"},{"role":"system","content":"M"}]}`, "S\n\nD<｜User｜>U\n\nM<｜Assistant｜></think>"},
		{`{"messages":[{"role":"system","content":"S"}]}`, "<｜User｜>S<｜Assistant｜></think>"},
		{`{"messages":[{"role":"user","content":"U<｜Assistant｜>"},{"role":"assistant","content":"A"},{"role":"user","content":"V","task":"query"}]}`, "<｜User｜>U<｜Assistant｜><｜Assistant｜></think>A<｜end▁of▁sentence｜><｜User｜>V<｜query｜>"},
	} {
		text, err := r.server.options.Tokenizer.Decode(r.prompt(c.body))
		if want := "<｜begin▁of▁sentence｜>" + c.want; err != nil || text != want {
			t.Errorf("%s\ngot  %q\nwant %q", c.body, text, want)
		}
	}
	var fault *apiError
	o := &object{fault: &fault}
	o.open([]byte(`{"prompt":"P","suffix":"S"}`))
	a := r.server.newAsk(o)
	r.server.readPrompts(o, a)
	if text, _ := r.server.options.Tokenizer.Decode(a.prompts[0]); text != "<｜begin▁of▁sentence｜><｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>" {
		t.Errorf("a hole: %q", text)
	}
}

// TestStopper: a stop string never gets out, however text is cut, and nothing else is held for ever.
func TestStopper(t *testing.T) {
	for _, c := range []struct {
		stops     string
		text      string
		want, hit string
	}{
		{"abc", "xxabcyy", "xx", "abc"},
		{"abc", "xxabab", "xxabab", ""},
		{"aab", "aaab", "a", "aab"},
		{"b,abc", "xabc", "xa", "b"},
		{"bc,abc", "xabc", "x", "abc"},
		{"é", "caf\u00e9", "caf", "é"},
	} {
		for size := 1; size <= len(c.text); size++ {
			s := stopper{stops: strings.Split(c.stops, ",")}
			got := ""
			for rest := c.text; rest != "" && s.hit == ""; {
				n := min(size, len(rest))
				got += s.feed(rest[:n])
				rest = rest[n:]
			}
			if got += s.flush(); got != c.want || s.hit != c.hit {
				t.Errorf("%q in %q by %d: %q, stop %q", c.stops, c.text, size, got, s.hit)
			}
		}
	}
}
