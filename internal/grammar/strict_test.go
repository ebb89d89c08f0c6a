package grammar

import (
	"fmt"
	"strings"
	"testing"
)

// strictSchemas are of the kinds that OpenAI's strict mode accepts, and of those around it, each with values that must be in the
// language and values that must not, as they are written here.
var strictSchemas = []struct {
	name, schema string
	in, out      []string
}{
	{"object", `{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"number"}},"required":["a","b"],"additionalProperties":false}`,
		[]string{`{"a":"","b":0}`, `{"a": "x", "b": -1.5e3}`, `{"a":"\u00e9\n\"","b":12}`}, []string{`{}`, `{"a":""}`, `{"b":1,"a":""}`, `{"a":"","b":1,"c":2}`, `{"a":1,"b":1}`}},
	{"empty object", `{"type":"object","properties":{},"required":[],"additionalProperties":false}`, []string{`{}`}, []string{`{"a":1}`, `{ }`, `[]`}},
	{"object without properties", `{"type":"object","additionalProperties":false}`, []string{`{}`}, []string{`{"":1}`}},
	{"any object", `{"type":"object"}`, []string{`{}`, `{"a":{"b":[null]}}`, `{"":""}`}, []string{`[]`, `1`}},
	{"nested objects", `{"type":"object","properties":{"o":{"type":"object","properties":{"p":{"type":"object","properties":{"q":{"type":"null"}},"required":["q"],"additionalProperties":false}},"required":["p"],"additionalProperties":false}},"required":["o"],"additionalProperties":false}`,
		[]string{`{"o":{"p":{"q":null}}}`}, []string{`{"o":{"p":{}}}`, `{"o":{"p":null}}`}},
	{"recursion by #", `{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]},"v":{"type":"integer"}},"required":["next","v"],"additionalProperties":false}`,
		[]string{`{"next":null,"v":1}`, `{"next":{"next":{"next":null,"v":3},"v":2},"v":1}`}, []string{`{"next":{},"v":1}`}},
	{"recursion by $defs", `{"type":"object","properties":{"tree":{"$ref":"#/$defs/node"}},"required":["tree"],"additionalProperties":false,"$defs":{"node":{"type":"object","properties":{"children":{"type":"array","items":{"$ref":"#/$defs/node"}}},"required":["children"],"additionalProperties":false}}}`,
		[]string{`{"tree":{"children":[]}}`, `{"tree":{"children":[{"children":[]},{"children":[{"children":[]}]}]}}`}, []string{`{"tree":{"children":[1]}}`}},
	{"mutual recursion", `{"$ref":"#/$defs/a","$defs":{"a":{"type":"object","properties":{"b":{"anyOf":[{"$ref":"#/$defs/b"},{"type":"null"}]}},"required":["b"],"additionalProperties":false},"b":{"type":"array","items":{"$ref":"#/$defs/a"},"maxItems":2}}}`,
		[]string{`{"b":null}`, `{"b":[]}`, `{"b":[{"b":null},{"b":[{"b":[]}]}]}`}, []string{`{"b":[{"b":null},{"b":null},{"b":null}]}`}},
	{"a reference of a reference", `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/c"},"c":{"type":"boolean"}}}`, []string{`true`, `false`}, []string{`null`}},
	{"a reference to an escaped name", `{"$ref":"#/$defs/a~1b~0c%20d%25","$defs":{"a/b~c d%":{"type":"null"}}}`, []string{`null`}, []string{`1`}},
	{"a reference to a property", `{"type":"object","properties":{"a":{"type":"integer","maximum":3},"b":{"$ref":"#/properties/a"}},"required":["a","b"],"additionalProperties":false}`, []string{`{"a":3,"b":-4}`}, []string{`{"a":3,"b":4}`}},
	{"a reference to an item of a list", `{"anyOf":[{"type":"null"},{"type":"array","items":{"$ref":"#/anyOf/0"}}]}`, []string{`null`, `[null,null]`}, []string{`[[]]`}},
	{"a reference to an anchor", `{"$ref":"#here","$defs":{"x":{"$anchor":"here","type":"integer"}}}`, []string{`12`}, []string{`"a"`}},
	{"a reference with others beside it", `{"$ref":"#/$defs/s","maxLength":2,"description":"short","$defs":{"s":{"type":"string","minLength":1}}}`, []string{`"a"`, `"ab"`}, []string{`""`, `"abc"`}},
	{"definitions", `{"type":"array","items":{"$ref":"#/definitions/x"},"definitions":{"x":{"enum":[1,2]}}}`, []string{`[]`, `[1, 2,1]`}, []string{`[3]`}},
	{"anyOf", `{"anyOf":[{"type":"string"},{"type":"integer"},{"type":"object","properties":{"x":{"type":"boolean"}},"required":["x"],"additionalProperties":false}]}`, []string{`""`, `7`, `{"x":true}`}, []string{`null`, `1.5`, `{}`}},
	{"anyOf of objects that begin alike", `{"anyOf":[{"type":"object","properties":{"type":{"const":"a"},"n":{"type":"integer"}},"required":["type","n"],"additionalProperties":false},{"type":"object","properties":{"type":{"const":"ab"},"s":{"type":"string"}},"required":["type","s"],"additionalProperties":false}]}`,
		[]string{`{"type":"a","n":1}`, `{"type":"ab","s":""}`}, []string{`{"type":"ab","n":1}`, `{"type":"a","s":""}`}},
	{"anyOf beside properties", `{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"anyOf":[{"properties":{"a":{"minimum":5}}},{"properties":{"a":{"maximum":-5}}}],"additionalProperties":false}`, []string{`{"a":5}`, `{"a":-5}`}, []string{`{"a":0}`}},
	{"nested anyOf", `{"anyOf":[{"anyOf":[{"type":"null"},{"anyOf":[{"type":"boolean"}]}]},{"type":"array","items":{"anyOf":[{"type":"integer"},{"type":"null"}]}}]}`, []string{`null`, `true`, `[1,null]`}, []string{`["a"]`}},
	{"anyOf of many objects", `{"anyOf":[` + list(300, `{"type":"object","properties":{"kind":{"const":"k%d"},"v":{"type":"null"}},"required":["kind","v"],"additionalProperties":false}`) + `]}`,
		[]string{`{"kind":"k0","v":null}`, `{"kind":"k123","v":null}`, `{"kind":"k299","v":null}`}, []string{`{"kind":"k300","v":null}`}},
	{"oneOf by a const", `{"oneOf":[{"type":"object","properties":{"k":{"const":"x"},"v":{"type":"integer"}},"required":["k","v"],"additionalProperties":false},{"type":"object","properties":{"k":{"const":"y"}},"required":["k"],"additionalProperties":false}]}`, []string{`{"k":"x","v":1}`, `{"k":"y"}`}, []string{`{"k":"y","v":1}`}},
	{"allOf", `{"allOf":[{"type":"integer","minimum":3},{"maximum":5}]}`, []string{`3`, `5`}, []string{`2`, `6`, `4.5`}},
	{"enum of mixed types", `{"enum":["a","ab","a\"b",1,10,-2.5,true,null,{"k":[1]},[]]}`, []string{`"a"`, `"ab"`, `"a\"b"`, `1`, `10`, `-2.5`, `true`, `null`, `{"k":[1]}`, `[]`}, []string{`"abc"`, `2`, `false`, `{}`}},
	{"enum with a type", `{"type":"string","enum":["x",1,"y"]}`, []string{`"x"`, `"y"`}, []string{`1`}},
	{"enum of strings and null", `{"type":["string","null"],"enum":["x",null]}`, []string{`"x"`, `null`}, []string{`"y"`, `""`}},
	{"enum of one", `{"enum":["only"]}`, []string{`"only"`}, []string{`"on"`}},
	{"enum with an empty string", `{"enum":["","a"]}`, []string{`""`, `"a"`}, []string{`"b"`}},
	{"enum of Unicode", `{"enum":["日本","日","é","🙂","\u0001"]}`, []string{`"日本"`, `"日"`, `"é"`, `"🙂"`, `"\u0001"`}, []string{`"本"`}},
	{"enum with numbers that are equal", `{"enum":[1,1.0,1e0,2]}`, []string{`1`, `2`}, []string{`3`}},
	{"huge enum", `{"enum":[` + list(1500, `"value_%d"`) + `]}`, []string{`"value_0"`, `"value_7"`, `"value_77"`, `"value_777"`, `"value_1499"`}, []string{`"value_1500"`, `"value_"`}},
	{"huge enum of numbers", `{"enum":[` + list(1000, `%d`) + `]}`, []string{`0`, `7`, `77`, `777`, `999`}, []string{`1000`, `-1`}},
	{"const of a string", `{"const":"fixed"}`, []string{`"fixed"`}, []string{`"fix"`, `null`}},
	{"const of null", `{"const":null}`, []string{`null`}, []string{`0`}},
	{"const of an object", `{"const":{"a":1,"b":[true,"x"]}}`, []string{`{"a":1,"b":[true,"x"]}`}, []string{`{}`}},
	{"nullable", `{"type":["string","null"]}`, []string{`null`, `"x"`}, []string{`1`}},
	{"types", `{"type":["integer","boolean","array","null"]}`, []string{`1`, `false`, `[]`, `[{"a":1}]`, `null`}, []string{`"a"`, `{}`, `1.5`}},
	{"nullable members", `{"type":"object","properties":{"a":{"type":["integer","null"]},"b":{"type":["object","null"],"properties":{"c":{"type":"string"}},"required":["c"],"additionalProperties":false}},"required":["a","b"],"additionalProperties":false}`,
		[]string{`{"a":null,"b":null}`, `{"a":1,"b":{"c":""}}`}, []string{`{"a":null,"b":{}}`}},
	{"pattern", `{"type":"string","pattern":"^@[a-zA-Z0-9_]+$"}`, []string{`"@a"`, `"@A_9"`}, []string{`"a"`, `"@"`, `"@ä"`}},
	{"pattern in the middle", `{"type":"string","pattern":"b+"}`, []string{`"b"`, `"abba"`, `"\nb\""`}, []string{`"a"`, `""`}},
	{"pattern of escapes", `{"type":"string","pattern":"^\\d{2}\\.\\w\\s\\S\\x41é\\/$"}`, []string{`"12.a bAé/"`}, []string{`"12xa bAé/"`}},
	{"pattern of any character", `{"type":"string","pattern":"^.[^\\n]$"}`, []string{`"aé"`, `"🙂\t"`}, []string{`"a\n"`, `"\ra"`, "\"\u2028a\""}},
	{"pattern of no space", `{"type":"string","pattern":"^\\S[\\s\\S]$"}`, []string{`"a "`, `"é\u000b"`, `"x\n"`}, []string{`" a"`, `"\u000ba"`, "\"\u00a0a\""}},
	{"pattern with quotes", `{"type":"string","pattern":"^[\"\\\\]*$"}`, []string{`""`, `"\"\\"`}, []string{`"a"`}},
	{"pattern and lengths", `{"type":"string","pattern":"^a*b*$","minLength":2,"maxLength":3}`, []string{`"ab"`, `"aab"`, `"bbb"`}, []string{`"a"`, `"aabb"`, `"ba"`}},
	{"two patterns", `{"allOf":[{"type":"string","pattern":"a"},{"pattern":"b"}]}`, []string{`"ab"`, `"b a"`}, []string{`"a"`, `"b"`}},
	{"a pattern that looks ahead nowhere", `{"type":"string","pattern":"^(?:foo|ba[rz])(?:-\\d+)?$"}`, []string{`"foo"`, `"baz-12"`}, []string{`"ba"`, `"foo-"`}},
	{"lengths", `{"type":"string","minLength":2,"maxLength":4}`, []string{`"ab"`, `"日本語🙂"`, `"\n\"\\é"`}, []string{`"a"`, `"abcde"`}},
	{"date", `{"type":"string","format":"date"}`, []string{`"2024-02-29"`}, []string{`"2023-02-29"`, `"2024-2-9"`}},
	{"date-time", `{"type":"string","format":"date-time"}`, []string{`"2024-12-31T23:59:59Z"`, `"2024-12-31T23:59:59.123+01:00"`}, []string{`"2024-12-31"`, `"2024-13-31T00:00:00Z"`}},
	{"time", `{"type":"string","format":"time"}`, []string{`"12:00:00Z"`}, []string{`"25:00:00Z"`}},
	{"duration", `{"type":"string","format":"duration"}`, []string{`"P1Y2M3D"`, `"PT1H"`, `"P1DT2H3M4S"`, `"P4W"`}, []string{`"P"`, `"1D"`}},
	{"email", `{"type":"string","format":"email"}`, []string{`"a.b+c@example.com"`}, []string{`"a@"`, `"a"`}},
	{"hostname", `{"type":"string","format":"hostname"}`, []string{`"example.com"`, `"a-b.c"`}, []string{`"-a"`, `"a..b"`}},
	{"ipv4", `{"type":"string","format":"ipv4"}`, []string{`"127.0.0.1"`, `"255.255.255.255"`}, []string{`"256.0.0.1"`, `"1.2.3"`}},
	{"ipv6", `{"type":"string","format":"ipv6"}`, []string{`"2001:db8:0:0:0:0:0:1"`}, []string{`"::g"`, `"1"`}},
	{"uuid", `{"type":"string","format":"uuid"}`, []string{`"123e4567-e89b-12d3-a456-426614174000"`}, []string{`"123e4567"`}},
	{"bounds", `{"type":"number","minimum":-1.5,"exclusiveMaximum":2}`, []string{`-1.5`, `0`, `1.99`}, []string{`-1.51`, `2`, `2.0`}},
	{"bounds of integers", `{"type":"integer","exclusiveMinimum":-10,"maximum":100}`, []string{`-9`, `0`, `100`}, []string{`-10`, `101`, `1.5`}},
	{"bounds with decimals of an integer", `{"type":"integer","minimum":0.5,"maximum":2.5}`, []string{`1`, `2`}, []string{`0`, `3`}},
	{"one number", `{"type":"integer","minimum":7,"maximum":7}`, []string{`7`}, []string{`6`, `77`}},
	{"multipleOf", `{"type":"integer","multipleOf":5,"minimum":0,"maximum":50}`, []string{`0`, `5`, `50`}, []string{`3`, `55`}},
	{"multipleOf a decimal", `{"type":"number","multipleOf":0.01}`, []string{`1.25`, `-3`, `0.1`}, []string{`1.255`, `1.25e-5`}},
	{"multipleOf some tenths", `{"type":"number","multipleOf":2.5,"maximum":30}`, []string{`2.5`, `-5`, `7.5`, `30`, `0.0`}, []string{`2`, `2.6`, `32.5`}},
	{"multipleOf two steps", `{"type":"number","multipleOf":0.3,"allOf":[{"multipleOf":0.5}],"minimum":0}`, []string{`0`, `1.5`, `3.0`}, []string{`0.3`, `0.5`}},
	{"multipleOf an integer, of a number", `{"type":"number","multipleOf":4,"minimum":0}`, []string{`8`}, []string{`8.1`, `2`}},
	{"items", `{"type":"array","items":{"type":"string"},"minItems":1,"maxItems":3}`, []string{`["a"]`, `["a", "b","c"]`}, []string{`[]`, `["a","b","c","d"]`}},
	{"prefixItems", `{"type":"array","prefixItems":[{"type":"string"},{"type":"integer"}],"items":false}`, []string{`[]`, `["a"]`, `["a",1]`}, []string{`[1]`, `["a",1,2]`}},
	{"prefixItems with all wanted", `{"type":"array","prefixItems":[{"const":1},{"const":2}],"minItems":2,"maxItems":2}`, []string{`[1,2]`}, []string{`[1]`, `[1,2,3]`}},
	{"no items", `{"type":"array","maxItems":0}`, []string{`[]`}, []string{`[1]`}},
	{"deep nesting", strings.Repeat(`{"type":"array","minItems":1,"items":`, 60) + `{"type":"null"}` + strings.Repeat(`}`, 60), []string{strings.Repeat(`[`, 60) + `null` + strings.Repeat(`]`, 60)}, []string{`[null]`}},
	{"property names of all kinds", `{"type":"object","properties":{"ключ":{"const":1},"with \"quotes\"":{"const":2},"a\\b":{"const":3},"line\nbreak\u0001":{"const":4},"":{"const":5},"🙂":{"const":6},"a/b~c":{"const":7},"a":{"const":8},"ab":{"const":9}},
		"required":["ключ","with \"quotes\"","a\\b","line\nbreak\u0001","","🙂","a/b~c","a","ab"],"additionalProperties":false}`,
		[]string{`{"ключ":1,"with \"quotes\"":2,"a\\b":3,"line\nbreak\u0001":4,"":5,"🙂":6,"a/b~c":7,"a":8,"ab":9}`}, []string{`{}`}},
	{"keys that begin alike, none required", `{"type":"object","properties":{"a":{"const":1},"ab":{"const":2},"abc":{"const":3},"b":{"const":4},"a\"":{"const":5}},"additionalProperties":false}`,
		[]string{`{}`, `{"a":1}`, `{"ab":2, "abc":3}`, `{"a":1,"b":4}`, `{"abc":3}`, `{"a\"":5}`}, []string{`{"abc":2}`, `{"ab":2,"a":1}`, `{"a":1,"a":1}`, `{"abcd":1}`}},
	{"keys in a row, some required", `{"type":"object","properties":{"p":{"const":1},"pq":{"const":2},"pqr":{"const":3}},"required":["pq"],"additionalProperties":false}`,
		[]string{`{"pq":2}`, `{"p":1,"pq":2}`, `{"p":1,"pq":2,"pqr":3}`}, []string{`{"p":1}`, `{"pqr":3}`, `{}`}},
	{"many properties", `{"type":"object","properties":{` + list(5000, `"p%d":{"type":"null"}`) + `},"additionalProperties":false}`, []string{`{}`, `{"p0":null,"p4999":null}`, `{"p1":null,"p10":null,"p100":null}`}, []string{`{"p5000":null}`, `{"p10":null,"p1":null}`}},
	{"many required properties", `{"type":"object","properties":{` + list(300, `"p%d":{"type":"null"}`) + `},"required":[` + list(300, `"p%d"`) + `],"additionalProperties":false}`, []string{`{` + list(300, `"p%d":null`) + `}`}, []string{`{"p0":null}`}},
	{"additional properties", `{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":{"type":"string"}}`, []string{`{"a":1}`, `{"a":1,"b":"x","ab":""}`}, []string{`{"b":"x"}`, `{"a":1,"b":2}`, `{"a":1,"a":"x"}`}},
	{"pattern properties", `{"type":"object","patternProperties":{"^x-":{"type":"integer"}},"additionalProperties":false}`, []string{`{}`, `{"x-a":1}`}, []string{`{"y":1}`, `{"x-a":"s"}`}},
	{"annotations", `{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"x","title":"t","description":"d","default":1,"examples":[2],"deprecated":true,"readOnly":true,"$comment":"c","type":"integer"}`, []string{`5`}, []string{`"a"`}},
	{"anything", `{}`, []string{`1`, `"a"`, `[{}]`, `{"a":[]}`, `null`}, []string{`nul`, `{a}`}},
	{"true", `true`, []string{`1`, `{}`}, nil},
}

// TestStrictSubset reads schemas as an outsider would write them: what must be in their languages is, what must not is not, and
// what models with random weights answer is valid for another implementation.
func TestStrictSubset(t *testing.T) {
	for _, c := range strictSchemas {
		t.Run(c.name, func(t *testing.T) {
			g, err := JSONSchema([]byte(c.schema))
			if err != nil {
				t.Fatal(err)
			}
			other := validator(t, []byte(c.schema))
			for _, text := range c.in {
				checkText(t, []byte(c.schema), other, 0, text)
				if !reads(g, text) {
					t.Errorf("%s is not in the language", text)
				}
			}
			for _, text := range c.out {
				if reads(g, text) {
					t.Errorf("%s is in the language", text)
				}
			}
			seeds := uint64(6)
			if len(c.schema) > 10_000 {
				seeds = 1
			}
			for seed := range seeds {
				text, _ := answer(t, g, demo(), seed, []int{1, 40, 200}[seed%3])
				checkText(t, []byte(c.schema), other, seed, text)
			}
			if len(c.schema) < 10_000 {
				checkMasks(t, g, toy(), 1, 6)
			}
		})
	}
}

// reads reports whether a text is in a language, read byte by byte as masks allow it, and then by the end token.
func reads(g *Grammar, text string) bool {
	v := toy()
	m := g.Start(v)
	allowed := make([]uint64, v.words)
	for i := range len(text) + 1 {
		for j := range allowed {
			allowed[j] = ^uint64(0)
		}
		m.Mask(allowed, 1<<20)
		id := int32(endToken)
		if i < len(text) {
			id = byteToken(text[i])
		}
		if allowed[id>>6]&(1<<(id&63)) == 0 {
			return false
		}
		m.Advance(id)
	}
	return true
}

// TestWhatIsRefused checks that a schema that cannot be kept is refused with its place and the keyword.
func TestWhatIsRefused(t *testing.T) {
	inside := func(keyword, value string) string {
		return `{"type":"object","properties":{"p":{"type":"array","items":{` + keyword + `:` + value + `}}}}`
	}
	for _, keyword := range []struct{ name, value string }{
		{"contains", `{}`}, {"dependencies", `{}`}, {"dependentRequired", `{}`}, {"dependentSchemas", `{}`}, {"if", `{}`}, {"unevaluatedItems", `false`}, {"$dynamicRef", `"#x"`}, {"$recursiveRef", `"#"`},
		{"uniqueItems", `true`}, {"minProperties", `2`}, {"unevaluatedProperties", `{}`}, {"not", `{"minLength":3}`},
		{"type", `"text"`}, {"type", `3`}, {"type", `[]`}, {"enum", `[]`}, {"enum", `"a"`}, {"required", `"a"`}, {"required", `[1]`}, {"properties", `[]`}, {"properties", `{"a":3}`}, {"patternProperties", `3`},
		{"patternProperties", `{"(":{}}`}, {"items", `3`}, {"prefixItems", `{}`}, {"prefixItems", `[1]`}, {"anyOf", `{}`}, {"anyOf", `[]`}, {"oneOf", `[{"type":"string"},{"minLength":2}]`}, {"allOf", `[3]`},
		{"$ref", `"#/nowhere"`}, {"$ref", `"other.json"`}, {"$ref", `3`}, {"pattern", `"("`}, {"pattern", `"(?=a)b"`}, {"pattern", `"(a)\\1"`}, {"pattern", `"\\bx"`}, {"pattern", `3`}, {"pattern", `"(a|b)*a(a|b){20}"`},
		{"format", `3`}, {"minimum", `"1"`}, {"maximum", `null`}, {"exclusiveMinimum", `"1"`}, {"exclusiveMaximum", `[]`}, {"multipleOf", `0`}, {"multipleOf", `1001`}, {"multipleOf", `0.33333`}, {"multipleOf", `"1"`},
		{"minLength", `-1`}, {"maxLength", `1.5`}, {"minItems", `"1"`}, {"maxItems", `-3`}, {"maxProperties", `-1`}, {"additionalProperties", `3`}, {"propertyNames", `3`}, {"enum", `[` + list(20_000, "%d") + `]`},
		{"properties", `{` + list(20_000, `"p%d":{}`) + `}`}, {"minLength", `1e99`},
		{"", `{"type":"string","enum":[1]}`}, {"", `{"minimum":3,"maximum":2,"type":"number"}`}, {"", `{"type":"string","minLength":3,"maxLength":2}`}, {"", `{"type":"string","pattern":"^a$","maxLength":0}`},
		{"", `{"allOf":[{"type":"string"},{"type":"null"}]}`}, {"", `false`}, {"", `{"type":"object","additionalProperties":false,"required":["a"]}`}, {"", `{"type":"integer","minimum":0.1,"maximum":0.9}`},
	} {
		t.Run(fmt.Sprintf("%s %.20s", keyword.name, keyword.value), func(t *testing.T) {
			schema := inside(`"`+keyword.name+`"`, keyword.value)
			if keyword.name == "" {
				schema = `{"type":"object","properties":{"p":{"type":"array","minItems":1,"items":` + keyword.value + `}},"required":["p"]}`
			}
			_, err := JSONSchema([]byte(schema))
			if err == nil {
				t.Fatal("not refused")
			}
			oneLine(t, err)
			if !strings.Contains(err.Error(), strings.TrimSuffix("#/properties/p/items/"+keyword.name, "/")) {
				t.Error(err)
			}
		})
	}
}
