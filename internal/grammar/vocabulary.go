package grammar

import (
	"bytes"
	"cmp"
	"slices"
	"unicode/utf8"

	"baleen/internal/token"
)

// Vocabulary is the tokens of a model as a tree of their bytes. It is safe for concurrent use, and remembers masks that all
// grammars share.
//
// Control tokens are not in it, since their text never belongs to an answer, but <think>, </think> and ｜DSML｜ are. Nor are
// tokens of more than maxToken bytes, of which known models have none.
type Vocabulary struct {
	places []place
	begins [256]int32            // the place behind each first byte, or 0
	ids    []int32               // tokens in the order of their places
	same   [][2]int32            // further tokens with the bytes of another
	text   func(id int32) []byte // nothing for tokens that do not take part
	chars  []uint16              // characters that the tokens begin, in the same order
	below  []groups              // by place: of the bytes that tokens have behind it
	tall   []uint16              // by place: the most bytes of a token that begins with its own
	ends   []int32
	words  int // of a mask
	deep   int // the most bytes of a token

	shared *tables
}

// place is a node of the tree: the bytes that lead there are those that a token begins with. Places lie in the order of a
// walk: children follow their parent. The first one is the root.
type place struct {
	byte   byte
	broken bool // what a token has behind these bytes is not whole characters
	depth  uint16
	token  int32 // that ends here, or -1
	skip   int32 // the place behind all that begins with these bytes
	first  int32 // in ids: of the tokens at this place and the ones that follow
}

// NewVocabulary reads the tokens of a tokenizer. ends are the tokens that end an answer.
func NewVocabulary(t *token.Tokenizer, ends ...int32) *Vocabulary {
	return newVocabulary(t.Vocab(), ends, func(id int32) []byte {
		if t.Control(id) || slices.Contains(ends, id) {
			return nil
		}
		text, _ := t.Bytes(id)
		return text
	})
}

// newVocabulary makes the tree of size tokens; one without text does not take part.
func newVocabulary(size int, ends []int32, text func(int32) []byte) *Vocabulary {
	v := &Vocabulary{text: text, ends: ends, words: (size + 63) / 64}
	type entry struct {
		text []byte
		id   int32
	}
	var entries []entry
	for id := range int32(size) {
		if text := text(id); len(text) > 0 && len(text) <= maxToken {
			entries = append(entries, entry{text, id})
			v.deep = max(v.deep, len(text))
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(bytes.Compare(a.text, b.text), cmp.Compare(a.id, b.id))
	})
	v.places = append(v.places, place{token: -1})
	var last []byte
	path := make([]int32, v.deep+1)
	for i, e := range entries {
		if i > 0 && bytes.Equal(e.text, last) {
			v.same = append(v.same, [2]int32{v.ids[len(v.ids)-1], e.id})
			continue
		}
		v.grow(last, e.text, e.id, path)
		last = e.text
	}
	v.close()
	v.shared = newTables(v)
	return v
}

// grow adds the places of a token behind those of the one before it. path is the places on the way of both, by depth.
func (v *Vocabulary) grow(last, text []byte, id int32, path []int32) {
	n := 0
	for n < len(last) && n < len(text) && last[n] == text[n] {
		n++
	}
	for ; n < len(text); n++ {
		path[n+1] = int32(len(v.places))
		if n == 0 {
			v.begins[text[0]] = path[1]
		}
		v.places = append(v.places, place{byte: text[n], depth: uint16(n + 1), token: -1, first: int32(len(v.ids))})
	}
	v.places[path[n]].token = id
	v.ids = append(v.ids, id)
	v.chars = append(v.chars, uint16(characters(string(text))))
	for depth := n; depth > 0; depth-- {
		p := &v.places[path[depth]]
		p.broken = p.broken || !utf8.Valid(text[depth:])
	}
}

// close notes where the subtrees end and which bytes are in them.
func (v *Vocabulary) close() {
	end := make([]int32, v.deep+2) // by depth: the first place behind that is not deeper
	for i := range end {
		end[i] = int32(len(v.places))
	}
	v.below = make([]groups, len(v.places))
	below := make([]groups, v.deep+2)
	v.tall = make([]uint16, len(v.places))
	tall := make([]uint16, v.deep+2)
	for i, p := range slices.Backward(v.places) {
		depth := int(p.depth)
		p.skip = end[depth]
		v.below[i] = below[depth+1]
		v.tall[i] = max(p.depth, tall[depth+1])
		v.places[i] = p
		if depth > 0 {
			below[depth].unite(v.below[i])
			below[depth].add(p.byte)
		}
		tall[depth] = max(tall[depth], v.tall[i])
		for j := depth; j < len(end); j++ {
			end[j] = int32(i)
			if j > depth {
				below[j], tall[j] = groups{}, 0
			}
		}
	}
}

// child returns the place behind a place and a byte, or 0.
func (v *Vocabulary) child(at int32, b byte) int32 {
	if at == 0 {
		return v.begins[b]
	}
	for i := at + 1; i < v.places[at].skip; i = v.places[i].skip {
		if c := v.places[i].byte; c >= b {
			if c == b {
				return i
			}
			break
		}
	}
	return 0
}

// longer reports whether longer tokens begin with those of a place.
func (v *Vocabulary) longer(at int32) bool { return v.places[at].skip > at+1 }

// tokensUpTo is the number of tokens in front of a place.
func (v *Vocabulary) tokensUpTo(at int32) int32 {
	if int(at) == len(v.places) {
		return int32(len(v.ids))
	}
	return v.places[at].first
}

// spell returns the fewest tokens that spell a text from each of its bytes on. A byte that no token spells is said to take
// one; a tokenizer has tokens for all.
func (v *Vocabulary) spell(text string) []int32 {
	cost := make([]int32, len(text)+1)
	for i := len(text) - 1; i >= 0; i-- {
		cost[i] = add(cost[i+1], 1)
		at := int32(0)
		for j := i; j < len(text); j++ {
			if at = v.child(at, text[j]); at == 0 {
				break
			}
			if v.places[at].token >= 0 {
				cost[i] = min(cost[i], add(cost[j+1], 1))
			}
		}
	}
	return cost
}
