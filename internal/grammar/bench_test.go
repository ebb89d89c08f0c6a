package grammar

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// large is a vocabulary of 129,280 tokens of the kinds that the released one has: words with and without a blank in front, code
// and its punctuation, numbers, Chinese, runs of blanks, parts of characters.
var large = sync.OnceValue(func() *Vocabulary {
	const size = 129_280
	r := rand.New(rand.NewPCG(3, 4))
	seen := map[string]bool{}
	tokens := []string{"", ""}
	add := func(s string) {
		if !seen[s] && len(tokens) < size {
			seen[s] = true
			tokens = append(tokens, s)
		}
	}
	add(dsml)
	for b := range 256 {
		add(string([]byte{byte(b)}))
	}
	for n := range 128 {
		add(strings.Repeat(" ", n+1))
		add(strings.Repeat("\n", n/4+1))
		add(strings.Repeat("-=*#"[n%4:n%4+1], n/2+2))
	}
	for n := range 1110 {
		add(fmt.Sprintf("%d", n)[min(1, n/1000):])
	}
	for len(tokens) < size {
		var b strings.Builder
		switch r.IntN(10) {
		case 0:
			for range 1 + r.IntN(4) {
				b.WriteString("\"'(){}[]<>:;,.=+-*/\\&|!?_ \n\t$#@%"[r.IntN(30):][:1])
			}
		case 1, 2:
			for range 1 + r.IntN(3) {
				b.WriteRune(rune(0x4e00 + r.IntN(5000)))
			}
		case 3:
			b.WriteString(string(rune(0xc0 + r.IntN(0x500)))[:1+r.IntN(2)])
		default:
			switch r.IntN(20) {
			case 0: // as the pre-tokenizer has it: a sign in front of letters, never behind them
				b.WriteString([]string{"\"", "(", ".", "<", "_", "'", "/", "\\"}[r.IntN(8)])
			case 1, 2, 3, 4, 5, 6, 7, 8, 9:
				b.WriteByte(' ')
			}
			for i := range 1 + r.IntN(4) {
				syllable := []string{"an", "er", "in", "th", "st", "con", "re", "ti", "on", "al", "ing", "pro", "o", "e", "ly", "ment", "su", "b", "que", "x"}[r.IntN(20)]
				if i == 0 && r.IntN(4) == 0 {
					syllable = strings.ToUpper(syllable[:1]) + syllable[1:]
				}
				b.WriteString(syllable)
			}
		}
		add(b.String())
	}
	return newVocabulary(size, []int32{endToken}, func(id int32) []byte { return []byte(tokens[id]) })
})

// places are grammars, a text of each, and tokens left behind it: the states whose masks are timed.
var benchPlaces = []struct {
	name, text string
	left       int
	make       func() (*Grammar, error)
}{
	{"string", `{"name":"The quick`, 1000, personSchema},
	{"string-limited", `{"name":"x","note":"The quick`, 1000, personSchema},
	{"string-ends", `{"name":"The quick`, 9, personSchema},
	{"key", `{"name":"x"`, 1000, personSchema},
	{"number", `{"name":"x","age":12`, 1000, personSchema},
	{"object", `{"a":{"b":[`, 1000, func() (*Grammar, error) { return JSONObject(), nil }},
	{"pattern", `{"name":"x","code":"ab`, 1000, personSchema},
	{"free", "Sure, I can <b", 1000, benchTools},
	{"raw", "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"write\">\n<｜DSML｜parameter name=\"content\" string=\"true\">func main() {\n", 1000, benchTools},
	{"regex", "The quick", 1000, func() (*Grammar, error) { return Regex(`[^"]*`) }},
	{"grammar", `{"name":"The quick`, 1000, func() (*Grammar, error) { return EBNF(jsonGrammar) }},

	{"least", `{"s":"The quick`, 1000, withMember(`{"type":"string","minLength":50}`)},
	{"least-ends", `{"s":"The quick`, 46, withMember(`{"type":"string","minLength":50}`)},
	{"between", `{"s":"The quick`, 1000, withMember(`{"type":"string","minLength":50,"maxLength":60}`)},
	{"between-ends", `{"s":"The quick`, 47, withMember(`{"type":"string","minLength":50,"maxLength":60}`)},
	{"most-near", `{"s":"The quick`, 1000, withMember(`{"type":"string","maxLength":14}`)},
	{"raw-least", rawText + "func", 1000, rawTool(`,"minLength":20`)},
	{"raw-least-ends", rawText + "func", 30, rawTool(`,"minLength":20`)},
	{"raw-between", rawText + "func", 1000, rawTool(`,"minLength":8,"maxLength":15`)},
	{"raw-ends", rawText + "func", 14, rawTool(``)},
	{"pattern-not", `{"s":"ab`, 1000, withMember(`{"type":"string","pattern":"^[^x]*$"}`)},
	{"pattern-not-ends", `{"s":"ab`, 4, withMember(`{"type":"string","pattern":"^[^x]*$"}`)},
	{"pattern-between", `{"s":"ab`, 1000, withMember(`{"type":"string","pattern":"^[^x]*$","minLength":10,"maxLength":40}`)},
	{"pattern-word", `{"s":"ab`, 1000, withMember(`{"type":"string","pattern":"foo|bar"}`)},
	{"pattern-word-ends", `{"s":"ab`, 5, withMember(`{"type":"string","pattern":"foo|bar"}`)},
	{"format", `{"s":"ab`, 1000, withMember(`{"type":"string","format":"email"}`)},
	{"regex-not", `ab`, 1000, func() (*Grammar, error) { return Regex(`[^x]*`) }},
	{"regex-pairs", `ab`, 1000, func() (*Grammar, error) { return Regex(`([^x][^y])*`) }},
	{"items-ends", `{"s":["a"`, 60, withMember(`{"type":"array","minItems":20,"items":{"type":"string"}}`)},
	{"enum", `{"s":"`, 1000, withMember(`{"enum":[` + list(1000, `"con%dreti"`) + `]}`)},
	{"optional-50", `{"p0":"a`, 1000, optional(50)},
	{"optional-500", `{"p0":"a`, 1000, optional(500)},
	{"deep", strings.Repeat(`{"a":[`, 60), 1000, func() (*Grammar, error) { return JSONObject(), nil }},
	{"ambiguous", `a+b`, 1000, func() (*Grammar, error) {
		return EBNF("root ::= t | t \"+\" root | t \"+\" root \"+\" t\nt ::= [a-z]+ | \"(\" root \")\" | [a-z] [a-z]* [0-9]*")
	}},
	{"ambiguous-words", `abab`, 1000, func() (*Grammar, error) {
		return EBNF("root ::= x*\nx ::= a | b\na ::= [a-z]+\nb ::= [a-f]+ y\ny ::= \"\" | \"z\" b")
	}},
	{"ambiguous-nested", `ab(abab`, 1000, func() (*Grammar, error) {
		return EBNF("root ::= x*\nx ::= a | b | \"(\" root \")\"\na ::= [a-z]+\nb ::= [a-f]+ y\ny ::= \"\" | \"z\" b")
	}},
	{"words", `the `, 1000, func() (*Grammar, error) { return EBNF("root ::= (w \" \")* w\nw ::= [^ \\n]+") }},
}

// withMember is the schema of an object with a member "s".
func withMember(schema string) func() (*Grammar, error) {
	return func() (*Grammar, error) {
		return JSONSchema([]byte(`{"type":"object","properties":{"s":` + schema + `},"required":["s"]}`))
	}
}

func list(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+",", i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// optional is the schema of an object with so many strings, none of them required.
func optional(n int) func() (*Grammar, error) {
	return func() (*Grammar, error) {
		return JSONSchema([]byte(`{"type":"object","properties":{` + list(n, `"p%d":{"type":"string"}`) + `},"additionalProperties":false}`))
	}
}

const rawText = "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"write\">\n<｜DSML｜parameter name=\"content\" string=\"true\">"

// rawTool is a tool with a string of which more is said.
func rawTool(more string) func() (*Grammar, error) {
	return func() (*Grammar, error) {
		return Tools([]Tool{{Name: "write", Parameters: json.RawMessage(
			`{"type":"object","properties":{"content":{"type":"string"` + more + `}},"required":["content"]}`)}}, ToolOptions{})
	}
}

func personSchema() (*Grammar, error) {
	return JSONSchema([]byte(`{"type":"object","properties":{"name":{"type":"string"},"note":{"type":"string","maxLength":100},"age":{"type":"integer","minimum":0,"maximum":150},
		"code":{"type":"string","pattern":"^[a-z]+[^x]*$"},"tags":{"type":"array","items":{"type":"string"}}},"required":["name"],"additionalProperties":false}`))
}

func benchTools() (*Grammar, error) {
	return Tools([]Tool{
		{Name: "write", Parameters: json.RawMessage(`{"type":"object","properties":{"path":{"type":"string"},"content":{"type":"string"},"mode":{"type":"integer"}},"required":["path","content"]}`)},
		{Name: "read", Parameters: json.RawMessage(`{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}`)},
	}, ToolOptions{})
}

// at starts an answer and brings it behind a text.
func at(tb testing.TB, g *Grammar, v *Vocabulary, text string) *Matcher {
	m := g.Start(v)
	for _, b := range []byte(text) {
		m.Advance(byteTokenOf(v, b))
	}
	if len(m.stacks) == 0 {
		tb.Fatalf("%q is not in the language", text)
	}
	return m
}

// BenchmarkMask times one mask of 129,280 tokens (the mean, and the least and the median of a run): warm, as for a state that was met before; cold, where neither this answer nor
// another has met it; and for a request that starts anew where others have been.
func BenchmarkMask(b *testing.B) {
	v := large()
	allowed := make([]uint64, v.words)
	for _, p := range benchPlaces {
		g, err := p.make()
		if err != nil {
			b.Fatal(err)
		}
		m := at(b, g, v, p.text)
		m.Mask(allowed, p.left)
		b.Run(p.name+"/warm", func(b *testing.B) {
			for b.Loop() {
				m.Mask(allowed, p.left)
			}
		})
		for _, cold := range []bool{false, true} {
			b.Run(p.name+map[bool]string{false: "/anew", true: "/cold"}[cold], func(b *testing.B) {
				var times []time.Duration
				for b.Loop() {
					b.StopTimer()
					if cold {
						v.shared, v.last.leafState = newTables(v), leafState{}
						g.views = nil
					}
					m := at(b, g, v, p.text)
					b.StartTimer()
					start := time.Now()
					m.Mask(allowed, p.left)
					times = append(times, time.Since(start))
				}
				slices.Sort(times)
				b.ReportMetric(float64(times[0]), "least-ns")
				b.ReportMetric(float64(times[len(times)/2]), "median-ns")
			})
		}
	}
}

// BenchmarkStart times what a request costs before its first token.
func BenchmarkStart(b *testing.B) {
	v := large()
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			if _, err := benchTools(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("start", func(b *testing.B) {
		for b.Loop() {
			g, err := personSchema()
			if err != nil {
				b.Fatal(err)
			}
			g.Start(v)
		}
	})
	b.Run("advance", func(b *testing.B) {
		m := at(b, JSONObject(), v, `{"a":"`)
		for b.Loop() {
			m.Advance(byteTokenOf(v, 'x'))
		}
	})
}

// wholeSchema is a schema of 20 properties, and wholeText an answer of some 300 tokens.
const (
	wholeSchema = `{"type":"object","properties":{"title":{"type":"string"},"summary":{"type":"string","maxLength":400},"language":{"enum":["en","de","fr","zh","ja"]},"year":{"type":"integer","minimum":1900,"maximum":2100},
		"score":{"type":"number","minimum":0,"maximum":1},"tags":{"type":"array","items":{"type":"string"},"maxItems":8},"author":{"$ref":"#/$defs/person"},"editors":{"type":"array","items":{"$ref":"#/$defs/person"}},
		"published":{"type":"string","format":"date"},"url":{"type":["string","null"],"format":"uri"},"id":{"type":"string","pattern":"^[a-z]{2}-[0-9]{4}$"},"draft":{"type":"boolean"},"pages":{"type":"integer"},"notes":{"type":"string"},
		"isbn":{"type":["string","null"]},"price":{"type":"number"},"currency":{"enum":["EUR","USD"]},"sections":{"type":"array","items":{"type":"object","properties":{"heading":{"type":"string"},"text":{"type":"string"}},"required":["heading","text"],"additionalProperties":false}},
		"license":{"type":"string"},"rating":{"anyOf":[{"type":"integer"},{"type":"null"}]}},
		"required":["title","summary","language","year","score","tags","author","editors","published","url","id","draft","pages","notes","isbn","price","currency","sections","license","rating"],"additionalProperties":false,
		"$defs":{"person":{"type":"object","properties":{"name":{"type":"string"},"email":{"type":"string","format":"email"}},"required":["name","email"],"additionalProperties":false}}}`
	wholeText = `{"title":"Concerning the pro-anst","summary":"The string was on thin requestion: \"alst\" erment, in sucon pro thal. Onre stque ingal suprobe.","language":"en","year":1987,"score":0.75,"tags":["anst","requer","conti","thin"],
"author":{"name":"Ansth Quein","email":"an@st.com"},"editors":[{"name":"Re Thal","email":"re.thal@ing.org"},{"name":"Su Con","email":"su@con.net"}],"published":"2024-02-29","url":null,"id":"ab-1234","draft":false,"pages":312,
"notes":"Thinly reconstructed\nin protion, alerly onmenting con the strein.","isbn":null,"price":12.50,"currency":"EUR","sections":[{"heading":"Onal","text":"Conti anst requer in thal prost, stan erque alment on."},{"heading":"Tial","text":"Re-inst thcon suan eror; alst in proti 7 ingly."}],"license":"None","rating":4}`
)

// BenchmarkAnswer times the masks and tokens of a whole answer, of the first request ever and of one that follows.
func BenchmarkAnswer(b *testing.B) {
	v := large()
	tokens := cut(v, strings.ReplaceAll(wholeText, ",\n", ","))
	allowed := make([]uint64, v.words)
	run := func(b *testing.B, g *Grammar) {
		m := g.Start(v)
		for _, id := range append(tokens, endToken) {
			for i := range allowed {
				allowed[i] = ^uint64(0)
			}
			m.Mask(allowed, 1000)
			if allowed[id>>6]&(1<<(id&63)) == 0 {
				b.Fatalf("%q is not allowed", v.text(id))
			}
			m.Advance(id)
		}
	}
	for _, first := range []bool{true, false} {
		b.Run(map[bool]string{true: "first", false: "later"}[first], func(b *testing.B) {
			g, err := JSONSchema([]byte(wholeSchema))
			for b.Loop() {
				if first {
					v.shared, v.last.leafState = newTables(v), leafState{}
					g, err = JSONSchema([]byte(wholeSchema))
				}
				if err != nil {
					b.Fatal(err)
				}
				run(b, g)
			}
			b.ReportMetric(float64(len(tokens))*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
	b.Logf("%d tokens", len(tokens))
}

// cut cuts a text into tokens, each as long as can be.
func cut(v *Vocabulary, text string) (tokens []int32) {
	for i := 0; i < len(text); {
		best, end := int32(-1), i
		for at, j := v.next(root, text[i]), i; at != nowhere; at = v.next(at, text[j]) {
			j++
			if v.token[at] >= 0 {
				best, end = v.token[at], j
			}
			if j == len(text) {
				break
			}
		}
		tokens, i = append(tokens, best), end
	}
	return tokens
}
