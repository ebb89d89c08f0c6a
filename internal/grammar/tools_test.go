package grammar

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"baleen/internal/chat"
)

// randomTools are tools with random schemas that can be compiled.
func randomTools(t *testing.T, seed uint64) (tools []Tool) {
	r := schemaMaker{Rand: rand.New(rand.NewPCG(seed, 8))}
	for len(tools) < 1+int(seed%3) {
		schema, err := json.Marshal(r.object(3))
		if err != nil {
			t.Fatal(err)
		}
		tool := Tool{Name: fmt.Sprintf("tool_%d", len(tools)), Parameters: schema}
		if _, err := Tools([]Tool{tool}, ToolOptions{}); err != nil {
			oneLine(t, err)
			continue
		}
		tools = append(tools, tool)
	}
	return tools
}

// replies reads an answer with the strict parser and with the tolerant one, which must agree.
func replies(t *testing.T, text string, o chat.Options) *chat.Reply {
	t.Helper()
	p := chat.NewParser(o)
	p.Feed([]byte(text))
	_, reply := p.Finish(false)
	for _, tag := range []string{"<think>", thinkTag, dsml} { // free text may have what the strict parser refuses
		if strings.Contains(reply.Content+reply.Reasoning, tag) || o.Mode == chat.Chat && strings.Contains(text, tag) && len(reply.Calls) == 0 {
			return reply
		}
	}
	if o.RequireCall {
		text = "\n\n" + openTag + "tool_calls>\n" + text
	}
	strict, err := chat.ParseStrict(text+"<｜end▁of▁sentence｜>", o.Mode)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if len(strict.Calls) != len(reply.Calls) {
		t.Fatalf("%q: %d calls, strictly %d", text, len(reply.Calls), len(strict.Calls))
	}
	for i, c := range reply.Calls {
		if s := strict.Calls[i]; c.Name != s.Name || canonicalJSON(t, c.Arguments) != canonicalJSON(t, s.Arguments) {
			t.Fatalf("%q: call %v, strictly %v", text, c, s)
		}
	}
	return reply
}

func canonicalJSON(t *testing.T, text string) string {
	t.Helper()
	v, err := parseValue([]byte(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v.canonical()
}

// checkCalls checks that calls are of tools that there are, with arguments that their schemas allow.
func checkCalls(t *testing.T, tools []Tool, text string, calls []chat.Call) {
	t.Helper()
	for _, c := range calls {
		found := false
		for _, tool := range tools {
			if tool.Name != c.Name {
				continue
			}
			found = true
			arguments, err := jsonschema.UnmarshalJSON(strings.NewReader(c.Arguments))
			if err == nil {
				err = validator(t, tool.Parameters).Validate(arguments)
			}
			if err != nil {
				t.Fatalf("%s\nmade %q: %v", tool.Parameters, text, err)
			}
		}
		if !found {
			t.Fatalf("%q: no tool %q", text, c.Name)
		}
	}
}

// TestTools lets random models answer with random tools, and reads the answers with the parsers that the server has.
func TestTools(t *testing.T) {
	count, calls := 40, 0
	if *full {
		count = 300
	}
	content, err := JSONSchema([]byte(`{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}`))
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(count) {
		tools := randomTools(t, seed)
		var offered []chat.Tool
		for _, tool := range tools {
			offered = append(offered, chat.NewTool(tool.Name, "", tool.Parameters))
		}
		for i, o := range []ToolOptions{{}, {Required: true}, {Required: true, Begun: true, Single: true}, {Name: "tool_0"}, {Content: content}} {
			g, err := Tools(tools, o)
			if err != nil {
				t.Fatal(err)
			}
			mode := chat.Chat
			if i == 1 {
				g, mode = g.AfterThinking(), chat.Thinking
			}
			text, _ := answer(t, g, demo(), seed*5+uint64(i), 20+int(seed%40)*3)
			reply := replies(t, text, chat.Options{Mode: mode, Tools: offered, RequireCall: o.Begun})
			checkCalls(t, tools, text, reply.Calls)
			calls += len(reply.Calls)
			switch n := len(reply.Calls); {
			case (o.Required || o.Name != "") && n == 0, o.Single && n > 1, o.Name != "" && reply.Calls[0].Name != o.Name:
				t.Fatalf("%+v: %q", o, text)
			case o.Content != nil && n == 0 && !strings.HasPrefix(reply.Content, `{"a":`):
				t.Fatalf("%+v: %q", o, text)
			}
			if *full || seed%5 == 0 {
				checkMasks(t, g, toy(), seed, 10)
			}
		}
	}
	t.Logf("%d calls", calls)
}

// TestToolSchemas compiles parameters as agents send them.
func TestToolSchemas(t *testing.T) {
	for _, schema := range []string{
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"command":{"type":"string","description":"x"},"timeout":{"type":"number","maximum":600000},
			"run_in_background":{"type":"boolean","default":false}},"required":["command"],"additionalProperties":false}`,
		`{"type":"object","properties":{"todos":{"type":"array","items":{"type":"object","properties":{"content":{"type":"string","minLength":1},"status":{"type":"string","enum":["pending","done"]}},
			"required":["content","status"],"additionalProperties":false}}},"required":["todos"]}`,
		`{"type":"object","properties":{"answers":{"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"string"}},
			"questions":{"minItems":1,"maxItems":4,"type":"array","items":{"type":"object","properties":{"q":{"type":"string"}},"required":["q"]}}},"required":["questions"]}`,
		`{"type":"object","properties":{"url":{"type":"string","format":"uri"},"n":{"type":"integer","exclusiveMinimum":0,"maximum":9007199254740991}},"required":["url"],"additionalProperties":{}}`,
		`{"type":"object","properties":{"id":{"anyOf":[{"type":"string"},{"type":"integer"}]},"at":{"oneOf":[{"type":"string","format":"date"},{"type":"null"}]},"any":{},
			"op":{"oneOf":[{"type":"object","properties":{"t":{"const":"a"}},"required":["t"]},{"type":"object","properties":{"t":{"const":"b"}},"required":["t"]}]}}}`,
		`{"type":"object","properties":{"plan":{"type":"array","items":{"$ref":"#/definitions/step"}}},"definitions":{"step":{"type":"object","properties":{"sub":{"$ref":"#/definitions/step"}}}}}`,
		`{"type":"object"}`, `{"type":"object","properties":{}}`, `{}`, `null`, ``,
	} {
		tool := Tool{Name: "tool", Parameters: json.RawMessage(schema)}
		g, err := Tools([]Tool{tool}, ToolOptions{Required: true})
		if err != nil {
			t.Errorf("%s: %v", schema, err)
			continue
		}
		if schema == "" || schema == "null" {
			tool.Parameters = json.RawMessage(`{}`)
		}
		for seed := range uint64(10) {
			text, _ := answer(t, g, demo(), seed, 150)
			reply := replies(t, text, chat.Options{Mode: chat.Chat, Tools: []chat.Tool{chat.NewTool("tool", "", tool.Parameters)}})
			if checkCalls(t, []Tool{tool}, text, reply.Calls); len(reply.Calls) == 0 {
				t.Errorf("%s: no calls in %q", schema, text)
			}
		}
	}
}

// TestToolErrors has names that the tags cannot hold, and parameters that nothing fits.
func TestToolErrors(t *testing.T) {
	for _, c := range []struct {
		name, schema, choice, want string
	}{
		{"", `{}`, "", "name of a tool"},
		{"a\"b", `{}`, "", "name of a tool"},
		{"f", `{"properties":{"a\nb":true}}`, "", "name of a parameter"},
		{"f", `{"type":"string"}`, "", "no object"},
		{"f", `{"properties":{"a":false},"required":["a"]}`, "", "no parameters fit it"},
		{"f", `{"properties":{"a":{"uniqueItems":true}}}`, "", "#/properties/a/uniqueItems"},
		{"f", `{"properties":{"a":{"const":"x</｜DSML｜parameter>"}},"required":["a"]}`, "", "no parameters fit it"},
		{"f", `{}`, "g", "no such tool"},
	} {
		_, err := Tools([]Tool{{Name: c.name, Parameters: json.RawMessage(c.schema)}}, ToolOptions{Name: c.choice})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		oneLine(t, err)
	}
}

// TestToolsFree checks where freedom ends: with the tag, in however many tokens it comes.
func TestToolsFree(t *testing.T) {
	g, err := Tools([]Tool{{Name: "f", Parameters: json.RawMessage(`{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}`)}}, ToolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const call = "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"x\" string=\"false\">7</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>"
	for _, c := range []struct {
		text string
		next string // the bytes that may come next, or "any"
		ends bool
	}{
		{"", "any", true},
		{"x < y and \xff\xc0 <｜DSM", "any", true},
		{"｜DSML｜ is not the tag, nor is </｜DSML｜tool_calls>", "any", true},
		{"Hi\n\n<｜DSML｜", "t", false},
		{"Hi\n\n<｜DSML｜tool_calls", ">", false},
		{"<<｜DSML｜tool_calls>\n", "<", false},
		{"<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"", "f", false},
		{"<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n", "<", false},
		{"<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"x\" string=\"", "f", false},
		{"<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"x\" string=\"false\">", "-0123456789", false},
		{"<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"x\" string=\"false\">0", "<", false},
		{call[:len(call)-len("</｜DSML｜tool_calls>")], "<", false},
		{call, "", true},
	} {
		m := g.Start(toy())
		for _, b := range []byte(c.text) {
			m.Advance(byteToken(b))
		}
		allowed := make([]uint64, toy().words)
		for i := range allowed {
			allowed[i] = ^uint64(0)
		}
		m.Mask(allowed, 1000)
		next := ""
		for b := range 256 {
			if id := byteToken(byte(b)); allowed[id>>6]&(1<<(id&63)) != 0 {
				next += string([]byte{byte(b)})
			}
		}
		if len(next) == 256 {
			next = "any"
		}
		if ends := allowed[0]&(1<<endToken) != 0; next != c.next && !sameBytes(next, c.next) || ends != c.ends {
			t.Errorf("%q: next %q, ends %v; want %q, %v", c.text, next, ends, c.next, c.ends)
		}
	}
}

func sameBytes(a, b string) bool {
	return len(a) == len(b) && !strings.ContainsFunc(a, func(r rune) bool { return !strings.ContainsRune(b, r) })
}

// byteToken is the token of the toy vocabulary that is one byte.
func byteToken(b byte) int32 { return byteTokenOf(toy(), b) }
