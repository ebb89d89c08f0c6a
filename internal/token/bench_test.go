package token

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// article was written for this test. It has the mix of words, names, numbers and punctuation of plain prose.
const article = `The lighthouse at Carrow Point was built in 1847, after the wreck of the Marianne had cost 31 lives within sight of
the shore. For the first forty years its keepers burned colza oil; then paraffin, and from 1922 an electric lamp whose beam could
be seen, on a clear night, from nineteen miles away. "You don't get used to it," said the last of them, Mr Arkwright, when he
was asked about the fog signal. "You only stop telling people that you haven't." He kept a diary of the weather, the ships
and the birds: 14,206 entries, not one of which mentions himself.

When the station was automated, the county wanted to sell the cottages. Nobody came. The road had been washed out twice, the well
was brackish, and the nearest shop lay eight miles inland. In the end a school took the place for its summer camps, and
children who had never seen the sea learned there to tell the turn of the tide by the sound that the shingle makes. Some of
them went back as adults; one, a hydrologist, is still measuring how much of the cliff falls down every winter (about 40
centimetres, though in 2014 it was nearly three metres). The tower itself, she reckons, has another two hundred years.
`

// prose is n bytes of English: the article's paragraphs with their words made different now and then, so that not every
// merge is in the processor's cache.
func prose(n int) string {
	random := rand.New(rand.NewPCG(3, 4))
	words := strings.SplitAfter(article, " ")
	var text strings.Builder
	for i := 0; text.Len() < n; i++ {
		word := words[i%len(words)]
		if random.IntN(4) == 0 {
			word = words[random.IntN(len(words))]
		}
		if at := random.IntN(8); at < len(word)-2 && random.IntN(4) == 0 {
			other := words[random.IntN(len(words))]
			word = word[:at+1] + other[len(other)/2:]
		}
		text.WriteString(word)
	}
	return text.String()[:n]
}

// monotone texts are where a slow merge or a step that looks back shows.
var monotone = map[string]string{
	"letters": "a", "spaces": " ", "digits": "1", "emoji": "🙂", "lines": "\n", "signs": "!", "marks": "\u0301", "kana": "ア", "middle dots": "・",
	"unassigned": "\u0378", "line and spaces": "\n    \t", "bars": "<｜", "bars and names": "<｜User｜", "private and letter": "\ue000a", "random": "",
}

const mebibyte = 1 << 20

func monotoneText(name string) string {
	if name != "random" {
		return strings.Repeat(monotone[name], mebibyte/len(monotone[name]))
	}
	random := rand.New(rand.NewPCG(5, 6)) // one word, as a base64 text without digits is
	letters := make([]byte, mebibyte)
	for i := range letters {
		letters[i] = 'a' + byte(random.IntN(26))
	}
	return string(letters)
}

func BenchmarkEncode(b *testing.B) {
	vocabularies(b, func(b *testing.B, file []byte) {
		t := load(b, file)
		texts := map[string]string{"prose": prose(mebibyte)}
		for name := range monotone {
			texts[name] = monotoneText(name)
		}
		for _, name := range slices.Sorted(maps.Keys(texts)) {
			text := texts[name]
			b.Run(name, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					t.EncodeSpecial(text)
				}
			})
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	vocabularies(b, func(b *testing.B, file []byte) {
		b.SetBytes(int64(len(file)))
		b.ReportAllocs()
		for b.Loop() {
			load(b, file)
		}
	})
}

// No text of 1 MiB takes long, whatever is in it: quadratic work would take many minutes. BenchmarkEncode says how long.
func TestEncodeIsQuick(t *testing.T) {
	vocabularies(t, func(t *testing.T, file []byte) {
		tokenizer := load(t, file)
		for name := range monotone {
			text := monotoneText(name)
			begin := time.Now()
			ids := tokenizer.EncodeSpecial(text)
			if took := time.Since(begin); took > time.Minute {
				t.Errorf("%s: %v", name, took)
			}
			if got, err := tokenizer.Decode(ids); got != text || err != nil {
				t.Errorf("%s: other text after encoding and decoding, %v", name, err)
			}
		}
	})
}
