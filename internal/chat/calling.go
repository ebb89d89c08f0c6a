package chat

import (
	"encoding/json"
	"strings"
)

// deltas collects what a parser found, once as deltas and once as a whole.
type deltas struct {
	list []Delta
	run  strings.Builder // the end of list, of one kind
	kind state           // of run: reasoning, content or arguments

	reasoning, content strings.Builder
	calls              []Call
	index              int // of the current call
}

// say adds a text of a kind.
func (d *deltas) say(kind state, text string) {
	if kind != d.kind {
		d.flush()
		d.kind = kind
	}
	d.run.WriteString(text)
}

// flush makes a delta of the run.
func (d *deltas) flush() {
	text := d.run.String()
	d.run.Reset()
	switch {
	case text == "":
	case d.kind == reasoning:
		d.reasoning.WriteString(text)
		d.list = append(d.list, Delta{Reasoning: text})
	case d.kind == content:
		d.content.WriteString(text)
		d.list = append(d.list, Delta{Content: text})
	default:
		d.list = append(d.list, Delta{Call: &CallDelta{Index: d.index, Arguments: text}})
	}
}

// add adds a delta of the current call.
func (d *deltas) add(c CallDelta) {
	d.flush()
	c.Index = d.index
	d.list = append(d.list, Delta{Call: &c})
}

func (d *deltas) take() []Delta {
	d.flush()
	list := d.list
	d.list = nil
	return list
}

// calling is a call that is being written.
type calling struct {
	out   *deltas
	tool  toolTypes
	name  string
	args  []argument     // those that are complete
	place map[string]int // of a key in args

	key     string
	kind    string          // of the parameter: the attribute string
	held    bool            // the value is sent when it is whole
	value   strings.Builder // the value as it was written, or as JSON where it is not held
	wrapper *string         // a first parameter that may be all arguments at once
	sent    bool            // a parameter was sent
}

// argument is a key and its value as JSON.
type argument struct{ key, json string }

func (c *calling) begin(name string) {
	c.name = name
	c.out.add(CallDelta{Name: name})
}

func (c *calling) send(text string) { c.out.say(arguments, text) }

// open begins a parameter. A string is sent as it comes, unless the tool wants another type.
func (c *calling) open(key, isString string) {
	c.unwrapped()
	c.key, c.kind = key, isString
	c.value.Reset()
	c.held = isString != "true" || c.mayWrap() || c.tool[key] == wantsOther
	if !c.held {
		c.sendKey()
		c.put(`"`)
	}
}

// sendKey sends what stands in front of a value.
func (c *calling) sendKey() {
	if !c.sent {
		c.send("{")
	}
	c.send(string(appendKey(nil, c.key, !c.sent)))
	c.sent = true
}

// put sends a piece of the JSON of a value.
func (c *calling) put(text string) {
	c.value.WriteString(text)
	c.send(text)
}

func (c *calling) write(text string) {
	if c.held {
		c.value.WriteString(text)
	} else {
		c.put(string(appendEscaped(nil, text)))
	}
}

// close ends a parameter.
func (c *calling) close() {
	switch {
	case !c.held:
		c.put(`"`)
		c.keep(c.value.String())
	case c.mayWrap():
		text := c.value.String()
		c.wrapper = &text
	default:
		c.sendHeld(c.value.String())
	}
}

// sendHeld sends a value that was held back: what is no JSON, or should be a string, as a string.
func (c *calling) sendHeld(text string) {
	wants := c.tool[c.key]
	asText := !json.Valid([]byte(text)) || c.kind == "true" && wants != wantsOther
	if wants == wantsString && !strings.HasPrefix(strings.TrimSpace(text), `"`) {
		asText = true
	}
	if asText {
		text = string(appendString(nil, text))
	}
	c.sendKey()
	c.send(text)
	c.keep(text)
}

// keep notes an argument for the reply. The last value of a key that comes twice counts.
func (c *calling) keep(value string) {
	if i, ok := c.place[c.key]; ok {
		c.args[i].json = value
		return
	}
	c.place[c.key] = len(c.args)
	c.args = append(c.args, argument{c.key, value})
}

// mayWrap reports whether the current parameter, the first one, can be the whole object of arguments: the tool has no
// parameter of this name.
func (c *calling) mayWrap() bool {
	return (c.key == "arguments" || c.key == "input") && !c.sent && c.tool != nil && !c.tool.has(c.key)
}

// unwrapped sends a first parameter that turned out to be one of several.
func (c *calling) unwrapped() {
	if c.wrapper != nil {
		text := *c.wrapper
		c.wrapper = nil
		c.sendHeld(text)
	}
}

// end ends the call.
func (c *calling) end() {
	done := ""
	if c.wrapper != nil && json.Valid([]byte(*c.wrapper)) && strings.HasPrefix(strings.TrimSpace(*c.wrapper), "{") {
		done = *c.wrapper
		c.send(done)
	} else {
		c.unwrapped()
		if !c.sent {
			c.send("{")
		}
		c.send("}")
		done = c.joined()
	}
	c.out.add(CallDelta{End: true})
	c.out.calls = append(c.out.calls, Call{Name: c.name, Arguments: done})
	c.out.index++
}

// joined returns the arguments as a JSON object.
func (c *calling) joined() string {
	text := []byte{'{'}
	for i, a := range c.args {
		text = appendKey(text, a.key, i == 0)
		text = append(text, a.json...)
	}
	return string(append(text, '}'))
}

// want is what a tool's schema says of a parameter.
type want int

const (
	wantsAny want = iota
	wantsString
	wantsOther
)

// toolTypes says what a tool wants of its parameters. It is nil where nothing is known of the tool.
type toolTypes map[string]want

// readTypes returns the parameters of tools by name. A schema that says nothing readable is left out.
func readTypes(tools []Tool) map[string]toolTypes {
	types := make(map[string]toolTypes, len(tools))
	for _, tool := range tools {
		var schema struct {
			Parameters struct{ Properties map[string]json.RawMessage }
		}
		if json.Unmarshal(tool.Schema, &schema) != nil {
			continue
		}
		types[tool.Name] = toolTypes{}
		for key, property := range schema.Parameters.Properties {
			types[tool.Name][key] = readWant(property)
		}
	}
	return types
}

// readWant reads the type of a property, if it has a single one.
func readWant(property json.RawMessage) want {
	var schema struct{ Type string }
	if json.Unmarshal(property, &schema) != nil {
		return wantsAny
	}
	switch schema.Type {
	case "string":
		return wantsString
	case "integer", "number", "boolean", "array", "object", "null":
		return wantsOther
	}
	return wantsAny
}

func (t toolTypes) has(key string) bool {
	_, ok := t[key]
	return ok
}
