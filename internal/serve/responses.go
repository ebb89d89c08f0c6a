package serve

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"baleen/internal/chat"
)

// responses answers POST /responses (formats spec 5.3). Nothing is stored: what refers to earlier responses is refused, and
// the whole history comes with every request.
func (s *Server) responses(w http.ResponseWriter, r *http.Request) {
	o, err := readBody(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	a, form := s.readResponse(o)
	if err := s.converse(o, a, "input"); err != nil {
		fail(w, r, err)
		return
	}
	s.answer(w, r, a, func(out *sse) wire {
		form.out = out
		return form
	})
}

// readResponse reads a request of the responses form, and what its answer tells of it.
func (s *Server) readResponse(o *object) (*ask, *responseWire) {
	for _, field := range []string{"previous_response_id", "conversation", "prompt"} {
		if o.has(field) {
			o.refuse(field, "found %s, expected nothing: no response is stored here: send the whole history as input", found(o.fields[field]))
		}
	}
	if o.flag("background", false) {
		o.refuse("background", "found true, expected false: wait for the answer")
	}
	a := s.newAsk(o, "max_output_tokens", "max_tokens")
	c := &conversation{parallel: o.flag("parallel_tool_calls", true)}
	a.conversation = c
	c.Encoding = s.options.Encoding
	s.readThinking(o, a)
	h := &history{}
	if text := o.text("instructions"); text != "" {
		h.add(chat.Message{Role: "system", Content: textParts(text)})
	}
	if chat.JSONKind(o.fields["input"]) == "a string" {
		h.add(chat.Message{Role: "user", Content: textParts(o.text("input"))})
	} else {
		o.each("input", h.item)
	}
	c.Messages = h.messages
	custom := c.readResponseTools(o)
	c.readToolChoice(o)
	a.format = readResponseFormat(o)
	form := newResponseWire(a, o)
	form.custom = custom
	p := &a.limits.Sampling
	for _, what := range o.texts("include") {
		form.encrypted = form.encrypted || what == "reasoning.encrypted_content"
		p.LogProbs = p.LogProbs || what == "message.output_text.logprobs"
	}
	if top := int(o.integer("top_logprobs", 0, 0, 20)); p.LogProbs {
		p.TopLogProbs = top
	}
	return a, form
}

// readResponseFormat reads the format of the text.
func readResponseFormat(o *object) (f format) {
	r := o.child("text").child("format")
	switch r.word("type", "text", "json_object", "json_schema") {
	case "json_object":
		f.kind = asObject
	case "json_schema":
		f = r.schema("schema")
	}
	return f
}

// customInput is the only parameter that a custom tool, which takes text, has as a function.
const customInput = `{"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"], "additionalProperties": false}`

// readResponseTools reads tools in the responses form. Custom tools become functions of one text; the hosted ones, such as
// web_search, are left out: nothing here could run them.
func (c *conversation) readResponseTools(o *object) (custom map[string]bool) {
	custom = map[string]bool{}
	o.each("tools", func(t *object) {
		switch t.text("type") {
		case "function":
			c.addTool(t, "parameters")
		case "custom":
			name := t.text("name")
			custom[name] = true
			description := t.text("description")
			if f := t.child("format"); f.has("definition") {
				description += "\n\nThe input has this form (" + f.text("syntax") + "):\n" + f.text("definition")
			}
			fields := map[string]json.RawMessage{
				"name": appendJSON(nil, name), "description": appendJSON(nil, strings.TrimSpace(description)), "parameters": json.RawMessage(customInput),
			}
			c.addTool(&object{path: t.path, fields: fields, fault: t.fault}, "parameters")
		}
	})
	return custom
}

// history makes messages of items.
type history struct {
	messages []chat.Message
}

func (h *history) add(m chat.Message) { h.messages = append(h.messages, m) }

// assistant returns the assistant's turn that is being told.
func (h *history) assistant() *chat.Message {
	if n := len(h.messages); n == 0 || h.messages[n-1].Role != "assistant" {
		h.add(chat.Message{Role: "assistant"})
	}
	return &h.messages[len(h.messages)-1]
}

// item reads an item. A turn of the assistant is several of them; kinds that are nothing to this model are left out.
func (h *history) item(o *object) {
	switch o.text("type") {
	case "message", "":
		h.message(o)
	case "reasoning":
		m := h.assistant()
		m.Reasoning = joinNonEmpty(m.Reasoning, readReasoning(o))
	case "function_call":
		m := h.assistant()
		m.Calls = append(m.Calls, chat.Call{ID: o.text("call_id"), Name: o.need("name", "the name of a function"), Arguments: readArguments(o, "arguments")})
	case "custom_tool_call":
		m := h.assistant()
		arguments := appendJSON([]byte(`{"input": `), o.text("input"))
		m.Calls = append(m.Calls, chat.Call{ID: o.text("call_id"), Name: o.need("name", "the name of a tool"), Arguments: string(append(arguments, '}'))})
	case "function_call_output", "custom_tool_call_output":
		h.add(chat.Message{Role: "tool", CallID: o.text("call_id"), Content: readContent(o, "output", true)})
	case "item_reference":
		o.refuse("type", "found item_reference, expected the item itself: nothing is stored here")
	}
}

func (h *history) message(o *object) {
	role := o.word("role", "user", "assistant", "system", "developer")
	content := readContent(o, "content", false)
	switch role {
	case "":
		o.wrong("role", "who says it, such as user")
	case "assistant":
		m := h.assistant()
		if len(m.Calls) > 0 {
			h.add(chat.Message{Role: role})
			m = h.assistant()
		}
		m.Content = append(m.Content, content...)
	case "developer":
		h.add(chat.Message{Role: "system", Content: content})
	default:
		h.add(chat.Message{Role: role, Content: content})
	}
}

// readReasoning reads an item of reasoning: its content, else its summary, which is all of it where it comes from here, else
// what only looks encrypted.
func readReasoning(o *object) string {
	text := ""
	for _, field := range []string{"content", "summary"} {
		o.each(field, func(part *object) { text = joinNonEmpty(text, part.text("text")) })
		if text != "" {
			return text
		}
	}
	sealed, ok := strings.CutPrefix(o.text("encrypted_content"), sealMark)
	if data, err := base64.StdEncoding.DecodeString(sealed); ok && err == nil {
		return strings.ToValidUTF8(string(data), "\uFFFD")
	}
	return ""
}

// sealMark begins the reasoning that clients, which keep only what is encrypted, take along. There is nothing to hide in it.
const sealMark = "baleen:"

func seal(reasoning string) string {
	return sealMark + base64.StdEncoding.EncodeToString([]byte(reasoning))
}

func joinNonEmpty(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n\n" + b
}

func textParts(text string) []chat.Part { return []chat.Part{{Type: "text", Text: text}} }
