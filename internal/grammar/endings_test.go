package grammar

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestMasksWhereTokensAreShort compares the masks of the places that are timed with the definition, token by token, for every
// number of tokens left about the fewest, where `left` decides what may come.
func TestMasksWhereTokensAreShort(t *testing.T) {
	for _, p := range benchPlaces {
		g, err := p.make()
		if err != nil {
			t.Fatal(p.name, err)
		}
		for _, v := range []*Vocabulary{toy(), demo()} {
			m := at(t, g, v, p.text)
			least := int(m.cost()) + 1
			for _, left := range []int{1, least, least + 1, least + 2, least + 3, least + 4, least + 7, least + 15, p.left, 1 << 20} {
				checkMask(t, m, v, p.name, left)
			}
		}
	}
}

// TestMasksOfManyTokens does so where more tokens are far, or more readings many, than a small vocabulary has.
func TestMasksOfManyTokens(t *testing.T) {
	v := large()
	for _, p := range benchPlaces {
		if !slices.Contains([]string{"pattern-word", "regex-pairs", "free", "ambiguous-nested", "optional-500"}, p.name) {
			continue
		}
		g, err := p.make()
		if err != nil {
			t.Fatal(p.name, err)
		}
		m := at(t, g, v, p.text)
		for _, left := range []int{int(m.cost()) + 2, p.left} {
			checkMask(t, m, v, p.name, left)
		}
	}
}

// TestMasksOfCountedStrings does so behind random beginnings of strings with random bounds, as JSON and as they are.
func TestMasksOfCountedStrings(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	leaves := []*dfa{sharedTexts().content, sharedTexts().value, sharedTexts().raw}
	for range 300 {
		b := newBuilder()
		low := r.IntN(20)
		high := low + r.IntN(20)
		if r.IntN(3) == 0 {
			high = -1
		}
		g, err := b.finish(b.sequence(b.counted(leaves[r.IntN(3)], low, high), b.literal(",12}")), "test")
		if err != nil {
			t.Fatal(err)
		}
		w := walker{Rand: r}
		v := []*Vocabulary{toy(), joined()}[r.IntN(2)]
		m := g.Start(v)
		allowed := make([]uint64, v.words)
		for range 6 {
			left := max(1, int(m.cost())+1+r.IntN(12)-2)
			checkMask(t, m, v, "string", left)
			for i := range allowed {
				allowed[i] = ^uint64(0)
			}
			m.Mask(allowed, left)
			id := w.choose(allowed)
			if id == endToken {
				break
			}
			m.Advance(id)
		}
	}
}

// joined is a vocabulary of words with what may end a leaf behind them.
func joined() *Vocabulary {
	tokens := []string{"", ""}
	for b := range 256 {
		tokens = append(tokens, string([]byte{byte(b)}))
	}
	for _, a := range []string{"", "a", "b", "é", "x", "<"} {
		for _, b := range []string{"ab", "c", "bb", "日", "ing", "\\n"} {
			for _, end := range []string{"", "\"", "\",", "\",1", "ab", "ing", "</", closeTag + ","} {
				tokens = append(tokens, a+b+end)
			}
		}
	}
	for _, b := range []string{"ab", "c", "bb", "in", "ing"} {
		for _, end := range []string{"", "ab", "ing"} {
			tokens = append(tokens, "z"+b+end, "y"+b+end+"é", "yé"+b+end+"\xc3")
		}
	}
	return newVocabulary(len(tokens), []int32{endToken}, func(id int32) []byte { return []byte(tokens[id]) })
}

// TestMasksWhereLeavesRunOn has behind a leaf what might as well be inside: with few tokens left it must be behind.
func TestMasksWhereLeavesRunOn(t *testing.T) {
	g, err := EBNF("root ::= w end\nend ::= \"ing\" | \"(\" root \")\"\nw ::= [a-z]+")
	if err != nil {
		t.Fatal(err)
	}
	v := joined()
	for _, text := range []string{"", "a", "ab", "abin", "a(b"} {
		m := at(t, g, v, text)
		for left := range 8 {
			checkMask(t, m, v, text, left)
		}
	}
}

func checkMask(t *testing.T, m *Matcher, v *Vocabulary, name string, left int) {
	t.Helper()
	allowed := make([]uint64, v.words)
	for i := range allowed {
		allowed[i] = ^uint64(0)
	}
	m.Mask(allowed, left)
	if diff := difference(m, v, allowed, left); diff != "" {
		t.Fatalf("%s: %d left, cost %d: %s", name, left, m.cost(), diff)
	}
}

// TestEndingsAreFew keeps the states of leaves, and the characters that tokens count in them, within an uint16, and what is
// remembered within its bound.
func TestEndingsAreFew(t *testing.T) {
	for _, d := range []*dfa{sharedTexts().content, sharedTexts().value, sharedTexts().raw} {
		if n := (maxToken + window + 1) << codeBits; n > 1<<16 || d.states() > 1<<codeBits {
			t.Errorf("%d states: %d codes", d.states(), n)
		}
	}
	if maxStates+1 >= 1<<16 {
		t.Errorf("%d states do not fit", maxStates)
	}
	v := toy()
	tables := newTables(v)
	for range 120 {
		d := must(compile(ample(), seqOf(repeat(anyChar(), 0, 50), literal("x")), plain))
		for s := start; s < int32(d.states()); s++ {
			tables.endings(leafState{dfa: d, state: s})
		}
		size := 0
		for _, ends := range tables.ends {
			size += len(ends) / 4
		}
		if size != tables.endWords || size > maxEndingWords {
			t.Fatalf("%d words remembered, %d counted", size, tables.endWords)
		}
	}
}

// TestTokensAreRead compares what is read at once with every token read by itself, byte by byte, from states of leaves of all kinds
// with random vocabularies.
func TestTokensAreRead(t *testing.T) {
	leaves := []*dfa{sharedTexts().content, sharedTexts().value, sharedTexts().raw, sharedTexts().free, sharedTexts().integer, sharedTexts().number}
	for _, pattern := range patterns {
		g, err := Regex(pattern)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, g.root.dfa)
	}
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 13))
		v := []*Vocabulary{toy(), joined(), letters(seed)}[seed%3]
		tables := newTables(v)
		for range 8 { // one behind another: what the last one left does not show
			d := leaves[r.IntN(len(leaves))]
			k := leafState{d, start + r.Int32N(int32(d.states())-1)}
			checkRead(t, v, tables, k)
		}
	}
}

func checkRead(t *testing.T, v *Vocabulary, tables *tables, k leafState) {
	t.Helper()
	ends := tables.endings(k)
	exits := map[[3]int32]bool{} // byte, place, characters
	for b := range 256 {
		for _, e := range tables.exits(k, byte(b)) {
			exits[[3]int32{int32(b), e.at, e.count}] = true
		}
	}
	want := map[[3]int32]bool{}
	for id := range partOf(v) {
		state, count, at := k.state, int32(0), root
		for i, b := range v.text(id) {
			at = v.next(at, b)
			if i > 0 && k.dfa.accept[state] {
				want[[3]int32{int32(b), at, count}] = true
			}
			to, n := k.dfa.step(state, b)
			state, count = to, count+n
		}
		if v.token[at] != id {
			continue // one with the same bytes
		}
		if got, n := k.dfa.split(ends[id]); got != state || got != dead && n != count {
			t.Fatalf("token %q from state %d: state %d and %d characters, want %d and %d", v.text(id), k.state, got, n, state, count)
		}
	}
	for e := range want {
		if !exits[e] {
			t.Fatalf("from state %d: no exit %v", k.state, e)
		}
	}
	if len(exits) != len(want) {
		t.Fatalf("from state %d: %d exits, want %d", k.state, len(exits), len(want))
	}
}
