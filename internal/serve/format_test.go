package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const strictSchema = `{"type":"object","properties":{"name":{"type":"string","maxLength":12},"age":{"type":"integer","minimum":0,"maximum":150},"tags":{"type":"array","items":{"enum":["a","b"]},"maxItems":3}},"required":["name","age","tags"],"additionalProperties":false}`

// person is what strictSchema describes.
type person struct {
	Name *string
	Age  *int
	Tags []string
}

func (p *person) check(text string) error {
	if err := json.Unmarshal([]byte(text), p); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	if p.Name == nil || p.Age == nil || p.Tags == nil || *p.Age < 0 || *p.Age > 150 || len([]rune(*p.Name)) > 12 || len(p.Tags) > 3 {
		return fmt.Errorf("%q is not by the schema", text)
	}
	return nil
}

// TestFormats: answers are in the language that was asked for and complete, though the model knows nothing of it, in all forms.
func TestFormats(t *testing.T) {
	r := newRig(t, nil)
	for seed := range 3 {
		for _, thinking := range []string{"enabled", "disabled"} {
			head := fmt.Sprintf(`{"messages":[{"role":"user","content":"Who?"}],"temperature":1,"seed":%d,"max_tokens":120,"thinking":{"type":%q},"response_format":`, seed, thinking)
			var b chatBody
			r.ask("/v1/chat/completions", head+`{"type":"json_schema","json_schema":{"name":"p","strict":true,"schema":`+strictSchema+`}}}`, &b)
			if err := new(person).check(*b.Choices[0].Message.Content); err != nil || *b.Choices[0].Finish != "stop" {
				t.Errorf("chat, %s: %v, %s", thinking, err, *b.Choices[0].Finish)
			}
			r.ask("/v1/chat/completions", head+`{"type":"json_object"}}`, &b)
			var object map[string]any
			if err := json.Unmarshal([]byte(*b.Choices[0].Message.Content), &object); err != nil || *b.Choices[0].Finish != "stop" {
				t.Errorf("json_object, %s: %q %v", thinking, *b.Choices[0].Message.Content, err)
			}
		}
		var body responseBody
		r.ask("/v1/responses", fmt.Sprintf(`{"input":"Who?","max_output_tokens":100,"temperature":1,"seed":%d,"text":{"format":{"type":"json_schema","name":"p","schema":%s}}}`, seed, strictSchema), &body)
		if err := new(person).check((*body.Output[0].Content)[0].Text); err != nil || body.Status != "completed" {
			t.Errorf("responses: %v", err)
		}
		var message messageBody
		r.ask("/v1/messages", fmt.Sprintf(`{"messages":[{"role":"user","content":"Who?"}],"max_tokens":100,"temperature":1,"seed":%d,"output_config":{"format":{"type":"json_schema","schema":%s}}}`, seed, strictSchema), &message)
		if err := new(person).check(*message.Content[0].Text); err != nil || *message.Reason != "end_turn" {
			t.Errorf("messages: %v", err)
		}
		var text textBody
		r.ask("/v1/completions", fmt.Sprintf(`{"prompt":"The date is ","max_tokens":30,"seed":%d,"guided_regex":"\\d{4}-\\d\\d-\\d\\d"}`, seed), &text)
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\d$`).MatchString(text.Choices[0].Text) {
			t.Errorf("regex: %q", text.Choices[0].Text)
		}
		r.ask("/v1/completions", fmt.Sprintf(`{"prompt":"Yes or no? ","max_tokens":30,"seed":%d,"grammar":"root ::= \"yes\" | \"no\""}`, seed), &text)
		if s := text.Choices[0].Text; s != "yes" && s != "no" {
			t.Errorf("grammar: %q", s)
		}
	}
}

// TestRequiredCalls: a call that must be made is made, of a tool that may be called, with arguments by its schema.
func TestRequiredCalls(t *testing.T) {
	r := newRig(t, nil)
	tool := func(name string) string {
		return fmt.Sprintf(`{"type":"function","function":{"name":%q,"parameters":%s}}`, name, strictSchema)
	}
	head := `{"messages":[{"role":"user","content":"Do it."}],"temperature":1,"max_tokens":450,"tools":[` + tool("first") + `,` + tool("second") + `],`
	for seed := range 1 {
		for _, c := range []struct {
			choice, name string
			most         int
		}{
			{`"required","parallel_tool_calls":false`, "", 1},
			{`"required","thinking":{"type":"enabled"},"parallel_tool_calls":false`, "", 1},
			{`{"type":"function","function":{"name":"second"}}`, "second", 100},
			{`{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"first"}}]}}`, "first", 100},
		} {
			var b chatBody
			r.ask("/v1/chat/completions", fmt.Sprintf(`%s"seed":%d,"tool_choice":%s}`, head, seed, c.choice), &b)
			calls := b.Choices[0].Message.Calls
			if len(calls) < 1 || len(calls) > c.most || *b.Choices[0].Finish != "tool_calls" || b.Choices[0].Message.Content != nil {
				t.Errorf("%s: %+v %s", c.choice, calls, *b.Choices[0].Finish)
			}
			for _, call := range calls {
				if err := new(person).check(call.Function.Arguments); err != nil || c.name != "" && call.Function.Name != c.name {
					t.Errorf("%s: %s: %v", c.choice, call.Function.Name, err)
				}
			}
		}
	}
	var message messageBody
	r.ask("/v1/messages", `{"messages":[{"role":"user","content":"Do it."}],"max_tokens":450,"tools":[{"name":"f","input_schema":`+strictSchema+`}],"tool_choice":{"type":"any","disable_parallel_tool_use":true}}`, &message)
	if len(message.Content) != 1 || *message.Reason != "tool_use" || new(person).check(string(message.Content[0].Input)) != nil {
		t.Errorf("%+v", message)
	}
	var body responseBody
	r.ask("/v1/responses", `{"input":"Do it.","max_output_tokens":450,"tools":[{"type":"custom","name":"apply_patch"}],"tool_choice":{"type":"custom","name":"apply_patch"},"parallel_tool_calls":false}`, &body)
	if item := body.Output[0]; item.Type != "custom_tool_call" || item.Input == nil {
		t.Errorf("%+v", item)
	}
}

// TestUnenforceable: a schema that cannot be kept to is refused where it must be, and left to the client where tools are
// offered that are not strict.
func TestUnenforceable(t *testing.T) {
	r := newRig(t, nil)
	const schema = `{"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}}`
	const chat, responses, messages = "/v1/chat/completions", "/v1/responses", "/v1/messages"
	for _, c := range []struct{ path, more, named string }{
		{chat, `"response_format":{"type":"json_schema","json_schema":{"schema":` + schema + `}}`, "response_format.json_schema.schema"},
		{chat, `"response_format":{"type":"json_object","schema":` + schema + `}`, "response_format.schema"},
		{chat, `"guided_regex":"("`, "guided_regex"},
		{chat, `"structured_outputs":{"regex":"("}`, "structured_outputs.regex"},
		{chat, `"grammar":"root ::= x"`, "grammar"},
		{chat, `"tools":[{"type":"function","function":{"name":"f","parameters":` + schema + `,"strict":true}}]`, "tools"},
		{chat, `"tools":[{"type":"function","function":{"name":"f","parameters":` + schema + `}},{"type":"function","function":{"name":"g"}}]`, ""},
		{responses, `"text":{"format":{"type":"json_schema","name":"n","schema":` + schema + `}}`, "text.format.schema"},
		{responses, `"tools":[{"type":"function","name":"f","parameters":` + schema + `,"strict":true}]`, "tools"},
		{messages, `"output_config":{"format":{"type":"json_schema","schema":` + schema + `}}`, "output_config.format.schema"},
		{messages, `"tools":[{"name":"f","input_schema":` + schema + `,"strict":true}]`, `"f"`},
	} {
		status, text := r.post(c.path, `{"input":"hi","messages":[{"role":"user","content":"hi"}],"max_tokens":1,`+c.more+`}`)
		var b struct {
			Error struct{ Message, Param string }
		}
		if err := json.Unmarshal([]byte(text), &b); err != nil || (status == http.StatusBadRequest) != (c.named != "") {
			t.Errorf("%s: %d %s", c.more, status, text)
		}
		if anthropic := c.path == messages; anthropic && !strings.Contains(b.Error.Message, c.named) || !anthropic && b.Error.Param != c.named {
			t.Errorf("%s: expected %s to be named: %s", c.more, c.named, text)
		}
	}
}

// What is logged of a tool whose schema cannot be kept to is nothing that the request says, unless that was asked for.
func TestUnenforceableIsLogged(t *testing.T) {
	for _, asked := range []bool{false, true} {
		var log bytes.Buffer
		r := newRig(t, func(o *Options) {
			o.Operation = Operation{LogPrompts: asked, Log: slog.New(slog.NewTextHandler(&log, nil))}
		})
		body := `{"messages":[{"role":"user","content":"hi"}],"max_tokens":1,"tools":[{"type":"function","function":{"name":"private","parameters":{"type":"object","properties":{"private":{"type":"array","uniqueItems":true}}}}}]}`
		if status, text := r.post("/v1/chat/completions", body); status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		r.http.Close() // nothing is logged any more
		if text := log.String(); !strings.Contains(text, "not enforced") || strings.Contains(text, "private") != asked {
			t.Errorf("prompts asked for: %v; log: %s", asked, text)
		}
	}
}
