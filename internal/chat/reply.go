package chat

// Reply is an answer as a message.
type Reply struct {
	Mode      Mode // in Thinking, the reasoning is a text even when it is empty
	Reasoning string
	Content   string
	Calls     []Call // without ids
	Finish    string // stop, length or tool_calls
}

// JSON returns the reply as one line, in the form of the command-line contract.
func (r *Reply) JSON() []byte {
	line := []byte(`{"role":"assistant","reasoning_content":`)
	if r.Mode == Thinking {
		line = appendString(line, r.Reasoning)
	} else {
		line = append(line, "null"...)
	}
	line = append(line, `,"content":`...)
	line = appendString(line, r.Content)
	line = append(line, `,"tool_calls":[`...)
	for i, c := range r.Calls {
		if i > 0 {
			line = append(line, ',')
		}
		line = append(line, `{"type":"function","function":{"name":`...)
		line = appendString(line, c.Name)
		line = append(line, `,"arguments":`...)
		line = appendString(line, c.Arguments)
		line = append(line, "}}"...)
	}
	line = append(line, `],"finish_reason":`...)
	line = appendString(line, r.Finish)
	return append(line, '}')
}
