package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"baleen/internal/chat"
)

// chat answers POST /chat/completions (formats spec 5.1).
func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	o, err := readBody(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	a := s.readChat(o)
	if err := s.converse(o, a, "messages"); err != nil {
		fail(w, r, err)
		return
	}
	s.answer(w, r, a, func(out *sse) wire { return s.newChatWire(out, a) })
}

// readChat reads a request of the chat form.
func (s *Server) readChat(o *object) *ask {
	a := s.newAsk(o, "max_tokens", "max_completion_tokens")
	a.readChoices(o)
	a.readStops(o, "stop")
	a.readStream(o)
	a.readLogProbs(o)
	c := &conversation{parallel: o.flag("parallel_tool_calls", true)}
	a.conversation = c
	c.Encoding = s.options.Encoding
	s.readThinking(o, a)
	o.each("messages", func(m *object) { c.Messages = append(c.Messages, readMessage(m)) })
	c.readTools(o)
	c.readToolChoice(o)
	a.format = readFormat(o)
	return a
}

// readLogProbs reads whether log-probabilities are told.
func (a *ask) readLogProbs(o *object) {
	p := &a.limits.Sampling
	p.LogProbs = o.flag("logprobs", false)
	p.TopLogProbs = int(o.integer("top_logprobs", 0, 0, 20))
	if p.TopLogProbs > 0 && !p.LogProbs {
		o.refuse("top_logprobs", "found %d without logprobs, expected logprobs to be true", p.TopLogProbs)
	}
}

// readThinking reads whether and how much the model thinks, in the several ways in which clients say it. An effort asks for
// thought, and what says that there is to be none wins.
func (s *Server) readThinking(o *object, a *ask) {
	think := s.options.Think
	switch a.model {
	case "deepseek-reasoner":
		think = true
	case "deepseek-chat":
		think = false
	}
	template := o.child("chat_template_kwargs")
	effort := ""
	for _, e := range []string{readEffort(template, "reasoning_effort"), readEffort(o.child("reasoning"), "effort"), readEffort(o, "reasoning_effort")} {
		if e != "" {
			effort, think = e, true
		}
	}
	think = template.flag("thinking", template.flag("enable_thinking", think))
	if kind := readThinkingType(o); kind != "" {
		think = kind != "disabled"
	}
	a.conversation.think(think, effort)
}

// think sets mode and effort. The effort is one that readEffort knows.
func (c *conversation) think(on bool, effort string) {
	if !on {
		effort = "none"
	}
	if err := c.SetEffort(effort); err != nil {
		panic("serve: " + err.Error()) // readEffort knows other words than chat
	}
}

func readThinkingType(o *object) string {
	return o.child("thinking").word("type", "enabled", "disabled", "adaptive")
}

func readEffort(o *object, field string) string {
	return o.word(field, "none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")
}

// readMessage reads a message of the chat form.
func readMessage(o *object) chat.Message {
	m := chat.Message{Role: o.word("role", "system", "user", "assistant", "tool", "developer", "function", "latest_reminder")}
	switch m.Role {
	case "":
		o.wrong("role", "who says it, such as user")
	case "developer":
		m.Role = "system" // the public form has no other place for it
	case "function":
		m.Role = "tool"
	}
	m.Content = readContent(o, "content", m.Role == "tool")
	m.CallID = o.text("tool_call_id")
	m.Task = o.word("task", "action", "query", "authority", "domain", "title", "read_url")
	if m.Role != "assistant" {
		return m
	}
	m.Reasoning = o.text("reasoning_content")
	if m.Reasoning == "" && chat.JSONKind(o.fields["reasoning"]) == "a string" {
		m.Reasoning = o.text("reasoning") // newer vLLM's name
	}
	m.Continue = o.flag("prefix", false) || o.flag("wo_eos", false)
	o.each("tool_calls", func(call *object) {
		f := call.child("function")
		m.Calls = append(m.Calls, chat.Call{ID: call.text("id"), Name: f.need("name", "the name of a function"), Arguments: readArguments(f, "arguments")})
	})
	return m
}

// readArguments reads the arguments of a call: JSON in a string, or, as some clients send them, as they are.
func readArguments(o *object, field string) string {
	if value := o.fields[field]; chat.JSONKind(value) == "an object" {
		return string(value)
	}
	if text := o.text(field); text != "" {
		return text
	}
	return "{}"
}

// readContent reads a content: a string, or an array of parts of all the forms. Only the result of a tool may have parts that
// are no text; the model is told of them.
func readContent(o *object, field string, result bool) (parts []chat.Part) {
	if !o.has(field) {
		return nil
	}
	if chat.JSONKind(o.fields[field]) != "an array" {
		if text := o.text(field); text != "" {
			parts = []chat.Part{{Type: "text", Text: text}}
		}
		return parts
	}
	for i, value := range o.list(field) {
		where := fmt.Sprintf("%s[%d]", field, i)
		one := &object{path: o.path + where + ".", fault: o.fault}
		if chat.JSONKind(value) == "a string" {
			var text string
			_ = json.Unmarshal(value, &text)
			parts = append(parts, chat.Part{Type: "text", Text: text})
			continue
		}
		if one.open(value); one.fields == nil {
			o.refuse(where, "found %s, expected an object", chat.JSONKind(value))
			return nil
		}
		if p, ok := readPart(one, result); ok {
			parts = append(parts, p)
		}
	}
	return parts
}

// readPart reads a part of a content. It reports false for what is nothing to a model.
func readPart(o *object, result bool) (chat.Part, bool) {
	switch kind := o.need("type", "the type of the part, such as text"); {
	case kind == "text" || kind == "input_text" || kind == "output_text":
		return chat.Part{Type: "text", Text: o.text("text")}, true
	case kind == "refusal":
		return chat.Part{Type: "text", Text: o.text("refusal")}, true
	case slices.Contains([]string{"thinking", "redacted_thinking", "reasoning"}, kind):
		return chat.Part{}, false
	case result:
		return chat.Part{Type: oneLine(kind)}, true
	default:
		o.wrong("type", "text: this model reads nothing else")
		return chat.Part{}, false
	}
}
