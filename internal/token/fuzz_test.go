package token

import (
	"slices"
	"testing"
	"unicode/utf8"
)

// Whatever the bytes of a file are: an error of one line, or a tokenizer that gives every text back.
func FuzzLoad(f *testing.F) {
	for _, change := range faults {
		f.Add(edit(f, change))
	}
	for _, file := range []string{"", "{", "[]", `{"model":{"vocab":{"a":1},"merges":["a b",["a","b"]]}}`, `{"added_tokens":[{"id":0,"content":"\ud83d"}]}`} {
		f.Add([]byte(file))
	}
	f.Add(read(f, demoFile))
	f.Fuzz(func(t *testing.T, file []byte) {
		tokenizer, err := Load(file)
		if err != nil {
			oneLine(t, err, "bad tokenizer")
			return
		}
		const text = "Once upon a time, 12345  <｜User｜>・🙂\n\n"
		checkRoundTrip(t, tokenizer, text)
	})
}

func checkRoundTrip(t *testing.T, tokenizer *Tokenizer, text string) {
	t.Helper()
	plain := tokenizer.Encode(text)
	pieces, err := tokenizer.EncodePieces([]Piece{{Text: text[:len(text)/2]}, {Text: text[len(text)/2:]}})
	if err != nil || !slices.Equal(pieces, plain) {
		t.Fatalf("%q: pieces give %d, %v, want %d", text, pieces, err, plain)
	}
	for _, ids := range [][]int32{plain, tokenizer.EncodeSpecial(text)} {
		var data []byte
		for _, id := range ids {
			b, ok := tokenizer.Bytes(id)
			if !ok {
				t.Fatalf("%q: unknown id %d", text, id)
			}
			data = append(data, b...)
		}
		if string(data) != text {
			t.Fatalf("%q: the bytes of the ids are %q", text, data)
		}
		if got, err := tokenizer.Decode(ids); got != whatwg(text) || err != nil {
			t.Fatalf("%q: decoded to %q, %v", text, got, err)
		}
	}
}

// Encoding and decoding is the identity on bytes, and on UTF-8 the ids are the reference's.
func FuzzRoundTrip(f *testing.F) {
	for _, text := range append(atoms, article, "\xff\xfe", "a\xc3", "<｜User｜><think>") {
		f.Add(text)
	}
	tokenizer, reference := demo(f), newReference(f, read(f, demoFile))
	f.Fuzz(func(t *testing.T, text string) {
		checkRoundTrip(t, tokenizer, text)
		if !utf8.ValidString(text) || len(text) > 2000 {
			return
		}
		ids := tokenizer.Encode(text)
		if want := reference.encode(text); !slices.Equal(ids, want) {
			t.Fatalf("%q: %d, want %d", text, ids, want)
		}
		if found := control(tokenizer, ids); found != nil {
			t.Fatalf("%q: control tokens %d", text, found)
		}
	})
}

// However the bytes are cut into chunks, the text is what the WHATWG standard says.
func FuzzDecoder(f *testing.F) {
	for data := range broken {
		f.Add(data, uint64(0x5555))
	}
	f.Fuzz(func(t *testing.T, data string, cuts uint64) {
		var ends []int
		for i := range data {
			if cuts>>(i%64)&1 == 1 {
				ends = append(ends, i)
			}
		}
		var d Decoder
		if got, want := chunked(&d, data, ends...), whatwg(data); got != want {
			t.Fatalf("%q cut at %d: %q, want %q", data, ends, got, want)
		}
	})
}
