package grammar

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Tool is a function that the model may call.
type Tool struct {
	Name       string
	Parameters json.RawMessage // a JSON schema of an object, or empty for no parameters
}

// ToolOptions say what an answer with tools is. The zero value is free text with or without calls at its end.
type ToolOptions struct {
	Required bool     // nothing but calls
	Name     string   // the only tool that may be called, if not empty: required then
	Single   bool     // one call at most
	Begun    bool     // the prompt has the tag that opens the calls, and its line break; required then
	Content  *Grammar // what an answer without calls is, in place of free text
}

// maxToolName bounds names of tools and parameters, in bytes, as chat.Parser does.
const maxToolName = 256

// Tools is the language of calls of this model family (formats spec 4.1), in which every call is of a tool that there is, with the
// parameters that its schema allows, in any order, and the required ones:
//
//	<｜DSML｜tool_calls>
//	<｜DSML｜invoke name="NAME">
//	<｜DSML｜parameter name="KEY" string="true">text as it is</｜DSML｜parameter>
//	<｜DSML｜parameter name="KEY" string="false">JSON</｜DSML｜parameter>
//	</｜DSML｜invoke>
//	</｜DSML｜tool_calls>
//
// Unless calls are required, the answer is free up to the opening tag: once it has <｜DSML｜, however the tokens are cut, calls
// follow, and behind them the end. Thinking before free text is part of it; before required calls and before a content
// use AfterThinking. Errors are those of JSONSchema, and of names that the form has no way to write.
func Tools(tools []Tool, o ToolOptions) (*Grammar, error) {
	b := newBuilder()
	t := caller{builder: &b}
	var invokes []*node
	for _, tool := range tools {
		if o.Name != "" && tool.Name != o.Name {
			continue
		}
		n, err := t.invoke(tool)
		if err != nil {
			return nil, err
		}
		invokes = append(invokes, n)
	}
	bytes := (&Grammar{nodes: b.nodes}).bytes()
	for _, n := range invokes {
		if bytes[n.id] >= never {
			return nil, fault("tools", quote(n.subs[0].text), "no parameters fit it", "take out of the schema what contradicts itself")
		}
	}
	if len(invokes) == 0 {
		return nil, fault("tools", quote(o.Name), "no such tool", "offer the tool that is to be called")
	}
	return b.finish(t.answer(b.choice(invokes...), o), "tools")
}

// caller makes the nodes of calls.
type caller struct{ *builder }

// answer puts calls into an answer.
func (t *caller) answer(invoke *node, o ToolOptions) *node {
	more := -1
	if o.Single {
		more = 0
	}
	invokes := t.sequence(invoke, t.repetition(t.sequence(t.literal("\n"), invoke), 0, more), t.literal("\n"+closeTag+"tool_calls>"))
	if o.Begun {
		return invokes
	}
	calls := func(before string) *node { return t.sequence(t.literal(before+openTag+"tool_calls>\n"), invokes) }
	switch {
	case o.Required || o.Name != "":
		return calls("\n\n")
	case o.Content != nil:
		return t.choice(t.graft(o.Content), calls("\n\n"))
	}
	return t.sequence(t.leaf(sharedTexts().free), t.choice(t.sequence(), calls("")))
}

// graft copies the nodes of another grammar into this one.
func (t *caller) graft(g *Grammar) *node {
	shift := len(t.nodes)
	copies := make([]*node, len(g.nodes))
	for i, n := range g.nodes {
		c := *n
		copies[i] = t.node(&c)
	}
	if t.full {
		return t.choice()
	}
	of := func(n *node) *node { return t.nodes[shift+n.id] }
	for i, n := range g.nodes {
		c := copies[i]
		c.subs = slices.Clone(n.subs)
		for j, sub := range c.subs {
			c.subs[j] = of(sub)
		}
		if n.kind != objectNode {
			continue
		}
		c.first, c.later = of(n.first), of(n.later)
		c.members = slices.Clone(n.members)
		for j, m := range c.members {
			c.members[j].key, c.members[j].value = of(m.key), of(m.value)
		}
		if n.extra != nil {
			c.extra = of(n.extra)
		}
	}
	return of(g.root)
}

// invoke is a call of a tool.
func (t *caller) invoke(tool Tool) (*node, error) {
	if err := checkName("tool", tool.Name); err != nil {
		return nil, err
	}
	schema := tool.Parameters
	if len(schema) == 0 || string(schema) == "null" {
		schema = json.RawMessage(`{}`)
	}
	c, err := newCompiler("parameters of "+quote(tool.Name), schema)
	if err != nil {
		return nil, err
	}
	c.builder, c.text, c.tags = *t.builder, sharedTexts().value, []string{closeTag}
	n, err := c.parameters()
	*t.builder = c.builder
	if err != nil {
		return nil, err
	}
	return t.sequence(t.literal(openTag+`invoke name="`+tool.Name+"\">\n"), n, t.literal("\n"+closeTag+"invoke>")), nil
}

// checkName refuses names that the form cannot hold: nothing is escaped in it.
func checkName(what, name string) error {
	mend := fmt.Sprintf("use letters, digits, _ and -, %d at most", maxToolName)
	switch {
	case name == "" || len(name) > maxToolName:
		return fault("name of a "+what, quote(name), fmt.Sprintf("%d bytes", len(name)), mend)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == '<' || r == 0xfffd }):
		return fault("name of a "+what, quote(name), "a character that the tags cannot hold", mend)
	}
	return nil
}

// parameters is the members of an object as parameters.
func (c *compiler) parameters() (*node, error) {
	shapes, err := c.read(conjunction{c.root})
	if err != nil {
		return nil, err
	}
	var ways []*node
	for _, s := range shapes {
		if s.kinds&kindObject == 0 {
			continue
		}
		if s.listed {
			return nil, c.fault(s.at, "listed objects in place of properties", "write properties")
		}
		n, err := c.members(s, c.parameter)
		if err != nil {
			return nil, err
		}
		if n.extra, err = c.extraParameter(s); err != nil {
			return nil, err
		}
		tag := openTag + `parameter name="`
		n.first, n.later = c.literal(tag), c.literal("\n"+tag)
		ways = append(ways, c.builder.object(n))
	}
	if len(ways) == 0 {
		return nil, c.fault(c.root, "no object", `write a schema of type "object"`)
	}
	return c.choice(ways...), nil
}

// parameter is a parameter by name, behind the beginning of its tag.
func (c *compiler) parameter(name string, schemas conjunction) (key string, value *node, err error) {
	if err := checkName("parameter", name); err != nil {
		return "", nil, err
	}
	value, err = c.argument(schemas)
	return name + `"`, value, err
}

// extraParameter is the parameters that have no name in the schema, where it says what they are. Their names are kept plain, and
// are none of those that a parser could take for the object of all arguments.
func (c *compiler) extraParameter(s *shape) (*node, error) {
	schemas, pattern, ok := s.others()
	declared := slices.ContainsFunc(s.objects, func(r objectRule) bool { return r.additional != nil || len(r.patterns) > 0 })
	if !ok || !declared || s.closed {
		return nil, nil
	}
	name, err := c.names(s, []string{pattern, `^[A-Za-z0-9_.-]{1,64}$`}, append(s.propertyNames(), "arguments", "input"), plain)
	if err != nil {
		return nil, err
	}
	n, err := c.argument(schemas)
	if err != nil {
		return nil, err
	}
	return c.sequence(name, c.literal(`"`), n), nil
}

// argument is a parameter behind its name: its strings as they are, all else as JSON.
func (c *compiler) argument(schemas conjunction) (*node, error) {
	shapes, err := c.read(schemas)
	if err != nil {
		return nil, err
	}
	var raw, others []*node
	for _, s := range shapes {
		if s.kinds&kindString != 0 {
			strings, err := c.raw(s)
			if err != nil {
				return nil, err
			}
			raw = append(raw, strings...)
		}
		s = s.clone()
		if s.kinds &^= kindString; s.kinds != 0 {
			ways, err := c.shape(s)
			if err != nil {
				return nil, err
			}
			others = append(others, ways...)
		}
	}
	var kinds []*node
	if len(raw) > 0 {
		kinds = append(kinds, c.sequence(c.literal(` string="true">`), c.choice(raw...)))
	}
	if len(others) > 0 {
		kinds = append(kinds, c.sequence(c.literal(` string="false">`), c.choice(others...), c.literal(closeTag+closeName)))
	}
	return c.choice(kinds...), nil
}

// raw is a string as it is, and the tag that closes it.
func (c *compiler) raw(s *shape) (ways []*node, err error) {
	if s.listed {
		var words []string
		for _, text := range texts(s.values) {
			if !strings.Contains(text, closeTag) {
				words = append(words, text+closeTag+closeName)
			}
		}
		return []*node{c.words(words)}, nil
	}
	if s.maxChars >= 0 && s.minChars > s.maxChars {
		return nil, nil
	}
	if len(s.patterns) == 0 {
		return []*node{c.sequence(c.counted(sharedTexts().raw, s.minChars, s.maxChars), c.literal(closeName))}, nil
	}
	n, err := c.patternLeaf(s, plain, c.tags)
	if err != nil {
		return nil, err
	}
	return []*node{c.sequence(n, c.literal(closeTag+closeName))}, nil
}
