package grammar

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// TestDistanceFalls tries all states of the leaves that count, under bounds within and beyond the table: there is always a byte
// behind which the distance is one less, as far as the end; and a bound on characters never makes it less.
func TestDistanceFalls(t *testing.T) {
	for name, d := range map[string]*dfa{"content": sharedTexts().content, "value": sharedTexts().value, "raw": sharedTexts().raw} {
		for s := start; s < int32(d.states()); s++ {
			for want := int32(0); want < 3*window; want++ {
				for room := int32(-1); room < 3*window; room++ {
					if room >= 0 && room < want {
						continue // never happens
					}
					checkFalls(t, name, key{node: &node{dfa: d}, at: uint64(s), want: want, room: room})
				}
			}
		}
	}
}

func checkFalls(t *testing.T, name string, k key) {
	t.Helper()
	d := k.node.dfa
	here := d.distance(int32(k.at), k.want, k.room)
	if here >= never || here == 0 && d.accept[k.at] {
		return
	}
	if k.want == 0 && here != d.distance(int32(k.at), 0, -1) {
		t.Fatalf("%s: state %d: a bound of %d changes the distance", name, k.at, k.room)
	}
	best := never
	for b := range 256 {
		if next, ok := k.read(byte(b)); ok {
			best = min(best, d.distance(int32(next.at), next.want, next.room))
		}
	}
	if best != here-1 {
		t.Fatalf("%s: state %d, %d wanted, %d allowed: %d bytes to the end, but %d behind the best one", name, k.at, k.want, k.room, here, best)
	}
}

// TestTexts reads texts with the shared leaves.
func TestTexts(t *testing.T) {
	texts := sharedTexts()
	for _, c := range []struct {
		dfa  *dfa
		text string
		want bool
	}{
		{texts.content, `plain é 日本 🙂 \n\"\\\/\u00e9\ud83d\ude42"`, true},
		{texts.content, `</thin> <｜DSML "`, true},
		{texts.content, `a</think>"`, false},
		{texts.content, `<｜DSML｜"`, false},
		{texts.content, "a\nb\"", false},
		{texts.content, `\ud83d"`, false},
		{texts.content, `\ude42"`, false},
		{texts.content, "\xc0\x80\"", false},
		{texts.content, "\xed\xa0\x80\"", false},
		{texts.content, `a"b`, false},
		{texts.value, `</think> <｜DSML｜"`, true},
		{texts.value, `<</｜DSML｜"`, false},
		{texts.raw, "any \"text\"\n</<</｜</｜DSML</｜DSML｜", true},
		{texts.raw, "</｜DSML｜x</｜DSML｜", false},
		{texts.raw, "\xff</｜DSML｜", false},
		{texts.raw, "</｜DSML｜", true},
		{texts.free, "any \xff\n </｜DSML｜ ｜DSML｜ <｜DSML", true},
		{texts.free, "<<｜DSML｜", false},
		{texts.reason, "<think></thin</think>", true},
		{texts.reason, "<｜DSML｜</think>", false},
		{texts.integer, "-9999999999999999", true},
		{texts.integer, "10000000000000000", false},
		{texts.integer, "-0", false},
		{texts.integer, "01", false},
		{texts.number, "-0.5e-07", true},
		{texts.number, "1e100", false},
		{texts.number, "1.", false},
	} {
		s := start
		for i := range len(c.text) {
			s = c.dfa.follow(s, c.text[i])
		}
		if got := c.dfa.accept[s]; got != c.want {
			t.Errorf("%q: %v", c.text, got)
		}
	}
}

// TestNumbers compares automata of intervals with arithmetic, near their bounds.
func TestNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for range 300 {
		var v interval
		low := new(big.Rat).SetFrac64(r.Int64N(4_000)-2_000, []int64{1, 10, 1000, 3}[r.IntN(4)])
		high := new(big.Rat).Add(low, new(big.Rat).SetFrac64(r.Int64N(1_000), []int64{1, 10, 1000}[r.IntN(3)]))
		if r.IntN(4) > 0 {
			v.over(low, r.IntN(2) == 0)
		}
		if r.IntN(4) > 0 {
			v.under(high, r.IntN(2) == 0)
		}
		decimals := r.IntN(4)
		d, err := numbers(ample(), v, decimals)
		if err != nil && err != errEmpty {
			t.Fatal(err)
		}
		for range 200 {
			near := []*big.Rat{low, high, new(big.Rat)}[r.IntN(3)]
			places := 0
			if decimals > 0 {
				places = r.IntN(decimals + 1)
			}
			text := new(big.Rat).Add(near, new(big.Rat).SetFrac64(r.Int64N(41)-20, 1000)).FloatString(places)
			if strings.HasPrefix(text, "-") && strings.Trim(text, "-0.") == "" {
				continue // no -0
			}
			value, _ := new(big.Rat).SetString(text)
			s := start
			for i := 0; i < len(text) && err == nil; i++ {
				s = d.follow(s, text[i])
			}
			if got, want := err == nil && d.accept[s], v.contains(value); got != want {
				t.Fatalf("%v, %d decimals: %s: %v", v, decimals, text, got)
			}
		}
	}
}

// TestMask has the rules of the interface.
func TestMask(t *testing.T) {
	g, err := JSONSchema([]byte(`{"enum": ["a", 12]}`))
	if err != nil {
		t.Fatal(err)
	}
	v := toy()
	m := g.Start(v)
	allowed := make([]uint64, v.words+3) // a model may have more rows than the tokenizer has tokens
	for i := range allowed {
		allowed[i] = ^uint64(0)
	}
	m.Mask(allowed, 100)
	got := tokensOf(v, allowed)
	if got != `"1`+`12` && got != `"112` && got != `12"1` {
		t.Errorf("allowed %q at the start", got)
	}
	clear(allowed)
	if m.Mask(allowed, 100); tokensOf(v, allowed) != got {
		t.Errorf("allowed %q where nothing was set", tokensOf(v, allowed))
	}
	if m.Mask(allowed, 2); tokensOf(v, allowed) != "12" {
		t.Errorf("allowed %q with two tokens left", tokensOf(v, allowed))
	}
	if m.Mask(allowed, 0); tokensOf(v, allowed) != "12" {
		t.Errorf("allowed %q with none left", tokensOf(v, allowed))
	}
	m.Advance(byteToken('x'))
	for range 2 {
		for i := range allowed {
			allowed[i] = ^uint64(0)
		}
		if m.Mask(allowed, 9); tokensOf(v, allowed) != "" || allowed[0] != 1<<endToken {
			t.Errorf("allowed %q after the end", tokensOf(v, allowed))
		}
		m.Advance(endToken)
	}
}

// tokensOf joins the texts of tokens.
func tokensOf(v *Vocabulary, allowed []uint64) (text string) {
	for i := range int32(len(allowed) * 64) {
		if allowed[i>>6]&(1<<(i&63)) != 0 && int(i) < v.words*64 && partOf(v)[i] {
			text += string(v.text(i))
		}
	}
	return text
}

// TestRenewal checks that a matcher that forgets its frames goes on as one that does not.
func TestRenewal(t *testing.T) {
	g := JSONObject()
	v := toy()
	w := walker{Rand: rand.New(rand.NewPCG(1, 1)), spread: 2}
	kept, renewed := g.Start(v), g.Start(v)
	one, other := make([]uint64, v.words), make([]uint64, v.words)
	for i := range 300 {
		for j := range one {
			one[j], other[j] = ^uint64(0), ^uint64(0)
		}
		kept.Mask(one, 400-i)
		renewed.renew()
		renewed.Mask(other, 400-i)
		if fmt.Sprint(one) != fmt.Sprint(other) {
			t.Fatalf("masks differ at token %d", i)
		}
		id := w.choose(one)
		if id == endToken {
			break
		}
		kept.Advance(id)
		renewed.Advance(id)
	}
}

// TestDeep checks that nesting has an end.
func TestDeep(t *testing.T) {
	g, err := JSONSchema([]byte(`{"type": "array", "items": {"$ref": "#"}}`))
	if err != nil {
		t.Fatal(err)
	}
	m := g.Start(demo())
	open := byteTokenOf(demo(), '[')
	allowed := make([]uint64, demo().words)
	for n := 0; n < 10_000; n++ {
		for i := range allowed {
			allowed[i] = ^uint64(0)
		}
		m.Mask(allowed, 1_000_000)
		if allowed[open>>6]&(1<<(open&63)) == 0 {
			if n > maxDepth {
				t.Fatalf("%d brackets", n)
			}
			return
		}
		m.Advance(open)
	}
	t.Fatal("no end of brackets")
}

func byteTokenOf(v *Vocabulary, b byte) int32 { return v.token[v.next(root, b)] }

// TestThinking reads reasoning in front of an answer.
func TestThinking(t *testing.T) {
	g, err := JSONSchema([]byte(`{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]}`))
	if err != nil {
		t.Fatal(err)
	}
	g = g.AfterThinking()
	for seed := range uint64(50) {
		text, _ := answer(t, g, demo(), seed, 5+int(seed))
		_, after, ok := strings.Cut(text, thinkTag)
		if !ok || !json.Valid([]byte(after)) {
			t.Fatalf("%q", text)
		}
	}
}

// TestConcurrent lets many answers share a grammar and a vocabulary (for the race detector).
func TestConcurrent(t *testing.T) {
	schema, err := JSONSchema([]byte(`{"type":"array","items":{"type":"string","pattern":"^[a-z]*$"},"minItems":2}`))
	if err != nil {
		t.Fatal(err)
	}
	many, err := EBNF(ambiguous[1])
	if err != nil {
		t.Fatal(err)
	}
	v := newVocabulary(toy().words*64, []int32{endToken}, func(id int32) []byte {
		if id >= 600 {
			return nil
		}
		return toy().text(id)
	})
	var group sync.WaitGroup
	for i := range 8 {
		g := []*Grammar{schema, many}[i%2]
		want, _ := answer(t, g, v, 1, 40)
		group.Go(func() {
			m := g.Start(v)
			for _, b := range []byte(want) {
				allowed := make([]uint64, v.words)
				m.Mask(allowed, 100)
				if id := byteTokenOf(v, b); allowed[id>>6]&(1<<(id&63)) == 0 {
					t.Errorf("%q: byte %q is not allowed", want, b)
					return
				} else {
					m.Advance(id)
				}
			}
		})
	}
	group.Wait()
}
