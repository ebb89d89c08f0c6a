package grammar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// JSONSchema is the language of the JSON values that a schema describes, in the order of its properties and without spaces but
// one behind a colon or comma. Optional properties may be left out; properties that the schema does not name are written only
// where it says what they are, or names none. Integers have at most 16 digits.
//
// An error names the place in the schema: what is no schema, what nothing satisfies, and what is not enforced: contains,
// uniqueItems, if, dependentSchemas, general not and the like. An unknown format and annotations say nothing.
func JSONSchema(schema []byte) (*Grammar, error) {
	c, err := newCompiler("schema", schema)
	if err != nil {
		return nil, err
	}
	c.text, c.tags, c.ordered = sharedTexts().content, []string{thinkTag, openTag}, true
	root, err := c.compile(conjunction{c.root})
	if err != nil {
		return nil, err
	}
	g, err := c.finish(root, c.what)
	if err == nil {
		return g, nil
	}
	if at := c.impossible(root); at != nil {
		return nil, c.fault(at, "nothing fits it", "take out what contradicts itself")
	}
	return nil, err
}

// impossible returns the innermost schema that is to blame where nothing fits a node, or nil.
func (c *compiler) impossible(n *node) (at *value) {
	bytes := (&Grammar{nodes: c.nodes}).bytes()
	is := func(n *node) bool { return bytes[n.id] >= never }
	met := map[*node]bool{}
	for n != nil && is(n) && !met[n] {
		met[n] = true
		if place := c.places[n]; place != nil {
			at = place
		}
		parts := n.needs()
		n = nil
		if i := slices.IndexFunc(parts, is); i >= 0 {
			n = parts[i]
		}
	}
	return at
}

// JSONObject is the language of all JSON objects, spaced as those of JSONSchema.
func JSONObject() *Grammar {
	g, err := JSONSchema([]byte(`{"type": "object"}`))
	if err != nil {
		panic(err) // the schema is ours
	}
	return g
}

// compile returns the node of schemas that hold together. A conjunction is compiled once, so recursion ends.
func (c *compiler) compile(schemas conjunction) (*node, error) {
	key := c.key(schemas)
	if n := c.rules[key]; n != nil {
		return n, nil
	}
	n := c.rule()
	c.rules[key] = n
	if len(schemas) > 0 {
		c.places[n] = schemas[len(schemas)-1]
	}
	if c.full {
		return nil, fault(c.what, "size", "more than can be compiled", "make it smaller")
	}
	shapes, err := c.read(schemas)
	if err != nil {
		return nil, err
	}
	ways, err := c.ways(shapes)
	n.subs = []*node{c.choice(ways...)}
	return n, err
}

// key names a conjunction by its schemas.
func (c *compiler) key(schemas conjunction) string {
	var ids []int
	for _, s := range schemas {
		if s.kind != kindBoolean || !s.truth {
			ids = append(ids, c.ids[s])
		}
	}
	slices.Sort(ids)
	return fmt.Sprint(slices.Compact(ids))
}

func (c *compiler) ways(shapes []*shape) (ways []*node, err error) {
	for _, s := range shapes {
		w, err := c.shape(s)
		if err != nil {
			return nil, err
		}
		ways = append(ways, w...)
	}
	return ways, nil
}

// shape returns the alternatives of a shape.
func (c *compiler) shape(s *shape) (ways []*node, err error) {
	if s.listed {
		var words []string
		for _, v := range s.values {
			var b strings.Builder
			v.write(&b, c.tags)
			switch {
			case s.kinds&v.kind == 0:
			case v.kind == kindString:
				words = append(words, b.String())
			default:
				ways = append(ways, c.literal(b.String()))
			}
		}
		return append(ways, c.words(words)), nil
	}
	for _, k := range []struct {
		kinds kinds
		make  func(*shape) (*node, error)
	}{
		{kindObject, c.object},
		{kindArray, c.array},
		{kindString, c.string},
		{kindNumber, c.numeral},
		{kindBoolean, func(*shape) (*node, error) { return c.choice(c.literal("true"), c.literal("false")), nil }},
		{kindNull, func(*shape) (*node, error) { return c.literal("null"), nil }},
	} {
		if s.kinds&k.kinds == 0 {
			continue
		}
		n, err := k.make(s)
		if err != nil {
			return nil, err
		}
		ways = append(ways, n)
	}
	return ways, nil
}

// leafOf makes a leaf once. A leaf that nothing fits is a choice of nothing.
func (c *compiler) leafOf(at *value, key string, make func() (*dfa, error)) (*node, error) {
	if n := c.leaves[key]; n != nil {
		return n, nil
	}
	var n *node
	switch d, err := make(); {
	case errors.Is(err, errEmpty):
		n = c.choice()
	case err != nil:
		return nil, c.fault(at, "a pattern or bound with "+err.Error(), "make it simpler")
	default:
		n = c.leaf(d)
	}
	c.leaves[key] = n
	return n, nil
}

// numeral is a number.
func (c *compiler) numeral(s *shape) (*node, error) {
	places := maxDecimals
	if s.kinds&kindFraction == 0 {
		places = 0
	}
	if s.number.free() && len(s.multiples) == 0 {
		if places == 0 {
			return c.leaf(sharedTexts().integer), nil
		}
		return c.leaf(sharedTexts().number), nil
	}
	for _, m := range s.multiples {
		_, n, _ := multiple(m)
		places = min(places, n)
	}
	key := fmt.Sprint("number ", s.number.String(), places, s.multiples)
	return c.leafOf(s.at, key, func() (*dfa, error) {
		d, err := numbers(c.work, s.number, places)
		for _, m := range s.multiples {
			if err == nil {
				by, n, _ := multiple(m)
				d, err = intersect(c.work, d, divisible(by, n))
			}
		}
		return d, err
	})
}

// string is a JSON string.
func (c *compiler) string(s *shape) (*node, error) {
	if s.maxChars >= 0 && s.minChars > s.maxChars {
		return c.choice(), nil
	}
	inside := c.counted(c.text, s.minChars, s.maxChars)
	if len(s.patterns) > 0 {
		n, err := c.patternLeaf(s, inJSON, c.tags)
		if err != nil {
			return nil, err
		}
		inside = c.sequence(n, c.literal(`"`))
	}
	return c.sequence(c.literal(`"`), inside), nil
}

// array is a JSON array.
func (c *compiler) array(s *shape) (*node, error) {
	least, most := s.minItems, s.maxItems
	if most >= 0 && least > most {
		return c.choice(), nil
	}
	prefix := s.prefix()
	rest, err := c.compile(s.item(prefix))
	if err != nil {
		return nil, err
	}
	comma := c.comma()
	left := most
	if most >= 0 {
		left = max(0, most-prefix)
	}
	// From the last place to the first: the array ends in front of each, or goes on.
	tail := c.repetition(c.sequence(comma, rest), max(0, least-max(1, prefix)), less(left, prefix == 0))
	for i := max(1, prefix) - 1; i >= 0; i-- {
		item := rest
		if i < prefix {
			if item, err = c.compile(s.item(i)); err != nil {
				return nil, err
			}
		}
		if i > 0 {
			item = c.sequence(comma, item)
		}
		goOn := c.sequence(item, tail)
		switch {
		case most >= 0 && i >= most:
			tail = c.sequence()
		case i >= least:
			tail = c.choice(c.sequence(), goOn)
		default:
			tail = goOn
		}
	}
	return c.sequence(c.literal("["), tail, c.literal("]")), nil
}

// less is a bound on what follows the first item, where that is one of those counted.
func less(bound int, counted bool) int {
	if counted && bound > 0 {
		return bound - 1
	}
	return bound
}

func (c *compiler) comma() *node {
	return c.sequence(c.literal(","), c.optional(c.literal(" ")))
}

func (c *compiler) optional(n *node) *node { return c.choice(c.sequence(), n) }

// object is a JSON object.
func (c *compiler) object(s *shape) (*node, error) {
	gap := c.optional(c.literal(" "))
	n, err := c.members(s, func(name string, schemas conjunction) (key string, value *node, err error) {
		var b strings.Builder
		writeString(&b, name, c.tags)
		value, err = c.compile(schemas)
		return b.String()[1:] + ":", c.sequence(gap, value), err
	})
	if err != nil {
		return nil, err
	}
	n.first, n.later = c.literal(`"`), c.choice(c.literal(`,"`), c.literal(`, "`))
	if n.extra, err = c.extra(s, gap); err != nil {
		return nil, err
	}
	return c.sequence(c.literal("{"), c.builder.object(n), c.literal("}")), nil
}

// members makes an object of the properties that have a name. make writes a key, but for what stands in front of all of them, and
// the value.
func (c *compiler) members(s *shape, make func(string, conjunction) (string, *node, error)) (*node, error) {
	n := &node{ordered: c.ordered}
	wanted := map[string]bool{}
	for _, name := range s.required {
		wanted[name] = true
	}
	for _, name := range s.propertyNames() {
		schemas, named := s.property(name)
		required := wanted[name]
		allowed := (named || !s.closed) && c.admitsAll(s.names, &value{kind: kindString, text: name})
		if !allowed && !required {
			continue
		}
		key, value := name, c.choice()
		if allowed {
			var err error
			if key, value, err = make(name, schemas); err != nil {
				return nil, err
			}
		}
		n.members = append(n.members, member{c.literal(key), value, required})
	}
	if len(n.members) > maxMembers {
		return nil, c.fault(s.at, fmt.Sprintf("%d properties", len(n.members)), fmt.Sprintf("use at most %d", maxMembers))
	}
	if s.most >= 0 && len(n.members) > s.most {
		return nil, c.fault(s.at, fmt.Sprintf("maxProperties of %d, and %d properties", s.most, len(n.members)), "take it out")
	}
	n.ordered = n.ordered || len(n.members) > maxUnordered
	return n, nil
}

// extra is the properties of a JSON object that have no name, or nil.
func (c *compiler) extra(s *shape, gap *node) (*node, error) {
	schemas, pattern, ok := s.others()
	if !ok || s.closed {
		return nil, nil
	}
	sub, err := c.compile(schemas)
	if err != nil {
		return nil, err
	}
	inside, colon := c.leaf(c.text), ":"
	if named := s.propertyNames(); pattern != "" || len(s.names) > 0 || len(named) > 0 {
		if inside, err = c.names(s, []string{pattern}, named, inJSON); err != nil {
			return nil, err
		}
		colon = `":`
	}
	return c.sequence(inside, c.literal(colon), gap, sub), nil
}

// names is the leaf of property names that match patterns and are none of those named.
func (c *compiler) names(s *shape, patterns, named []string, spell spelling) (*node, error) {
	of := anyShape()
	if len(s.names) > 0 {
		shapes, err := c.read(s.names)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(shapes, func(s *shape) bool { return s.kinds&kindString != 0 })
		if i < 0 {
			return c.choice(), nil
		}
		of = shapes[i].clone()
	}
	of.patterns = append(of.patterns, patterns...)
	return c.leafOf(s.at, fmt.Sprintf("names %v %q %q", c.key(s.names), of.patterns, named), func() (*dfa, error) {
		d, err := compilePatterns(c.work, of.patterns, spell)
		if err == nil {
			d, err = limit(c.work, d, of.minChars, of.maxChars, spell)
		}
		if err == nil && of.listed {
			var some *dfa
			if some, err = oneOf(c.work, texts(of.values), spell); err == nil {
				d, err = intersect(c.work, d, some)
			}
		}
		if err == nil {
			d, err = without(c.work, d, c.tags...)
		}
		if err != nil {
			return nil, err
		}
		return except(c.work, d, named, spell)
	})
}
