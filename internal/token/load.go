package token

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Bounds of a file. The released ones have 129,280 ids, 127,741 merges and 8 MB.
const (
	maxFile    = 32 << 20 // bytes
	maxID      = 1 << 20
	maxTokens  = 1 << 18 // also merges
	maxLiteral = 1 << 10 // bytes of an added token
)

// file is what a tokenizer.json says.
type file struct {
	vocab  map[string]int32 // tokens in the byte alphabet
	merges [][2]string
	added  []addedToken
}

type addedToken struct {
	ID         int32
	Content    string
	SingleWord bool `json:"single_word"`
	LStrip     bool `json:"lstrip"`
	RStrip     bool `json:"rstrip"`
}

// Load reads a tokenizer.json. It accepts exactly the kind that this package implements, and says what else it found:
// byte-level BPE without byte fallback, no normaliser, and the pre-tokenizer of formats spec 3.1. Truncation, padding and
// the post-processor are not looked at: no id is ever dropped or added. The data is not kept.
func Load(data []byte) (*Tokenizer, error) {
	if len(data) > maxFile {
		return nil, fault("the file", fmt.Sprintf("%d bytes", len(data)), fmt.Sprint("at most ", maxFile))
	}
	if !utf8.Valid(data) {
		return nil, fault("the file", "bytes that are no UTF-8", "JSON")
	}
	f, err := parse(data)
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{classes: loadClasses()}
	for _, build := range []func(*file) error{t.buildAdded, t.buildTokens, t.buildMerges} {
		if err := build(f); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// fault is the error of a file: one line that says where something was found and what was expected.
func fault(where, found, want string) error {
	return fmt.Errorf("bad tokenizer: %s: found %s, expected %s: fetch tokenizer.json again from where the model came", where, found, want)
}

// quote keeps a text from a file on one line and of a bearable length.
func quote(text string) string {
	const limit = 120
	if len(text) > limit {
		return fmt.Sprintf("%q...", text[:limit])
	}
	return fmt.Sprintf("%q", text)
}

// buildAdded sorts the added tokens. A literal that the vocabulary has, too, must have the same id there.
func (t *Tokenizer) buildAdded(f *file) error {
	slices.SortFunc(f.added, func(a, b addedToken) int { return cmp.Compare(a.Content, b.Content) })
	t.added.isAdded = make(map[int32]bool, len(f.added))
	for i, a := range f.added {
		where := "added token " + quote(a.Content)
		switch id, ok := f.vocab[a.Content]; {
		case i > 0 && f.added[i-1].Content == a.Content:
			return fault(where, "it twice", "it once")
		case t.added.isAdded[a.ID]:
			return fault(where, fmt.Sprintf("the id %d of another added token", a.ID), "an id of its own")
		case ok && id != a.ID:
			return fault(where, fmt.Sprintf("id %d", a.ID), fmt.Sprintf("%d as in the vocabulary", id))
		}
		t.added.literals = append(t.added.literals, a.Content)
		t.added.ids = append(t.added.ids, a.ID)
		t.added.isAdded[a.ID] = true
		t.added.first[a.Content[0]] = true
	}
	return nil
}

// buildTokens lays out the bytes of all ids.
func (t *Tokenizer) buildTokens(f *file) error {
	highest := int32(-1)
	for _, id := range f.vocab {
		highest = max(highest, id)
	}
	for _, id := range t.added.ids {
		highest = max(highest, id)
	}
	count := len(f.vocab) + len(t.added.ids)
	if int(highest) > 2*count {
		return fault("the ids", fmt.Sprintf("id %d among %d tokens", highest, count), "ids without large gaps")
	}
	tokens := make([]string, highest+1)
	for i, id := range t.added.ids {
		tokens[id] = t.added.literals[i]
	}
	size := 0
	for token, id := range f.vocab {
		if tokens[id] != "" && tokens[id] != token {
			return fault("vocabulary entry "+quote(token), fmt.Sprintf("id %d, which %s has, too", id, quote(tokens[id])), "an id of its own")
		}
		tokens[id] = token
		size += len(token)
	}
	t.layOut(tokens, size)
	return nil
}

// layOut translates the vocabulary's tokens from the byte alphabet and puts all tokens one behind the other.
func (t *Tokenizer) layOut(tokens []string, size int) {
	t.text = make([]byte, 0, size)
	t.begin = make([]uint32, 1, len(tokens)+1)
	for id, token := range tokens {
		if t.added.isAdded[int32(id)] {
			t.text = append(t.text, token...)
		} else {
			t.text = appendAlphabet(t.text, token)
		}
		t.begin = append(t.begin, uint32(len(t.text)))
	}
}

// buildMerges finds the ids of the bytes and of both sides and the result of every merge.
func (t *Tokenizer) buildMerges(f *file) error {
	for b := range 256 {
		id, ok := f.vocab[string(byteRunes[b])]
		if !ok {
			return fault("the vocabulary", fmt.Sprintf("no token for byte %#02x", b), "one for every byte")
		}
		t.merges.bytes[b] = id
	}
	t.merges.ranks = make(map[pair]int32, len(f.merges))
	t.merges.result = make([]int32, 0, len(f.merges))
	var joined []byte
	for rank, m := range f.merges {
		joined = append(append(joined[:0], m[0]...), m[1]...)
		left, okLeft := f.vocab[m[0]]
		right, okRight := f.vocab[m[1]]
		result, okResult := f.vocab[string(joined)]
		if !okLeft || !okRight || !okResult {
			return fault(fmt.Sprintf("merge %d", rank), fmt.Sprintf("%s and %s", quote(m[0]), quote(m[1])), "both and what they make in the vocabulary")
		}
		t.merges.ranks[pair{left, right}] = int32(rank)
		t.merges.result = append(t.merges.result, result)
	}
	if len(t.merges.ranks) != len(f.merges) {
		return fault("the merges", fmt.Sprintf("%d of %d twice", len(f.merges)-len(t.merges.ranks), len(f.merges)), "every merge once")
	}
	return nil
}
