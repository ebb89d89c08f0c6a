package chat

import (
	"fmt"
	"slices"
)

// turn is a message as it is rendered: tools' results have become blocks of a user's turn.
type turn struct {
	*Message
	role   string
	blocks []block // of a user
}

// block is a part of a user's turn: a text, or the result of a call.
type block struct {
	text   string
	result bool
	callID string
}

// attach gives the request's tools and format to the first message, or to an empty system message in front (formats spec
// 4.8: the reference has no request that says so). The request is not changed.
func attach(r *Request) ([]Message, error) {
	messages := slices.Clone(r.Messages)
	if len(r.Tools) == 0 && falsy(r.ResponseFormat) {
		return messages, nil
	}
	if len(messages) == 0 || messages[0].Role != "system" && messages[0].Role != "developer" {
		messages = slices.Insert(messages, 0, Message{Role: "system"})
	}
	first := &messages[0]
	if len(r.Tools) > 0 {
		if len(first.Tools) > 0 {
			return nil, fault(0, "tools", "tools of the message and of the request", "one of them")
		}
		first.Tools = r.Tools
	}
	if !falsy(r.ResponseFormat) {
		if !falsy(first.ResponseFormat) {
			return nil, fault(0, "response_format", "one of the message and one of the request", "one of them")
		}
		first.ResponseFormat = r.ResponseFormat
	}
	return messages, nil
}

// merge makes turns of messages (formats spec 4.1 rule 2): tools' results and neighbouring messages of a user become one
// turn, except behind a task, where only results still join in.
func merge(messages []Message) []turn {
	var turns []turn
	for i := range messages {
		m := &messages[i]
		isResult := m.Role == "tool"
		if !isResult && m.Role != "user" {
			turns = append(turns, turn{Message: m, role: m.Role})
			continue
		}
		b := block{text: joinParts(m.Content), result: isResult, callID: m.CallID}
		if n := len(turns); n > 0 && turns[n-1].role == "user" && (isResult || turns[n-1].Task == "") {
			turns[n-1].blocks = append(turns[n-1].blocks, b)
			continue
		}
		if isResult {
			m = &Message{} // a result has nothing else that counts
		}
		turns = append(turns, turn{Message: m, role: "user", blocks: []block{b}})
	}
	return turns
}

// sortResults puts the results within each turn into the order of the calls before it. Texts keep their places, and a
// result of no known call counts as one of the first call.
func sortResults(turns []turn) {
	var order map[string]int
	for _, t := range turns {
		if t.role == "assistant" && len(t.Calls) > 0 {
			order = make(map[string]int, len(t.Calls))
			for i, c := range t.Calls {
				if c.ID != "" {
					order[c.ID] = i
				}
			}
			continue
		}
		var results []block
		for _, b := range t.blocks {
			if b.result {
				results = append(results, b)
			}
		}
		slices.SortStableFunc(results, func(a, b block) int { return order[a.callID] - order[b.callID] })
		for i := range t.blocks {
			if t.blocks[i].result {
				t.blocks[i], results = results[0], results[1:]
			}
		}
	}
}

// lastUser returns the index of the last turn of a user or developer, or -1.
func lastUser(turns []turn) int {
	last := len(turns) - 1
	for last >= 0 && turns[last].role != "user" && turns[last].role != "developer" {
		last--
	}
	return last
}

// dropDevelopers removes what developers said before the last turn of a user (formats spec 4.1 rule 4).
func dropDevelopers(turns []turn) []turn {
	last := lastUser(turns)
	var kept []turn
	for i, t := range turns {
		if i >= last || t.role != "developer" {
			kept = append(kept, t)
		}
	}
	return kept
}

// check looks for what cannot be rendered.
func check(r *Request) error {
	if r.Mode != Chat && r.Mode != Thinking {
		return fmt.Errorf("unknown mode: %s: use chat or thinking", quote(string(r.Mode)))
	}
	if r.Encoding != V4 && r.Encoding != V40731 {
		return fmt.Errorf("unknown encoding: %s: use v4 or v4-0731", quote(string(r.Encoding)))
	}
	if _, ok := r.Encoding.effortText(r.Effort); !ok {
		return fmt.Errorf("unknown reasoning effort: %s for the encoding %s: use none, high, max or, but not for v4, low", quote(r.Effort), r.Encoding)
	}
	if r.RequireCall && r.Mode != Chat {
		return fmt.Errorf("no form for a required call: mode %s: use chat", r.Mode)
	}
	if len(r.Messages) == 0 {
		return fmt.Errorf("bad messages: found none, expected one or more: say something to the model")
	}
	for i := range r.Messages {
		if err := checkMessage(i, &r.Messages[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkMessage(i int, m *Message) error {
	switch m.Role {
	case "system", "user", "assistant", "tool", "developer", "latest_reminder":
	default:
		return fault(i, "role", quote(m.Role), "system, user, assistant, tool, developer or latest_reminder")
	}
	for j, p := range m.Content {
		if p.Type != "text" && m.Role != "tool" {
			return fault(i, fmt.Sprintf("content[%d]", j), "a part of type "+quote(p.Type), "text: this model reads nothing else")
		}
	}
	if _, ok := taskToken(m.Task); !ok && m.Task != "" {
		return fault(i, "task", quote(m.Task), "action, query, authority, domain, title or read_url")
	}
	if m.Role == "developer" && joinParts(m.Content) == "" {
		return fault(i, "content", "nothing", "a text: a developer must say something")
	}
	return nil
}

// fault is the error of a message: one line that says where something was found and what was expected.
func fault(message int, field, found, want string) error {
	return fmt.Errorf("bad messages: message %d: %s: found %s, expected %s", message, field, found, want)
}
