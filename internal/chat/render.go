package chat

import (
	"encoding/json"
	"fmt"
	"strings"

	"baleen/internal/token"
)

// Render returns the prompt of a request. The joined texts are, byte for byte, what the reference encoder writes. It fails
// on unknown modes, encodings, efforts, roles and tasks, on parts that are no text, and on JSON that is none.
//
// Where earlier reasoning is dropped, a turn begins with a bare </think>, as the reference has it; DeepSeek's service
// writes <think></think> there (formats spec 4.8).
func Render(r *Request) ([]token.Piece, error) {
	if err := check(r); err != nil {
		return nil, err
	}
	messages, err := attach(r)
	if err != nil {
		return nil, err
	}
	turns := merge(messages)
	sortResults(turns)
	w := writer{mode: r.Mode, drop: r.Mode == Thinking && !r.KeepThinking}
	for _, t := range turns {
		w.drop = w.drop && (t.role == "user" || len(t.Tools) == 0)
	}
	if w.drop {
		turns = dropDevelopers(turns)
	}
	w.turns, w.last = turns, lastUser(turns)
	if end := len(turns) - 1; r.RequireCall && (w.last < end || turns[end].Task != "") {
		return nil, fmt.Errorf("no place for a required call: the last message, of role %s: end with a user or a tool", turns[end].role)
	}
	w.control(bos)
	if r.Mode == Thinking {
		text, _ := r.Encoding.effortText(r.Effort)
		w.plain(text)
	}
	for i := range turns {
		if err := w.turn(i); err != nil {
			return nil, err
		}
	}
	if r.RequireCall {
		w.template(requiredCall)
	}
	return w.prompt, nil
}

// requiredCall is what a prompt ends with when the answer must be a call.
const requiredCall = "\n\n" + openBlock + "\n"

// writer renders turns.
type writer struct {
	prompt
	mode  Mode
	turns []turn
	last  int  // the last turn of a user
	drop  bool // reasoning before it is dropped
}

func (w *writer) turn(i int) error {
	t := w.turns[i]
	switch t.role {
	case "user":
		w.control(user)
		w.user(t)
	case "assistant":
		w.assistant(i)
	case "latest_reminder":
		w.control(reminder)
		w.plain(joinParts(t.Content))
	case "developer":
		w.control(user)
		fallthrough
	default: // the system
		w.plain(joinParts(t.Content))
		if err := w.appendices(t.Message); err != nil {
			return err
		}
	}
	if next := i + 1; next == len(w.turns) || w.turns[next].role == "assistant" || w.turns[next].role == "latest_reminder" {
		w.header(i)
	}
	return nil
}

// header writes what lies between a turn and the answer to it.
func (w *writer) header(i int) {
	t := w.turns[i]
	literal, isTask := taskToken(t.Task)
	switch {
	case t.Task == "action":
		w.control(assistant)
		w.thinkOr(w.mode == Thinking)
	case !isTask && (t.role == "user" || t.role == "developer"):
		w.control(assistant)
		w.thinkOr(w.thinks(i + 1))
	}
	if isTask {
		w.control(literal)
	}
}

func (w *writer) thinkOr(open bool) {
	if open {
		w.control(think)
	} else {
		w.control(endThink)
	}
}

// thinks reports whether the assistant's turn i has its reasoning.
func (w *writer) thinks(i int) bool {
	return w.mode == Thinking && (!w.drop || i > w.last)
}

func (w *writer) user(t turn) {
	for i, b := range t.blocks {
		if i > 0 {
			w.plain("\n\n")
		}
		switch {
		case b.result:
			w.plain("<tool_result>")
			w.plain(b.text)
			w.plain("</tool_result>")
		case i == 0 && t.Task == "read_url" && strings.HasPrefix(b.text, readURL): // part of what the task looks like
			w.control(readURL)
			w.plain(b.text[len(readURL):])
		default:
			w.plain(b.text)
		}
	}
}

func (w *writer) assistant(i int) {
	t := w.turns[i]
	if w.thinks(i) && (i == 0 || w.turns[i-1].Task == "") {
		w.plain(t.Reasoning)
		w.control(endThink)
	}
	w.plain(joinParts(t.Content))
	if len(t.Calls) > 0 {
		w.template(requiredCall)
		for _, c := range t.Calls {
			w.call(c)
		}
		w.template(closeBlock)
	}
	if !t.Continue {
		w.control(eos)
	}
}

// call writes a call and the line break behind it.
func (w *writer) call(c Call) {
	w.template(openInvoke)
	w.plain(c.Name)
	w.plain("\">\n")
	for i, p := range parameters(c.Arguments) {
		if i > 0 {
			w.plain("\n")
		}
		w.template(openParam)
		w.plain(p.key)
		w.plain(fmt.Sprintf(`" string="%t">`, p.isString))
		w.plain(p.value)
		w.template(closeParam)
	}
	w.plain("\n")
	w.template(closeInvoke)
	w.plain("\n")
}

// parameter is an argument of a call: a text, or JSON.
type parameter struct {
	key, value string
	isString   bool
}

// parameters takes arguments apart. What is no JSON object is one parameter (formats spec 4.1 rule 8).
func parameters(arguments string) []parameter {
	p := printer{in: []byte(arguments)}
	if !json.Valid(p.in) || p.peek() != '{' {
		return []parameter{{"arguments", arguments, true}}
	}
	var list []parameter
	seen := map[string]int{}
	for p.more('}') {
		a := parameter{key: p.text()}
		p.peek()
		p.in = p.in[1:] // the colon
		if a.isString = p.peek() == '"'; a.isString {
			a.value = p.text()
		} else {
			p.out = nil
			p.value(1)
			a.value = string(p.out)
		}
		if i, ok := seen[a.key]; ok {
			list[i] = a
			continue
		}
		seen[a.key] = len(list)
		list = append(list, a)
	}
	if p.err != nil {
		return []parameter{{"arguments", arguments, true}}
	}
	return list
}

// appendices writes tools and response format.
func (w *writer) appendices(m *Message) error {
	if len(m.Tools) > 0 {
		w.template("\n\n" + toolsHead)
		for i, t := range m.Tools {
			schema, err := appendPython(nil, t.Schema)
			if err != nil {
				return fmt.Errorf("bad tools: tool %d: function: found %w, expected a JSON object", i, err)
			}
			if i > 0 {
				w.plain("\n")
			}
			w.plain(string(schema))
		}
		w.template(toolsTail)
	}
	if falsy(m.ResponseFormat) {
		return nil
	}
	format, err := appendPython(nil, m.ResponseFormat)
	if err != nil {
		return fmt.Errorf("bad response_format: found %w, expected a JSON value", err)
	}
	w.plain("\n\n" + formatHead)
	w.plain(string(format))
	return nil
}

// falsy reports whether Python takes a JSON value for false, as it does what is absent.
func falsy(value json.RawMessage) bool {
	if len(value) == 0 {
		return true
	}
	printed, err := appendPython(nil, value)
	switch string(printed) {
	case "null", "false", "0", "0.0", "-0.0", `""`, "[]", "{}":
		return err == nil
	}
	return false
}
