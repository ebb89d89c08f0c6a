package chat

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"baleen/internal/token"

	"github.com/cockroachdb/datadriven"
)

// join returns the text of a prompt.
func join(pieces []token.Piece) string {
	var text strings.Builder
	for _, p := range pieces {
		text.WriteString(p.Text)
	}
	return text.String()
}

// toolsText returns the text of 4.2 for the tool f of the spec's examples, cut out of an official prompt.
func toolsText(t testing.TB) string {
	t.Helper()
	official := read(t, "official/test_output_1.txt")
	_, text, _ := strings.Cut(official, "assistant.\n\n")
	text, _, _ = strings.Cut(text, user)
	head, rest, _ := strings.Cut(text, `{"name": "get_weather"`)
	_, tail, ok := strings.Cut(rest, `"required": ["query"]}}`)
	if !ok {
		t.Fatal("the official prompt does not look as expected")
	}
	return head + `{"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}` + tail
}

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// request reads messages and the arguments of a datadriven command: mode, effort, encoding, keep, arrange, require.
func request(input string, d *datadriven.TestData) (*Request, error) {
	r, err := ReadMessages([]byte(input))
	if err != nil {
		return nil, err
	}
	r.Encoding = V4
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "mode":
			r.Mode = Mode(arg.Vals[0])
		case "effort":
			r.Effort = arg.Vals[0]
		case "encoding":
			r.Encoding = Encoding(arg.Vals[0])
		case "keep":
			r.KeepThinking = true
		case "arrange":
			r.Arrange()
		case "require":
			r.RequireCall = true
		}
	}
	return r, nil
}

func TestOfficialVectors(t *testing.T) {
	for _, n := range []string{"1", "2"} {
		r, err := ReadMessages([]byte(read(t, "official/test_input_"+n+".json")))
		if err != nil {
			t.Fatal(err)
		}
		r.Mode, r.Encoding = Thinking, V4
		pieces, err := Render(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := join(pieces), read(t, "official/test_output_"+n+".txt"); got != want {
			t.Errorf("case %s\ngot:  %q\nwant: %q", n, got, want)
		}
	}
}

// TestRender runs the spec's examples, what DeepSeek's encoder made of messages of ours, and what it does not know.
func TestRender(t *testing.T) {
	tools := toolsText(t)
	for _, file := range []string{"testdata/spec_4_7", "testdata/reference", "testdata/render"} {
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			r, err := request(d.Input, d)
			var pieces []token.Piece
			if err == nil {
				pieces, err = Render(r)
			}
			if err != nil {
				return "error: " + err.Error() + "\n"
			}
			if d.Cmd == "pieces" {
				return listPieces(pieces)
			}
			text := strings.ReplaceAll(join(pieces), tools, "{T}")
			return string(appendString(nil, text)) + "\n"
		})
	}
}

func listPieces(pieces []token.Piece) string {
	var lines strings.Builder
	for _, p := range pieces {
		if p.Control {
			lines.WriteString("control ")
		} else {
			lines.WriteString("plain   ")
		}
		lines.Write(appendString(nil, p.Text))
		lines.WriteByte('\n')
	}
	return lines.String()
}

// TestEffortTexts checks which of the two texts an effort means (formats spec 4.3).
func TestEffortTexts(t *testing.T) {
	for _, tt := range []struct {
		encoding Encoding
		effort   string
		want     string
		ok       bool
	}{
		{V4, "", "", true}, {V4, "none", "", true}, {V4, "low", "", false}, {V4, "high", "", true},
		{V4, "max", "Reasoning Effort: Absolute maximum", true}, {V4, "medium", "", false},
		{V40731, "none", "", true}, {V40731, "low", "", true},
		{V40731, "high", "Reasoning Effort: Absolute maximum", true},
		{V40731, "max", "Reasoning Effort: Beyond maximum — exhaustive", true}, {V40731, "xhigh", "", false},
	} {
		text, ok := tt.encoding.effortText(tt.effort)
		if ok != tt.ok || !strings.HasPrefix(text, tt.want) || (tt.want == "") != (text == "") {
			t.Errorf("%s, %s: %q, %v", tt.encoding, tt.effort, text, ok)
		}
		if text != "" && (!strings.HasSuffix(text, ".\n\n") || strings.Count(text, "\n") != 4) {
			t.Errorf("%s, %s: the text has the wrong lines", tt.encoding, tt.effort)
		}
	}
}

func TestSetEffort(t *testing.T) {
	for _, tt := range []struct {
		encoding Encoding
		name     string
		mode     Mode
		effort   string
	}{
		{V4, "none", Chat, "none"}, {V4, "low", Thinking, "none"}, {V4, "", Thinking, "high"},
		{V40731, "minimal", Thinking, "low"}, {V40731, "", Thinking, "high"}, {V40731, "medium", Thinking, "high"},
		{V40731, "xhigh", Thinking, "high"}, {V40731, "ultra", Thinking, "max"}, {V40731, "none", Chat, "none"},
	} {
		r := Request{Encoding: tt.encoding, Messages: []Message{{Role: "user"}}}
		if err := r.SetEffort(tt.name); err != nil || r.Mode != tt.mode || r.Effort != tt.effort {
			t.Errorf("%s, %s: %s, %s, %v", tt.encoding, tt.name, r.Mode, r.Effort, err)
		}
		if _, err := Render(&r); err != nil {
			t.Error(err)
		}
	}
	if err := new(Request).SetEffort("off"); err == nil {
		t.Error("off was accepted")
	}
}

func TestFIM(t *testing.T) {
	want := "<｜begin▁of▁sentence｜><｜fim▁begin｜>a<｜fim▁hole｜>b<｜fim▁end｜>"
	pieces := FIM("a", "b")
	if got := join(pieces); got != want {
		t.Errorf("%q", got)
	}
	if pieces[2].Control || !pieces[3].Control {
		t.Error("the wrong pieces are control tokens")
	}
}

func TestReadTools(t *testing.T) {
	tools, err := ReadTools([]byte(`[{"type": "function", "function": {"description": "d", "name": "f"}}]`))
	if err != nil || len(tools) != 1 || tools[0].Name != "f" || string(tools[0].Schema) != `{"description": "d", "name": "f"}` {
		t.Errorf("%v, %v", tools, err)
	}
	for _, bad := range []string{"", "x", "{}", "[1]", "[{}]", `[{"function": {}}]`, `[{"function": {"name": 1}}]`} {
		if _, err := ReadTools([]byte(bad)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestNewTool(t *testing.T) {
	tool := NewTool("a\"b", "", json.RawMessage(`{"type":"object"}`))
	got, err := appendPython(nil, tool.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"name": "a\"b", "description": "", "parameters": {"type": "object"}}`; string(got) != want {
		t.Errorf("%s", got)
	}
}

// TestRenderKeepsRequest renders twice what rendering has to rearrange.
func TestRenderKeepsRequest(t *testing.T) {
	r := &Request{
		Mode: Thinking, Encoding: V4,
		Messages: []Message{
			{Role: "user", Content: []Part{{"text", "U"}}},
			{Role: "assistant", Calls: []Call{{ID: "a", Name: "f", Arguments: "{}"}, {ID: "b", Name: "f", Arguments: "{}"}}},
			{Role: "tool", CallID: "b", Content: []Part{{"text", "RB"}}},
			{Role: "tool", CallID: "a", Content: []Part{{"text", "RA"}}},
		},
		Tools: []Tool{NewTool("f", "", nil)},
	}
	first, err := Render(r)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := Render(r)
	if !slices.Equal(first, second) || len(r.Messages) != 4 || r.Messages[0].Tools != nil || r.Messages[2].CallID != "b" {
		t.Error("the request was changed")
	}
}
