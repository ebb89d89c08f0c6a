package serve

import (
	"encoding/json"
	"slices"
	"strings"

	"baleen/internal/chat"
)

// maxToolName is how long a name may be that the parser of answers still takes for one.
const maxToolName = 256

// toolChoice says which tools may be called, and whether one must be.
type toolChoice struct {
	none, required bool
	only           []string // nil: all
}

// readTools reads tools in the chat form. What is no function cannot be served and is left out.
func (c *conversation) readTools(o *object) {
	o.each("tools", func(t *object) {
		if kind := t.text("type"); kind == "" || kind == "function" {
			c.addTool(t.child("function"), "parameters")
		}
	})
}

// addTool reads the description of a function.
func (c *conversation) addTool(f *object, parameters string) {
	name := f.need("name", "the name of a function")
	switch {
	case len(name) > maxToolName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || strings.ContainsRune("\"<>\uFFFD", r) }):
		f.wrong("name", "at most 256 letters, digits, and signs that need no quoting")
	case c.offers(name):
		f.wrong("name", "another name than those of the tools before it")
	}
	f.child(parameters)
	var schema json.RawMessage
	if f.has(parameters) {
		schema = f.fields[parameters]
	}
	c.Tools = append(c.Tools, chat.NewTool(name, f.text("description"), schema))
	c.schemas = append(c.schemas, toolSchema{name, schema, f.flag("strict", false)})
}

func (c *conversation) offers(name string) bool {
	return slices.ContainsFunc(c.Tools, func(t chat.Tool) bool { return t.Name == name })
}

// toolSchema is what the arguments of a tool are to be.
type toolSchema struct {
	name       string
	parameters json.RawMessage
	strict     bool // it must be kept to the letter
}

// readToolChoice reads which tools may be called, in the forms of chat and responses.
func (c *conversation) readToolChoice(o *object) {
	const field = "tool_choice"
	choice := &c.choice
	switch chat.JSONKind(o.fields[field]) {
	case "nothing", "null":
		return
	case "a string":
		choice.set(o.word(field, "none", "auto", "required", "any"))
	case "an object":
		choice.read(o.child(field))
	default:
		o.wrong(field, "none, auto, required or a tool")
	}
	c.checkChoice(o, field)
}

// read reads a choice that is an object: a tool, several, or one of the words in a type.
func (c *toolChoice) read(o *object) {
	if inner := o.child("allowed_tools"); inner.fields != nil {
		o = inner
	}
	switch kind := o.text("type"); {
	case o.has("tools"):
		c.set(o.word("mode", "auto", "required"))
		c.only = []string{}
		o.each("tools", func(t *object) {
			if kind := t.text("type"); kind == "" || kind == "function" || kind == "custom" { // the others are not served
				c.only = append(c.only, toolName(t))
			}
		})
	case kind == "none" || kind == "auto" || kind == "required":
		c.set(kind)
	default:
		c.required, c.only = true, []string{toolName(o)}
	}
}

func (c *toolChoice) set(word string) {
	c.none, c.required = word == "none", word == "required" || word == "any"
}

// toolName is the name in a reference to a tool.
func toolName(t *object) string {
	for _, inner := range []string{"function", "custom"} {
		if t.has(inner) {
			t = t.child(inner)
			break
		}
	}
	return t.need("name", "the name of a tool")
}

// checkChoice finds choices that nothing can satisfy.
func (c *conversation) checkChoice(o *object, field string) {
	for _, name := range c.choice.only {
		if !c.offers(name) {
			o.refuse(field, "found a tool that is not in tools, expected one of them")
		}
	}
	if c.choice.required && len(c.callable()) == 0 {
		o.refuse(field, "found a call that is required, but no tool: give tools")
	}
}

// callable are the tools that may be called.
func (c *conversation) callable() []chat.Tool {
	switch {
	case c.choice.none:
		return nil
	case c.choice.only == nil:
		return c.Tools
	}
	var list []chat.Tool
	for _, t := range c.Tools {
		if slices.Contains(c.choice.only, t.Name) {
			list = append(list, t)
		}
	}
	return list
}

// parsing says how an answer is read.
func (c *conversation) parsing() chat.Options {
	o := chat.Options{Mode: c.Mode, Tools: c.callable()}
	o.NoTools = len(o.Tools) == 0
	if c.begun {
		o.Mode = chat.Chat
	}
	return o
}
