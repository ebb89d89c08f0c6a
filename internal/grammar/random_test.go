package grammar

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var full = flag.Bool("full", false, "run the counts that the issue states, and more")

// schemaMaker writes random schemas.
type schemaMaker struct {
	*rand.Rand
	defs int
}

func (r *schemaMaker) pick(list ...string) string { return list[r.IntN(len(list))] }

// schema is a random schema of at most so many levels.
func (r *schemaMaker) schema(depth int) any {
	if depth <= 0 {
		return r.scalar()
	}
	switch r.IntN(12) {
	case 0, 1, 2:
		return r.object(depth)
	case 3, 4:
		return r.array(depth)
	case 5:
		return map[string]any{r.pick("anyOf", "anyOf", "oneOf"): []any{r.object(depth - 1), r.scalar(), r.array(depth - 1)}}
	case 6:
		return map[string]any{"anyOf": []any{r.schema(depth - 1), r.schema(depth - 1)}, "title": "either"}
	case 7:
		if r.defs > 0 {
			return map[string]any{"$ref": fmt.Sprintf("#/$defs/d%d", r.IntN(r.defs))}
		}
	case 8:
		return map[string]any{"allOf": []any{r.object(depth - 1), r.object(depth - 1)}}
	}
	return r.scalar()
}

func (r *schemaMaker) scalar() map[string]any {
	switch r.IntN(11) {
	case 0:
		return map[string]any{"type": "boolean"}
	case 1:
		return map[string]any{"type": []any{"null", r.pick("string", "integer", "number", "array", "object")}}
	case 2:
		return map[string]any{"enum": []any{"red", "gr\"een", 7, 2.5, nil, true, []any{1, "x"}, map[string]any{"k": "</think>"}}[r.IntN(4):]}
	case 3:
		return map[string]any{"const": []any{"é\n", -12, 1e3, false, map[string]any{"a": []any{}}}[r.IntN(5)]}
	case 4, 5:
		return r.number()
	case 6:
		return map[string]any{"type": "string", "format": r.pick("date", "time", "date-time", "uuid", "ipv4", "ipv6", "email", "hostname", "uri", "duration", "unknown")}
	case 7:
		s := map[string]any{"type": "string", "pattern": r.pick(`^[a-z]+$`, `\d{2}`, `^(foo|bar)*x?$`, `^.{3,5}$`, `"`, `^\S+@\S+$`, `^[^<>]*$`, `é|ü`)}
		if r.IntN(2) == 0 {
			s["minLength"], s["maxLength"] = r.IntN(4), 4+r.IntN(12)
		}
		return s
	}
	s := map[string]any{"type": "string"}
	if r.IntN(2) == 0 {
		s["minLength"] = r.IntN(30)
	}
	if r.IntN(2) == 0 {
		s["maxLength"] = 30 + r.IntN(r.IntN(200)+1)
	}
	return s
}

func (r *schemaMaker) number() map[string]any {
	s := map[string]any{"type": r.pick("integer", "number")}
	low := (r.Float64() - 0.7) * []float64{1, 10, 1000, 1e9, 1e17}[r.IntN(5)]
	if s["type"] == "integer" || r.IntN(2) == 0 {
		low = float64(int64(low))
	}
	if r.IntN(3) > 0 {
		s[r.pick("minimum", "exclusiveMinimum")] = low
	}
	if r.IntN(3) > 0 {
		s[r.pick("maximum", "exclusiveMaximum")] = low + 2 + r.Float64()*[]float64{1, 100, 1e6}[r.IntN(3)]
	}
	if r.IntN(5) == 0 {
		s["multipleOf"] = []any{1, 3, 10, 0.5 + 0.5, 25}[r.IntN(5)]
	}
	return s
}

func (r *schemaMaker) object(depth int) map[string]any {
	properties, required := map[string]any{}, []any{}
	for range r.IntN(5) {
		name := r.pick("name", "value", "x", "ключ", "with \"quote\"", "items", "</think>", "a/b")
		_, known := properties[name]
		properties[name] = r.schema(depth - 1)
		if !known && r.IntN(2) == 0 {
			required = append(required, name)
		}
	}
	s := map[string]any{"type": "object", "properties": properties, "required": required}
	switch r.IntN(5) {
	case 0, 1:
		s["additionalProperties"] = false
	case 2:
		s["additionalProperties"] = r.schema(depth - 1)
		if r.IntN(3) == 0 {
			s["propertyNames"] = map[string]any{"maxLength": 20, "pattern": "^[a-zа-я</>\" ]+$"}
		}
	case 3:
		s["patternProperties"] = map[string]any{"^[xyz]": r.schema(depth - 1), "e$": r.scalar()}
	}
	return s
}

func (r *schemaMaker) array(depth int) map[string]any {
	s := map[string]any{"type": "array", "items": r.schema(depth - 1)}
	if r.IntN(2) == 0 {
		s["minItems"] = r.IntN(5)
	}
	if r.IntN(2) == 0 {
		s["maxItems"] = 4 + r.IntN(6)
	}
	if r.IntN(4) == 0 {
		s["prefixItems"] = []any{r.scalar(), r.schema(depth - 1)}
	}
	return s
}

// randomSchema is a schema with definitions that may recurse.
func randomSchema(seed uint64) []byte {
	r := schemaMaker{Rand: rand.New(rand.NewPCG(seed, 5))}
	r.defs = r.IntN(4)
	defs := map[string]any{}
	for i := range r.defs {
		defs[fmt.Sprintf("d%d", i)] = r.object(2)
	}
	s, ok := r.schema(1 + r.IntN(4)).(map[string]any)
	if !ok {
		s = map[string]any{}
	}
	s["$defs"] = defs
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return text
}

// validator compiles a schema with another implementation.
func validator(t testing.TB, schema []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(schema)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	return s
}

// spaced finds two blanks, or one that is no space, outside strings.
var (
	spaced    = regexp.MustCompile(`[\t\r\n]|  `)
	inStrings = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	longInt   = regexp.MustCompile(`\d{17}`)
)

func checkText(t testing.TB, schema []byte, s *jsonschema.Schema, seed uint64, text string) {
	t.Helper()
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err == nil {
		err = s.Validate(instance)
	}
	if err != nil {
		t.Fatalf("seed %d: %s\nmade %q\n%v", seed, schema, text, err)
	}
	bare := inStrings.ReplaceAllString(text, `""`)
	if spaced.MatchString(bare) || longInt.MatchString(bare) {
		t.Fatalf("seed %d: %q: blanks or long integers", seed, text)
	}
}

// TestRandomSchemas lets models with random weights answer within random schemas, with plenty of tokens and with few. Another
// implementation judges the answers.
func TestRandomSchemas(t *testing.T) {
	count, refused, used := 500, 0, 0
	if *full {
		count = 2_000
	}
	for seed := uint64(0); used < count; seed++ {
		schema := randomSchema(seed)
		g, err := JSONSchema(schema)
		if err != nil {
			refused++
			oneLine(t, err)
			continue
		}
		used++
		s := validator(t, schema)
		for i, tokens := range []int{1, 30, 200} {
			text, _ := answer(t, g, demo(), seed*3+uint64(i), tokens)
			checkText(t, schema, s, seed, text)
		}
		if *full || seed%5 == 0 {
			checkMasks(t, g, toy(), seed, 10)
		}
	}
	t.Logf("%d schemas, and %d that were refused", used, refused)
	if refused > used/2 {
		t.Errorf("%d of %d schemas were refused", refused, used+refused)
	}
}

// oneLine checks the form of an error.
func oneLine(t testing.TB, err error) {
	t.Helper()
	if text := err.Error(); strings.ContainsAny(text, "\n\r") || len(text) > 500 || strings.Count(text, ": ") < 3 || !strings.HasPrefix(text, "bad ") {
		t.Fatalf("not a line of WHAT: WHERE: HOW TO MEND: %q", text)
	}
}
