package grammar

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// maxChain is how many schemas may stand behind one another by $ref, allOf, anyOf and oneOf.
const maxChain = 64

// compiler makes nodes of schemas.
type compiler struct {
	builder
	root     *value
	parents  map[*value]parent
	ids      map[*value]int // of schemas, to know a conjunction by
	rules    map[string]*node
	places   map[*node]*value // of rules
	leaves   map[string]*node // of numbers and patterns
	readings int
	matchers map[string]*regexp.Regexp // of patterns, nil where Go has none

	text    *dfa     // the inside of JSON strings
	tags    []string // that are not in them
	ordered bool     // properties come in the order of the schema
	what    string   // the input, in errors
}

// parent is where a value of the input stands.
type parent struct {
	of  *value
	key string
}

func newCompiler(what string, schema []byte) (*compiler, error) {
	if len(schema) > maxInput {
		return nil, fault(what, "length", fmt.Sprintf("%d bytes", len(schema)), fmt.Sprintf("write at most %d", maxInput))
	}
	root, err := parseValue(schema)
	if err != nil {
		return nil, fault(what, "JSON", err.Error(), fmt.Sprintf("write a JSON object of at most %d levels", maxNesting))
	}
	c := &compiler{builder: newBuilder(), root: root, parents: map[*value]parent{}, ids: map[*value]int{}, rules: map[string]*node{}, places: map[*node]*value{}, leaves: map[string]*node{}, matchers: map[string]*regexp.Regexp{}, what: what}
	c.index(root)
	return c, nil
}

// index notes where the values stand.
func (c *compiler) index(v *value) {
	c.ids[v] = len(c.ids)
	for i, item := range v.items {
		c.parents[item] = parent{v, fmt.Sprint(i)}
		c.index(item)
	}
	for _, key := range v.keys {
		c.parents[v.fields[key]] = parent{v, key}
		c.index(v.fields[key])
	}
}

// fault is the error of a value of the input, named by its JSON pointer.
func (c *compiler) fault(at *value, found, mend string) error {
	const most = 80
	path := ""
	for p, ok := c.parents[at]; ok; p, ok = c.parents[p.of] {
		if path = "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p.key) + path; len(path) > most {
			path = "..." + path[len(path)-most:]
			break
		}
	}
	where := strings.Replace(quote("#" + path)[1:]+" ", `" `, "", 1)
	return fault(c.what, strings.TrimSpace(strings.Replace(where, `"...`, "...", 1)), found, mend)
}

// read multiplies out what schemas say together. No shape at all means that nothing satisfies them.
func (c *compiler) read(schemas conjunction) ([]*shape, error) {
	shapes := []*shape{anyShape()}
	var err error
	for _, schema := range schemas {
		if shapes, err = c.apply(shapes, schema, 0); err != nil {
			return nil, err
		}
	}
	return shapes, nil
}

// apply adds what a schema says to shapes.
func (c *compiler) apply(shapes []*shape, at *value, depth int) ([]*shape, error) {
	for _, s := range shapes {
		c.readings += 1 + len(s.values)/16 + len(s.objects) + len(s.required)/16
	}
	c.readings++
	switch {
	case at.kind == kindBoolean && at.truth:
		return shapes, nil
	case at.kind == kindBoolean:
		return nil, nil
	case at.kind != kindObject:
		return nil, c.fault(at, "no schema", "write an object, true or false")
	case depth > maxChain:
		return nil, c.fault(at, "schemas that refer to one another without end", "give each reference something to be")
	case c.readings > maxReadings:
		return nil, c.fault(at, "too many combinations", "use fewer alternatives")
	}
	applied := make([]*shape, 0, len(shapes))
	for _, s := range shapes {
		s = s.clone()
		s.at = at
		if err := c.applyOwn(s, at); err != nil {
			return nil, err
		}
		if s.kinds != 0 {
			applied = append(applied, s)
		}
	}
	applied, err := c.applyOthers(applied, at, depth+1)
	if u := at.fields["unevaluatedProperties"]; u != nil && !u.truth {
		for _, s := range applied {
			s.sealed = true
		}
	}
	return applied, err
}

// applyOwn adds the keywords of a schema itself.
func (c *compiler) applyOwn(s *shape, at *value) error {
	for _, key := range at.keys {
		v := at.fields[key]
		read, known := keywords[key]
		switch {
		case known:
			if err := read(c, s, at, v); err != nil {
				return err
			}
		case slices.Contains(refused, key):
			return c.fault(v, "a keyword that is not supported", "take it out")
		}
	}
	if err := c.readArray(s, at); err != nil {
		return err
	}
	if err := c.readObject(s, at); err != nil {
		return err
	}
	if s.listed {
		s.values = slices.DeleteFunc(slices.Clone(s.values), func(v *value) bool { return !c.fits(s, v) })
		s.kinds = 0
		for _, v := range s.values {
			s.kinds |= v.kind
		}
	}
	return nil
}

// applyOthers adds the schemas that a schema is made of.
func (c *compiler) applyOthers(shapes []*shape, at *value, depth int) (_ []*shape, err error) {
	if ref := at.fields["$ref"]; ref != nil {
		target, err := c.resolve(ref)
		if err != nil {
			return nil, err
		}
		if shapes, err = c.apply(shapes, target, depth); err != nil {
			return nil, err
		}
	}
	for _, key := range []string{"allOf", "anyOf", "oneOf"} {
		list := at.fields[key]
		if list == nil {
			continue
		}
		if list.kind != kindArray || len(list.items) == 0 {
			return nil, c.fault(list, "no list of schemas", "write an array of at least one")
		}
		if key == "allOf" {
			for _, sub := range list.items {
				if shapes, err = c.apply(shapes, sub, depth); err != nil {
					return nil, err
				}
			}
			continue
		}
		if shapes, err = c.applyAny(shapes, list, key == "oneOf", depth); err != nil {
			return nil, err
		}
	}
	return shapes, nil
}

// applyAny multiplies out alternatives, of which exactly one may hold if they are to be disjoint.
func (c *compiler) applyAny(shapes []*shape, list *value, disjoint bool, depth int) ([]*shape, error) {
	var ways [][]*shape
	count := 0
	for _, sub := range list.items {
		way, err := c.apply(shapes, sub, depth)
		if err != nil {
			return nil, err
		}
		ways = append(ways, way)
		if count += len(way); count > maxShapes {
			return nil, c.fault(list, "too many combinations", "use fewer alternatives")
		}
	}
	for i := range ways {
		for j := range ways[:i] {
			for _, s := range ways[i] {
				if disjoint && slices.ContainsFunc(ways[j], func(t *shape) bool { return !c.disjoint(s, t) }) {
					return nil, c.fault(list, fmt.Sprintf("alternatives %d and %d, which one value may satisfy both", j, i),
						"use anyOf, or give them a required property whose const differs")
				}
			}
		}
	}
	return slices.Concat(ways...), nil
}

// resolve finds what a reference refers to.
func (c *compiler) resolve(ref *value) (*value, error) {
	at := c.root
	path, ok := strings.CutPrefix(ref.text, "#")
	path, err := url.PathUnescape(path)
	if ref.kind != kindString || !ok || err != nil {
		return nil, c.fault(ref, "a reference to elsewhere", "refer to a place of this schema, such as #/$defs/name")
	}
	if path == "" {
		return at, nil
	}
	if path[0] != '/' {
		for v := range maps.Keys(c.parents) {
			if a := v.fields["$anchor"]; a != nil && a.text == path {
				return v, nil
			}
		}
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		next := at.fields[part]
		for i, item := range at.items {
			if part == fmt.Sprint(i) {
				next = item
			}
		}
		if next == nil {
			return nil, c.fault(ref, "a reference to "+quote(ref.text)+", which is not there", "define it under $defs")
		}
		at = next
	}
	return at, nil
}
