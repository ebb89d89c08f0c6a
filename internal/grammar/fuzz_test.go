package grammar

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// nasty schemas must end soon in a grammar or in a line.
func nastySchemas() []string {
	deep := strings.Repeat(`{"items":`, 5_000) + `true` + strings.Repeat(`}`, 5_000)
	var wide, refs, product strings.Builder
	for i := range 3_000 {
		fmt.Fprintf(&wide, `"p%d":{"type":"string","pattern":"^(a|b)*a(a|b){14}$","minLength":%d},`, i, i)
		fmt.Fprintf(&refs, `"d%d":{"anyOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
	}
	for i := range 30 {
		fmt.Fprintf(&product, `{"anyOf":[{"minLength":%d},{"maxLength":%d},{"pattern":"%d"}]},`, i, 100+i, i)
	}
	return []string{
		``, `{`, `null`, `3`, `[]`, `true`, `false`, `{}`, `{"type":"object"}`, `{"type":"strin"}`, `{"type":[]}`, `{"type":3}`, `{"enum":[]}`, `{"enum":3}`,
		`{"$ref":"#"}`, `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`, `{"$ref":"http://example.com"}`, `{"$ref":"#/nowhere"}`, `{"$ref":3}`,
		`{"allOf":[{"$ref":"#"}]}`, `{"properties":{"a":{"$ref":"#"}},"required":["a"]}`, `{"type":"array","minItems":1,"items":{"$ref":"#"}}`,
		`{"type":"array","minItems":1000000,"items":{"type":"array","minItems":1000000,"items":{"type":"string","minLength":1000000}}}`,
		`{"type":"array","minItems":268435455,"maxItems":1e300}`, `{"type":"array","prefixItems":[true,{"type":"null"},false]}`,
		`{"type":"string","pattern":"((a{1,100}){1,100}){1,100}"}`, `{"type":"string","pattern":"(a|b)*a(a|b){30}"}`, `{"type":"string","pattern":"("}`, `{"type":"string","pattern":"\\bx"}`,
		`{"type":"string","pattern":"^x","maxLength":100000}`, `{"type":"string","minLength":5,"maxLength":3}`, `{"type":"string","minLength":1e99}`, `{"pattern":"(?=a)b"}`,
		`{"type":"number","minimum":1e308,"maximum":1e308}`, `{"type":"number","minimum":1e999}`, `{"type":"integer","minimum":0.1,"maximum":0.2}`, `{"type":"number","exclusiveMinimum":1e-300,"maximum":1e-299}`,
		`{"multipleOf":0}`, `{"type":"integer","multipleOf":7,"minimum":-100}`, `{"multipleOf":1e-5}`, `{"type":"number","multipleOf":0.3}`, `{"const":1e400}`, `{"const":{"a":[1,{"b":"\u0000"}]}}`,
		`{"not":{}}`, `{"not":{"type":"string"}}`, `{"if":{},"then":{}}`, `{"oneOf":[{"type":"string"},{"minLength":3}]}`, `{"oneOf":[{"const":1},{"const":2}]}`, `{"uniqueItems":true}`,
		`{"oneOf":[{"properties":{"t":{"const":"a"}},"required":["t"]},{"properties":{"t":{"const":"b"}},"required":["t"]}],"type":"object"}`,
		`{"required":["a","b"],"properties":{"b":false}}`, `{"required":["a"],"additionalProperties":false}`, `{"additionalProperties":{"$ref":"#"},"propertyNames":{"enum":["x","y"]}}`,
		`{"patternProperties":{"(":true}}`, `{"patternProperties":{"^a":{"type":"integer"}},"additionalProperties":false}`, `{"minProperties":3}`, `{"unevaluatedProperties":{}}`, `{"properties":{"a":true},"maxProperties":1}`, `{"properties":{"a":true,"b":true},"maxProperties":1}`,
		`{"allOf":[{"properties":{"a":true},"unevaluatedProperties":false},{"properties":{"b":true}}]}`, `{"$ref":"#/$defs/a","unevaluatedProperties":false,"$defs":{"a":{"properties":{"x":{"type":"null"}}}}}`,
		`{"type":"object","properties":{"a":{"type":"string"},"a":{"type":"integer"}}}`, `{"title":"\ud800"}`, "{\"title\":\"\xff\"}", `{"anyOf":[true,false,{"type":"null"}]}`,
		deep, strings.Repeat(`[`, 100_000), `{"properties":{` + strings.TrimSuffix(wide.String(), ",") + `}}`,
		`{"properties":{` + strings.TrimSuffix(wide.String()[:100_000], ",")[:99_000] + `}}`, `{"$ref":"#/$defs/d0","$defs":{` + refs.String() + `"d3000":true}}`,
		`{"allOf":[` + product.String() + `true]}`, `{"enum":[` + strings.Repeat(`"x",`, 200_000) + `1]}`, `{"enum":[` + strings.Repeat(`"aaaaaaaaaaaa",`, 1_900) + `"b"]}`,
		`{"$defs":{"n":{"type":"object","properties":{"l":{"$ref":"#/$defs/n"},"r":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["r"]}},"$ref":"#/$defs/n"}`,
	}
}

// FuzzJSONSchema: whatever the bytes, an error of one line, or a grammar within which an answer can be completed.
func FuzzJSONSchema(f *testing.F) {
	for _, schema := range nastySchemas() {
		f.Add([]byte(schema))
	}
	for seed := range uint64(20) {
		f.Add(randomSchema(seed))
	}
	f.Fuzz(func(t *testing.T, schema []byte) {
		g, err := JSONSchema(schema)
		if err != nil {
			oneLine(t, err)
		} else if text := tryAnswer(t, g); text != "" && !json.Valid([]byte(text)) {
			t.Fatalf("%s: made %q", schema, text)
		}
		if _, err := Tools([]Tool{{Name: "f", Parameters: schema}}, ToolOptions{Required: true}); err != nil {
			oneLine(t, err)
		}
	})
}

// TestMutated changes, cuts and joins the seeds of the fuzz targets at random.
func TestMutated(t *testing.T) {
	count := 500
	if *full {
		count = 5_000
	}
	r := rand.New(rand.NewPCG(4, 4))
	var schemas []string
	for _, s := range nastySchemas() {
		if len(s) < 1_000 {
			schemas = append(schemas, s)
		}
	}
	for seed := range uint64(20) {
		schemas = append(schemas, string(randomSchema(seed)))
	}
	compiled := 0
	for i := range count {
		list, compile := schemas, func(text string) (*Grammar, error) { return JSONSchema([]byte(text)) }
		switch i % 4 {
		case 2:
			list, compile = grammars, EBNF
		case 3:
			list, compile = patterns, Regex
		}
		text := mutated(r, list)
		g, err := compile(text)
		if err != nil {
			oneLine(t, err)
			continue
		}
		compiled++
		tryAnswer(t, g)
	}
	t.Logf("%d of %d compiled", compiled, count)
	if compiled < count/20 {
		t.Errorf("only %d of %d compiled", compiled, count)
	}
}

// mutated is a text with a few changes that often leave it well formed.
func mutated(r *rand.Rand, list []string) string {
	text := list[r.IntN(len(list))]
	for range 1 + r.IntN(3) {
		at := r.IntN(len(text) + 1)
		to := min(len(text), at+1+r.IntN(4))
		other := list[r.IntN(len(list))]
		switch r.IntN(6) {
		case 0:
			text = text[:at] + text[to:]
		case 1:
			text = text[:at] + string(rune(r.IntN(128))) + text[at:]
		case 2:
			from := r.IntN(len(other) + 1)
			text = text[:at] + other[from:] + text[at:]
		case 3:
			text = strings.Replace(text, []string{"0", "1", "2", "a", "true"}[r.IntN(5)], []string{"9", "1e9", "-3", "*", "{}", "|"}[r.IntN(6)], 1+r.IntN(3))
		case 4:
			text = strings.Replace(text, []string{"string", "object", "integer", "items", "anyOf", "min"}[r.IntN(6)], []string{"array", "null", "number", "oneOf", "allOf", "max"}[r.IntN(6)], 1)
		default:
			text = text[:at] + text[at:to] + text[at:]
		}
	}
	return text
}

// tryAnswer completes an answer, if it takes no more than some thousand tokens.
func tryAnswer(t *testing.T, g *Grammar) string {
	t.Helper()
	if g.Start(toy()).cost() > 2_000 {
		return ""
	}
	text, _ := answer(t, g, toy(), 3, 12)
	return text
}

// FuzzEBNF is FuzzJSONSchema for grammars.
func FuzzEBNF(f *testing.F) {
	for _, text := range grammars {
		f.Add(text)
	}
	for _, text := range ambiguous {
		f.Add(text)
	}
	var doubling strings.Builder
	for i := range 40 {
		fmt.Fprintf(&doubling, "r%d ::= r%d r%d\n", i, i+1, i+1)
	}
	f.Add(doubling.String() + `r40 ::= ""`)
	f.Add(doubling.String() + `r40 ::= "a"`)
	f.Add(doubling.String() + `r40 ::= "a" | ""`)
	f.Add(`root ::= ((((("a"{1000}){1000}){1000}){1000}){1000})?`)
	f.Add(`root ::= (("a"?){1000000}){1000000}`)
	f.Add(`root ::= ("a" root?){0,1000} | ("b"? root2){3} "c" root2 ::= "x" | ""`)
	f.Add("root ::= " + strings.Repeat("(", 190) + `"a"` + strings.Repeat(")*", 190))
	f.Add(`root ::= ` + strings.Repeat(`[a-m]* [n-z]* `, 500))
	f.Fuzz(func(t *testing.T, text string) {
		g, err := EBNF(text)
		if err != nil {
			oneLine(t, err)
			return
		}
		tryAnswer(t, g)
	})
}

// FuzzRegex is FuzzJSONSchema for regular expressions.
func FuzzRegex(f *testing.F) {
	for _, pattern := range patterns {
		f.Add(pattern)
	}
	for _, pattern := range []string{`(a|b)*a(a|b){20}`, `((a{1,99}){1,99}){1,99}`, `(?:(?:a*)*)*`, `[^\x00-\x{10ffff}]`, `\pL+`, `(`, `a**`, `\b`, `(?m)^a$`, `$a`, `a^`, strings.Repeat("(", 2_000), strings.Repeat("\xce\x10", 200)} {
		f.Add(pattern)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		g, err := Regex(pattern)
		if err != nil {
			oneLine(t, err)
			return
		}
		tryAnswer(t, g)
	})
}
