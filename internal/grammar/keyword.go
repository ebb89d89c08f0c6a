package grammar

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
)

// maxCount is the greatest bound on items or characters: more than any answer has.
const maxCount = 1 << 28

// refused are keywords that no automaton of ours can keep. Those that are neither here nor known say nothing of what is valid.
var refused = []string{
	"$dynamicRef", "$recursiveRef", "contains", "dependencies", "dependentRequired", "dependentSchemas", "if", "unevaluatedItems",
}

// keywords are those that add a constraint of their own to a shape.
var keywords = map[string]func(c *compiler, s *shape, at, v *value) error{
	"type":                  (*compiler).readType,
	"enum":                  (*compiler).readEnum,
	"const":                 (*compiler).readConst,
	"minimum":               (*compiler).readMinimum,
	"maximum":               (*compiler).readMaximum,
	"exclusiveMinimum":      (*compiler).readOver,
	"exclusiveMaximum":      (*compiler).readUnder,
	"multipleOf":            (*compiler).readMultiple,
	"minLength":             func(c *compiler, s *shape, _, v *value) error { return c.raise(&s.minChars, v) },
	"maxLength":             func(c *compiler, s *shape, _, v *value) error { return c.lower(&s.maxChars, v) },
	"minItems":              func(c *compiler, s *shape, _, v *value) error { return c.raise(&s.minItems, v) },
	"maxItems":              func(c *compiler, s *shape, _, v *value) error { return c.lower(&s.maxItems, v) },
	"uniqueItems":           (*compiler).readUnique,
	"minProperties":         (*compiler).readMinProperties,
	"maxProperties":         (*compiler).readMaxProperties,
	"pattern":               (*compiler).readPattern,
	"format":                (*compiler).readFormat,
	"required":              (*compiler).readRequired,
	"propertyNames":         func(_ *compiler, s *shape, _, v *value) error { s.names = append(s.names, v); return nil },
	"unevaluatedProperties": (*compiler).readUnevaluated,
	"not":                   (*compiler).readNot,
}

var kindNames = map[string]kinds{
	"null": kindNull, "boolean": kindBoolean, "integer": kindInteger, "number": kindNumber, "string": kindString, "array": kindArray, "object": kindObject,
}

func (c *compiler) readType(s *shape, _, v *value) error {
	list := []*value{v}
	if v.kind == kindArray {
		list = v.items
	}
	allowed := kinds(0)
	for _, name := range list {
		k := kindNames[name.text]
		if k == 0 {
			allowed = 0
			break
		}
		allowed |= k
	}
	if allowed == 0 {
		return c.fault(v, "an unknown type, or none", "use null, boolean, integer, number, string, array or object")
	}
	s.kinds &= allowed
	return nil
}

func (c *compiler) readEnum(s *shape, _, v *value) error {
	if v.kind != kindArray || len(v.items) == 0 {
		return c.fault(v, "no list of values", "write an array of at least one")
	}
	if len(v.items) > maxMembers {
		return c.fault(v, fmt.Sprintf("%d values", len(v.items)), fmt.Sprintf("use at most %d", maxMembers))
	}
	c.list(s, v.items)
	return nil
}

func (c *compiler) readConst(s *shape, _, v *value) error {
	c.list(s, []*value{v})
	return nil
}

func (c *compiler) list(s *shape, values []*value) {
	if s.listed {
		known := map[string]bool{}
		for _, v := range s.values {
			known[v.canonical()] = true
		}
		values = slices.DeleteFunc(slices.Clone(values), func(v *value) bool { return !known[v.canonical()] })
	}
	s.values, s.listed = values, true
}

func (c *compiler) number(v *value) (*big.Rat, error) {
	if v.kind&kindNumber == 0 {
		return nil, c.fault(v, "no number", "write one")
	}
	return v.rat(), nil
}

func (c *compiler) readMinimum(s *shape, at, v *value) error {
	r, err := c.number(v)
	if err == nil {
		s.number.over(r, at.fields["exclusiveMinimum"] != nil && at.fields["exclusiveMinimum"].truth)
	}
	return err
}

func (c *compiler) readMaximum(s *shape, at, v *value) error {
	r, err := c.number(v)
	if err == nil {
		s.number.under(r, at.fields["exclusiveMaximum"] != nil && at.fields["exclusiveMaximum"].truth)
	}
	return err
}

// readOver reads a bound that is left out. As a boolean, an older form, it belongs to minimum.
func (c *compiler) readOver(s *shape, _, v *value) error {
	if v.kind == kindBoolean {
		return nil
	}
	r, err := c.number(v)
	if err == nil {
		s.number.over(r, true)
	}
	return err
}

func (c *compiler) readUnder(s *shape, _, v *value) error {
	if v.kind == kindBoolean {
		return nil
	}
	r, err := c.number(v)
	if err == nil {
		s.number.under(r, true)
	}
	return err
}

func (c *compiler) readMultiple(s *shape, _, v *value) error {
	r, err := c.number(v)
	switch {
	case err != nil:
		return err
	case r.Sign() <= 0:
		return c.fault(v, "no number above 0", "write one")
	}
	if _, _, ok := multiple(r); !ok {
		return c.fault(v, "a step that is not supported", fmt.Sprintf("use 1 to %d, or tenths, hundredths and so on of these", maxStep))
	}
	s.multiples = append(s.multiples, r)
	return nil
}

// count reads a bound on a number of things.
func (c *compiler) count(v *value) (int, error) {
	if v.kind != kindInteger || v.rat().Sign() < 0 {
		return 0, c.fault(v, "no count", "write an integer that is not negative")
	}
	if n := v.rat().Num(); n.IsInt64() && n.Int64() <= maxCount {
		return int(n.Int64()), nil
	}
	return maxCount, nil
}

func (c *compiler) raise(bound *int, v *value) error {
	n, err := c.count(v)
	if err == nil && n == maxCount {
		err = c.fault(v, "more than any answer has", fmt.Sprintf("write less than %d", maxCount))
	}
	*bound = max(*bound, n)
	return err
}

func (c *compiler) lower(bound *int, v *value) error {
	n, err := c.count(v)
	if *bound < 0 || n < *bound {
		*bound = n
	}
	return err
}

func (c *compiler) readPattern(s *shape, _, v *value) error {
	if v.kind != kindString {
		return c.fault(v, "no pattern", "write a regular expression")
	}
	if _, err := parsePattern(v.text); err != nil {
		return c.fault(v, err.Error(), "write a regular expression without it")
	}
	s.patterns, s.pattern = append(s.patterns, v.text), v
	return nil
}

// readFormat enforces the formats that are plain patterns. Others say nothing of what is valid.
func (c *compiler) readFormat(s *shape, _, v *value) error {
	if v.kind != kindString {
		return c.fault(v, "no name of a format", "write a string")
	}
	if pattern := formats[v.text]; pattern != "" {
		s.patterns, s.pattern = append(s.patterns, pattern), v
	}
	return nil
}

func (c *compiler) readRequired(s *shape, _, v *value) error {
	if v.kind == kindBoolean { // an older form, of a property
		return nil
	}
	have := map[string]bool{}
	for _, name := range s.required {
		have[name] = true
	}
	for _, name := range v.items {
		if name.kind != kindString {
			return c.fault(name, "no name", "write a string")
		}
		if !have[name.text] {
			have[name.text] = true
			s.required = append(s.required, name.text)
		}
	}
	switch {
	case v.kind != kindArray:
		return c.fault(v, "no list of names", "write an array of strings")
	case len(s.required) > maxMembers:
		return c.fault(v, fmt.Sprintf("%d names", len(s.required)), fmt.Sprintf("use at most %d", maxMembers))
	}
	return nil
}

func (c *compiler) readArray(s *shape, at *value) error {
	prefix, items := at.fields["prefixItems"], at.fields["items"]
	if items != nil && items.kind == kindArray { // an older form
		prefix, items = items, at.fields["additionalItems"]
	}
	if prefix != nil && prefix.kind != kindArray {
		return c.fault(prefix, "no list of schemas", "write an array")
	}
	r := arrayRule{items: items}
	if prefix != nil {
		r.prefix = prefix.items
	}
	if prefix != nil || items != nil {
		s.arrays = append(s.arrays, r)
	}
	return nil
}

func (c *compiler) readObject(s *shape, at *value) error {
	r := objectRule{properties: at.fields["properties"], additional: at.fields["additionalProperties"]}
	patterns := at.fields["patternProperties"]
	for _, v := range []*value{r.properties, patterns} {
		if v != nil && v.kind != kindObject {
			return c.fault(v, "no schemas by name", "write an object")
		}
	}
	if patterns != nil {
		for _, key := range patterns.keys {
			_, err := parsePattern(key)
			match := c.matcher(key)
			if err != nil || match == nil {
				return c.fault(patterns.fields[key], "no regular expression that is supported", "write a simpler one")
			}
			r.patterns = append(r.patterns, patternRule{key, match, patterns.fields[key]})
		}
	}
	if r.properties != nil && len(r.properties.keys) > maxMembers {
		return c.fault(r.properties, fmt.Sprintf("%d properties", len(r.properties.keys)), fmt.Sprintf("use at most %d", maxMembers))
	}
	if r.properties != nil || r.additional != nil || len(r.patterns) > 0 {
		if s.sealed {
			return c.fault(at, "properties beside unevaluatedProperties, which is not supported", "put that around all of them")
		}
		s.objects = append(s.objects, r)
	}
	return nil
}

// matcher is a pattern for names and listed values, or nil where it cannot be compiled.
func (c *compiler) matcher(pattern string) *regexp.Regexp {
	m, ok := c.matchers[pattern]
	if !ok {
		m, _ = regexp.Compile(ecma(pattern))
		c.matchers[pattern] = m
	}
	return m
}

// readUnique accepts what is always so: arrays of at most one item.
func (c *compiler) readUnique(s *shape, at, v *value) error {
	if v.kind != kindBoolean || !v.truth {
		return nil
	}
	if most := at.fields["maxItems"]; most != nil {
		if n, err := c.count(most); err == nil && n <= 1 {
			return nil
		}
	}
	return c.fault(v, "a keyword that is not supported", "take it out, or set maxItems to 1")
}

// readMinProperties accepts what the required properties make sure of.
func (c *compiler) readMinProperties(_ *shape, at, v *value) error {
	n, err := c.count(v)
	if required := at.fields["required"]; err == nil && n > 0 && (required == nil || n > len(required.items)) {
		err = c.fault(v, "more than the properties required", "require properties by name")
	}
	return err
}

// readMaxProperties keeps to the properties that have a name: where these are more, members refuses.
func (c *compiler) readMaxProperties(s *shape, _, v *value) error {
	s.closed = true
	return c.lower(&s.most, v)
}

// readUnevaluated takes false for what it comes to here: properties without a name are not written.
func (c *compiler) readUnevaluated(s *shape, _, v *value) error {
	if v.kind != kindBoolean {
		return c.fault(v, "a schema of unevaluated properties, which is not supported", "write false, or additionalProperties")
	}
	if !v.truth && len(s.objects) > 0 {
		return c.fault(v, "properties of another schema beside it, which is not supported", "put it around all of them")
	}
	s.closed = s.closed || !v.truth
	return nil
}

// readNot takes the exclusion of types, and of everything.
func (c *compiler) readNot(s *shape, _, v *value) error {
	if v.kind == kindObject && (len(v.keys) == 0 || len(v.keys) == 1 && v.keys[0] == "type") {
		not := anyShape()
		if len(v.keys) == 1 {
			if err := c.readType(not, v, v.fields["type"]); err != nil {
				return err
			}
		}
		if not.kinds&kindNumber == kindInteger && s.kinds&kindFraction != 0 {
			return c.fault(v, "numbers but no integers, which is not supported", "take it out")
		}
		s.kinds &^= not.kinds
		return nil
	}
	return c.fault(v, "a keyword that is not supported", "take it out")
}
