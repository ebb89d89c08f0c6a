package grammar

import (
	"math/bits"
	"sync"
)

// tables remembers the masks of leaves by state.
type tables struct {
	vocabulary *Vocabulary
	mu         sync.Mutex
	masks      map[leafState]*leafMask
	words      int
	ends       map[leafState]*endings
	endWords   int
}

// leafState is what the mask of a leaf depends on.
type leafState struct {
	dfa   *dfa
	state int32
	first byteSet // what may follow the leaf
}

// byteSet is a set of bytes.
type byteSet [4]uint64

func (s *byteSet) add(b byte) { s[b>>6] |= 1 << (b & 63) }

func (s *byteSet) has(b byte) bool { return s[b>>6]&(1<<(b&63)) != 0 }

// everyByte is the set of all.
func everyByte() byteSet { return byteSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)} }

// leafMask is the tokens that stay inside a leaf, from one of its states on, or end with it; and the places where the leaf
// has ended and longer tokens go on. Where the leaf counts characters, those that end with it are listed apart. Of what remains
// to the end of the leaf, no more than at the state itself is left behind the near tokens; behind the far ones there is.
type leafMask struct {
	least     int32    // bytes that remain behind a near token, at least
	dense     []uint64 // the near tokens or, if they are few,
	sparse    []int32
	far       []counted          // and how many bytes remain
	scattered bool               // far is not complete: there are too many
	last      []counted          // and how many characters the leaf counted
	exits     map[byte][]counted // places by the byte behind the leaf, and how many characters it counted
}

// counted is a token, a place or a state, and a number.
type counted struct{ at, count int32 }

// fewTokens is how many tokens a mask lists rather than marks.
const fewTokens = 1 << 10

// Bounds of what one grammar, or all that share a vocabulary, remember of leaves: 16 MiB of masks and 8 MiB of endings.
const (
	maxTableWords  = 2 << 20
	maxEndingWords = 1 << 20
)

func newTables(v *Vocabulary) *tables {
	return &tables{vocabulary: v, masks: map[leafState]*leafMask{}, ends: map[leafState]*endings{}}
}

// leaf returns the mask of a leaf. It does not look at how many characters are wanted or allowed.
func (t *tables) leaf(k leafState) *leafMask {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.masks[k]
	if m == nil {
		m = t.endingsOf(k).mask(t.vocabulary, k)
		if t.words > maxTableWords {
			clear(t.masks)
			t.words = 0
		}
		t.masks[k] = m
		t.words += len(m.dense) + len(m.sparse)/2 + len(m.far) + len(m.last)
		for _, exits := range m.exits {
			t.words += len(exits)
		}
	}
	return m
}

// endings returns where the tokens end in a leaf.
func (t *tables) endings(k leafState) *endings {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.endingsOf(k)
}

func (t *tables) endingsOf(k leafState) *endings {
	e := t.ends[k]
	if e == nil {
		e = t.vocabulary.endings(k)
		if size := len(e.of)/4 + len(e.kinds); t.endWords+size > maxEndingWords {
			clear(t.ends)
			t.endWords = size
		} else {
			t.endWords += size
		}
		t.ends[k] = e
	}
	return e
}

// mask sorts the tokens by what remains behind them.
func (e *endings) mask(v *Vocabulary, k leafState) *leafMask {
	const near, far, last = 1, 2, 4
	d := k.dfa
	m := &leafMask{least: never, dense: make([]uint64, v.words), exits: e.exits}
	most := d.distance(k.state, 0, -1)
	sort := make([]uint8, len(e.kinds))
	for i, end := range e.kinds[1:] {
		switch remain := d.distance(end.at, 0, -1); {
		case d.count != nil && d.accept[end.at]:
			sort[i+1] = last
		case remain > most:
			sort[i+1] = far
		default:
			sort[i+1] = near
			m.least = min(m.least, remain)
		}
	}
	for j, i := range e.of {
		id, s := v.ids[j], sort[i]
		m.dense[id>>6] |= uint64(s&near) << (id & 63)
		switch {
		case s <= near:
		case s == last:
			m.last = append(m.last, counted{id, e.kinds[i].count})
		case len(m.far) < fewTokens:
			m.far = append(m.far, counted{id, d.distance(e.kinds[i].at, 0, -1)})
		default:
			m.scattered = true
			for i, s := range sort {
				sort[i] = s &^ far
			}
		}
	}
	m.list()
	return m
}

// list lists the near tokens if they are few.
func (m *leafMask) list() {
	tokens := 0
	for _, word := range m.dense {
		tokens += bits.OnesCount64(word)
	}
	if tokens > fewTokens {
		return
	}
	m.sparse = make([]int32, 0, tokens)
	for i, word := range m.dense {
		for ; word != 0; word &= word - 1 {
			m.sparse = append(m.sparse, int32(i*64+bits.TrailingZeros64(word)))
		}
	}
	m.dense = nil
}
