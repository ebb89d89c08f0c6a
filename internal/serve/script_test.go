package serve

import (
	"bufio"
	"net/http/httptest"
	"strings"
	"testing"

	"baleen/internal/token"
)

// script is a model that says what a test wants: a constraint that leaves one token each time.
type script struct{ ids []int32 }

func newScript(t *token.Tokenizer, text string) *script {
	return &script{append(t.EncodeSpecial(text), 1)}
}

func (s *script) Mask(allowed []uint64, _ int) {
	clear(allowed)
	allowed[s.ids[0]/64] |= 1 << (s.ids[0] % 64)
}

func (s *script) Advance(int32) { s.ids = s.ids[1:] }

// scripted is what the server answers to a request of a form when the model says text.
func (r *rig) scripted(form, body, text string) string {
	r.Helper()
	s := r.server
	request := httptest.NewRequest("POST", "/"+form, strings.NewReader(body))
	w := httptest.NewRecorder()
	o, err := readBody(request)
	if err != nil {
		r.Fatal(err)
	}
	var a *ask
	var wire func(*sse) wireForm
	switch form {
	case "chat":
		a = s.readChat(o)
		wire = func(out *sse) wireForm { return s.newChatWire(out, a) }
	case "responses":
		var form *responseWire
		a, form = s.readResponse(o)
		wire = func(out *sse) wireForm { form.out = out; return form }
	case "messages":
		a = s.readMessages(o)
		wire = func(out *sse) wireForm { return newMessageWire(out, a) }
	}
	if err := s.converse(o, a, "messages"); err != nil {
		r.Fatal(err)
	}
	a.language, a.limits.Constraint = nil, newScript(s.options.Tokenizer, text)
	s.answer(w, request, a, wire)
	return w.Body.String()
}

type wireForm = wire

// dataOf are the data of a stream.
func dataOf(text string) (list []string) {
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			list = append(list, data)
		}
	}
	return list
}

const (
	oneTool = `{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}}}`
	// What the model says: it thinks, speaks, and calls twice.
	twoCalls = "Let me see.</think>I look.\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Rome</｜DSML｜parameter>\n" +
		"<｜DSML｜parameter name=\"days\" string=\"false\">2</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"clock\">\n\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>"
)

// compact joins what comes in pieces: neighbouring lines that differ only behind a colon.
func compact(lines []string) (out []string) {
	for _, line := range lines {
		head, tail, ok := strings.Cut(line, ": ")
		if n := len(out); n > 0 && ok && strings.HasPrefix(out[n-1], head+": ") {
			out[n-1] += tail
			continue
		}
		out = append(out, line)
	}
	return out
}

func expectLines(t *testing.T, got []string, want string) {
	t.Helper()
	if text := strings.Join(compact(got), "\n"); text != strings.TrimSpace(want) {
		t.Errorf("got\n%s\n\nwant\n%s", text, strings.TrimSpace(want))
	}
}
