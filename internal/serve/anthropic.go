package serve

import (
	"net/http"
	"strings"

	"baleen/internal/chat"
)

// messages answers POST /messages, the Anthropic form (formats spec 5.2).
func (s *Server) messages(w http.ResponseWriter, r *http.Request) {
	o, err := readBody(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	if !o.has("max_tokens") {
		o.wrong("max_tokens", "a whole number: this API wants one")
	}
	a := s.readMessages(o)
	if err := s.converse(o, a, "messages"); err != nil {
		fail(w, r, err)
		return
	}
	s.answer(w, r, a, func(out *sse) wire { return newMessageWire(out, a) })
}

// countTokens answers POST /messages/count_tokens: how long the prompt of a request is.
func (s *Server) countTokens(w http.ResponseWriter, r *http.Request) {
	o, err := readBody(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	a := s.readMessages(o)
	if err := s.converse(o, a, "messages"); err != nil {
		fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Tokens int `json:"input_tokens"`
	}{len(a.prompts[0])})
}

// readMessages reads a request of the Anthropic form. The model thinks only where the request says so.
func (s *Server) readMessages(o *object) *ask {
	a := s.newAsk(o, "max_tokens")
	a.calls = "toolu_"
	a.readStops(o, "stop_sequences")
	c := &conversation{parallel: !o.child("tool_choice").flag("disable_parallel_tool_use", false)}
	a.conversation = c
	c.Encoding = s.options.Encoding
	config := o.child("output_config")
	thinking := readThinkingType(o)
	c.think(thinking == "enabled" || thinking == "adaptive", readEffort(config, "effort"))
	if system := readSystem(o); len(system) > 0 {
		c.Messages = append(c.Messages, chat.Message{Role: "system", Content: system})
	}
	o.each("messages", func(m *object) { c.Messages = append(c.Messages, readTurn(m)...) })
	o.each("tools", func(t *object) {
		if kind := t.text("type"); kind == "" || kind == "custom" { // the others are run by the hosted service
			c.addTool(t, "input_schema")
		}
	})
	c.readAnthropicChoice(o)
	for _, f := range []*object{o.child("output_format"), config.child("format")} {
		if f.word("type", "json_schema") != "" {
			a.format = f.schema("schema")
		}
	}
	return a
}

// billing begins a block that an agent puts in front of its system prompt. It differs from request to request, so that
// nothing behind it could be remembered, and says nothing to the model.
const billing = "x-anthropic-billing-header:"

func readSystem(o *object) (kept []chat.Part) {
	for _, p := range readContent(o, "system", false) {
		if !strings.HasPrefix(p.Text, billing) {
			kept = append(kept, p)
		}
	}
	return kept
}

// readAnthropicChoice reads which tools may be called.
func (c *conversation) readAnthropicChoice(o *object) {
	if !o.has("tool_choice") {
		return
	}
	choice := o.child("tool_choice")
	switch choice.word("type", "auto", "any", "none", "tool") {
	case "none":
		c.choice.none = true
	case "any":
		c.choice.required = true
	case "tool":
		c.choice.required, c.choice.only = true, []string{choice.need("name", "the name of a tool")}
	case "":
		choice.wrong("type", "auto, any, none or tool")
	}
	c.checkChoice(o, "tool_choice")
}

// readTurn reads a message: results of tools are messages of their own.
func readTurn(o *object) (messages []chat.Message) {
	role := o.word("role", "user", "assistant", "system")
	if role == "" {
		o.wrong("role", "user or assistant")
	}
	if chat.JSONKind(o.fields["content"]) != "an array" {
		return []chat.Message{{Role: role, Content: readContent(o, "content", false)}}
	}
	m := chat.Message{Role: role}
	o.each("content", func(b *object) {
		switch kind := b.text("type"); {
		case kind == "tool_result" && role != "assistant":
			if len(m.Content) > 0 {
				messages = append(messages, m)
				m = chat.Message{Role: role}
			}
			messages = append(messages, chat.Message{Role: "tool", CallID: b.text("tool_use_id"), Content: readContent(b, "content", true)})
		case role == "assistant":
			readBlock(b, &m)
		default:
			if p, ok := readPart(b, false); ok {
				m.Content = append(m.Content, p)
			}
		}
	})
	if len(m.Content) > 0 || len(messages) == 0 {
		messages = append(messages, m)
	}
	return messages
}

// readBlock reads a block of the assistant. Those of tools that the hosted service ran are left out.
func readBlock(b *object, m *chat.Message) {
	switch b.need("type", "the type of the block, such as text") {
	case "text":
		m.Content = append(m.Content, chat.Part{Type: "text", Text: b.text("text")})
	case "thinking":
		m.Reasoning = joinNonEmpty(m.Reasoning, b.text("thinking"))
	case "tool_use":
		b.child("input")
		m.Calls = append(m.Calls, chat.Call{ID: b.text("id"), Name: b.need("name", "the name of a tool"), Arguments: readArguments(b, "input")})
	}
}
