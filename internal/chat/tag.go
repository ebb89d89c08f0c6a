package chat

import (
	"slices"
	"strings"
)

// Bounds of what is held back until a call is known to be one. Real names have at most 64 bytes.
const (
	maxName  = 256
	maxSpace = 64
)

// tags are the tags of a block of calls, up to where they vary.
type tags struct {
	mark                    string
	openBlock, closeBlock   string
	openInvoke, closeInvoke string
	openParam, closeParam   string
}

func makeTags(mark, word string) tags {
	return tags{
		mark:       mark,
		openBlock:  "<" + mark + word + ">",
		closeBlock: "</" + mark + word + ">",
		openInvoke: "<" + mark + "invoke", closeInvoke: "</" + mark + "invoke>",
		openParam: "<" + mark + `parameter name="`, closeParam: "</" + mark + "parameter>",
	}
}

// spellings returns the tags as they should be and, behind them, as models have been seen to write them (formats spec
// 4.10).
func spellings() (list []tags) {
	for _, mark := range []string{dsml, "|DSML|", "||DSML||", "｜｜DSML｜｜", ""} {
		list = append(list, makeTags(mark, "tool_calls"), makeTags(mark, "function_calls"))
	}
	return list
}

// begins reports whether text, the end of an answer that was cut, is the beginning of a block or call.
func (t *tags) begins(text string) bool {
	return t.mark != "" && strings.HasPrefix(text, "<"+t.mark) || strings.HasPrefix(text, t.openBlock) || strings.HasPrefix(text, t.openInvoke+" name=")
}

// cursor matches tags at the beginning of a text of which more may come. Once a match depends on what comes, short is
// set, and nothing that it says counts.
type cursor struct {
	text  string
	pos   int
	short bool
}

// tag steps over a literal if it stands here.
func (c *cursor) tag(literal string) bool {
	rest := c.text[c.pos:]
	if strings.HasPrefix(rest, literal) {
		c.pos += len(literal)
		return true
	}
	c.short = c.short || strings.HasPrefix(literal, rest)
	return false
}

// space steps over blanks and line breaks.
func (c *cursor) space() {
	for range maxSpace {
		if c.pos == len(c.text) {
			c.short = true
			return
		}
		if strings.IndexByte(" \t\r\n", c.text[c.pos]) < 0 {
			return
		}
		c.pos++
	}
}

// name steps over a name and the first of the ends behind it, of which it returns the index. A name may have quotes in
// it, which nothing escapes, but no line break.
func (c *cursor) name(ends ...string) (name string, end int) {
	begin := c.pos
	for ; c.pos < len(c.text); c.pos++ {
		if c.text[c.pos] == '\n' || c.pos-begin > maxName {
			return "", -1
		}
		if c.text[c.pos] != '"' {
			continue
		}
		name := c.text[begin:c.pos]
		if i := slices.IndexFunc(ends, c.tag); i >= 0 || c.short {
			return name, i
		}
	}
	c.short = true
	return "", -1
}

// invoke steps over the beginning of a call, and reports whether a parameter or its end follows.
func (c *cursor) invoke(t *tags) (name string, ok bool) {
	if !c.tag(t.openInvoke) {
		return "", false
	}
	c.space()
	if !c.tag(`name="`) {
		return "", false
	}
	name, end := c.name(`">`)
	if end < 0 {
		return "", false
	}
	c.space()
	ahead := *c
	ok = ahead.tag(t.closeInvoke)
	if !ok {
		_, _, ok = ahead.parameter(t)
	}
	c.short = c.short || ahead.short
	return name, ok && name != ""
}

// parameter steps over the beginning of a parameter. The type is that of the attribute string: true, false or, where it is
// missing, empty.
func (c *cursor) parameter(t *tags) (key, isString string, ok bool) {
	if !c.tag(t.openParam) {
		return "", "", false
	}
	key, end := c.name(`" string="true">`, `" string="false">`, `">`)
	if end < 0 {
		return "", "", false
	}
	return key, [...]string{"true", "false", ""}[end], true
}
