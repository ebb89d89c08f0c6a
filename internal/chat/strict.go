package chat

import (
	"fmt"
	"strings"
)

// ParseStrict reads a whole answer, its end-of-sentence token included, by the grammar of the reference (formats spec
// 4.10 and 4.11): nothing is trimmed, and whatever does not fit is an error. Values that are said to be JSON are not
// looked at. A block may end the text without the token; where the reference takes a block that was cut off, this does not.
func ParseStrict(text string, mode Mode) (*Reply, error) {
	s := strict{text: text}
	r := &Reply{Mode: mode, Finish: "stop"}
	if mode == Thinking {
		r.Reasoning = s.upTo(endThink, startBlock)
		s.expect(s.stop == endThink, "no </think>", "one at the end of the reasoning")
	}
	r.Content = s.upTo(eos, startBlock)
	if s.stop == startBlock {
		r.Finish = "tool_calls"
		r.Calls = s.block()
		end := s.upTo(eos)
		s.expect(end == "", quote(end), "the end behind the calls")
	} else {
		s.expect(s.stop == eos, "no "+eos, "one at the end")
	}
	s.expect(s.pos == len(text), "more text", "the end")
	for _, literal := range []string{bos, eos, think, endThink, dsml} {
		s.expect(!strings.Contains(r.Content, literal), literal+" in the content", "text without it")
		s.expect(!strings.Contains(r.Reasoning, literal), literal+" in the reasoning", "text without it")
	}
	if s.err != nil {
		return nil, s.err
	}
	return r, nil
}

const startBlock = "\n\n<" + dsml + "tool_calls"

// strict reads a text from front to end. The first fault sticks in err, and ends it.
type strict struct {
	text string
	pos  int
	stop string // what the last text ended at, or empty at the end of it all
	err  error
}

// expect notes the first fault.
func (s *strict) expect(ok bool, found, want string) {
	if !ok && s.err == nil {
		s.err = fmt.Errorf("bad answer: byte %d: found %s, expected %s: parse it without strict", s.pos, found, want)
		s.pos = len(s.text)
	}
}

// upTo reads up to the first of the stops, and over it. It looks no further than twice as far as that.
func (s *strict) upTo(stops ...string) string {
	rest := s.text[s.pos:]
	for window := 1 << 10; ; window *= 2 {
		near := rest[:min(window, len(rest))]
		end := len(near)
		s.stop = ""
		for _, stop := range stops {
			if i := strings.Index(near, stop); i >= 0 && (i < end || s.stop == "") {
				end, s.stop = i, stop
			}
		}
		if s.stop != "" || len(near) == len(rest) {
			s.pos += end + len(s.stop)
			return near[:end]
		}
	}
}

// block reads the calls behind the beginning of a block.
func (s *strict) block() (calls []Call) {
	for s.err == nil {
		between := s.upTo(nextInvoke, closeBlock)
		s.expect(between == ">\n", quote(between), `">\n"`)
		if s.stop == closeBlock {
			break
		}
		calls = append(calls, s.call())
	}
	s.expect(len(calls) > 0, "a block without calls", "one or more")
	return calls
}

// The tags as the reference looks for them.
const (
	nextInvoke = "<" + dsml + "invoke"
	nextParam  = "<" + dsml + "parameter"
	endInvoke  = "</" + dsml + "invoke"
	endParam   = "/" + dsml + "parameter"
)

func (s *strict) call() Call {
	head := s.upTo(nextParam, endInvoke)
	name, ok := strings.CutPrefix(strings.TrimLeft(head, " \t\r\n\v\f"), `name="`)
	if strings.HasSuffix(name, "\n\n") {
		name = name[:len(name)-1] // the empty line of a call without parameters
	}
	name, named := strings.CutSuffix(name, "\">\n")
	s.expect(ok && named, quote(head), "the name of a tool")
	args := []byte{'{'}
	seen := map[string]bool{}
	for s.stop == nextParam {
		key, value := s.parameter()
		s.expect(!seen[key], "the parameter "+quote(key)+" twice", "it once")
		args = appendKey(args, key, len(seen) == 0)
		args = append(args, value...)
		seen[key] = true
		between := s.upTo(nextParam, endInvoke)
		s.expect(between == ">\n", quote(between), `">\n"`)
	}
	s.expect(s.stop == endInvoke, "the end of the text", "the end of the call")
	return Call{Name: name, Arguments: string(append(args, '}'))}
}

// parameter reads a parameter, and returns its value as JSON.
func (s *strict) parameter() (key string, json []byte) {
	whole := s.upTo(endParam)
	text, ok := strings.CutPrefix(whole, ` name="`)
	text, closed := strings.CutSuffix(text, "<")
	for end := 0; ok && closed; end++ {
		i := strings.IndexByte(text[end:], '"')
		if i < 0 {
			break
		}
		end += i
		if value, ok := strings.CutPrefix(text[end:], `" string="true">`); ok {
			return text[:end], appendString(nil, value)
		}
		if value, ok := strings.CutPrefix(text[end:], `" string="false">`); ok {
			return text[:end], []byte(value)
		}
	}
	s.expect(false, quote(whole), "a parameter")
	return "", nil
}
