package grammar

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"sync"

	"baleen/internal/token"
)

// Vocabulary is the tokens of a model as a tree of their bytes. It is safe for concurrent use, and remembers masks that all
// grammars share.
//
// Control tokens are not in it, since their text never belongs to an answer, but <think>, </think> and ｜DSML｜ are. Nor are
// tokens of more than maxToken bytes, of which known models have none.
type Vocabulary struct {
	tree
	same  [][2]int32            // further tokens with the bytes of another
	text  func(id int32) []byte // nothing for tokens that do not take part
	ends  []int32
	words int // of a mask
	deep  int // the most bytes of a token

	shared *tables

	mu   sync.Mutex
	last reading
}

// tree has a place for all bytes that a token begins with. The places lie in the order of their number of bytes, and then of
// these: so the children of neighbours are neighbours, as are all descendants of some number of bytes.
type tree struct {
	byte   []byte       // by place: the last one
	parent []int32      // by place
	child  []int32      // by place: the first of its children. They end where those of the next place begin
	token  []int32      // by place: that ends there, or -1
	ids    []int32      // tokens in the order of their places
	at     []int32      // these places
	with   [256][]int32 // the places that end with a byte behind others
}

const (
	nowhere = int32(0)
	root    = int32(1)
)

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

// entry is a token of a vocabulary.
type entry struct {
	text []byte
	id   int32
}

// newVocabulary makes the tree of size tokens; one without text does not take part.
func newVocabulary(size int, ends []int32, text func(int32) []byte) *Vocabulary {
	v := &Vocabulary{text: text, ends: ends, words: (size + 63) / 64}
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
	var distinct []entry
	for i, e := range entries {
		if i > 0 && bytes.Equal(e.text, entries[i-1].text) {
			v.same = append(v.same, [2]int32{entries[i-1].id, e.id})
		} else {
			distinct = append(distinct, e)
		}
	}
	v.grow(distinct)
	v.last.codes = make([]uint16, len(v.byte))
	v.shared = newTables(v)
	return v
}

// grow makes the tree of tokens that are sorted and differ, from the root down.
func (t *tree) grow(entries []entry) {
	type span struct{ from, to, depth int } // entries that begin with the bytes of a place
	spans := []span{{}, {0, len(entries), 0}}
	t.byte, t.parent = make([]byte, 2), make([]int32, 2)
	for i := 0; i < len(spans); i++ {
		s := spans[i]
		token := int32(-1)
		if s.from < s.to && len(entries[s.from].text) == s.depth {
			token = entries[s.from].id
			t.ids, t.at = append(t.ids, token), append(t.at, int32(i))
			s.from++
		}
		t.token = append(t.token, token)
		t.child = append(t.child, int32(len(spans)))
		for s.from < s.to {
			b := entries[s.from].text[s.depth]
			next := s.from
			for next < s.to && entries[next].text[s.depth] == b {
				next++
			}
			if s.depth > 0 {
				t.with[b] = append(t.with[b], int32(len(spans)))
			}
			t.byte = append(t.byte, b)
			t.parent = append(t.parent, int32(i))
			spans = append(spans, span{s.from, next, s.depth + 1})
			s.from = next
		}
	}
	t.child = append(t.child, int32(len(spans)))
}

// children are the places from the first to before the second.
func (t *tree) children(at int32) (from, to int32) { return t.child[at], t.child[at+1] }

// next returns the place behind a place and a byte, or nowhere.
func (t *tree) next(at int32, b byte) int32 {
	from, to := t.children(at)
	if i := bytes.IndexByte(t.byte[from:to], b); i >= 0 {
		return from + int32(i)
	}
	return nowhere
}

// longer reports whether longer tokens begin with those of a place.
func (t *tree) longer(at int32) bool { return t.child[at+1] > t.child[at] }

// spell returns the fewest tokens that spell a text from each of its bytes on. A byte that no token spells is said to take
// one; a tokenizer has tokens for all.
func (t *tree) spell(text string) []int32 {
	cost := make([]int32, len(text)+1)
	for i := len(text) - 1; i >= 0; i-- {
		cost[i] = add(cost[i+1], 1)
		at := root
		for j := i; j < len(text); j++ {
			if at = t.next(at, text[j]); at == nowhere {
				break
			}
			if t.token[at] >= 0 {
				cost[i] = min(cost[i], add(cost[j+1], 1))
			}
		}
	}
	return cost
}

// blockSize is how many neighbours are read before it is asked whether any could be.
const blockSize = 128

// reading is all tokens as they are read from a state of a leaf.
type reading struct {
	leafState
	codes []uint16 // by place: of the state that its bytes lead to, and the characters that were counted. Where that is dead, these may be any
	runs  []run    // outside of which all is dead
}

// run is neighbours among places.
type run struct{ from, to int32 }

// read reads anew, from a code on. block reads the last bytes of some neighbours, and reports whether any could be. (Level by level, no step waits for the one before it, and none asks anything. Runs of neighbours that are
// all dead are not followed.)
func (t *tree) read(r *reading, first uint16, block func(from, to int32) bool) {
	for _, run := range r.runs {
		clear(r.codes[run.from:run.to])
	}
	r.codes[root] = first
	r.runs = append(r.runs[:0], run{root, root + 1})
	for i := 0; i < len(r.runs); i++ {
		for from, end := t.child[r.runs[i].from], t.child[r.runs[i].to]; from < end; from += blockSize {
			to := min(end, from+blockSize)
			if !block(from, to) {
				clear(r.codes[from:to])
				continue
			}
			if n := len(r.runs) - 1; n > i && r.runs[n].to == from {
				r.runs[n].to = to
			} else {
				r.runs = append(r.runs, run{from, to})
			}
		}
	}
}

// tokens are those that are not dead, and some others, with their places.
func (t *tree) tokens(r *reading) iter.Seq2[[]int32, []int32] {
	return func(yield func([]int32, []int32) bool) {
		for _, run := range r.runs {
			from, _ := slices.BinarySearch(t.at, run.from)
			to, _ := slices.BinarySearch(t.at, run.to)
			if !yield(t.ids[from:to], t.at[from:to]) {
				return
			}
		}
	}
}

// readBlock reads the last bytes of places with an automaton.
func (t *tree) readBlock(d *dfa, codes []uint16, from, to int32) bool {
	const states = 1<<codeBits - 1
	class, bytes := &d.class, t.byte[from:to]
	parents, into := t.parent[from:to][:len(bytes)], codes[from:to][:len(bytes)]
	some := uint16(0)
	if d.counting == nil {
		next, classes := d.next, d.classes
		for i, b := range bytes {
			code := next[int(codes[parents[i]])*classes+int(class[b])]
			into[i] = code
			some |= code
		}
		return some != 0
	}
	next := d.counting
	for i, b := range bytes {
		code := codes[parents[i]]
		code = code&^states + next[int(code&states)|int(class[b])<<codeBits]
		into[i] = code
		some |= code & states
	}
	return some != 0
}
