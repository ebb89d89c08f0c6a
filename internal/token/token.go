// Package token is the tokenizer of the DeepSeek-V4 family: it reads a tokenizer.json (byte-level BPE behind a four-step
// pre-tokenizer) and turns text into ids, ids into bytes, and a stream of bytes into whole characters. It knows no chat
// format and no model.
//
// Text goes through the same steps as in the reference tokenizer and gives the same ids:
//
//	text → added tokens cut out → pieces → bytes → merges → ids
//	      (added.go, on request)  (split.go)      (merge.go)
//
// Where the characters of a piece belong is a matter of the Unicode version: L, M, N, P, S and White_Space are those of
// Unicode 15.0.0, the version of Go 1.26's tables. A character that a later version assigns counts as unassigned
// here; it keeps its bytes, but it and its neighbours may be cut into other tokens than elsewhere.
//
// Source: formats spec 3.
package token

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Tokenizer is the content of one tokenizer.json. It is immutable, and safe for concurrent use.
type Tokenizer struct {
	classes *classTable
	merges  merges
	added   added

	// Token id is text[begin[id]:begin[id+1]]; ids that the file leaves out are empty.
	text  []byte
	begin []uint32

	mergers sync.Pool // of *merger: the scratch memory of one call
}

// Vocab returns the number of ids: the highest one of the file plus one. A model may have more rows than that.
func (t *Tokenizer) Vocab() int { return len(t.begin) - 1 }

// Bytes returns what id stands for: the bytes of a vocabulary token, which may be a part of a character, or the literal
// of an added token. It is false for an id that the file does not have. The caller must not change the bytes.
func (t *Tokenizer) Bytes(id int32) ([]byte, bool) {
	if id < 0 || int(id) >= t.Vocab() {
		return nil, false
	}
	begin, end := t.begin[id], t.begin[id+1]
	return t.text[begin:end:end], begin < end
}

// Lookup returns the id of an added token by its literal, such as <｜User｜>.
func (t *Tokenizer) Lookup(literal string) (int32, bool) {
	i, ok := slices.BinarySearch(t.added.literals, literal)
	if !ok {
		return 0, false
	}
	return t.added.ids[i], true
}

// Control reports whether id is control text, which never belongs to an answer: any added token but <think>, </think> and
// ｜DSML｜ (formats spec 3.2).
func (t *Tokenizer) Control(id int32) bool {
	if !t.added.isAdded[id] {
		return false
	}
	literal, _ := t.Bytes(id)
	switch string(literal) {
	case "<think>", "</think>", "｜DSML｜":
		return false
	}
	return true
}

// Encode returns the ids of text, in which nothing is recognised as an added token. No begin-of-sentence is put in
// front. Bytes that are no UTF-8 keep their value, but where they are cut is not defined by any reference.
func (t *Tokenizer) Encode(text string) []int32 {
	return t.encode(nil, text)
}

// EncodeSpecial is Encode for a rendered prompt: every literal of an added token becomes that token, leftmost first and
// the longest among those that begin together. Do not use it on text from outside: it lets the author forge control
// tokens.
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	var ids []int32
	for len(text) > 0 {
		begin, end, id := t.added.find(text)
		ids = t.encode(ids, text[:begin])
		if begin < end {
			ids = append(ids, id)
		}
		text = text[end:]
	}
	return ids
}

// EncodePieces returns the ids of a prompt made of plain and control pieces. For plain text without control literals in
// it they are those that EncodeSpecial gives for the joined text. It fails where a control piece is not the literal of an
// added token.
func (t *Tokenizer) EncodePieces(pieces []Piece) ([]int32, error) {
	var ids []int32
	for len(pieces) > 0 {
		if pieces[0].Control {
			id, ok := t.Lookup(pieces[0].Text)
			if !ok {
				return nil, fmt.Errorf("unknown control token: %s: none of the %d added tokens: use the tokenizer.json that came with the model",
					quote(pieces[0].Text), len(t.added.ids))
			}
			ids = append(ids, id)
			pieces = pieces[1:]
			continue
		}
		n := slices.IndexFunc(pieces, func(p Piece) bool { return p.Control })
		if n < 0 {
			n = len(pieces)
		}
		ids = t.encode(ids, join(pieces[:n]))
		pieces = pieces[n:]
	}
	return ids, nil
}

// join returns the texts of pieces as one: tokens may span their borders.
func join(pieces []Piece) string {
	if len(pieces) == 1 {
		return pieces[0].Text
	}
	var text strings.Builder
	for _, p := range pieces {
		text.WriteString(p.Text)
	}
	return text.String()
}

// encode appends the ids of plain text.
func (t *Tokenizer) encode(ids []int32, text string) []int32 {
	m, _ := t.mergers.Get().(*merger)
	if m == nil {
		m = &merger{merges: &t.merges}
	}
	ids = slices.Grow(ids, len(text)/4)
	t.classes.split(text, func(piece string) { ids = m.encode(ids, piece) })
	if m.small() {
		t.mergers.Put(m)
	}
	return ids
}
