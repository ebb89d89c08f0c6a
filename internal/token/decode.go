package token

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// Decoder turns the bytes of tokens into text as they come: whole characters only, and U+FFFD once for every maximal part
// that cannot be UTF-8 (the rule of the WHATWG encoding standard and of Python's errors="replace", formats spec 3.5). How
// the bytes are cut into chunks makes no difference. The zero value is ready.
type Decoder struct {
	held []byte // at most three: the beginning of a character
}

// Feed returns the text that is complete with chunk.
func (d *Decoder) Feed(chunk []byte) string {
	data := chunk
	if len(d.held) > 0 {
		data = slices.Concat(d.held, chunk)
	}
	var text []byte
	for utf8.FullRune(data) {
		n := validPrefix(data)
		text = append(text, data[:n]...)
		data = data[n:]
		if utf8.FullRune(data) {
			text = utf8.AppendRune(text, utf8.RuneError)
			data = data[invalidPrefix(data):]
		}
	}
	d.held = append(d.held[:0], data...)
	return string(text)
}

// Flush ends the text: a character that was begun becomes U+FFFD. The decoder is then as new.
func (d *Decoder) Flush() string {
	if len(d.held) == 0 {
		return ""
	}
	d.held = d.held[:0]
	return string(utf8.RuneError)
}

// validPrefix returns the length of the valid UTF-8 that data begins with.
func validPrefix(data []byte) (n int) {
	for n < len(data) {
		r, size := utf8.DecodeRune(data[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return n
}

// invalidPrefix returns the length of the invalid sequence that data begins with: the longest beginning of a character
// that what follows proves wrong, or one byte that cannot begin any.
func invalidPrefix(data []byte) int {
	n := 1
	for n < len(data) && !utf8.FullRune(data[:n+1]) {
		n++
	}
	return n
}

// Decode returns the text of ids, with the replacement rule of Decoder. It fails at an id that the file does not have.
func (t *Tokenizer) Decode(ids []int32) (string, error) {
	var data []byte
	for i, id := range ids {
		b, ok := t.Bytes(id)
		if !ok {
			return "", fmt.Errorf("unknown token id: ids[%d]: found %d, expected one of the tokenizer's, 0 to %d: use the tokenizer.json that came with the model",
				i, id, t.Vocab()-1)
		}
		data = append(data, b...)
	}
	var d Decoder
	text := d.Feed(data)
	return text + d.Flush(), nil
}
