package serve

import "encoding/json"

// messageWire writes an answer in the Anthropic form (formats spec 5.2): blocks that do not overlap, with indexes one after the
// other.
type messageWire struct {
	out    *sse
	body   messageBody
	kind   string // of the open block, or empty
	index  int    // of the open block, or of the next one
	ending *ending
}

type messageBody struct {
	ID       string         `json:"id"`
	Type     string         `json:"type"`
	Role     string         `json:"role"`
	Model    string         `json:"model"`
	Content  []messageBlock `json:"content"`
	Reason   *string        `json:"stop_reason"`
	Sequence *string        `json:"stop_sequence"`
	Usage    messageUsage   `json:"usage"`
}

// messageBlock is a block. Which fields are there depends on the type.
type messageBlock struct {
	Type      string          `json:"type"` // thinking, text or tool_use
	Thinking  *string         `json:"thinking,omitempty"`
	Signature *string         `json:"signature,omitempty"`
	Text      *string         `json:"text,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
}

// messageUsage counts what came from the cache apart from the rest of the input.
type messageUsage struct {
	Input   int `json:"input_tokens"`
	Created int `json:"cache_creation_input_tokens"`
	Read    int `json:"cache_read_input_tokens"`
	Output  int `json:"output_tokens"`
}

type messageDelta struct {
	Type      string  `json:"type,omitempty"`
	Text      *string `json:"text,omitempty"`
	Thinking  *string `json:"thinking,omitempty"`
	Signature string  `json:"signature,omitempty"`
	JSON      *string `json:"partial_json,omitempty"`
}

// messageEnd is what a stream says of its end.
type messageEnd struct {
	Reason   *string `json:"stop_reason"`
	Sequence *string `json:"stop_sequence"`
}

// signature stands where the hosted service signs what was thought. Any is taken back.
const signature = "YmFsZWVu"

func newMessageWire(out *sse, a *ask) *messageWire {
	u := messageUsage{Input: len(a.prompts[0])} // what the cache knows of it is told at the end
	return &messageWire{out: out, body: messageBody{ID: newID("msg_"), Type: "message", Role: "assistant", Model: a.model, Content: []messageBlock{}, Usage: u}}
}

func (m *messageWire) tell(kind string, fields any) { m.out.event(kind, fields) }

func (m *messageWire) begin() {
	m.tell("message_start", struct {
		Type    string      `json:"type"`
		Message messageBody `json:"message"`
	}{"message_start", m.body})
}

func (m *messageWire) idle() {
	m.tell("ping", struct {
		Type string `json:"type"`
	}{"ping"})
}

func (m *messageWire) event(e event) {
	empty := ""
	switch e.kind {
	case onReasoning:
		m.open(messageBlock{Type: "thinking", Thinking: &empty, Signature: &empty})
		m.delta(messageDelta{Type: "thinking_delta", Thinking: &e.text})
	case onContent:
		m.open(messageBlock{Type: "text", Text: &empty})
		m.delta(messageDelta{Type: "text_delta", Text: &e.text})
	case onCall:
		m.close()
		m.open(messageBlock{Type: "tool_use", ID: e.call.id, Name: e.call.name, Input: json.RawMessage("{}")})
	case onArguments:
		m.delta(messageDelta{Type: "input_json_delta", JSON: &e.text})
	case onCallEnd:
		m.close()
	case onEnd:
		m.ending = e.end
	}
}

// open begins a block, unless one of its kind is open.
func (m *messageWire) open(b messageBlock) {
	if m.kind == b.Type {
		return
	}
	m.close()
	m.kind = b.Type
	m.tell("content_block_start", struct {
		Type  string       `json:"type"`
		Index int          `json:"index"`
		Block messageBlock `json:"content_block"`
	}{"content_block_start", m.index, b})
}

func (m *messageWire) delta(d messageDelta) {
	m.tell("content_block_delta", struct {
		Type  string       `json:"type"`
		Index int          `json:"index"`
		Delta messageDelta `json:"delta"`
	}{"content_block_delta", m.index, d})
}

// close ends the open block, if there is one.
func (m *messageWire) close() {
	if m.kind == "" {
		return
	}
	if m.kind == "thinking" {
		m.delta(messageDelta{Type: "signature_delta", Signature: signature})
	}
	m.tell("content_block_stop", struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
	}{"content_block_stop", m.index})
	m.kind = ""
	m.index++
}

func (m *messageWire) end(u usage) {
	m.close()
	m.tell("message_delta", struct {
		Type  string       `json:"type"`
		Delta messageEnd   `json:"delta"`
		Usage messageUsage `json:"usage"`
	}{"message_delta", newMessageEnd(m.ending), newMessageUsage(u)})
	m.tell("message_stop", struct {
		Type string `json:"type"`
	}{"message_stop"})
}

func (m *messageWire) broken(e *apiError) { m.tell("error", anthropicError(e)) }

func (m *messageWire) whole(replies []*reply, u usage) any {
	r := replies[0]
	b := m.body
	if len(r.reasoning) > 0 {
		text, sign := string(r.reasoning), signature
		b.Content = append(b.Content, messageBlock{Type: "thinking", Thinking: &text, Signature: &sign})
	}
	if len(r.content) > 0 {
		text := string(r.content)
		b.Content = append(b.Content, messageBlock{Type: "text", Text: &text})
	}
	for _, c := range r.calls {
		b.Content = append(b.Content, messageBlock{Type: "tool_use", ID: c.id, Name: c.name, Input: json.RawMessage(c.arguments)})
	}
	end := newMessageEnd(r.end)
	b.Reason, b.Sequence, b.Usage = end.Reason, end.Sequence, newMessageUsage(u)
	return b
}

func newMessageEnd(e *ending) messageEnd {
	reason := [...]string{endTurn: "end_turn", endStop: "stop_sequence", endLength: "max_tokens", endCalls: "tool_use"}[e.reason]
	return messageEnd{&reason, orNull(e.stop)}
}

func newMessageUsage(u usage) messageUsage {
	return messageUsage{Input: u.prompt - u.cached, Read: u.cached, Output: u.answer}
}
