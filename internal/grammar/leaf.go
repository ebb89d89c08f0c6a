package grammar

import (
	"math/bits"
	"sync"
)

// tables remembers what the tokens are in the states of leaves.
type tables struct {
	vocabulary *Vocabulary
	mu         sync.Mutex
	masks      map[leafState]*leafMask
	leaving    map[exit][]counted
	words      int
	ends       map[leafState][]uint16
	endWords   int
}

// leafState is a state of a leaf that tokens are read from.
type leafState struct {
	dfa   *dfa
	state int32
}

// exit is a byte behind the end of a leaf.
type exit struct {
	leafState
	byte byte
}

// leafMask is the tokens that stay inside a leaf, from one of its states on, or end with it. Where the leaf counts characters,
// those that end with it are listed apart. Of what remains to the end of the leaf, no more than at the state itself is left
// behind the near tokens; behind the far ones there is.
type leafMask struct {
	dense     []uint64 // the near tokens or, if they are few,
	sparse    []int32
	far       []counted // and how many bytes remain
	scattered bool      // there are too many far ones: they are with the near ones
	last      []counted // and how many characters the leaf counted
}

// counted is a token or a place, and a number.
type counted struct{ at, count int32 }

// fewTokens is how many tokens a mask lists rather than marks.
const fewTokens = 1 << 10

// Bounds of what one grammar, or all that share a vocabulary, remember of leaves: 16 MiB of masks and 8 MiB of endings.
const (
	maxTableWords  = 2 << 20
	maxEndingWords = 1 << 20
)

func newTables(v *Vocabulary) *tables {
	return &tables{vocabulary: v, masks: map[leafState]*leafMask{}, leaving: map[exit][]counted{}, ends: map[leafState][]uint16{}}
}

// leaf returns the mask of a leaf. It does not look at how many characters are wanted or allowed.
func (t *tables) leaf(k leafState) *leafMask {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.masks[k]
	if m == nil {
		t.vocabulary.readLeaf(k, func(r *reading) { m = t.vocabulary.mask(r) })
		t.room(len(m.dense) + len(m.sparse)/2 + len(m.far) + len(m.last))
		t.masks[k] = m
	}
	return m
}

// exits returns the places where a byte is read behind the end of a leaf, and how many characters that counted.
func (t *tables) exits(k leafState, b byte) []counted {
	t.mu.Lock()
	defer t.mu.Unlock()
	exits, known := t.leaving[exit{k, b}]
	if !known {
		t.vocabulary.readLeaf(k, func(r *reading) { exits = t.vocabulary.exits(r, b) })
		t.room(len(exits) + 8)
		t.leaving[exit{k, b}] = exits
	}
	return exits
}

// room makes room for so many words in masks and leaving.
func (t *tables) room(words int) {
	if t.words += words; t.words > maxTableWords {
		clear(t.masks)
		clear(t.leaving)
		t.words = words
	}
}

// endings returns by token the code of where it ends in a leaf, see tree.read.
func (t *tables) endings(k leafState) []uint16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	ends := t.ends[k]
	if ends == nil {
		v := t.vocabulary
		ends = make([]uint16, v.words*64)
		v.readLeaf(k, func(r *reading) {
			for ids, at := range v.tokens(r) {
				for i, id := range ids {
					ends[id] = r.codes[at[i]]
				}
			}
		})
		if t.endWords += len(ends) / 4; t.endWords > maxEndingWords {
			clear(t.ends)
			t.endWords = len(ends) / 4
		}
		t.ends[k] = ends
	}
	return ends
}

// readLeaf gives all tokens as they are read from a state of a leaf to use, which must not keep them. Those that were read last
// are remembered.
func (v *Vocabulary) readLeaf(k leafState, use func(*reading)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last.leafState != k {
		v.last.leafState = k
		v.read(&v.last, uint16(k.state), func(from, to int32) bool { return v.readBlock(k.dfa, v.last.codes, from, to) })
	}
	use(&v.last)
}

// exits are the places where a byte is read behind the end of a leaf.
func (v *Vocabulary) exits(r *reading, b byte) (exits []counted) {
	places := 0
	for _, run := range r.runs {
		places += int(run.to - run.from)
	}
	exit := func(from, at int32) {
		if state, count := r.dfa.split(r.codes[from]); r.dfa.accept[state] {
			exits = append(exits, counted{at, count})
		}
	}
	if places > len(v.with[b]) {
		for _, at := range v.with[b] {
			exit(v.parent[at], at)
		}
		return exits
	}
	for _, run := range r.runs[1:] { // behind the root
		for from := run.from; from < run.to; from++ {
			if at := v.next(from, b); at != nowhere {
				exit(from, at)
			}
		}
	}
	return exits
}

// endings tabulates what is said of the codes of an automaton (see tree.read). Of dead ones that is nothing.
func (v *Vocabulary) endings(d *dfa, say func(state, count int32) uint8) []uint8 {
	codes := d.states()
	if d.counting != nil {
		codes = (v.deep + window + 1) << codeBits
	}
	table := make([]uint8, codes)
	for code := range table {
		if state, count := d.split(uint16(code)); state != dead && int(state) < d.states() {
			table[code] = say(state, count)
		}
	}
	return table
}

// mask sorts the tokens by what remains behind them.
func (v *Vocabulary) mask(r *reading) *leafMask {
	const near, far, last = 1, 2, 4
	d := r.dfa
	m := &leafMask{dense: make([]uint64, v.words)}
	most := d.distance(r.state, 0, -1)
	sort := v.endings(d, func(state, _ int32) uint8 {
		switch remain := d.distance(state, 0, -1); {
		case d.counting != nil && d.accept[state]:
			return last
		case remain > most:
			return far
		}
		return near
	})
	dense, codes := m.dense, r.codes
	for ids, at := range v.tokens(r) {
		for i, id := range ids {
			code := codes[at[i]]
			s := sort[code]
			dense[id>>6] |= uint64(s&near) << (id & 63)
			if s <= near {
				continue
			}
			state, count := d.split(code)
			switch {
			case s == last:
				m.last = append(m.last, counted{id, count})
			case len(m.far) < fewTokens:
				m.far = append(m.far, counted{id, d.distance(state, 0, -1)})
			default: // too many to list: they are as good as near
				m.scatter(id)
				for i, s := range sort {
					if s == far {
						sort[i] = near
					}
				}
			}
		}
	}
	m.list()
	return m
}

// scatter marks the far tokens, and one more, with the near ones.
func (m *leafMask) scatter(id int32) {
	for _, e := range append(m.far, counted{at: id}) {
		m.dense[e.at>>6] |= 1 << (e.at & 63)
	}
	m.far, m.scattered = nil, true
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
