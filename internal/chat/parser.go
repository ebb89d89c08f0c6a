package chat

import (
	"slices"
	"strings"

	"baleen/internal/token"
)

// Options say what an answer may look like.
type Options struct {
	Mode        Mode
	Tools       []Tool // what was offered; may be left out, then no argument is corrected
	NoTools     bool   // none were offered: a call is content (UNCONFIRMED what DeepSeek's service does)
	RequireCall bool   // as in the request
	EOS         bool   // the text has its end-of-sentence token in it; an engine that stops there leaves it out
}

// Delta is a piece of an answer, in the order in which it was written. One of the three fields is set.
type Delta struct {
	Reasoning string
	Content   string
	Call      *CallDelta
}

// CallDelta is a piece of a call: first one with the name, then the arguments as they come, at last one that says End. The
// arguments, joined, are a JSON object.
type CallDelta struct {
	Index     int
	Name      string
	Arguments string
	End       bool
}

// Parser reads an answer while it is written, in the tolerant way of formats spec 4.10. What looks like a call but is none
// stays what it was, reasoning or content, to the letter; no delta has a part of a tag of a call in it. A call is accepted
// at its first parameter; from there on what does not belong is skipped, and a call that is cut off has no End and
// is not in the reply. Where tools were offered, it also takes calls of them with ASCII or doubled bars or none, with the
// older word function_calls, and without a block around them; where not, that is content, as is JSON in place of parameters.
//
// It holds back at most about a kilobyte, beside a parameter that is no string, and keeps the reply. Time is linear.
type Parser struct {
	options Options
	tools   map[string]toolTypes
	utf8    token.Decoder
	state   state
	rest    string // not understood yet
	final   bool   // nothing follows rest
	ended   bool   // at an end-of-sentence token

	spellings []tags // of the tags, the right one first
	tags      *tags  // of the current block

	inBlock  bool // a block was begun and not closed
	newlines int  // held back: they belong to the block that may follow
	fresh    bool // nothing was said yet: line breaks are dropped

	call *calling
	out  deltas
}

type state int

const (
	reasoning state = iota
	content
	calls      // in a block, between calls
	arguments  // in a call, between parameters
	value      // in a parameter
	afterBlock // what comes now is dropped
)

// NewParser returns a parser at the beginning of an answer.
func NewParser(options Options) *Parser {
	p := &Parser{options: options, tools: readTypes(options.Tools), fresh: true, spellings: spellings()}
	if len(p.tools) == 0 {
		p.spellings = p.spellings[:1]
	}
	p.tags = &p.spellings[0]
	switch {
	case options.RequireCall:
		p.state, p.inBlock = calls, true
	case options.Mode != Thinking:
		p.state = content
	}
	return p
}

// Feed takes the next bytes of an answer: its text without control tokens, but with <think>, </think> and ｜DSML｜. Where
// the bytes are cut makes no difference to the joined deltas; bytes that are no UTF-8 become U+FFFD.
func (p *Parser) Feed(chunk []byte) []Delta {
	p.rest += p.utf8.Feed(chunk)
	p.run()
	return p.out.take()
}

// Finish ends the answer: cut says that the model did not end it. The parser must not be used any more.
func (p *Parser) Finish(cut bool) ([]Delta, *Reply) {
	p.rest += p.utf8.Flush()
	p.run()
	unended := cut || p.options.EOS && !p.ended
	if p.dropTag(unended) || p.inBlock || p.call != nil {
		cut = cut || unended
	}
	p.final = true
	p.run()
	p.flushNewlines()
	return p.out.take(), p.reply(cut)
}

// dropTag drops what the end left of a tag: of a block's end, or, where the answer was cut, of a call's beginning. For the
// latter it reports true.
func (p *Parser) dropTag(cut bool) bool {
	rest := p.rest
	if p.state == calls {
		if rest = strings.TrimLeft(rest, " \t\r\n"); rest == "" {
			p.rest = ""
		}
	}
	begins := cut && p.call == nil && slices.ContainsFunc(p.spellings, func(t tags) bool { return t.begins(rest) })
	ends := (p.inBlock || p.call != nil) && p.tags.mark != "" && strings.HasPrefix(rest, "</"+p.tags.mark)
	if begins || ends {
		p.rest, p.newlines = "", 0
	}
	return begins
}

func (p *Parser) reply(cut bool) *Reply {
	r := &Reply{Mode: p.options.Mode, Reasoning: p.out.reasoning.String(), Content: p.out.content.String(), Calls: p.out.calls}
	switch {
	case cut || p.call != nil:
		r.Finish = "length"
	case len(r.Calls) > 0:
		r.Finish = "tool_calls"
	default:
		r.Finish = "stop"
	}
	return r
}

// run understands as much of rest as it can.
func (p *Parser) run() {
	for p.rest != "" && p.step() {
	}
}

// step understands a piece of rest, which is not empty. It reports false where it must see more.
func (p *Parser) step() bool {
	switch p.state {
	case reasoning, content:
		return p.stepText()
	case calls:
		return p.stepCalls()
	case arguments:
		return p.stepArguments()
	case value:
		return p.stepValue()
	default:
		p.rest = ""
		return true
	}
}

// short reports whether a cursor must see more than there is.
func (p *Parser) short(c *cursor) bool { return c.short && !p.final }

// skip takes n bytes off rest.
func (p *Parser) skip(n int) string {
	text := p.rest[:n]
	p.rest = p.rest[n:]
	return text
}

// before returns the length of what stands before the first of the bytes.
func (p *Parser) before(bytes string) int {
	if i := strings.IndexAny(p.rest, bytes); i >= 0 {
		return i
	}
	return len(p.rest)
}

func (p *Parser) stepText() bool {
	if n := p.before("\n<"); n > 0 {
		p.say(p.skip(n))
		return true
	}
	if p.rest[0] == '\n' {
		n := len(p.rest) - len(strings.TrimLeft(p.rest, "\n"))
		p.newlines += n
		p.skip(n)
		return true
	}
	c := cursor{text: p.rest}
	switch {
	case c.tag(endThink):
		p.endThinking()
	case p.state == reasoning && p.fresh && c.tag(think):
	case p.options.EOS && c.tag(eos):
		p.end()
	case p.inBlock && c.tag(p.tags.closeBlock):
		p.endBlock()
	case p.isBlock(&c):
	case p.short(&c):
		return false
	default:
		c.pos = len("<")
		p.say("<")
	}
	p.skip(c.pos)
	return true
}

func (p *Parser) endThinking() {
	if p.state == reasoning {
		p.flushNewlines()
		p.state, p.fresh = content, true
	}
}

// end takes note of an end-of-sentence token.
func (p *Parser) end() {
	p.flushNewlines()
	p.ended = true
	p.state = afterBlock
}

// endBlock drops what follows a block.
func (p *Parser) endBlock() {
	p.inBlock, p.newlines = false, 0
	p.state = afterBlock
}

// isBlock steps over the beginning of a block with its first call, or, where a block has text in it, of another call.
// What is not spelt as it should be, or has no block around it, must be a call of a tool that was offered.
func (p *Parser) isBlock(c *cursor) bool {
	if p.options.NoTools {
		return false
	}
	for i := range p.spellings {
		t, try := &p.spellings[i], *c
		inBlock := try.tag(t.openBlock)
		if inBlock {
			try.space()
		} else {
			inBlock = p.inBlock
		}
		name, ok := try.invoke(t)
		c.short = c.short || try.short
		if !ok || p.short(&try) || !(inBlock && i == 0) && p.tools[name] == nil {
			continue
		}
		c.pos, p.tags = try.pos, t
		p.begin(name)
		return true
	}
	return false
}

// say adds to reasoning or content.
func (p *Parser) say(text string) {
	p.flushNewlines()
	p.fresh = false
	p.out.say(p.state, text)
}

// flushNewlines releases the line breaks that turned out to belong to the text.
func (p *Parser) flushNewlines() {
	if p.newlines > 0 && !p.fresh {
		p.out.say(p.state, strings.Repeat("\n", p.newlines))
	}
	p.newlines = 0
}

func (p *Parser) stepCalls() bool {
	c := cursor{text: p.rest}
	c.space()
	name, ok := "", false
	switch {
	case c.tag(p.tags.closeBlock):
		p.endBlock()
	case p.options.EOS && c.tag(eos):
		p.end()
	default:
		name, ok = c.invoke(p.tags)
		if p.short(&c) {
			return false
		}
		if !ok {
			p.state, p.fresh = content, false // to the letter
			return true
		}
		p.begin(name)
	}
	p.skip(c.pos)
	return true
}

func (p *Parser) begin(name string) {
	p.call = &calling{out: &p.out, tool: p.tools[name], place: map[string]int{}}
	p.call.begin(name)
	p.state, p.inBlock, p.newlines = arguments, true, 0
}

func (p *Parser) stepArguments() bool {
	if n := p.before("<"); n > 0 {
		p.skip(n)
		return true
	}
	c := cursor{text: p.rest}
	switch {
	case c.tag(p.tags.closeInvoke):
		p.endCall()
	case c.tag(p.tags.closeBlock):
		p.endCall()
		p.endBlock()
	case p.options.EOS && c.tag(eos):
		p.end()
	default:
		key, isString, ok := c.parameter(p.tags)
		if p.short(&c) {
			return false
		}
		if !ok {
			c.pos = len("<")
			break
		}
		p.call.open(key, isString)
		p.state = value
	}
	p.skip(c.pos)
	return true
}

func (p *Parser) endCall() {
	p.call.end()
	p.call = nil
	p.state = calls
}

func (p *Parser) stepValue() bool {
	if n := p.before("<"); n > 0 {
		p.call.write(p.skip(n))
		return true
	}
	c := cursor{text: p.rest}
	switch {
	case c.tag(p.tags.closeParam):
		p.call.close()
		p.state = arguments
	case c.tag(p.tags.closeInvoke) || c.tag(p.tags.closeBlock): // the parameter was not closed
		c.pos = 0
		p.call.close()
		p.state = arguments
	case p.options.EOS && c.tag(eos):
		p.end()
	case p.short(&c):
		return false
	default:
		c.pos = len("<")
		p.call.write("<")
	}
	p.skip(c.pos)
	return true
}
