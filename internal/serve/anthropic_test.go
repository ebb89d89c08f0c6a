package serve

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const anthropicTools = `"tools":[{"name":"weather","description":"d","input_schema":` + oneTool + `},{"name":"clock","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}},{"type":"web_search_20250305","name":"web_search","max_uses":5}]`

// messageEvent is any event of the Anthropic form.
type messageEvent struct {
	Type    string
	Index   *int
	Message *messageBody
	Block   *messageBlock `json:"content_block"`
	Delta   *struct {
		messageDelta
		Reason   string `json:"stop_reason"`
		Sequence string `json:"stop_sequence"`
	}
	Usage *messageUsage
	Error any
}

func (e messageEvent) describe() string {
	line := e.Type
	if e.Index != nil {
		line += fmt.Sprintf(" %d", *e.Index)
	}
	switch {
	case e.Block != nil:
		line += " " + e.Block.Type + " " + e.Block.Name
	case e.Delta == nil:
	case e.Delta.JSON != nil:
		line += " json: " + *e.Delta.JSON
	case e.Delta.Text != nil:
		line += " text: " + *e.Delta.Text
	case e.Delta.Thinking != nil:
		line += " thinking: " + *e.Delta.Thinking
	case e.Delta.Signature != "":
		line += " signature"
	default:
		line += " " + e.Delta.Reason + e.Delta.Sequence
	}
	return strings.TrimRight(line, " ")
}

func TestMessagesEvents(t *testing.T) {
	r := newRig(t, nil)
	body := `{"model":"claude-opus-4","max_tokens":500,"messages":[{"role":"user","content":"Weather?"}],"thinking":{"type":"enabled","budget_tokens":1024},"stream":true,` + anthropicTools + `}`
	text := r.scripted("messages", body, twoCalls)
	var lines []string
	for _, d := range dataOf(text) {
		var e messageEvent
		r.read(sent{data: d}, &e)
		if !strings.Contains(text, "event: "+e.Type+"\ndata: "+d) {
			t.Errorf("no event line for %s", d)
		}
		if e.Type == "message_start" && (len(e.Message.Content) != 0 || e.Message.Usage.Input == 0 || e.Message.Reason != nil) {
			t.Errorf("%s", d)
		}
		if e.Type == "message_delta" && e.Usage.Output == 0 {
			t.Errorf("%s", d)
		}
		lines = append(lines, e.describe())
	}
	expectLines(t, lines, `
message_start
content_block_start 0 thinking
content_block_delta 0 thinking: Let me see.
content_block_delta 0 signature
content_block_stop 0
content_block_start 1 text
content_block_delta 1 text: I look.
content_block_stop 1
content_block_start 2 tool_use weather
content_block_delta 2 json: {"city": "Rome", "days": 2}
content_block_stop 2
content_block_start 3 tool_use clock
content_block_delta 3 json: {}
content_block_stop 3
message_delta tool_use
message_stop`)
	var whole messageBody
	r.read(sent{data: r.scripted("messages", strings.Replace(body, `"stream":true,`, "", 1), twoCalls)}, &whole)
	var kinds []string
	for _, b := range whole.Content {
		kinds = append(kinds, b.Type)
	}
	if strings.Join(kinds, " ") != "thinking text tool_use tool_use" || *whole.Reason != "tool_use" || !strings.HasPrefix(whole.Content[2].ID, "toolu_") || !json.Valid(whole.Content[2].Input) || *whole.Content[0].Signature == "" {
		t.Errorf("%+v", whole)
	}
}

func TestMessages(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"/v1/messages?beta=true", "/anthropic/v1/messages", "/anthropic/messages"} {
		var b messageBody
		r.ask(path, `{"model":"claude-x","max_tokens":100,"temperature":0,"messages":[{"role":"user","content":"Who are you?"}],"stop_sequences":["short"]}`, &b)
		if want, _, _ := strings.Cut(whoSays, "short"); *b.Content[0].Text != want || *b.Reason != "stop_sequence" || *b.Sequence != "short" || b.Usage.Input+b.Usage.Read == 0 {
			t.Errorf("%s: %+v", path, b)
		}
	}
}

// TestClaudeCodeRequest: what Claude Code sends is accepted; the header of its system prompt, which is never the same, is no
// part of the prompt, and results of tools stand where the model looks for them.
func TestClaudeCodeRequest(t *testing.T) {
	r := newRig(t, nil)
	body := `{"model":"claude-opus-4-6","max_tokens":3,"stream":true,"temperature":1,"metadata":{"user_id":"u"},"context_management":{"edits":[]},"output_config":{"effort":"high"},
"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1; cch=%s;"},{"type":"text","text":"You are Claude Code.","cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"text","text":"Be brief."}],
"thinking":{"type":"adaptive"},
"messages":[{"role":"user","content":[{"type":"text","text":"<system-reminder>x</system-reminder>"},{"type":"text","text":"Fix it.","cache_control":{"type":"ephemeral"}}]},
{"role":"assistant","content":[{"type":"thinking","thinking":"I must look.","signature":"abc"},{"type":"text","text":"Looking."},{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Rome"},"caller":{"type":"direct"}},{"type":"tool_use","id":"toolu_2","name":"clock","input":{}}]},
{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_2","content":[{"type":"text","text":"12:00"},{"type":"image","source":{}}],"is_error":true},{"type":"tool_result","tool_use_id":"toolu_1","content":"rain"},{"type":"text","text":"Go on."}]}],
"tool_choice":{"type":"auto","disable_parallel_tool_use":false},` + anthropicTools + `}`
	read := func(o *object) *ask { return r.server.readMessages(o) }
	first, second := r.promptOf(read, fmt.Sprintf(body, "a1")), r.promptOf(read, fmt.Sprintf(body, "b2"))
	if fmt.Sprint(first) != fmt.Sprint(second) {
		t.Error("the prompt changes with the header of the system prompt")
	}
	text, err := r.server.options.Tokenizer.Decode(first)
	if err != nil {
		t.Fatal(err)
	}
	head, text, _ := strings.Cut(text, "\n\n## Tools")
	_, text, _ = strings.Cut(text, "to invoke tool calls.\n")
	if want := "<｜begin▁of▁sentence｜>You are Claude Code.\n\nBe brief."; head != want {
		t.Errorf("got %q, want %q", head, want)
	}
	want := "<｜User｜><system-reminder>x</system-reminder>\n\nFix it.<｜Assistant｜><think>I must look.</think>Looking.\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Rome</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"clock\">\n\n</｜DSML｜invoke>\n</｜DSML｜tool_calls><｜end▁of▁sentence｜><｜User｜><tool_result>rain</tool_result>\n\n<tool_result>12:00\n\n[Unsupported image]</tool_result>\n\nGo on.<｜Assistant｜><think>"
	if text != want {
		t.Errorf("got  %q\nwant %q", text, want)
	}
	body = strings.Replace(body, anthropicTools, `"tools":[{"name":"clock","input_schema":{"type":"object"}}]`, 1)
	events := r.stream("/v1/messages?beta=true", fmt.Sprintf(body, "c3"))
	if last := events[len(events)-1]; last.name != "message_stop" {
		t.Errorf("%+v", last)
	}
	var count struct {
		Tokens int `json:"input_tokens"`
	}
	r.ask("/v1/messages/count_tokens?beta=true", fmt.Sprintf(body, "d4"), &count)
	var start messageEvent
	r.read(events[0], &start)
	if count.Tokens == 0 || count.Tokens != start.Message.Usage.Input {
		t.Errorf("%d tokens counted, %d told", count.Tokens, start.Message.Usage.Input)
	}
}
