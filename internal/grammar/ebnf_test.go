package grammar

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const jsonGrammar = `
# JSON, as llama.cpp has it
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws

string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws

number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
`

var grammars = []string{
	jsonGrammar,
	`root ::= "yes" | "no" | "maybe so"`,
	`root ::= expr; expr ::= term (("+" | "-") term)*; term = factor ([*/] factor)*, ; factor := [0-9]+ | "(" expr ")"`,
	"list ::= item | item \",\" list // right recursion\nitem ::= 'a' | 'b' [c-e]?",
	`root ::= ("a" root "b")? /* balanced */`,
	`root ::= "(" root ")" root | ""`,
	`root ::= [^\u0000-\U0010ffff] | "a"`,
	`root ::= "日本" [語人]{2,3} . (* comment *)`,
	`root ::= a a a  a ::= b b b | "(" root ")"  b ::= c{2} c ::= "x" | "y"`,
	`root ::= (("a"|"b")* "a" ("a"|"b"){12} | "[" root "]")`,
	"root ::= x*\nx ::= a | b | \"(\" root \")\"\na ::= [a-z]+\nb ::= [a-f]+ y\ny ::= \"\" | \"z\" b",
	"root ::= x*\nx ::= a | b\na ::= [a-z]+\nb ::= [a-f]+ y\ny ::= \"\" | \"z\" b",
	`root ::= list ";" list "." list ::= "a" | "ab" "," list | [c-d] other other ::= "o" list | "p" other | "q"`,
	`root ::= "(" tail ")" | "!" tail ::= "x" tail | root | ""`,
	`root ::= x "." x ::= x | y | "a" y ::= x`,
	`root ::= ("[" loop "]")* loop ::= "s" loop | ""`,
}

// ambiguous grammars have so many readings that limits drop some.
var ambiguous = []string{
	`root ::= ([a-z] root?){0,2}`,
	`root ::= (x? y?){3} "." x ::= "x" y ::= "y" root?`,
	`root ::= "a" root "a" | "a" root | "a"`,
}

// naive is another, naive reader of an expression: the ends of what it may be from a place on.
type naive struct {
	rules map[string]*expr
	text  string
	memo  map[*expr]map[int]map[int]bool
}

func (n *naive) ends(e *expr, at int) map[int]bool {
	if n.memo[e] == nil {
		n.memo[e] = map[int]map[int]bool{}
	}
	if known, ok := n.memo[e][at]; ok {
		return known
	}
	ends := map[int]bool{}
	n.memo[e][at] = ends // recursion to the left does not occur
	switch e.op {
	case opRule:
		ends = n.ends(n.rules[e.name], at)
	case opClass:
		r, size := utf8.DecodeRuneInString(n.text[at:])
		for i := 0; i < len(e.ranges); i += 2 {
			if size > 0 && e.ranges[i] <= r && r <= e.ranges[i+1] {
				ends[at+size] = true
			}
		}
	case opAlt:
		for _, sub := range e.subs {
			for end := range n.ends(sub, at) {
				ends[end] = true
			}
		}
	case opSeq:
		ends = map[int]bool{at: true}
		for _, sub := range e.subs {
			ends = n.all(sub, ends)
		}
	case opRepeat:
		now := map[int]bool{at: true}
		for i := 0; len(now) > 0 && (e.max < 0 && i <= len(n.text)+e.min || i <= e.max); i++ {
			if i >= e.min {
				for end := range now {
					ends[end] = true
				}
			}
			now = n.all(e.subs[0], now)
		}
	}
	n.memo[e][at] = ends
	return ends
}

func (n *naive) all(e *expr, from map[int]bool) map[int]bool {
	to := map[int]bool{}
	for at := range from {
		for end := range n.ends(e, at) {
			to[end] = true
		}
	}
	return to
}

func TestEBNF(t *testing.T) {
	for i, text := range slices.Concat(grammars, ambiguous) {
		t.Run(fmt.Sprint(i), func(t *testing.T) { checkGrammar(t, text) })
	}
}

func checkGrammar(t *testing.T, text string) {
	g, err := EBNF(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	p := ebnfParser{text: text, line: 1, rules: map[string]*expr{}}
	p.parse()
	root := p.rules[p.first]
	seeds := uint64(30)
	if slices.Contains(ambiguous, text) {
		seeds = 2
	}
	for seed := range seeds {
		for _, v := range []*Vocabulary{toy(), demo()} {
			made, _ := answer(t, g, v, seed, 2+int(seed)*3)
			n := naive{rules: p.rules, text: made, memo: map[*expr]map[int]map[int]bool{}}
			if !n.ends(root, 0)[len(made)] {
				t.Fatalf("%s: made %q", text, made)
			}
			if text == jsonGrammar && !json.Valid([]byte(made)) {
				t.Fatalf("no JSON: %q", made)
			}
		}
		if !slices.Contains(ambiguous, text) {
			checkMasks(t, g, toy(), seed, 6)
		}
	}
}

// TestEBNFErrors has what must be refused, at once and with a line that says where.
func TestEBNFErrors(t *testing.T) {
	double := strings.Builder{}
	for i := range 60 {
		double.WriteString(string(rune('a'+i%26)) + strings.Repeat("x", i/26) + " ::= " + strings.Repeat(string(rune('a'+(i+1)%26))+strings.Repeat("x", (i+1)/26)+" ", 2) + "\n")
	}
	for _, c := range []struct{ text, want string }{
		{"", "line 1: no rule"},
		{"root", "line 1: no rule"},
		{"root ::= \"a\"\n\nroot ::= \"b\"", `line 3: the rule "root" twice`},
		{"root ::= a", `line 1: no rule "a"`},
		{"root ::= \"a\n", "line 2: an open quote"},
		{"root ::= [a", "an open bracket"},
		{"root ::= (a", "an open bracket"},
		{"root ::= [z-a]", "a range from high to low"},
		{"root ::= \"a\"{3,2}", "no bounds"},
		{"root ::= \"a\"{9999999999}", "no bounds"},
		{"root ::= \"a\"{", "no bounds"},
		{"root ::= \"\\q\"", "the escape"},
		{"root ::= \"\\ud800\"", "no character"},
		{"root ::= \"\\u12\"", "no character"},
		{"root ::= $", "the sign"},
		{"root ::= root \"a\" | \"b\"", "begins with itself"},
		{"root ::= a\na ::= b? \"\"{3} a \"x\" | \"y\"\nb ::= \"b\"", "begins with itself"},
		{"root ::= \"a\" root", "nothing fits"},
		{"root ::= [^\\u0000-\\U0010ffff]", "nothing fits"},
		{"root ::= " + strings.Repeat("(", 100_000), "brackets"},
		{"root ::= " + strings.Repeat("\"a\" | ", 200_000), "write at most"},
		{double.String(), "no rule"},
	} {
		_, err := EBNF(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80q: %v, want %q", c.text, err, c.want)
			continue
		}
		oneLine(t, err)
	}
}

// grammarMaker writes random grammars.
type grammarMaker struct {
	*rand.Rand
	rules int
}

func (r *grammarMaker) expr(depth int) string {
	if depth == 0 || r.IntN(4) == 0 {
		switch r.IntN(6) {
		case 0, 1:
			return fmt.Sprintf("r%d", r.IntN(r.rules))
		case 2:
			return []string{"[ab]", "[^c]", "[a-z]", "."}[r.IntN(4)]
		}
		return `"` + []string{"a", "ab", "b", "ba", "c", "é", ""}[r.IntN(7)] + `"`
	}
	switch r.IntN(5) {
	case 0:
		return "(" + r.expr(depth-1) + ")" + []string{"*", "+", "?", "{2}", "{1,3}"}[r.IntN(5)]
	case 1, 2:
		return "(" + r.expr(depth-1) + " | " + r.expr(depth-1) + ")"
	}
	return r.expr(depth-1) + " " + r.expr(depth-1)
}

// TestRandomGrammars has answers within random grammars judged by the naive reader, and masks compared with the definition, with a
// vocabulary of their letters.
func TestRandomGrammars(t *testing.T) {
	count, used, regular, in, out := 600, 0, 0, 0, 0
	if *full {
		count = 6_000
	}
	for seed := range uint64(count) {
		r := grammarMaker{Rand: rand.New(rand.NewPCG(seed, 11)), rules: 1 + int(seed%4)}
		text := ""
		for i := range r.rules {
			text += fmt.Sprintf("r%d ::= %s\n", i, r.expr(1+r.IntN(3)))
		}
		g, err := EBNF(text)
		if err != nil {
			oneLine(t, err)
			continue
		}
		used++
		if strings.Count(text, "r") > r.rules && len(g.nodes) == 1 {
			regular++
		}
		v := letters(seed)
		if g.Start(v).cost() > 50 {
			continue
		}
		p := ebnfParser{text: text, line: 1, rules: map[string]*expr{}}
		p.parse()
		made, _ := answer(t, g, v, seed, 2+r.IntN(8))
		n := naive{rules: p.rules, text: made, memo: map[*expr]map[int]map[int]bool{}}
		if !n.ends(p.rules["r0"], 0)[len(made)] {
			t.Fatalf("%s: made %q", text, made)
		}
		checkMasks(t, g, v, seed, 4)
		for range 12 {
			other := mutation(r.Rand, made)
			n := naive{rules: p.rules, text: other, memo: map[*expr]map[int]map[int]bool{}}
			if want := n.ends(p.rules["r0"], 0)[len(other)]; reads(g, other) != want {
				t.Fatalf("%s: %q in the language: want %v", text, other, want)
			}
			in, out = in+order(reads(g, other)), out+order(!reads(g, other))
		}
	}
	t.Logf("%d texts in their languages, %d not", in, out)
	t.Logf("%d grammars, %d of them one leaf though they have rules in rules", used, regular)
	if used < count/4 || regular == 0 || in < used || out < used {
		t.Errorf("only %d of %d grammars are of use, %d regular", used, count, regular)
	}
}

// mutation changes a few characters of a text.
func mutation(r *rand.Rand, text string) string {
	runes := []rune(text)
	for range r.IntN(3) {
		at := r.IntN(len(runes) + 1)
		if end := min(len(runes), at+r.IntN(2)); r.IntN(3) == 0 {
			runes = slices.Delete(runes, at, end)
		} else {
			runes = slices.Insert(runes, at, []rune("aabbcéz")[r.IntN(7)])
		}
	}
	return string(runes)
}

// letters is a random vocabulary of all bytes and of short words of few letters.
func letters(seed uint64) *Vocabulary {
	r := rand.New(rand.NewPCG(seed, 12))
	tokens := []string{"", ""}
	for b := range 256 {
		tokens = append(tokens, string([]byte{byte(b)}))
	}
	for range 20 + r.IntN(60) {
		word := ""
		for range 2 + r.IntN(4) {
			word += []string{"a", "b", "c", "é", "\xc3", "z", "\"", "\\"}[r.IntN(8)]
		}
		tokens = append(tokens, word)
	}
	return newVocabulary(len(tokens), []int32{endToken}, func(id int32) []byte { return []byte(tokens[id]) })
}
