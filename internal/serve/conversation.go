package serve

import (
	"maps"
	"math"

	"baleen/internal/chat"
)

// conversation is what an ask for the next message of a chat has.
type conversation struct {
	chat.Request
	schemas  []toolSchema // of Tools
	choice   toolChoice
	parallel bool // several calls in one answer are allowed
	begun    bool // the answer was begun by the client: its reasoning is over
}

// converse makes the prompt of a conversation. param is the field that its messages are in.
func (s *Server) converse(o *object, a *ask, param string) *apiError {
	c := a.conversation
	c.Arrange()
	c.turn(o, param)
	if err := o.err(); err != nil {
		return err
	}
	c.ResponseFormat = a.format.printed()
	if c.choice.none && len(c.Tools) > 0 {
		s.forbidCalls(a)
	}
	messages, turns := s.replays.marked(c.Messages)
	c.Messages = messages
	pieces, err := chat.Render(&c.Request)
	if err != nil {
		return refuse(param, "%s", oneLine(err.Error()))
	}
	ids, err := splice(s.options.Tokenizer, pieces, turns)
	if err != nil {
		return refuse(param, "%s", oneLine(err.Error()))
	}
	a.param, a.prompts = param, [][]int32{ids}
	return s.constrain(a)
}

// turn sees to it that it is the model's turn. An answer that the client has begun is continued. A system's message alone, which
// no template foresees, is taken for a user's.
func (c *conversation) turn(o *object, param string) {
	n := len(c.Messages)
	if n == 0 {
		o.refuse(param, "found no message, expected one or more")
		return
	}
	for i := range c.Messages {
		if m := &c.Messages[i]; m.Continue && i < n-1 {
			m.Continue = false // it is over
		}
	}
	switch last := &c.Messages[n-1]; {
	case last.Task != "":
	case last.Role == "assistant" && len(last.Calls) > 0:
		o.refuse(param, "found calls of tools at the end, expected their results")
	case last.Role == "assistant":
		last.Continue, c.begun = true, true
	case last.Role == "system":
		last.Role = "user"
	case last.Role == "latest_reminder":
		o.refuse(param, "found a reminder at the end, expected a message of a user or a tool")
	}
}

// forbidCalls keeps the model from calling tools that the prompt tells of. They stay there, so that the prompt continues what
// the engine remembers.
func (s *Server) forbidCalls(a *ask) {
	p := &a.limits.Sampling
	if id, ok := s.options.Tokenizer.Lookup("｜DSML｜"); ok {
		bias := maps.Clone(p.LogitBias)
		if bias == nil {
			bias = map[int32]float32{}
		}
		bias[id] = float32(math.Inf(-1))
		p.LogitBias = bias
	}
}
