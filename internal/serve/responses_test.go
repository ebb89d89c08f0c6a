package serve

import (
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

const responseTools = `"tools":[{"type":"function","name":"weather","parameters":` + oneTool + `,"strict":false},{"type":"function","name":"clock"},{"type":"custom","name":"apply_patch","description":"patch","format":{"type":"grammar","syntax":"lark","definition":"start: x"}},{"type":"web_search"},{"type":"namespace","name":"n","tools":[]},{"type":"image_generation"},{"type":"tool_search"}]`

// describe is an event of the responses form as a line.
func describe(e responseEvent) string {
	line := strings.TrimPrefix(e.Type, "response.")
	if e.OutputIndex != nil {
		line += fmt.Sprintf(" %d", *e.OutputIndex)
	}
	switch {
	case e.Item != nil:
		line += " " + e.Item.Type + " " + e.Item.Status
		if e.Item.Name != "" {
			line += " " + e.Item.Name
		}
	case e.Part != nil:
		line += " " + e.Part.Type + " " + e.Part.Text
	case e.Delta != nil:
		line += ": " + *e.Delta
	case e.Text != nil:
		line += " " + *e.Text
	case e.Arguments != nil:
		line += " " + *e.Arguments
	case e.Input != nil:
		line += " " + *e.Input
	case e.Response != nil:
		line += fmt.Sprintf(" %s, %d items", e.Response.Status, len(e.Response.Output))
	}
	return strings.TrimRight(line, " ")
}

func TestResponsesEvents(t *testing.T) {
	r := newRig(t, nil)
	said := strings.Replace(twoCalls, "</｜DSML｜tool_calls>", "<｜DSML｜invoke name=\"apply_patch\">\n<｜DSML｜parameter name=\"input\" string=\"true\">*** \"A\"\n+b</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>", 1)
	body := `{"input":"Weather?","reasoning":{"effort":"medium","summary":"auto"},"include":["reasoning.encrypted_content"],"stream":true,` + responseTools + `}`
	var lines []string
	var last responseEvent
	items := map[string]int{}
	for i, d := range dataOf(r.scripted("responses", body, said)) {
		var e responseEvent
		r.read(sent{data: d}, &e)
		if e.Number != i {
			t.Errorf("event %d has number %d", i, e.Number)
		}
		if e.ItemID != "" {
			items[e.ItemID] = *e.OutputIndex
		}
		lines, last = append(lines, describe(e)), e
	}
	expectLines(t, lines, `
created in_progress, 0 items
in_progress in_progress, 0 items
output_item.added 0 reasoning
reasoning_summary_part.added 0 summary_text
reasoning_summary_text.delta 0: Let me see.
reasoning_summary_text.done 0 Let me see.
reasoning_summary_part.done 0 summary_text Let me see.
output_item.done 0 reasoning
output_item.added 1 message in_progress
content_part.added 1 output_text
output_text.delta 1: I look.
output_text.done 1 I look.
content_part.done 1 output_text I look.
output_item.done 1 message completed
output_item.added 2 function_call in_progress weather
function_call_arguments.delta 2: {"city": "Rome", "days": 2}
function_call_arguments.done 2 {"city": "Rome", "days": 2}
output_item.done 2 function_call completed weather
output_item.added 3 function_call in_progress clock
function_call_arguments.delta 3: {}
function_call_arguments.done 3 {}
output_item.done 3 function_call completed clock
output_item.added 4 custom_tool_call in_progress apply_patch
custom_tool_call_input.delta 4: *** "A"
+b
custom_tool_call_input.done 4 *** "A"
+b
output_item.done 4 custom_tool_call completed apply_patch
completed completed, 5 items`)
	out := last.Response.Output
	if len(items) != 5 || *out[4].Input != "*** \"A\"\n+b" || out[0].Encrypted == "" || (*out[0].Summary)[0].Text != "Let me see." || last.Response.Usage.OutputDetails.Reasoning == 0 {
		t.Errorf("%+v", last.Response)
	}
	for _, item := range out {
		if _, ok := items[item.ID]; !ok {
			t.Errorf("item %+v has an id that no event had", item)
		}
	}
	var whole responseBody
	r.read(sent{data: r.scripted("responses", strings.Replace(body, `"stream":true,`, "", 1), said)}, &whole)
	var kinds []string
	for _, item := range whole.Output {
		kinds = append(kinds, item.Type+" "+item.Status)
	}
	if got := strings.Join(kinds, ", "); got != "reasoning , message completed, function_call completed, function_call completed, custom_tool_call completed" || whole.Status != "completed" {
		t.Errorf("%s: %s", whole.Status, got)
	}
}

func TestResponsesIncomplete(t *testing.T) {
	r := newRig(t, nil)
	events := r.stream("/v1/responses", `{"input":[{"role":"user","content":[{"type":"input_text","text":"Who are you?"}]}],"temperature":0,"max_output_tokens":3,"stream":true}`)
	var e responseEvent
	r.read(events[len(events)-1], &e)
	if last := events[len(events)-1]; last.name != "response.incomplete" || e.Response.Incomplete.Reason != "max_output_tokens" || e.Response.Output[0].Status != "incomplete" || e.Response.Usage.Output != 3 {
		t.Errorf("%s", last.data)
	}
}

// TestResponsesLogProbs: log-probabilities are told where they were asked for, of all of the text, in its pieces and at once.
func TestResponsesLogProbs(t *testing.T) {
	r := newRig(t, nil)
	const body = `{"input":"Who are you?","temperature":0,"top_logprobs":2,"include":["message.output_text.logprobs"]`
	var whole responseBody
	r.ask("/v1/responses", body+"}", &whole)
	pieces, text := []chatLog{}, ""
	var done responseEvent
	for _, e := range r.stream("/v1/responses", body+`,"stream":true}`) {
		var d responseEvent
		r.read(e, &d)
		switch e.name {
		case "response.output_text.delta":
			pieces, text = append(pieces, d.Logs...), text+*d.Delta
		case "response.output_text.done":
			done = d
		}
	}
	part := (*whole.Output[0].Content)[0]
	if !reflect.DeepEqual(part.Logs, pieces) || !reflect.DeepEqual(done.Logs, pieces) || part.Text != text {
		t.Errorf("at once %v, in pieces %v, at the end %v", part.Logs, pieces, done.Logs)
	}
	said := ""
	for _, l := range pieces {
		if said += l.Token; len(*l.Top) != 2 {
			t.Errorf("%d alternatives: %+v", len(*l.Top), l)
		}
	}
	if said != text {
		t.Errorf("%q has the log-probabilities of %q", text, said)
	}
}

// TestCustomCallCut: of a custom tool's input that was cut off nothing is told; it would be half of some JSON.
func TestCustomCallCut(t *testing.T) {
	w := httptest.NewRecorder()
	form := &responseWire{out: newSSE(w, time.Minute), custom: map[string]bool{"patch": true}}
	form.begin()
	form.event(event{kind: onCall, call: callHead{id: "call_1", name: "patch"}})
	form.event(event{kind: onArguments, text: `{"input": "half`})
	form.broken(shuttingDown())
	if text := w.Body.String(); strings.Contains(text, "half") || !strings.Contains(text, `"status":"incomplete","call_id":"call_1","name":"patch","input":""`) {
		t.Errorf("%s", text)
	}
}

// TestCodexRequest: what Codex sends is accepted, and its history becomes the turns that it was.
func TestCodexRequest(t *testing.T) {
	r := newRig(t, nil)
	body := `{"model":"gpt-5.1-codex","instructions":"You are Codex.","input":[
{"type":"message","role":"developer","content":[{"type":"input_text","text":"<permissions>"}]},
{"type":"message","role":"user","content":[{"type":"input_text","text":"<environment_context>"}]},
{"type":"message","role":"user","content":[{"type":"input_text","text":"Fix it."}]},
{"type":"reasoning","summary":[],"content":null,"encrypted_content":"` + seal("I must look.") + `"},
{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Looking."}]},
{"type":"function_call","name":"clock","arguments":"{\"a\":1}","call_id":"c1"},
{"type":"custom_tool_call","status":"completed","call_id":"c2","name":"apply_patch","input":"*** x"},
{"type":"function_call_output","call_id":"c1","output":"ok"},
{"type":"custom_tool_call_output","call_id":"c2","output":[{"type":"input_text","text":"done"}]},
{"type":"web_search_call","status":"completed"}],
` + responseTools + `,"tool_choice":"auto","parallel_tool_calls":true,"reasoning":{"effort":"medium","summary":"auto"},"store":false,"stream":true,
"include":["reasoning.encrypted_content"],"prompt_cache_key":"k","client_metadata":{"x":"y"},"text":{"verbosity":"low"},"max_output_tokens":4}`
	ids := r.promptOf(func(o *object) *ask { a, _ := r.server.readResponse(o); return a }, body)
	text, err := r.server.options.Tokenizer.Decode(ids)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = strings.Cut(text, "to invoke tool calls.\n")
	want := "<｜User｜><environment_context>\n\nFix it.<｜Assistant｜><think>I must look.</think>Looking.\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"clock\">\n<｜DSML｜parameter name=\"a\" string=\"false\">1</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"apply_patch\">\n<｜DSML｜parameter name=\"input\" string=\"true\">*** x</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls><｜end▁of▁sentence｜><｜User｜><tool_result>ok</tool_result>\n\n<tool_result>done</tool_result><｜Assistant｜><think>"
	if text != want {
		t.Errorf("got  %q\nwant %q", text, want)
	}
	for _, path := range []string{"/v1/responses", "/responses"} {
		events := r.stream(path, strings.Replace(body, responseTools, `"tools":[{"type":"function","name":"clock","description":"d"}]`, 1))
		if last := events[len(events)-1]; last.name != "response.incomplete" && last.name != "response.completed" {
			t.Errorf("%+v", last)
		}
	}
}
