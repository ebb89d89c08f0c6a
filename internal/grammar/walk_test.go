package grammar

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"baleen/internal/token"
)

const endToken = 1

// toy is a vocabulary of all bytes, of some words and of random pieces, in which token 0 is control text, 1 the end, and some
// tokens have the same bytes.
var toy = sync.OnceValue(func() *Vocabulary {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"", "", "{\"", "\":", "\",\"", "\", \"", "},{", "\"}", "[]", "{}", "true", "false", "null", "name", "value", "12", "345", "0.",
		dsml, "tool_calls", ">\n", "</", "parameter", " name=\"", "\" string=\"true\">", "invoke", "</think>", "\n\n", " the", "hello", "é", "日本", "\xf0\x9f", "name", "<", " <",
		"                ", "abc\"", "ab\\", "\\u00", "\\n\\n", "\"]}"}
	for range 400 {
		var b strings.Builder
		for range 2 + r.IntN(4) {
			b.WriteByte(" \"{}[]:,abcdefghijklmnopqrstuvwxyz0123456789\\<-.\n"[r.IntN(48)])
		}
		words = append(words, b.String())
	}
	for b := range 256 {
		words = append(words, string([]byte{byte(b)}))
	}
	return newVocabulary(len(words), []int32{endToken}, func(id int32) []byte { return []byte(words[id]) })
})

var demo = sync.OnceValue(func() *Vocabulary {
	data, err := os.ReadFile("../token/testdata/tokenizer.json")
	if err != nil {
		panic(err)
	}
	t, err := token.Load(data)
	if err != nil {
		panic(err)
	}
	return NewVocabulary(t, endToken)
})

// walker is a model with random weights: every token has a weight that is drawn anew now and then.
type walker struct {
	*rand.Rand
	bias   []float64
	spread float64
}

// choose takes one of the tokens that are set, each with its weight.
func (w *walker) choose(allowed []uint64) int32 {
	best, chosen := 0.0, int32(-1)
	for i, word := range allowed {
		for b := range 64 {
			if word&(1<<b) == 0 {
				continue
			}
			id := i*64 + b
			for len(w.bias) <= id {
				w.bias = append(w.bias, w.ExpFloat64()*w.spread)
			}
			if x := w.Float64() * (0.01 + w.bias[id]); chosen < 0 || x > best {
				best, chosen = x, int32(id)
			}
		}
	}
	return chosen
}

// answer lets a random model write within a grammar, with so many tokens at most, and returns the text. It fails where the answer
// is not complete with its last token.
func answer(t testing.TB, g *Grammar, v *Vocabulary, seed uint64, tokens int) (text string, used int) {
	t.Helper()
	w := walker{Rand: rand.New(rand.NewPCG(seed, 77)), spread: float64(seed % 5)}
	m := g.Start(v)
	if least := int(m.cost()) + 1; tokens < least {
		tokens = least
	}
	allowed := make([]uint64, v.words)
	for used = 1; used <= tokens; used++ {
		for i := range allowed {
			allowed[i] = ^uint64(0)
		}
		before := m.cost()
		m.Mask(allowed, tokens-used+1)
		id := w.choose(allowed)
		if id < 0 {
			t.Fatalf("seed %d: nothing is allowed behind %q", seed, text)
		}
		if id == endToken {
			return text, used
		}
		m.Advance(id)
		text += string(v.text(id))
		if len(m.stacks) == 0 {
			t.Fatalf("seed %d: %q was allowed behind %q, but is not in the language", seed, v.text(id), text)
		}
		if int(m.cost())+1 > tokens-used {
			t.Fatalf("seed %d: %q: cost %d behind %d, with %d tokens left", seed, text, m.cost(), before, tokens-used)
		}
	}
	t.Fatalf("seed %d: %q is not complete with %d tokens", seed, text, tokens)
	return "", 0
}

// checkMasks compares masks along a random answer with those that follow from the definition, token by token.
func checkMasks(t testing.TB, g *Grammar, v *Vocabulary, seed uint64, tokens int) {
	t.Helper()
	w := walker{Rand: rand.New(rand.NewPCG(seed, 99)), spread: float64(seed % 5)}
	m := g.Start(v)
	allowed := make([]uint64, v.words)
	text := ""
	for range tokens {
		left := 1 + w.IntN(40)
		for i := range allowed {
			allowed[i] = ^uint64(0)
		}
		m.Mask(allowed, left)
		if diff := difference(m, v, allowed, left); diff != "" {
			t.Fatalf("seed %d: behind %q with %d left: %s", seed, text, left, diff)
		}
		if diff := difference(m, v, inSets(m, v, left), left); diff != "" {
			t.Fatalf("seed %d: behind %q with %d left, read by sets: %s", seed, text, left, diff)
		}
		id := w.choose(allowed)
		if id == endToken || id < 0 {
			return
		}
		m.Advance(id)
		text += string(v.text(id))
	}
}

// inSets is the mask that follows from reading all tokens at once by sets of frames, as where readings are many.
func inSets(m *Matcher, v *Vocabulary, left int) []uint64 {
	allowed := make([]uint64, v.words)
	set := func(id int32) { allowed[id>>6] |= 1 << (id & 63) }
	most := max(left, int(m.cost())+1) - 2
	m.arena.visits = 0
	m.arena.sets.read(v, m.stacks, func(token, cost int32) {
		if int(cost) <= most {
			set(token)
		}
	})
	for _, s := range v.same {
		if allowed[s[0]>>6]&(1<<(s[0]&63)) != 0 {
			set(s[1])
		}
	}
	for _, f := range m.stacks {
		if f.node == nil {
			set(endToken)
		}
	}
	return allowed
}

// difference names a token that a mask has and should not have, or the reverse.
func difference(m *Matcher, v *Vocabulary, allowed []uint64, left int) string {
	most := max(left, int(m.cost())+1) - 2
	part := partOf(v)
	for id := range int32(len(allowed) * 64) {
		want := false
		switch {
		case id == endToken:
			for _, f := range m.stacks {
				want = want || f.node == nil
			}
		case part[id]:
			text := v.text(id)
			stacks := m.stacks
			for _, b := range text {
				stacks = stepOnce(m.arena, stacks, b)
			}
			least := never
			for _, f := range stacks {
				least = min(least, f.cost)
			}
			want = len(text) > 0 && int(least) <= most
		}
		if got := allowed[id>>6]&(1<<(id&63)) != 0; got != want {
			return fmt.Sprintf("token %d: allowed %v, want %v", id, got, want)
		}
	}
	return ""
}

// stepOnce returns the frames behind a byte, each once.
func stepOnce(a *arena, stacks []*frame, b byte) []*frame {
	var to []*frame
	seen := make(map[*frame]bool, len(stacks))
	for _, f := range stacks {
		for _, next := range f.step(a, b) {
			if !seen[next] {
				seen[next] = true
				to = append(to, next)
			}
		}
	}
	return to
}

// partOf is the tokens that take part.
func partOf(v *Vocabulary) map[int32]bool {
	part := map[int32]bool{}
	for _, id := range v.ids {
		part[id] = true
	}
	for _, s := range v.same {
		part[s[1]] = true
	}
	return part
}
