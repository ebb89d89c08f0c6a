package serve

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"baleen/internal/chat"
)

const chatTools = `"tools":[{"type":"function","function":{"name":"weather","description":"d","parameters":` + oneTool + `}},{"type":"function","function":{"name":"clock"}},{"type":"web_search"}]`

// TestChatCalls: reasoning, content and calls come in this order, with ids and indexes where clients look for them.
func TestChatCalls(t *testing.T) {
	r := newRig(t, nil)
	body := `{"messages":[{"role":"user","content":"Weather?"}],"thinking":{"type":"enabled"},"stream":true,` + chatTools + `}`
	var lines []string
	ids := map[string]bool{}
	data := dataOf(r.scripted("chat", body, twoCalls))
	for _, d := range data[:len(data)-1] {
		var b chatBody
		r.read(sent{data: d}, &b)
		c := b.Choices[0]
		switch {
		case c.Delta.Role != "":
			lines = append(lines, "role "+c.Delta.Role)
		case c.Delta.Reasoning != nil:
			lines = append(lines, "reasoning: "+*c.Delta.Reasoning)
		case c.Delta.Content != nil:
			lines = append(lines, "content: "+*c.Delta.Content)
		case c.Finish != nil:
			lines = append(lines, "finish "+*c.Finish)
		default:
			call := c.Delta.Calls[0]
			if call.ID != "" {
				ids[call.ID] = true
				lines = append(lines, fmt.Sprintf("call %d %s %s%s", *call.Index, call.Type, call.Function.Name, call.Function.Arguments))
				continue
			}
			lines = append(lines, fmt.Sprintf("arguments %d: %s", *call.Index, call.Function.Arguments))
		}
	}
	expectLines(t, lines, `
role assistant
reasoning: Let me see.
content: I look.
call 0 function weather
arguments 0: {"city": "Rome", "days": 2}
call 1 function clock
arguments 1: {}
finish tool_calls`)
	if len(ids) != 2 || data[len(data)-1] != "[DONE]" {
		t.Errorf("ids %v, end %s", ids, data[len(data)-1])
	}
	var whole chatBody
	r.read(sent{data: r.scripted("chat", strings.Replace(body, `"stream":true,`, "", 1), twoCalls)}, &whole)
	m := whole.Choices[0].Message
	if *m.Reasoning != "Let me see." || *m.Content != "I look." || len(m.Calls) != 2 || m.Calls[0].Index != nil || m.Calls[0].Function.Arguments != `{"city": "Rome", "days": 2}` || *whole.Choices[0].Finish != "tool_calls" {
		t.Errorf("%+v", whole)
	}
	if d := whole.Usage.CompletionDetails.Reasoning; d == 0 || d >= whole.Usage.Completion {
		t.Errorf("%d of %d tokens are reasoning", d, whole.Usage.Completion)
	}
}

// TestLogProbsAreOfText: log-probabilities are told of tokens that the text consists of, and of no control token.
func TestLogProbsAreOfText(t *testing.T) {
	r := newRig(t, nil)
	var b chatBody
	r.read(sent{data: r.scripted("chat", `{"messages":[{"role":"user","content":"Hi"}],"thinking":{"type":"enabled"},"logprobs":true}`, "One.</think><｜User｜>Two<｜Assistant｜> \u00e9.")}, &b)
	for _, part := range []struct {
		text *string
		logs []chatLog
	}{{b.Choices[0].Message.Reasoning, b.Choices[0].Logs.Reasoning}, {b.Choices[0].Message.Content, b.Choices[0].Logs.Content}} {
		var text []byte
		for _, l := range part.logs {
			for _, one := range l.Bytes {
				text = append(text, byte(one))
			}
		}
		if string(text) != *part.text {
			t.Errorf("%q has the log-probabilities of %q", *part.text, text)
		}
	}
}

// TestReplay: a turn with calls comes back with its arguments written differently and without its reasoning, and the next
// prompt still continues, token by token, what was sampled.
func TestReplay(t *testing.T) {
	r := newRig(t, nil)
	tokenizer := r.server.options.Tokenizer
	for _, mode := range []struct{ name, thinking, said string }{
		{"thinking", "enabled", strings.Replace(twoCalls, ">2<", "> 2 <", 1)},
		{"chat", "disabled", strings.Replace(twoCalls[len("Let me see.</think>"):], ">2<", "> 2 <", 1)},
	} {
		t.Run(mode.name, func(t *testing.T) {
			head := `{"thinking":{"type":"` + mode.thinking + `"},` + chatTools + `,"messages":[{"role":"user","content":"Weather?"}`
			first := r.prompt(head + "]}")
			var b chatBody
			r.read(sent{data: r.scripted("chat", head+"]}", mode.said)}, &b)
			calls := b.Choices[0].Message.Calls
			next := head + fmt.Sprintf(`,{"role":"assistant","content":"I look.","tool_calls":[{"id":%q,"type":"function","function":{"name":"weather","arguments":"{\"days\":2,\"city\":\"Rome\"}"}},{"id":%q,"function":{"name":"clock","arguments":""}}]},{"role":"tool","tool_call_id":%q,"content":"12:00"},{"role":"tool","tool_call_id":%q,"content":"rain"}]}`,
				calls[0].ID, calls[1].ID, calls[1].ID, calls[0].ID)
			want := append(first, tokenizer.EncodeSpecial(mode.said)...)
			got := r.prompt(next)
			if len(got) < len(want) || fmt.Sprint(got[:len(want)]) != fmt.Sprint(want) {
				text, _ := tokenizer.Decode(got)
				t.Errorf("the prompt does not continue the answer: %s", text)
			}
			rest, _ := tokenizer.Decode(got[min(len(want), len(got)):])
			if !strings.HasPrefix(rest, "<｜end▁of▁sentence｜><｜User｜><tool_result>rain</tool_result>\n\n<tool_result>12:00</tool_result><｜Assistant｜>") {
				t.Errorf("behind the answer: %q", rest)
			}
			edited := r.prompt(strings.Replace(next, "Rome", "Oslo", 1))
			if text, _ := tokenizer.Decode(edited); !strings.Contains(text, ">Oslo<") || strings.Contains(text, "Rome") {
				t.Errorf("a call that the client changed: %s", text)
			}
		})
	}
}

// TestSampledReplay: the same with a call that the model itself wrote, under a grammar: all that was sampled is in the next
// prompt, whatever tokens it was cut into.
func TestSampledReplay(t *testing.T) {
	r := newRig(t, nil)
	head := `{"temperature":1,"seed":5,"max_tokens":300,"parallel_tool_calls":false,` + chatTools + `,"messages":[{"role":"user","content":"Weather?"}`
	var b chatBody
	r.ask("/v1/chat/completions", head+`],"tool_choice":{"type":"function","function":{"name":"weather"}}}`, &b)
	call := b.Choices[0].Message.Calls[0]
	next := r.prompt(head + fmt.Sprintf(`,{"role":"assistant","content":null,"tool_calls":[{"id":%q,"type":"function","function":{"name":"weather","arguments":%q}}]},{"role":"tool","tool_call_id":%q,"content":"rain"}]}`,
		call.ID, "\n"+call.Function.Arguments, call.ID))
	turn := r.server.replays.find(&chat.Message{Calls: []chat.Call{{ID: call.ID, Name: "weather", Arguments: call.Function.Arguments}}})
	if turn == nil {
		t.Fatal("a call of which no more than one was allowed is not remembered")
	}
	first := r.prompt(head + "]}")
	if want := append(first, turn.ids...); len(turn.ids)+1 != b.Usage.Completion || len(next) < len(want) || fmt.Sprint(next[:len(want)]) != fmt.Sprint(want) {
		t.Errorf("%d tokens were sampled, %d are remembered, and the next prompt does not continue them", b.Usage.Completion, len(turn.ids))
	}
}

// prompt is the prompt of a request in the chat form.
func (r *rig) prompt(body string) []int32 {
	r.Helper()
	return r.promptOf(func(o *object) *ask { return r.server.readChat(o) }, body)
}

func (r *rig) promptOf(read func(*object) *ask, body string) []int32 {
	r.Helper()
	var fault *apiError
	o := &object{fault: &fault}
	if err := json.Unmarshal([]byte(body), &o.fields); err != nil {
		r.Fatal(err)
	}
	a := read(o)
	if err := r.server.converse(o, a, "messages"); err != nil {
		r.Fatal(err)
	}
	return a.prompts[0]
}
