package chat

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/datadriven"
)

// testTools are the tools offered in tests: f, of an integer x and a string s.
var testTools = []Tool{{Name: "f", Schema: json.RawMessage(`{"name":"f","parameters":{"properties":{"x":{"type":"integer"},"s":{"type":"string"},"any":true}}}`)}}

// options reads the arguments of a datadriven command: mode, tools, notools, noeos, require, cut.
func options(d *datadriven.TestData) (o Options, cut bool) {
	o.EOS = true
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "mode":
			o.Mode = Mode(arg.Vals[0])
		case "tools":
			o.Tools = testTools
		case "notools":
			o.NoTools = true
		case "noeos":
			o.EOS = false
		case "require":
			o.RequireCall = true
		case "cut":
			cut = true
		}
	}
	return o, cut
}

// parse parses an answer in chunks that begin at the given bytes.
func parse(o Options, text string, cut bool, at ...int) (deltas []Delta, r *Reply) {
	p := NewParser(o)
	begin := 0
	for _, end := range append(at, len(text)) {
		deltas = append(deltas, p.Feed([]byte(text[begin:end]))...)
		begin = end
	}
	last, r := p.Finish(cut)
	return append(deltas, last...), r
}

func TestParser(t *testing.T) {
	for _, file := range []string{"testdata/spec_4_11", "testdata/parse"} {
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			var text string
			if err := json.Unmarshal([]byte(d.Input), &text); err != nil {
				t.Fatal(err)
			}
			o, cut := options(d)
			if d.Cmd == "strict" {
				r, err := ParseStrict(text, o.Mode)
				if err != nil {
					return "error: " + err.Error() + "\n"
				}
				return string(r.JSON()) + "\n"
			}
			_, r := parse(o, text, cut)
			checkSplits(t, o, text, cut)
			return string(r.JSON()) + "\n"
		})
	}
}

// checkSplits checks that it makes no difference where an answer is cut into chunks, and that the deltas tell what the
// reply says.
func checkSplits(t *testing.T, o Options, text string, cut bool) {
	t.Helper()
	deltas, whole := parse(o, text, cut)
	want := joinDeltas(deltas)
	checkDeltas(t, want, whole)
	check := func(at ...int) {
		t.Helper()
		deltas, r := parse(o, text, cut, at...)
		if got := joinDeltas(deltas); string(r.JSON()) != string(whole.JSON()) || !slices.Equal(got, want) {
			t.Fatalf("cut at %v:\n%s %+v\nwhole:\n%s %+v", at, r.JSON(), got, whole.JSON(), want)
		}
	}
	var all []int
	for i := 1; i < len(text); i++ {
		check(i)
		all = append(all, i)
	}
	check(all...)
	random := rand.New(rand.NewPCG(1, uint64(len(text))))
	for range 20 {
		check(slices.DeleteFunc(slices.Clone(all), func(int) bool { return random.IntN(4) > 0 })...)
	}
}

// part is what deltas of one kind, joined, say.
type part struct {
	kind, text string
	index      int
}

// joinDeltas joins neighbours of one kind. Both ends of a call stand alone.
func joinDeltas(deltas []Delta) (parts []part) {
	for _, d := range deltas {
		p := part{"content", d.Content, 0}
		switch {
		case d.Reasoning != "":
			p = part{"reasoning", d.Reasoning, 0}
		case d.Call != nil && d.Call.End:
			p = part{"end", "", d.Call.Index}
		case d.Call != nil && d.Call.Name != "":
			p = part{"begin", d.Call.Name, d.Call.Index}
		case d.Call != nil:
			p = part{"arguments", d.Call.Arguments, d.Call.Index}
		}
		if n := len(parts); n > 0 && parts[n-1].kind == p.kind && p.kind != "begin" && p.kind != "end" {
			parts[n-1].text += p.text
		} else {
			parts = append(parts, p)
		}
	}
	return parts
}

// checkDeltas holds joined deltas against the reply.
func checkDeltas(t *testing.T, parts []part, r *Reply) {
	t.Helper()
	said := map[string]string{}
	var ended []Call
	var call Call
	for _, p := range parts {
		switch p.kind {
		case "begin":
			call = Call{Name: p.text}
		case "arguments":
			call.Arguments = p.text
		case "end":
			ended = append(ended, call)
		default:
			if p.text == "" || !utf8.ValidString(p.text) {
				t.Fatalf("%s: %q", p.kind, p.text)
			}
			said[p.kind] += p.text
		}
	}
	if said["reasoning"] != r.Reasoning || said["content"] != r.Content || len(ended) != len(r.Calls) {
		t.Fatalf("deltas %+v\nreply %s", parts, r.JSON())
	}
	for i, c := range r.Calls {
		fromDeltas, err1 := decodeObject(ended[i].Arguments)
		fromReply, err2 := decodeObject(c.Arguments)
		one, _ := json.Marshal(fromDeltas)
		two, _ := json.Marshal(fromReply)
		if err1 != nil || err2 != nil || string(one) != string(two) || ended[i].Name != c.Name {
			t.Fatalf("deltas %q (%v)\nreply %s (%v)", ended[i], err1, c.Arguments, err2)
		}
	}
}

// decodeObject keeps numbers as they are spelt: one may be beyond what a float64 holds.
func decodeObject(text string) (object map[string]any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err = d.Decode(&object); err == nil && d.More() {
		err = errors.New("something after the object")
	}
	return object, err
}

// TestParserStreams checks what has been said before the end of an answer is known.
func TestParserStreams(t *testing.T) {
	p := NewParser(Options{Mode: Thinking})
	for _, step := range []struct{ feed, want string }{
		{"R", "reasoning R"},
		{"\n", ""}, {"\n<", ""}, {"x", "reasoning \n\n<x"},
		{"</thi", ""}, {"nk>", ""}, {"\nHi", "content Hi"}, {" \xe4\xb8", "content  "}, {"\xad", "content 中"},
		{"\n\n<｜DS", ""}, {"ML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n", ""}, {"<｜DSML｜parameter name=\"a\" string=\"true\">", `begin f arguments {"a": "`},
		{"one\n2 <", `arguments one\n2 `}, {" \"", `arguments < \"`}, {"</｜DSML｜parameter", ""}, {">\n", `arguments "`},
		{"<｜DSML｜parameter name=\"b\" string=\"false\">[1,", ""}, {"2]</｜DSML｜parameter>", `arguments , "b": [1,2]`},
		{"\n</｜DSML｜invoke>", "arguments } end "}, {"\n</｜DSML｜tool_calls>", ""}, {"tail", ""},
	} {
		var got []string
		for _, part := range joinDeltas(p.Feed([]byte(step.feed))) {
			got = append(got, part.kind+" "+part.text)
		}
		if s := strings.Join(got, " "); s != step.want {
			t.Errorf("%q gave %q, want %q", step.feed, s, step.want)
		}
	}
	if deltas, r := p.Finish(false); len(deltas) > 0 || r.Finish != "tool_calls" {
		t.Errorf("at the end: %v, %s", deltas, r.JSON())
	}
}

func TestParserUTF8(t *testing.T) {
	checkSplits(t, Options{Mode: Thinking}, "\xff\xe4\xb8</think>中\xf0\x9f\x98\x80<\xe2\x82", false)
	_, r := parse(Options{Mode: Chat}, "a\xe4\xb8", true)
	if r.Content != "a\ufffd" {
		t.Errorf("%q", r.Content)
	}
}

// TestParserTime feeds large answers of what could make a parser look twice at the same bytes, which would take many minutes.
func TestParserTime(t *testing.T) {
	const size = 2 << 20
	call := openInvoke + "f\">\n" + openParam + "a\" string=\"true\">"
	values := openParam + "a\" string=\"false\">1" + closeParam
	for _, tt := range []struct{ head, unit string }{
		{strings.Repeat("<", 10<<20), "<"}, {"", "\n"}, {"", "\n<"}, {"", "</think>"}, {"", openBlock}, {"", openBlock + "\n" + openInvoke},
		{"", openBlock + openInvoke + strings.Repeat("x", 300)}, {openBlock + call, "<"}, {openBlock + call, "</" + dsml},
		{openBlock + openInvoke + "f\">\n", values}, {openBlock, openInvoke + "f\">\n" + values + closeInvoke + "\n"},
		{openBlock + openInvoke + "f\">" + closeInvoke, strings.Repeat(" ", 70)}, {openBlock, openInvoke + "f\">\n"},
	} {
		text := tt.head + strings.Repeat(tt.unit, size/len(tt.unit))
		for _, chunk := range []int{len(text), 7} { // the second on a part only
			text := text[:min(len(text), 1<<17*chunk)]
			begin := time.Now()
			p := NewParser(Options{Mode: Thinking, Tools: testTools})
			for c := range slices.Chunk([]byte(text), chunk) {
				p.Feed(c)
			}
			p.Finish(false)
			if took := time.Since(begin); took > time.Minute {
				t.Errorf("%.40q in chunks of %d took %v", tt.unit, chunk, took)
			} else {
				t.Logf("%.40q in chunks of %d: %v", tt.unit, chunk, took.Round(time.Millisecond))
			}
		}
	}
}

func TestStrictTime(t *testing.T) {
	const size = 1 << 20
	block := "\n\n" + openBlock + "\n"
	for _, unit := range []string{"<", openInvoke + "f\">\n\n" + closeInvoke + "\n", openParam} {
		begin := time.Now()
		_, _ = ParseStrict(block+strings.Repeat(unit, size/len(unit))+closeBlock, Chat)
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("%.40q took %v", unit, took)
		}
	}
}
