package chat

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Mode says whether the model thinks before it answers.
type Mode string

const (
	Chat     Mode = "chat"
	Thinking Mode = "thinking"
)

// Encoding is a generation of the chat format. They differ in what precedes the prompt at an effort (formats spec 4.3).
type Encoding string

const (
	V4     Encoding = "v4"      // the previews of April 2026
	V40731 Encoding = "v4-0731" // 0731, 0813 and Vision-Exp
)

// Request is a conversation to be continued.
type Request struct {
	Messages []Message
	Mode     Mode
	Encoding Encoding
	Effort   string // none, low, high or max; empty means none; V4 has no low

	// Tools and ResponseFormat belong to the first message if it is of the system or a developer, else to an empty
	// system message in front.
	Tools          []Tool
	ResponseFormat json.RawMessage // any JSON value; nil, null and empty ones print nothing

	KeepThinking bool // reasoning of earlier turns is sent again, as it always is when there are tools
	RequireCall  bool // the answer begins with a tool call; chat mode only, since the form in thinking mode is UNCONFIRMED
}

// Message is one message. Which fields count depends on the role.
type Message struct {
	Role    string // system, user, assistant, tool, developer or latest_reminder
	Content []Part

	Reasoning string // of an assistant
	Calls     []Call // of an assistant
	Continue  bool   // of an assistant: the model goes on from the end of this message

	CallID string // of a tool: the call that this is the result of
	Task   string // a quick instruction: action, query, authority, domain, title or read_url; else empty

	Tools          []Tool          // of the system or a developer
	ResponseFormat json.RawMessage // of the system or a developer
}

// Part is a part of a content. Parts are joined by an empty line (UNCONFIRMED for user messages of this generation).
// A part that is no text is an error, except in the result of a tool, where its type is named in its place.
type Part struct {
	Type string // text, or what else the wire form calls it
	Text string
}

// Tool is a function that the model may call.
type Tool struct {
	Name   string
	Schema json.RawMessage // the function object: name, description, parameters; printed with all that is in it
}

// NewTool returns the tool with the three fields that DeepSeek's service prints (formats spec 4.8). The parameters are a
// JSON schema, or empty for none.
func NewTool(name, description string, parameters json.RawMessage) Tool {
	schema := []byte(`{"name": `)
	schema = appendString(schema, name)
	schema = append(schema, `, "description": `...)
	schema = appendString(schema, description)
	schema = append(schema, `, "parameters": `...)
	if len(parameters) == 0 {
		parameters = json.RawMessage("{}")
	}
	schema = append(schema, parameters...)
	return Tool{Name: name, Schema: append(schema, '}')}
}

// Call is a call of a tool.
type Call struct {
	ID        string
	Name      string
	Arguments string // a JSON object; anything else is printed as it is
}

// SetEffort sets mode and effort from the reasoning_effort of a wire form, with the hosted service's meaning of the words
// (formats spec 4.3). Empty means the default. The encoding must be set before.
func (r *Request) SetEffort(name string) error {
	mode, effort := Thinking, "high"
	switch name {
	case "none":
		mode, effort = Chat, "none"
	case "minimal", "low":
		effort = "low"
		if r.Encoding == V4 {
			effort = "none"
		}
	case "", "medium", "high", "xhigh":
	case "max", "ultra":
		effort = "max"
	default:
		return fmt.Errorf("unknown reasoning effort: %s: use none, minimal, low, medium, high, xhigh or max", quote(name))
	}
	r.Mode, r.Effort = mode, effort
	return nil
}

// Arrange brings the system messages of a wire form into the order that DeepSeek's service gives them, which the
// reference encoder leaves to the caller (formats spec 4.8): the leading ones become one, joined by an empty line, and a
// later one becomes a user's. The messages are replaced, not changed.
func (r *Request) Arrange() {
	var arranged []Message
	for _, m := range r.Messages {
		if m.Role != "system" || len(arranged) == 0 {
			arranged = append(arranged, m)
			continue
		}
		if first := &arranged[0]; len(arranged) == 1 && first.Role == "system" {
			first.Content = slices.Concat(first.Content, m.Content)
			first.Tools = slices.Concat(first.Tools, m.Tools)
			if len(first.ResponseFormat) == 0 {
				first.ResponseFormat = m.ResponseFormat
			}
			continue
		}
		m.Role = "user"
		arranged = append(arranged, m)
	}
	r.Messages = arranged
}

// joinParts returns a content as one text.
func joinParts(parts []Part) string {
	if len(parts) == 1 && parts[0].Type == "text" {
		return parts[0].Text
	}
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.Text
		if p.Type != "text" {
			texts[i] = "[Unsupported " + p.Type + "]"
		}
	}
	return strings.Join(texts, "\n\n")
}

// quote keeps a text from outside on one line and of a bearable length.
func quote(text string) string {
	const limit = 120
	if len(text) > limit {
		return fmt.Sprintf("%q...", text[:limit])
	}
	return fmt.Sprintf("%q", text)
}
