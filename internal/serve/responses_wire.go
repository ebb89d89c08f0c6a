package serve

import (
	"encoding/json"
	"time"
)

// responseWire writes an answer in the responses form (formats spec 5.3). Its events are a protocol of their own: everything
// is an item that is begun, filled and done, and the last event has all of it once more.
type responseWire struct {
	out       *sse
	body      responseBody
	custom    map[string]bool // tools that take text
	encrypted bool            // reasoning is also sent in the form that clients without storage keep

	number int           // of the next event
	open   *responseItem // what is being filled
	text   []byte        // of it
	logs   []tokenLog    // of that
	reason endReason
}

type responseBody struct {
	ID           string          `json:"id"`
	Object       string          `json:"object"`
	Created      int64           `json:"created_at"`
	Status       string          `json:"status"`
	Error        *responseError  `json:"error"`
	Incomplete   *responseReason `json:"incomplete_details"`
	Instructions json.RawMessage `json:"instructions"`
	MaxTokens    json.RawMessage `json:"max_output_tokens"`
	Model        string          `json:"model"`
	Output       []*responseItem `json:"output"`
	Parallel     bool            `json:"parallel_tool_calls"`
	Previous     *string         `json:"previous_response_id"`
	Reasoning    json.RawMessage `json:"reasoning"`
	Store        bool            `json:"store"`
	Temperature  float64         `json:"temperature"`
	Text         json.RawMessage `json:"text"`
	ToolChoice   json.RawMessage `json:"tool_choice"`
	Tools        json.RawMessage `json:"tools"`
	TopP         float64         `json:"top_p"`
	Truncation   string          `json:"truncation"`
	Usage        *responseUsage  `json:"usage"`
	Metadata     json.RawMessage `json:"metadata"`
}

type responseError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type responseReason struct {
	Reason string `json:"reason"`
}

type responseUsage struct {
	Input        int `json:"input_tokens"`
	InputDetails struct {
		Cached int `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	Output        int `json:"output_tokens"`
	OutputDetails struct {
		Reasoning int `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	Total int `json:"total_tokens"`
}

// responseItem is an item of the output. Which fields are there depends on the type.
type responseItem struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"` // reasoning, message, function_call or custom_tool_call
	Status    string          `json:"status,omitempty"`
	Role      string          `json:"role,omitempty"`
	Summary   *[]responsePart `json:"summary,omitempty"`
	Content   *[]responsePart `json:"content,omitempty"`
	Encrypted string          `json:"encrypted_content,omitempty"`
	CallID    string          `json:"call_id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Arguments *string         `json:"arguments,omitempty"`
	Input     *string         `json:"input,omitempty"`
}

type responsePart struct {
	Type        string    `json:"type"`
	Text        string    `json:"text"`
	Annotations *[]string `json:"annotations,omitempty"` // there are none, but clients look
	Logs        []chatLog `json:"logprobs,omitzero"`     // empty where they are not asked for
}

// responseEvent is the data of any event.
type responseEvent struct {
	Type         string        `json:"type"`
	Number       int           `json:"sequence_number"`
	Response     *responseBody `json:"response,omitempty"`
	OutputIndex  *int          `json:"output_index,omitempty"`
	ItemID       string        `json:"item_id,omitempty"`
	ContentIndex *int          `json:"content_index,omitempty"`
	SummaryIndex *int          `json:"summary_index,omitempty"`
	Item         *responseItem `json:"item,omitempty"`
	Part         *responsePart `json:"part,omitempty"`
	Delta        *string       `json:"delta,omitempty"`
	Text         *string       `json:"text,omitempty"`
	Name         string        `json:"name,omitempty"`
	Arguments    *string       `json:"arguments,omitempty"`
	Input        *string       `json:"input,omitempty"`
	Logs         []chatLog     `json:"logprobs,omitzero"`
}

func newResponseWire(a *ask, o *object) *responseWire {
	given := func(field, absent string) json.RawMessage {
		if o.has(field) {
			return o.fields[field]
		}
		return json.RawMessage(absent)
	}
	p := a.limits.Sampling
	return &responseWire{body: responseBody{
		ID: newID("resp_"), Object: "response", Created: time.Now().Unix(), Status: "in_progress", Model: a.model,
		Instructions: given("instructions", "null"), MaxTokens: given("max_output_tokens", "null"), Output: []*responseItem{},
		Parallel: a.conversation.parallel, Reasoning: given("reasoning", `{"effort":null,"summary":null}`), Temperature: p.Temperature,
		Text: given("text", `{"format":{"type":"text"}}`), ToolChoice: given("tool_choice", `"auto"`), Tools: given("tools", "[]"),
		TopP: p.TopP, Truncation: "disabled", Metadata: given("metadata", "{}"),
	}}
}

// tell sends an event.
func (r *responseWire) tell(kind string, e responseEvent) {
	e.Type, e.Number = "response."+kind, r.number
	r.number++
	r.out.event(e.Type, e)
}

// about sends an event about the open item.
func (r *responseWire) about(kind string, e responseEvent) {
	index, zero := len(r.body.Output), 0
	e.OutputIndex, e.ItemID = &index, r.open.ID
	switch r.open.Type {
	case "message":
		e.ContentIndex = &zero
	case "reasoning":
		e.SummaryIndex = &zero
	}
	r.tell(kind, e)
}

// aboutItem sends an event that shows the open item as it is.
func (r *responseWire) aboutItem(kind string) {
	index := len(r.body.Output)
	item := *r.open
	r.tell(kind, responseEvent{OutputIndex: &index, Item: &item})
}

func (r *responseWire) begin() {
	r.tell("created", responseEvent{Response: &r.body})
	r.tell("in_progress", responseEvent{Response: &r.body})
}

func (r *responseWire) idle() { r.out.keepAlive() }

func (r *responseWire) event(e event) {
	switch e.kind {
	case onReasoning:
		r.start("reasoning", func() *responseItem {
			return &responseItem{ID: newID("rs_"), Type: "reasoning", Summary: &[]responsePart{}}
		})
		r.more("reasoning_summary_text.delta", e)
	case onContent:
		r.start("message", func() *responseItem {
			return &responseItem{ID: newID("msg_"), Type: "message", Status: "in_progress", Role: "assistant", Content: &[]responsePart{}}
		})
		r.more("output_text.delta", e)
	case onCall:
		r.close("completed")
		r.call(e.call)
	case onArguments:
		if r.open.Type == "custom_tool_call" {
			r.text = append(r.text, e.text...) // the input is in it as JSON, and is sent when it is whole
			return
		}
		r.more("function_call_arguments.delta", e)
	case onCallEnd:
		r.close("completed")
	case onEnd:
		r.reason = e.end.reason
	}
}

// start begins an item, unless one of its kind is open.
func (r *responseWire) start(kind string, item func() *responseItem) {
	if r.open != nil && r.open.Type == kind {
		return
	}
	r.close("completed")
	r.open = item()
	r.aboutItem("output_item.added")
	part := emptyPart(kind)
	if kind == "message" {
		r.about("content_part.added", responseEvent{Part: &part})
	} else {
		r.about("reasoning_summary_part.added", responseEvent{Part: &part})
	}
}

func emptyPart(kind string) responsePart {
	if kind == "message" {
		return responsePart{Type: "output_text", Annotations: &[]string{}, Logs: []chatLog{}}
	}
	return responsePart{Type: "summary_text"}
}

// call begins a call.
func (r *responseWire) call(c callHead) {
	r.open = r.newCall(c)
	r.aboutItem("output_item.added")
}

func (r *responseWire) newCall(c callHead) *responseItem {
	empty := ""
	item := &responseItem{ID: newID("fc_"), Type: "function_call", Status: "in_progress", CallID: c.id, Name: c.name, Arguments: &empty}
	if r.custom[c.name] {
		item.ID, item.Type, item.Arguments, item.Input = newID("ctc_"), "custom_tool_call", nil, &empty
	}
	return item
}

// more adds text to the open item.
func (r *responseWire) more(kind string, e event) {
	r.text = append(r.text, e.text...)
	delta := responseEvent{Delta: &e.text}
	if r.open.Type == "message" {
		r.logs = append(r.logs, e.logs...)
		delta.Logs = chatLogList(e.logs)
	}
	r.about(kind, delta)
}

// close ends the open item, if there is one.
func (r *responseWire) close(status string) {
	if r.open == nil {
		return
	}
	text := string(r.text)
	r.text = nil
	r.fill(r.open, text, status)
	switch r.open.Type {
	case "reasoning":
		r.about("reasoning_summary_text.done", responseEvent{Text: &text})
		r.about("reasoning_summary_part.done", responseEvent{Part: &(*r.open.Summary)[0]})
	case "message":
		part := &(*r.open.Content)[0]
		r.about("output_text.done", responseEvent{Text: &text, Logs: part.Logs})
		r.about("content_part.done", responseEvent{Part: part})
	case "function_call":
		r.about("function_call_arguments.done", responseEvent{Arguments: r.open.Arguments, Name: r.open.Name})
	case "custom_tool_call":
		r.about("custom_tool_call_input.delta", responseEvent{Delta: r.open.Input})
		r.about("custom_tool_call_input.done", responseEvent{Input: r.open.Input})
	}
	r.aboutItem("output_item.done")
	r.body.Output = append(r.body.Output, r.open)
	r.open = nil
}

// fill completes an item with its text.
func (r *responseWire) fill(item *responseItem, text, status string) {
	part := emptyPart(item.Type)
	part.Text = text
	switch item.Type {
	case "reasoning":
		item.Summary = &[]responsePart{part}
		if r.encrypted {
			item.Encrypted = seal(text)
		}
		return // it has no status
	case "message":
		part.Logs, r.logs = chatLogList(r.logs), nil
		item.Content = &[]responsePart{part}
	case "function_call":
		item.Arguments = &text
	case "custom_tool_call":
		input := ""
		if status == "completed" { // else it is half of some JSON
			input = customText(text)
		}
		item.Input = &input
	}
	item.Status = status
}

// customText takes the input of a custom tool out of the arguments of the function that it is to the model.
func customText(arguments string) string {
	var call struct{ Input *string }
	if json.Unmarshal([]byte(arguments), &call) != nil || call.Input == nil {
		return arguments
	}
	return *call.Input
}

// finish completes the body.
func (r *responseWire) finish(reason endReason, u usage) {
	r.body.Status = "completed"
	if reason == endLength {
		r.body.Status, r.body.Incomplete = "incomplete", &responseReason{"max_output_tokens"}
	}
	n := &responseUsage{Input: u.prompt, Output: u.answer, Total: u.prompt + u.answer}
	n.InputDetails.Cached, n.OutputDetails.Reasoning = u.cached, u.reasoning
	r.body.Usage = n
}

func (r *responseWire) end(u usage) {
	r.finish(r.reason, u)
	r.close(r.body.Status)
	r.tell(r.body.Status, responseEvent{Response: &r.body})
}

func (r *responseWire) broken(e *apiError) {
	r.close("incomplete")
	r.body.Status, r.body.Error = "failed", &responseError{"server_error", e.message}
	r.tell("failed", responseEvent{Response: &r.body})
}

func (r *responseWire) whole(replies []*reply, u usage) any {
	reply := replies[0]
	r.finish(reply.end.reason, u)
	add := func(item *responseItem, text []byte, status string) {
		r.fill(item, string(text), status)
		r.body.Output = append(r.body.Output, item)
	}
	if len(reply.reasoning) > 0 {
		add(&responseItem{ID: newID("rs_"), Type: "reasoning"}, reply.reasoning, "")
	}
	if len(reply.content) > 0 || len(reply.reasoning)+len(reply.calls) == 0 {
		r.logs = reply.logs
		add(&responseItem{ID: newID("msg_"), Type: "message", Role: "assistant"}, reply.content, r.body.Status)
	}
	for _, c := range reply.calls {
		add(r.newCall(c.callHead), c.arguments, "completed")
	}
	return r.body
}
