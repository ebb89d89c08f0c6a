package serve

import "time"

// chatWire writes answers in the chat form (formats spec 5.1).
type chatWire struct {
	out  *sse
	ask  *ask
	head chatHead
}

// fingerprint stands for what makes answers differ; it does not change while a server runs.
const fingerprint = "baleen"

type chatHead struct {
	ID          string `json:"id"`
	Object      string `json:"object"`
	Created     int64  `json:"created"`
	Model       string `json:"model"`
	Fingerprint string `json:"system_fingerprint"`
}

func (s *Server) newChatWire(out *sse, a *ask) *chatWire {
	object := "chat.completion"
	if a.stream {
		object = "chat.completion.chunk"
	}
	return &chatWire{out: out, ask: a, head: chatHead{newID("chatcmpl-"), object, time.Now().Unix(), a.model, fingerprint}}
}

// chatMessage is a message.
type chatMessage struct {
	Role      string     `json:"role"`
	Content   *string    `json:"content"` // null where there are only calls
	Reasoning *string    `json:"reasoning_content,omitempty"`
	Calls     []chatCall `json:"tool_calls,omitempty"`
}

// chatDelta is what is added to a message.
type chatDelta struct {
	Role      string     `json:"role,omitempty"`
	Content   *string    `json:"content,omitempty"`
	Reasoning *string    `json:"reasoning_content,omitempty"`
	Calls     []chatCall `json:"tool_calls,omitempty"`
}

type chatCall struct {
	Index    *int         `json:"index,omitempty"` // in a stream
	ID       string       `json:"id,omitempty"`
	Type     string       `json:"type,omitempty"`
	Function chatFunction `json:"function"`
}

type chatFunction struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

type chatLogs struct {
	Content   []chatLog `json:"content"`
	Reasoning []chatLog `json:"reasoning_content,omitempty"`
	Refusal   []chatLog `json:"refusal"`
}

type chatLog struct {
	Token   string     `json:"token"`
	LogProb float64    `json:"logprob"`
	Bytes   []int      `json:"bytes"`
	Top     *[]chatLog `json:"top_logprobs,omitempty"`
}

type chatChoice struct {
	Index   int          `json:"index"`
	Message *chatMessage `json:"message,omitempty"`
	Delta   *chatDelta   `json:"delta,omitempty"`
	Logs    *chatLogs    `json:"logprobs"`
	Finish  *string      `json:"finish_reason"`
}

type chatBody struct {
	chatHead
	Choices []chatChoice `json:"choices"`
	Usage   *chatUsage   `json:"usage"`
}

type chatUsage struct {
	Prompt        int `json:"prompt_tokens"`
	Completion    int `json:"completion_tokens"`
	Total         int `json:"total_tokens"`
	Hit           int `json:"prompt_cache_hit_tokens"`
	Miss          int `json:"prompt_cache_miss_tokens"`
	PromptDetails struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning int `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

func newChatUsage(u usage) *chatUsage {
	c := &chatUsage{Prompt: u.prompt, Completion: u.answer, Total: u.prompt + u.answer, Hit: u.cached, Miss: u.prompt - u.cached}
	c.PromptDetails.Cached = u.cached
	c.CompletionDetails.Reasoning = u.reasoning
	return c
}

func (c *chatWire) chunk(choice chatChoice) {
	c.out.data(chatBody{chatHead: c.head, Choices: []chatChoice{choice}})
}

func (c *chatWire) begin() {
	empty := ""
	for i := range c.ask.choices {
		c.chunk(chatChoice{Index: i, Delta: &chatDelta{Role: "assistant", Content: &empty}})
	}
}

func (c *chatWire) event(e event) {
	choice := chatChoice{Index: e.choice, Delta: &chatDelta{}}
	switch e.kind {
	case onReasoning:
		choice.Delta.Reasoning = &e.text
		choice.Logs = newChatLogs(c.ask, e.logs, nil)
	case onContent:
		choice.Delta.Content = &e.text
		choice.Logs = newChatLogs(c.ask, nil, e.logs)
	case onCall:
		choice.Delta.Calls = []chatCall{{Index: &e.call.index, ID: e.call.id, Type: "function", Function: chatFunction{Name: e.call.name}}}
	case onArguments:
		choice.Delta.Calls = []chatCall{{Index: &e.call.index, Function: chatFunction{Arguments: e.text}}}
	case onEnd:
		choice.Finish = chatFinish(e.end)
	default:
		return
	}
	c.chunk(choice)
}

func (c *chatWire) idle() { c.out.keepAlive() }

func (c *chatWire) end(u usage) {
	if c.ask.usage {
		c.out.data(chatBody{chatHead: c.head, Choices: []chatChoice{}, Usage: newChatUsage(u)})
	}
	c.out.raw(done)
}

func (c *chatWire) broken(e *apiError) {
	c.out.data(openaiError(e))
	c.out.raw(done)
}

func (c *chatWire) whole(replies []*reply, u usage) any {
	body := chatBody{chatHead: c.head, Usage: newChatUsage(u)}
	for i, r := range replies {
		m := &chatMessage{Role: "assistant", Reasoning: orNull(string(r.reasoning))}
		if content := string(r.content); content != "" || len(r.calls) == 0 {
			m.Content = &content
		}
		for _, call := range r.calls {
			m.Calls = append(m.Calls, chatCall{ID: call.id, Type: "function", Function: chatFunction{call.name, string(call.arguments)}})
		}
		body.Choices = append(body.Choices, chatChoice{Index: i, Message: m, Logs: newChatLogs(c.ask, r.reasoningLogs, r.logs), Finish: chatFinish(r.end)})
	}
	return body
}

// chatFinish is the reason of an end in the OpenAI forms.
func chatFinish(e *ending) *string {
	reason := [...]string{endTurn: "stop", endStop: "stop", endLength: "length", endCalls: "tool_calls"}[e.reason]
	return &reason
}

// newChatLogs returns log-probabilities where they were asked for.
func newChatLogs(a *ask, reasoning, content []tokenLog) *chatLogs {
	if !a.limits.Sampling.LogProbs {
		return nil
	}
	return &chatLogs{Content: chatLogList(content), Reasoning: chatLogList(reasoning)}
}

func chatLogList(logs []tokenLog) []chatLog {
	list := make([]chatLog, len(logs))
	for i, l := range logs {
		list[i] = newChatLog(l)
		top := make([]chatLog, len(l.top))
		for j, t := range l.top {
			top[j] = newChatLog(t)
		}
		list[i].Top = &top
	}
	return list
}

func newChatLog(l tokenLog) chatLog {
	log := chatLog{Token: tokenText(l.bytes), LogProb: l.logProb, Bytes: make([]int, len(l.bytes))}
	for i, b := range l.bytes {
		log.Bytes[i] = int(b)
	}
	return log
}
