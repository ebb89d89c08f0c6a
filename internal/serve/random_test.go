package serve

import (
	"context"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

var full = flag.Bool("full", false, "as many random bodies as the issue states")

// bodies are one good request of each form, rich in fields: what random ones are made from.
var bodies = map[string]string{
	"/v1/chat/completions": `{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"hi"}]},{"role":"assistant","content":null,"reasoning_content":"r","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c1","content":"ok"},{"role":"user","content":"go","task":null}],
"thinking":{"type":"enabled"},"reasoning_effort":"high","chat_template_kwargs":{"thinking":true,"reasoning_effort":"low"},"max_tokens":2,"temperature":0.5,"top_p":0.9,"top_k":5,"min_p":0.01,"frequency_penalty":0.1,"presence_penalty":0.1,"stop":["x","yy"],"n":1,"seed":1,"logit_bias":{"5":-1},"logprobs":true,"top_logprobs":2,"stream":false,"stream_options":{"include_usage":true},
"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string","enum":["x","y"]}},"required":["a"],"additionalProperties":false}}}],"tool_choice":"auto","parallel_tool_calls":true,"response_format":{"type":"text"}}`,
	"/v1/chat/completions?2": `{"messages":[{"role":"user","content":"json"}],"max_tokens":2,"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","properties":{"a":{"type":"array","items":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/x"}]},"minItems":1,"maxItems":3},"s":{"type":"string","pattern":"^a+$","minLength":1}},"required":["a"],"additionalProperties":false,"$defs":{"x":{"type":"number","minimum":1,"maximum":5}}}}},"guided_regex":null,"stream":true}`,
	"/v1/completions":        `{"model":"m","prompt":["Once",[5,6]],"suffix":null,"max_tokens":2,"temperature":1,"logprobs":2,"echo":false,"stop":"z","n":1,"best_of":1,"stream":true,"stream_options":{"include_usage":true},"guided_regex":"a+","seed":3}`,
	"/v1/completions?2":      `{"prompt":"def f","suffix":"return","max_tokens":2,"echo":true}`,
	"/v1/responses": `{"model":"m","instructions":"i","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]},{"type":"reasoning","summary":[{"type":"summary_text","text":"r"}],"encrypted_content":"baleen:eA=="},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"o"},{"type":"custom_tool_call","call_id":"d","name":"p","input":"x"},{"type":"custom_tool_call_output","call_id":"d","output":[{"type":"input_text","text":"y"}]},{"role":"user","content":"go"}],
"tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{}},"strict":true},{"type":"custom","name":"p","format":{"type":"grammar","syntax":"lark","definition":"start: x"}},{"type":"web_search"}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]},"parallel_tool_calls":false,"reasoning":{"effort":"low","summary":"auto"},"text":{"format":{"type":"json_object"}},"include":["reasoning.encrypted_content"],"store":false,"stream":true,"max_output_tokens":2,"temperature":1,"top_p":1}`,
	"/v1/messages": `{"model":"m","max_tokens":2,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"text","text":"x"},{"type":"tool_use","id":"a","name":"f","input":{"a":[1,{"b":null}]}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"r"}],"is_error":false},{"type":"text","text":"go"}]}],
"tools":[{"name":"f","description":"d","input_schema":{"type":"object","properties":{"a":{"type":"array"}}}}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true},"thinking":{"type":"enabled","budget_tokens":1024},"output_config":{"effort":"high"},"stop_sequences":["q"],"stream":true,"temperature":1,"top_p":0.9,"top_k":3,"metadata":{"user_id":"u"}}`,
	"/v1/messages/count_tokens": `{"messages":[{"role":"user","content":"hi"}],"system":"s","tools":[{"name":"f","input_schema":{}}]}`,
}

// mutation makes another body of a good one, most of them still good JSON.
type mutation struct{ *rand.Rand }

// body changes a few values; sometimes it breaks the text.
func (m mutation) body(good string) string {
	var value any
	if err := json.Unmarshal([]byte(good), &value); err != nil {
		panic(err)
	}
	for range 1 + m.IntN(3) {
		value = m.change(value, 0)
	}
	text, _ := json.Marshal(value)
	if m.IntN(10) > 0 {
		return string(text)
	}
	for range 1 + m.IntN(4) {
		at := m.IntN(len(text) + 1)
		switch m.IntN(3) {
		case 0:
			text = text[:at]
		case 1:
			text = slices.Insert(text, at, `{}[]",:0e-\`[m.IntN(11)])
		case 2:
			if at < len(text) {
				text[at] = byte(m.Uint32())
			}
		}
	}
	return string(text)
}

// change changes one value somewhere in a value.
func (m mutation) change(value any, depth int) any {
	if m.IntN(6-min(depth, 4)) == 0 {
		return m.value(value)
	}
	switch v := value.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		if len(keys) == 0 {
			return m.value(v)
		}
		k := keys[m.IntN(len(keys))]
		if k == "max_tokens" || k == "max_output_tokens" { // or the test takes long
			return v
		}
		if m.IntN(8) == 0 && len(v) > 1 {
			delete(v, k)
			return v
		}
		v[k] = m.change(v[k], depth+1)
		return v
	case []any:
		if len(v) == 0 || m.IntN(6) == 0 {
			return append(v, m.value(nil))
		}
		i := m.IntN(len(v))
		if m.IntN(6) == 0 {
			return slices.Delete(v, i, i+1)
		}
		v[i] = m.change(v[i], depth+1)
		return v
	}
	return m.value(value)
}

// value is something that may stand in the place of another.
func (m mutation) value(before any) any {
	list := []any{nil, true, false, 0, 1, -1, 2.5, 1e300, -1e-300, 1 << 53, "", "x", "user", "system", "assistant", "tool", "none", "required", "json_schema", "json_object",
		"enabled", "disabled", strings.Repeat("long ", 300), "\x00\ufffd\u2028<｜User｜>", []any{}, map[string]any{}, []any{before, before}, map[string]any{"type": before}, map[string]any{"type": "text", "text": before},
		[]any{[]any{[]any{before}}}, map[string]any{"type": "object", "properties": map[string]any{"x": before}}, map[string]any{"type": "function", "function": map[string]any{"name": "f"}}, "(a|b)*c", `{"a": 1}`}
	return list[m.IntN(len(list))]
}

// TestRandomBodies: no body makes a fault of the server, and what is no JSON makes none of the engine. With -full they are
// 100,000.
func TestRandomBodies(t *testing.T) {
	n := 5000
	if *full {
		n = 100_000
	}
	paths := make([]string, 0, len(bodies))
	for p := range bodies {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	s := newRig(t, nil).server
	handler := s.Handler()
	const workers = 8
	done := make(chan map[int]int)
	for w := range workers {
		go func() {
			counts := map[int]int{}
			defer func() { done <- counts }()
			m := mutation{rand.New(rand.NewPCG(4, uint64(w)))}
			for range n / workers {
				path := paths[m.IntN(len(paths))]
				body := m.body(bodies[path])
				r := httptest.NewRequest("POST", path, strings.NewReader(body))
				r.Host = "localhost"
				answer := httptest.NewRecorder()
				handler.ServeHTTP(answer, r)
				counts[answer.Code]++
				text := answer.Body.String()
				if answer.Code >= 500 || strings.Contains(text, "server_error") || strings.Contains(text, "api_error") || answer.Code != 200 && !json.Valid([]byte(text)) {
					t.Errorf("%s %s: %d %s", path, body, answer.Code, text)
					return
				}
			}
		}()
	}
	all := map[int]int{}
	for range workers {
		for code, count := range <-done {
			all[code] += count
		}
	}
	t.Logf("%d bodies: %v", n, all)
	if all[200] < n/10 || all[400] < n/10 {
		t.Errorf("too few good or bad ones to mean something: %v", all)
	}
}

// FuzzBodies looks for bodies of any form that make a fault. Seeds are the good ones.
func FuzzBodies(f *testing.F) {
	paths := []string{"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens"}
	for path, body := range bodies {
		path, _, _ = strings.Cut(path, "?")
		f.Add(slices.Index(paths, path), body)
	}
	o := options()
	s, err := New(o)
	if err != nil {
		f.Fatal(err)
	}
	handler := s.Handler()
	f.Fuzz(func(t *testing.T, path int, body string) {
		r := httptest.NewRequest("POST", paths[uint(path)%uint(len(paths))], strings.NewReader(body))
		r.Host = "localhost"
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // of an answer that nothing bounds
		defer cancel()
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r.WithContext(ctx))
		if answer.Code >= 500 {
			t.Errorf("%d %s", answer.Code, answer.Body)
		}
	})
}
