package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"baleen/internal/chat"
)

// completions answers POST /completions: it continues raw text, or fills a hole in it where there is a suffix (formats spec
// 5.1). Text is text: what looks like a control token is none. A prompt of token ids may have any.
func (s *Server) completions(w http.ResponseWriter, r *http.Request) {
	o, err := readBody(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	a := s.newAsk(o, "max_tokens")
	if a.limits.MaxTokens == 0 {
		a.limits.MaxTokens = 16 // OpenAI's default
	}
	a.readChoices(o)
	a.readStops(o, "stop")
	a.readStream(o)
	if o.has("logprobs") && string(o.fields["logprobs"]) != "false" {
		a.limits.Sampling.LogProbs = true
		a.limits.Sampling.TopLogProbs = int(o.integer("logprobs", 0, 0, 20))
	}
	a.format = readFormat(o)
	echo := s.readPrompts(o, a)
	if err := s.checkCompletion(o, a, echo); err != nil {
		fail(w, r, err)
		return
	}
	s.answer(w, r, a, func(out *sse) wire { return newTextWire(out, a, echo) })
}

// checkCompletion refuses what cannot be done.
func (s *Server) checkCompletion(o *object, a *ask, echo []string) *apiError {
	if n := len(a.prompts) * a.choices; n > maxChoices {
		o.refuse("n", "found %d answers in all, expected at most %d", n, maxChoices)
	}
	if best := o.integer("best_of", int64(a.choices), 1, maxChoices); best != int64(a.choices) {
		o.refuse("best_of", "found %d, expected n, or nothing: answers are not chosen among", best)
	}
	if echo != nil && a.limits.Sampling.LogProbs {
		o.refuse("echo", "found true with logprobs, expected one of them: a prompt's log-probabilities are not told")
	}
	if err := o.err(); err != nil {
		return err
	}
	a.param = "prompt"
	return s.constrain(a)
}

// readPrompts reads the prompts, and returns their texts where they are to be part of the answers.
func (s *Server) readPrompts(o *object, a *ask) (echo []string) {
	const field = "prompt"
	suffix, want := o.text("suffix"), "a string, an array of strings, token ids, or an array of those"
	if o.has("suffix") {
		pieces := chat.FIM(o.text(field), suffix)
		ids, err := s.options.Tokenizer.EncodePieces(pieces)
		if err != nil {
			o.refuse("suffix", "this model cannot fill holes: %s", oneLine(err.Error()))
		}
		a.prompts = [][]int32{ids}
	} else {
		a.prompts = s.prompts(o, field, want)
	}
	if len(a.prompts) == 0 {
		o.wrong(field, want)
	}
	if !o.flag("echo", false) {
		return nil
	}
	for _, ids := range a.prompts {
		echo = append(echo, s.plain(ids))
	}
	if o.has("suffix") {
		echo = []string{o.text(field)}
	}
	return echo
}

// prompts reads one prompt or several, each a text or token ids.
func (s *Server) prompts(o *object, field, want string) (list [][]int32) {
	value := o.fields[field]
	if chat.JSONKind(value) != "an array" {
		if !o.has(field) {
			return [][]int32{{s.options.BOS}} // from nothing
		}
		return [][]int32{s.begin(o.text(field))}
	}
	values := o.list(field)
	if len(values) > 0 && chat.JSONKind(values[0]) == "a number" {
		values = []json.RawMessage{value}
	}
	for i, v := range values {
		var text string
		var ids []int32
		switch {
		case i == maxChoices:
			o.refuse(field, "found %d prompts, expected at most %d", len(values), maxChoices)
			return list
		case chat.JSONKind(v) == "a string" && json.Unmarshal(v, &text) == nil:
			ids = s.begin(text)
		case json.Unmarshal(v, &ids) != nil || len(ids) == 0:
			o.refuse(fmt.Sprintf("%s[%d]", field, i), "found %s, expected %s", chat.JSONKind(v), want)
			return list
		}
		list = append(list, ids)
	}
	return list
}

// begin is a text as a prompt.
func (s *Server) begin(text string) []int32 {
	return append([]int32{s.options.BOS}, s.options.Tokenizer.Encode(text)...)
}

// plain is the text of a prompt, without its beginning.
func (s *Server) plain(ids []int32) string {
	if len(ids) > 0 && ids[0] == s.options.BOS {
		ids = ids[1:]
	}
	text, err := s.options.Tokenizer.Decode(ids)
	if err != nil {
		return "" // the engine refuses it
	}
	return text
}

// textWire writes answers in the form of completions.
type textWire struct {
	out     *sse
	ask     *ask
	echo    []string // by prompt; nil: not wanted
	head    chatHead
	offsets []int // by choice: characters that were told of
}

func newTextWire(out *sse, a *ask, echo []string) *textWire {
	t := &textWire{out: out, ask: a, echo: echo, head: chatHead{newID("cmpl-"), "text_completion", time.Now().Unix(), a.model, fingerprint}}
	t.offsets = make([]int, len(a.prompts)*a.choices)
	return t
}

type textChoice struct {
	Index  int       `json:"index"`
	Text   string    `json:"text"`
	Logs   *textLogs `json:"logprobs"`
	Finish *string   `json:"finish_reason"`
}

type textLogs struct {
	Tokens  []string             `json:"tokens"`
	Probs   []float64            `json:"token_logprobs"`
	Top     []map[string]float64 `json:"top_logprobs"`
	Offsets []int                `json:"text_offset"`
}

type textBody struct {
	chatHead
	Choices []textChoice `json:"choices"`
	Usage   *chatUsage   `json:"usage"`
}

func (t *textWire) chunk(c textChoice) { t.out.data(textBody{t.head, []textChoice{c}, nil}) }

func (t *textWire) begin() {
	for i := range t.offsets {
		if text := t.echoed(i); text != "" {
			t.chunk(textChoice{Index: i, Text: text})
		}
	}
}

// echoed is the prompt of a choice, where it is wanted.
func (t *textWire) echoed(choice int) string {
	if t.echo == nil {
		return ""
	}
	return t.echo[choice/t.ask.choices]
}

func (t *textWire) event(e event) {
	switch e.kind {
	case onContent:
		t.chunk(textChoice{Index: e.choice, Text: e.text, Logs: t.logs(e.choice, e.logs)})
	case onEnd:
		t.chunk(textChoice{Index: e.choice, Finish: chatFinish(e.end)})
	}
}

func (t *textWire) idle() { t.out.keepAlive() }

func (t *textWire) end(u usage) {
	if t.ask.usage {
		t.out.data(textBody{t.head, []textChoice{}, newChatUsage(u)})
	}
	t.out.raw(done)
}

func (t *textWire) broken(e *apiError) {
	t.out.data(openaiError(e))
	t.out.raw(done)
}

func (t *textWire) whole(replies []*reply, u usage) any {
	body := textBody{chatHead: t.head, Usage: newChatUsage(u)}
	for i, r := range replies {
		body.Choices = append(body.Choices, textChoice{i, t.echoed(i) + string(r.content), t.logs(i, r.logs), chatFinish(r.end)})
	}
	return body
}

// logs tells log-probabilities in the old form, where they were asked for.
func (t *textWire) logs(choice int, logs []tokenLog) *textLogs {
	if !t.ask.limits.Sampling.LogProbs {
		return nil
	}
	out := &textLogs{Tokens: []string{}, Probs: []float64{}, Top: []map[string]float64{}, Offsets: []int{}}
	for _, l := range logs {
		text := tokenText(l.bytes)
		top := map[string]float64{}
		for _, other := range l.top {
			top[tokenText(other.bytes)] = other.logProb
		}
		out.Tokens, out.Probs, out.Top = append(out.Tokens, text), append(out.Probs, l.logProb), append(out.Top, top)
		out.Offsets = append(out.Offsets, t.offsets[choice])
		t.offsets[choice] += len([]rune(text))
	}
	return out
}

// tokenText is the bytes of a token as text. A byte that is no UTF-8 has U+FFFD in its place.
func tokenText(b []byte) string { return string([]rune(string(b))) }
