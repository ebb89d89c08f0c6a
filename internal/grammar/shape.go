package grammar

import (
	"math/big"
	"regexp"
	"slices"
	"unicode/utf8"
)

// shape is one way of satisfying a schema, with nothing but constraints that hold together.
type shape struct {
	at     *value // the last schema that went into it
	kinds  kinds
	values []*value // one of these, where listed
	listed bool

	number    interval
	multiples []*big.Rat

	minChars, maxChars int // maxChars and maxItems are -1 for no bound
	patterns           []string
	pattern            *value // where the last of them is

	minItems, maxItems int
	arrays             []arrayRule

	objects  []objectRule
	required []string
	names    conjunction // of property names
	closed   bool        // only properties that have a name in an objectRule
	sealed   bool        // and no further objectRule
	most     int         // properties, -1 for no bound
}

// conjunction is schemas that hold together.
type conjunction []*value

// arrayRule is what one schema says of items.
type arrayRule struct {
	prefix []*value
	items  *value // of the others, nil for any
}

// objectRule is what one schema says of properties.
type objectRule struct {
	properties *value // nil for none
	patterns   []patternRule
	additional *value // of those that have neither name nor pattern, nil for any
}

type patternRule struct {
	pattern string
	match   *regexp.Regexp
	schema  *value
}

func anyShape() *shape {
	return &shape{kinds: kindAny, maxChars: -1, maxItems: -1, most: -1}
}

// clone copies a shape: what is added to the copy is not added to the original.
func (s *shape) clone() *shape {
	c := *s
	c.values = slices.Clip(c.values)
	c.multiples = slices.Clip(c.multiples)
	c.patterns = slices.Clip(c.patterns)
	c.arrays = slices.Clip(c.arrays)
	c.objects = slices.Clip(c.objects)
	c.required = slices.Clip(c.required)
	c.names = slices.Clip(c.names)
	return &c
}

// item is what holds of the item at a place.
func (s *shape) item(at int) (c conjunction) {
	for _, r := range s.arrays {
		switch {
		case at < len(r.prefix):
			c = append(c, r.prefix[at])
		case r.items != nil:
			c = append(c, r.items)
		}
	}
	return c
}

// prefix is how many items have a schema of their own.
func (s *shape) prefix() (n int) {
	for _, r := range s.arrays {
		n = max(n, len(r.prefix))
	}
	return n
}

// property is what holds of a property. named says that a schema has it by name or pattern.
func (s *shape) property(name string) (c conjunction, named bool) {
	for _, r := range s.objects {
		found := false
		if r.properties != nil && r.properties.fields[name] != nil {
			c, found = append(c, r.properties.fields[name]), true
		}
		for _, p := range r.patterns {
			if p.match.MatchString(name) {
				c, found = append(c, p.schema), true
			}
		}
		if !found && r.additional != nil {
			c = append(c, r.additional)
		}
		named = named || found
	}
	return c, named
}

// propertyNames are those that schemas name, in their order, then those that are only required.
func (s *shape) propertyNames() []string {
	var names []string
	seen := map[string]bool{}
	add := func(list []string) {
		for _, name := range list {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	for _, r := range s.objects {
		if r.properties != nil {
			add(r.properties.keys)
		}
	}
	add(s.required)
	return names
}

// others is what holds of the properties that have no name in a schema, and the pattern that their names must match, if any. It
// reports false where nothing says that there are others.
func (s *shape) others() (c conjunction, pattern string, ok bool) {
	named := false
	for _, r := range s.objects {
		named = named || r.properties != nil && len(r.properties.keys) > 0
		if len(r.patterns) == 0 && r.additional != nil {
			c, ok = append(c, r.additional), true
		}
		for i, p := range r.patterns {
			c, ok = append(c, p.schema), true
			switch {
			case pattern == "":
				pattern = p.pattern
			case i == 0 && r.additional != nil: // names match none of these patterns, for all that is known
				c = append(c, r.additional)
			}
		}
	}
	no := func(v *value) bool { return v.kind == kindBoolean && !v.truth }
	return c, pattern, (ok || !named) && !slices.ContainsFunc(c, no)
}

// disjoint reports whether no value has both shapes, as far as that is easily seen.
func (c *compiler) disjoint(s, t *shape) bool {
	if s.listed {
		return !slices.ContainsFunc(s.values, func(v *value) bool { return c.admits(t, v) })
	}
	if t.listed {
		return c.disjoint(t, s)
	}
	both := s.kinds & t.kinds
	if both != kindObject {
		return both == 0
	}
	for _, name := range slices.Concat(s.required, t.required) {
		if c.apart(s, t, name) {
			return true
		}
	}
	return false
}

// apart reports whether two objects that both have a property must differ in it. Of a property that only one must have it says
// nothing.
func (c *compiler) apart(s, t *shape, name string) bool {
	if !slices.Contains(s.required, name) || !slices.Contains(t.required, name) {
		return false
	}
	one, _ := s.property(name)
	two, _ := t.property(name)
	if len(one)+len(two) > 64 {
		return false
	}
	shapes, err := c.read(slices.Concat(one, two))
	return err == nil && len(shapes) == 0
}

// admits reports whether a value has a shape.
func (c *compiler) admits(s *shape, v *value) bool {
	equal := func(w *value) bool { return v.canonical() == w.canonical() }
	return (!s.listed || slices.ContainsFunc(s.values, equal)) && c.fits(s, v)
}

// fits reports whether a value has a shape, if it is one of those listed.
func (c *compiler) fits(s *shape, v *value) bool {
	if s.kinds&v.kind == 0 {
		return false
	}
	switch v.kind {
	case kindInteger, kindFraction:
		r := v.rat()
		whole := func(m *big.Rat) bool { return new(big.Rat).Quo(r, m).IsInt() }
		return s.number.contains(r) && !slices.ContainsFunc(s.multiples, func(m *big.Rat) bool { return !whole(m) })
	case kindString:
		n := utf8.RuneCountInString(v.text)
		matches := func(pattern string) bool { m := c.matcher(pattern); return m != nil && m.MatchString(v.text) }
		return n >= s.minChars && (s.maxChars < 0 || n <= s.maxChars) && !slices.ContainsFunc(s.patterns, func(p string) bool { return !matches(p) })
	case kindArray:
		return c.admitsArray(s, v)
	case kindObject:
		return c.admitsObject(s, v)
	}
	return true
}

func (c *compiler) admitsArray(s *shape, v *value) bool {
	if len(v.items) < s.minItems || s.maxItems >= 0 && len(v.items) > s.maxItems {
		return false
	}
	for i, item := range v.items {
		if !c.admitsAll(s.item(i), item) {
			return false
		}
	}
	return true
}

func (c *compiler) admitsObject(s *shape, v *value) bool {
	for _, name := range s.required {
		if v.fields[name] == nil {
			return false
		}
	}
	for _, name := range v.keys {
		schemas, named := s.property(name)
		if s.closed && !named || !c.admitsAll(schemas, v.fields[name]) || !c.admitsAll(s.names, &value{kind: kindString, text: name}) {
			return false
		}
	}
	return true
}

func (c *compiler) admitsAll(schemas conjunction, v *value) bool {
	shapes, err := c.read(schemas)
	return err == nil && slices.ContainsFunc(shapes, func(s *shape) bool { return c.admits(s, v) })
}
