package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// ReadMessages reads a file of messages: an array, or an object with messages and, if it likes, tools and response_format.
// Keys are those of the OpenAI wire form with the reference encoder's task, developer and latest_reminder; a message goes on
// where it has prefix or wo_eos. Unknown keys are ignored. Mode, Encoding and Effort are left to the caller.
func ReadMessages(data []byte) (*Request, error) {
	var r Request
	list := json.RawMessage(data)
	if !json.Valid(data) {
		return nil, fmt.Errorf("bad messages: the file: %w: write an array of messages", whatIsWrong(data))
	}
	if data = bytes.TrimSpace(data); data[0] == '{' {
		o := object{where: "bad messages: the file"}
		o.open(data)
		list = o.fields["messages"]
		if list == nil {
			o.fail("messages", "nothing", "an array")
		}
		r.Tools = o.tools()
		r.ResponseFormat = o.fields["response_format"]
		if o.err != nil {
			return nil, o.err
		}
	}
	var raw []json.RawMessage
	if json.Unmarshal(list, &raw) != nil || raw == nil {
		return nil, fmt.Errorf("bad messages: the file: messages: found %s, expected an array", JSONKind(list))
	}
	r.Messages = make([]Message, len(raw))
	for i := range raw {
		if err := r.Messages[i].read(i, raw[i]); err != nil {
			return nil, err
		}
	}
	return &r, nil
}

// ReadTools reads an array of tools in the OpenAI form.
func ReadTools(data []byte) ([]Tool, error) {
	if !json.Valid(data) {
		return nil, fmt.Errorf("bad tools: the file: %w: write an array of tools", whatIsWrong(data))
	}
	o := object{where: "bad tools", fields: map[string]json.RawMessage{"tools": data}}
	tools := o.tools()
	return tools, o.err
}

// whatIsWrong returns the fault of invalid JSON.
func whatIsWrong(data []byte) error {
	var value json.RawMessage
	return json.Unmarshal(data, &value)
}

func (m *Message) read(i int, data json.RawMessage) error {
	o := object{where: fmt.Sprintf("bad messages: message %d", i)}
	o.open(data)
	m.Role = o.text("role")
	m.Content = o.parts("content")
	m.Reasoning = o.text("reasoning_content")
	o.list("tool_calls", func(call *object) { m.Calls = append(m.Calls, call.call()) })
	m.Continue = o.flag("prefix") || o.flag("wo_eos")
	m.CallID = o.text("tool_call_id")
	m.Task = o.text("task")
	if _, ok := taskToken(m.Task); !ok && o.has("task") {
		o.fail("task", quote(m.Task), "action, query, authority, domain, title or read_url")
	}
	m.Tools = o.tools()
	m.ResponseFormat = o.fields["response_format"]
	if o.err != nil {
		return o.err
	}
	return checkMessage(i, m)
}

// object reads the fields of a JSON object. The first fault sticks in err. A field that is null counts as absent.
type object struct {
	where  string
	fields map[string]json.RawMessage
	err    error
}

// fail notes the first fault.
func (o *object) fail(field, found, want string) {
	if o.err == nil {
		o.err = fmt.Errorf("%s: %s: found %s, expected %s", o.where, field, found, want)
	}
}

// open takes the fields of data, which is valid JSON.
func (o *object) open(data json.RawMessage) {
	if json.Unmarshal(data, &o.fields) != nil || o.fields == nil {
		if o.err == nil {
			o.err = fmt.Errorf("%s: found %s, expected an object", o.where, JSONKind(data))
		}
	}
}

func (o *object) has(field string) bool {
	value := o.fields[field]
	return value != nil && string(value) != "null"
}

func (o *object) text(field string) (text string) {
	if o.has(field) && json.Unmarshal(o.fields[field], &text) != nil {
		o.fail(field, JSONKind(o.fields[field]), "a string")
	}
	return text
}

func (o *object) flag(field string) (on bool) {
	if o.has(field) && json.Unmarshal(o.fields[field], &on) != nil {
		o.fail(field, JSONKind(o.fields[field]), "true or false")
	}
	return on
}

// list calls element with every object of an array.
func (o *object) list(field string, element func(*object)) {
	if !o.has(field) {
		return
	}
	var raw []json.RawMessage
	if json.Unmarshal(o.fields[field], &raw) != nil {
		o.fail(field, JSONKind(o.fields[field]), "an array")
	}
	for i, data := range raw {
		e := object{where: fmt.Sprintf("%s: %s[%d]", o.where, field, i), err: o.err}
		e.open(data)
		element(&e)
		o.err = e.err
	}
}

// parts reads a content: a string, or an array of parts.
func (o *object) parts(field string) (parts []Part) {
	if value := o.fields[field]; len(value) == 0 || value[0] != '[' {
		if text := o.text(field); text != "" {
			parts = []Part{{Type: "text", Text: text}}
		}
		return parts
	}
	o.list(field, func(part *object) {
		p := Part{Type: part.text("type")}
		if p.Type == "" {
			part.fail("type", "nothing", "the type of the part, such as text")
		}
		if p.Type == "text" {
			p.Text = part.text("text")
		}
		parts = append(parts, p)
	})
	return parts
}

// function returns the function object of a tool or call.
func (o *object) function() *object {
	f := &object{where: o.where + ": function", err: o.err}
	if !o.has("function") {
		o.fail("function", "nothing", "an object")
		f.err = o.err
		return f
	}
	f.open(o.fields["function"])
	if f.text("name") == "" {
		f.fail("name", "nothing", "the name of a function")
	}
	o.err = f.err
	return f
}

// call reads a call of a tool.
func (o *object) call() Call {
	f := o.function()
	c := Call{ID: o.text("id"), Name: f.text("name"), Arguments: f.text("arguments")}
	if !f.has("arguments") {
		f.fail("arguments", "nothing", "a string")
	}
	if o.err == nil {
		o.err = f.err
	}
	return c
}

func (o *object) tools() (tools []Tool) {
	o.list("tools", func(tool *object) {
		f := tool.function()
		tools = append(tools, Tool{Name: f.text("name"), Schema: tool.fields["function"]})
	})
	return tools
}

// JSONKind names the type of a JSON value for messages: "an object", "a string"; of no bytes, "nothing".
func JSONKind(value json.RawMessage) string {
	if len(value) == 0 {
		return "nothing"
	}
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
