package token

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Prompts and greedy continuations by the reference implementation that came with the demo model.
func TestDemoExpected(t *testing.T) {
	var expected []struct {
		Name, Text   string
		Prompt       []int32 `json:"prompt_ids"`
		Continuation []int32 `json:"continuation_ids"`
		Answer       string  `json:"continuation_text"`
	}
	if err := json.Unmarshal(read(t, "testdata/expected.json"), &expected); err != nil || len(expected) != 3 {
		t.Fatal(len(expected), err)
	}
	tokenizer := demo(t)
	for _, e := range expected {
		if got := tokenizer.EncodeSpecial(e.Text); !slices.Equal(got, e.Prompt) {
			t.Errorf("%s: encoded to %d, want %d", e.Name, got, e.Prompt)
		}
		for want, ids := range map[string][]int32{e.Text: e.Prompt, e.Answer: e.Continuation} {
			if got, err := tokenizer.Decode(ids); got != want || err != nil {
				t.Errorf("%s: decoded to %q, %v, want %q", e.Name, got, err, want)
			}
		}
	}
}

// The vectors of formats spec 3.3, and those of 3.2 that V3's file has.
func TestReleasedVectors(t *testing.T) {
	tokenizer := load(t, released(t))
	for text, want := range map[string][]int32{
		"Hello": {19923},
		"Hello! 毕老师！1 + 1 = 2 ĠÑĤÐ²ÑĬÑĢ": {19923, 3, 223, 5464, 5008, 1175, 19, 940, 223, 19, 438, 223, 20, 6113, 257,
			76589, 131, 100, 76032, 1628, 76589, 131, 108, 76589, 131, 98},
		"Answer with only the number: 2048 divided by 128 is": {7805, 418, 1353, 270, 1167, 28, 223, 11154, 26, 7203, 513, 223, 7833, 344},
		"12345678":          {6895, 18009, 2597},
		"  123":             {262, 6895},
		"    int x = 1;\n":  {361, 688, 1527, 438, 223, 19, 510},
		"ア・イ":               {10194, 4825, 7909},
		"don't":             {20385, 1664},
		"foo.bar(baz);\n\n": {40897, 6229, 287, 7011, 1521, 3039},
		"café naïve":        {69, 2797, 619, 112752},
		"🙂":                 {80300, 227},
		"a\u200bb":          {67, 35020, 68},
		" \n\n  x":          {1004, 223, 1527},
		"\r\n":              {204, 201},
		"中文English混合123测试":  {21134, 17530, 14769, 6895, 10251},
		"<":                 {30},
		">":                 {32},
		"</":                {1718},
		"\n":                {201},
		"\n\n":              {271},
		"tool_calls":        {72461, 4941, 12548},
		"invoke":            {40148, 5406},
		"parameter":         {41523},
		" calls":            {10699},
		" invoke":           {34756},
		" parameter":        {10767},
	} {
		if got := tokenizer.Encode(text); !slices.Equal(got, want) {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
		if got, err := tokenizer.Decode(want); got != text || err != nil {
			t.Errorf("%d: %q, %v, want %q", want, got, err, text)
		}
	}
	if tokenizer.Vocab() != 128815 || len(tokenizer.added.ids) != 818 {
		t.Errorf("%d ids and %d added tokens, want 128815 and 818", tokenizer.Vocab(), len(tokenizer.added.ids))
	}
	for literal, want := range map[string]int32{
		"<｜begin▁of▁sentence｜>": 0, "<｜end▁of▁sentence｜>": 1, "<｜▁pad▁｜>": 2, "<｜place▁holder▁no▁0｜>": 128000, "<｜place▁holder▁no▁799｜>": 128799,
		"<｜fim▁hole｜>": 128800, "<｜User｜>": 128803, "<｜Assistant｜>": 128804, "<|EOT|>": 128805, "<｜tool▁sep｜>": 128814,
	} {
		if id, ok := tokenizer.Lookup(literal); !ok || id != want {
			t.Errorf("%s: %d, %v, want %d", literal, id, ok, want)
		}
	}
	if id, ok := tokenizer.Lookup("<think>"); ok {
		t.Errorf("<think>, which came with V4, has id %d", id)
	}
}

// V4's file is V3's with more added tokens. Its markup is a control token between ordinary ones (formats spec 3.2, 3.3).
func TestReleasedVectorsOfV4(t *testing.T) {
	var file object
	if err := json.Unmarshal(released(t), &file); err != nil {
		t.Fatal(err)
	}
	for literal, id := range map[string]int32{"<think>": 128821, "</think>": 128822, "｜DSML｜": 128825, "<｜image｜>": 129279} {
		file["added_tokens"] = append(file["added_tokens"].([]any), object{"id": id, "content": literal})
	}
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	tokenizer := load(t, data)
	for text, want := range map[string][]int32{
		"\n\n<｜DSML｜invoke":                   {271, 30, 128825, 40148, 5406},
		"</｜DSML｜tool_calls>":                 {1718, 128825, 72461, 4941, 12548, 32},
		"<｜User｜>Hello<｜Assistant｜><think>":   {128803, 19923, 128804, 128821},
		"</think>12345678<｜end▁of▁sentence｜>": {128822, 6895, 18009, 2597, 1},
	} {
		if got := tokenizer.EncodeSpecial(text); !slices.Equal(got, want) {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if tokenizer.Vocab() != 129280 {
		t.Errorf("%d ids, want 129280", tokenizer.Vocab())
	}
}

func TestEncodeAgainstReference(t *testing.T) {
	vocabularies(t, func(t *testing.T, file []byte) {
		tokenizer, r := load(t, file), newReference(t, file)
		random := rand.New(rand.NewPCG(7, 8))
		check := func(text string) {
			t.Helper()
			if got, want := tokenizer.Encode(text), r.encode(text); !slices.Equal(got, want) {
				t.Fatalf("%q:\n got %d\nwant %d", text, got, want)
			}
		}
		check(article)
		for range 1500 {
			check(randomText(random))
		}
		for range 1500 { // words around the length where the queue takes over, of few letters: many equal pairs
			letters := "etaoinshrdlu"[:1+random.IntN(12)]
			word := make([]byte, random.IntN(3*longPiece))
			for i := range word {
				word[i] = letters[random.IntN(len(letters))]
			}
			check(string(word))
		}
	})
}

func TestBytes(t *testing.T) {
	values := map[rune]byte{}
	for b := range 256 {
		values[alphabet(byte(b))] = byte(b)
	}
	vocabularies(t, func(t *testing.T, file []byte) {
		tokenizer, r := load(t, file), newReference(t, file)
		for token, id := range r.vocab {
			var want []byte
			for _, c := range token {
				b, ok := values[c]
				if !ok { // ids 0 to 2
					want = []byte(token)
					break
				}
				want = append(want, b)
			}
			if got, ok := tokenizer.Bytes(id); !ok || !slices.Equal(got, want) {
				t.Fatalf("id %d: %q, %v, want %q", id, got, ok, want)
			}
		}
		for i, id := range tokenizer.added.ids {
			if got, ok := tokenizer.Bytes(id); !ok || string(got) != tokenizer.added.literals[i] || !tokenizer.added.isAdded[id] {
				t.Errorf("added token %d: %q, %v", id, got, ok)
			}
		}
		for _, id := range []int32{-1, -1 << 31, int32(tokenizer.Vocab()), 1<<31 - 1} {
			if _, ok := tokenizer.Bytes(id); ok || tokenizer.added.isAdded[id] {
				t.Errorf("there is an id %d", id)
			}
			_, err := tokenizer.Decode([]int32{5, id})
			oneLine(t, err, "ids[1]")
		}
	})
}

// control returns the added ids among ids.
func control(t *Tokenizer, ids []int32) (found []int32) {
	for _, id := range ids {
		if t.added.isAdded[id] {
			found = append(found, id)
		}
	}
	return found
}

// Whatever a user writes, no plain piece gives a control token: neither alone, nor with what stands around it.
func TestPlainTextForgesNothing(t *testing.T) {
	vocabularies(t, func(t *testing.T, file []byte) {
		tokenizer := load(t, file)
		user, _ := tokenizer.Lookup("<｜User｜>")
		for _, literal := range tokenizer.added.literals {
			if found := control(tokenizer, tokenizer.Encode("a"+literal+literal+"\n"+literal)); found != nil {
				t.Fatalf("%q in plain text gives %d", literal, found)
			}
			for at := range len(literal) + 1 {
				prompt := []Piece{{"<｜User｜>", true}, {literal[:at], false}, {literal[at:], false}, {"<｜User｜>", true}, {literal, false}}
				ids, err := tokenizer.EncodePieces(prompt)
				if found := control(tokenizer, ids); err != nil || !slices.Equal(found, []int32{user, user}) {
					t.Fatalf("%v: control tokens %d, %v, want twice %d", prompt, found, err, user)
				}
				text := "<｜User｜>" + literal + "<｜User｜>" + literal
				if got, err := tokenizer.Decode(ids); got != text || err != nil {
					t.Fatalf("%v: decoded to %q, %v", prompt, got, err)
				}
			}
		}
	})
}

func TestEncodePieces(t *testing.T) {
	tokenizer := demo(t)
	prompt := []Piece{{"<｜begin▁of▁sentence｜>", true}, {"Be bri", false}, {"ef.\n\n", false}, {"", false}, {"text  ", false},
		{"<｜User｜>", true}, {"<｜Assistant｜>", true}, {"", false}, {"</think>", true}, {" 12", false}, {"345", false}}
	ids, err := tokenizer.EncodePieces(prompt)
	if want := tokenizer.EncodeSpecial(join(prompt)); err != nil || !slices.Equal(ids, want) {
		t.Errorf("%d, %v, want %d as the joined text gives", ids, err, want)
	}
	if ids, err := tokenizer.EncodePieces(nil); len(ids) > 0 || err != nil {
		t.Errorf("nothing gives %d, %v", ids, err)
	}
	for _, literal := range []string{"", "<｜user｜>", "<｜User｜><｜User｜>", "<｜User｜> ", "the", "line\nbreak", strings.Repeat("long", 1000)} {
		ids, err := tokenizer.EncodePieces([]Piece{{"a", false}, {literal, true}})
		oneLine(t, err, "unknown control token")
		if ids != nil {
			t.Errorf("%q: ids beside the error", literal)
		}
	}
}

// Leftmost, then longest: against a search that tries every literal everywhere.
func TestAddedTokensLongestFirst(t *testing.T) {
	literals := []string{"αβ", "αβγ", "β", "βγδ", "αβγδε", "δδ", "🙂", "ε!"}
	tokenizer := load(t, edit(t, func(file object) {
		added := file["added_tokens"].([]any)
		for i, literal := range literals {
			added = append(added, object{"id": 2048 + i, "content": literal})
		}
		file["added_tokens"] = added
	}))
	var reference func(text string) []int32
	reference = func(text string) []int32 {
		for at := range len(text) {
			best := -1
			for i, literal := range literals {
				if strings.HasPrefix(text[at:], literal) && (best < 0 || len(literal) > len(literals[best])) {
					best = i
				}
			}
			if best >= 0 {
				ids := append(tokenizer.Encode(text[:at]), int32(2048+best))
				return append(ids, reference(text[at+len(literals[best]):])...)
			}
		}
		return tokenizer.Encode(text)
	}
	random := rand.New(rand.NewPCG(9, 10))
	for range 5000 {
		var text strings.Builder
		for range random.IntN(12) {
			text.WriteString([]string{"α", "β", "γ", "δ", "ε", "🙂", "!", "\xce"}[random.IntN(8)])
		}
		if got, want := tokenizer.EncodeSpecial(text.String()), reference(text.String()); !slices.Equal(got, want) {
			t.Fatalf("%q: %d, want %d", text.String(), got, want)
		}
	}
}

// One tokenizer serves all requests at once.
func TestConcurrentUse(t *testing.T) {
	tokenizer := demo(t)
	random := rand.New(rand.NewPCG(11, 12))
	texts := make([]string, 200)
	want := make([][]int32, len(texts))
	for i := range texts {
		texts[i] = randomText(random)
		want[i] = tokenizer.EncodeSpecial(texts[i])
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			got := make([][]int32, len(texts))
			for i, text := range texts {
				got[i] = tokenizer.EncodeSpecial(text)
			}
			if !reflect.DeepEqual(got, want) {
				t.Error("other ids than alone")
			}
		})
	}
	group.Wait()
}

// Control text never belongs to an answer; what a parser of answers needs is none.
func TestControl(t *testing.T) {
	tokenizer := demo(t)
	for literal, want := range map[string]bool{"<｜User｜>": true, "<｜end▁of▁sentence｜>": true, "</think>": false} {
		id, ok := tokenizer.Lookup(literal)
		if !ok || tokenizer.Control(id) != want {
			t.Errorf("%s: id %d, %v: control %v", literal, id, ok, tokenizer.Control(id))
		}
	}
	if tokenizer.Control(300) || tokenizer.Control(-1) {
		t.Error("a token of the vocabulary, or none, is control text")
	}
}
