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
}

// leafState is what the mask of a leaf depends on.
type leafState struct {
	dfa   *dfa
	state int32
	room  int32   // characters that are allowed, -1 for no bound
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
	least  int32    // bytes that remain behind a near token, at least
	dense  []uint64 // the near tokens or, if they are few,
	sparse []int32
	far    []counted          // and how many bytes remain
	last   []counted          // and how many characters the leaf counted
	exits  map[byte][]counted // places by the byte behind the leaf, and how many characters it counted
}

// counted is a token or a place and a number.
type counted struct{ at, count int32 }

// fewTokens is how many tokens a mask lists rather than marks.
const fewTokens = 1 << 10

// maxTableWords bounds the masks that one grammar remembers: 16 MiB.
const maxTableWords = 2 << 20

func newTables(v *Vocabulary) *tables {
	return &tables{vocabulary: v, masks: map[leafState]*leafMask{}}
}

// leaf returns the mask of a leaf. It does not look at how many characters are wanted.
func (t *tables) leaf(k leafState) *leafMask {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.masks[k]
	if m == nil {
		w := leafWalk{Vocabulary: t.vocabulary, leafState: k}
		m = w.run()
		if t.words > maxTableWords {
			clear(t.masks)
			t.words = 0
		}
		t.masks[k] = m
		t.words += len(m.dense) + len(m.sparse)/2 + len(m.far) + len(m.last) + w.exited
	}
	return m
}

// leafWalk makes the mask of a leaf.
type leafWalk struct {
	*Vocabulary
	leafState
	leafMask
	states, counts []int32 // by depth
	wide           bool    // most tokens are near: the others are cleared
	turns          []turn  // by state
	remain         []int32 // bytes to the end, by state
	behind         uint64  // groups of the bytes that may follow
	most           int32   // bytes that remain behind near tokens
	tokens, exited int
}

// run walks the whole tree.
func (w *leafWalk) run() *leafMask {
	d := w.dfa
	w.dense = make([]uint64, w.words)
	if w.wide = d.loops[w.state]&(1<<group('a')) != 0; w.wide {
		copy(w.dense, w.all)
	}
	w.states = make([]int32, w.deep+1)
	w.counts = make([]int32, w.deep+1)
	w.exits = map[byte][]counted{}
	w.turns = make([]turn, d.states())
	w.remain = make([]int32, d.states())
	for s := range w.remain {
		w.remain[s] = d.distance(int32(s), 0, -1)
	}
	w.states[0] = w.state
	w.most = w.remain[w.state]
	w.least = never
	for b := range 256 {
		if w.first.has(byte(b)) {
			w.behind |= 1 << group(byte(b))
		}
	}
	w.walk()
	return w.done()
}

// walk goes over the places. Where nothing below a place can leave the state or the leaf, all its tokens are taken at once.
func (w *leafWalk) walk() {
	d, places, states := w.dfa, w.places, w.states
	for i := 1; i < len(places); {
		p := &places[i]
		from := states[p.depth-1]
		if d.accept[from] && p.depth > 1 && w.first.has(p.byte) {
			w.exits[p.byte] = append(w.exits[p.byte], counted{int32(i), w.counts[p.depth-1]})
			w.exited++
		}
		at := int(from)*d.classes + int(d.class[p.byte])
		to := d.next[at]
		if to == dead || d.count != nil && !w.allows(p, int32(d.count[at])) {
			if i = int(p.skip); w.wide {
				w.clear(p)
			}
			continue
		}
		states[p.depth] = to
		if leaves := p.below &^ d.loops[to]; (leaves == 0 || leaves == 1<<groupBeyond) && int(p.skip) > i+1 && w.stays(p, to, leaves) {
			w.takeAll(p, to)
			i = int(p.skip)
			continue
		}
		if i++; p.token < 0 {
			continue
		}
		switch remain := w.remain[to]; {
		case d.count != nil && d.accept[to]:
			w.last = append(w.last, counted{p.token, w.counts[p.depth]})
			w.dense[p.token>>6] &^= 1 << (p.token & 63)
		case remain > w.most:
			w.far = append(w.far, counted{p.token, remain})
			w.dense[p.token>>6] &^= 1 << (p.token & 63)
		default:
			w.least = min(w.least, remain)
			w.dense[p.token>>6] |= 1 << (p.token & 63)
			w.tokens++
		}
	}
}

// stays reports whether all that tokens have behind a place neither leaves the state, nor the leaf, nor has too many characters.
// leaves is the groups of it whose bytes leave the state: none, or those of characters beyond ASCII, which may be on their way
// back to it.
func (w *leafWalk) stays(p *place, state int32, leaves uint64) bool {
	if leaves != 0 && (p.broken || !w.returns(state)) {
		return false
	}
	return !(w.dfa.accept[state] && p.below&w.behind != 0) && w.fits(p)
}

// turn says whether all whole characters beyond ASCII lead back to a state.
type turn uint8

const (
	unasked turn = iota
	back
	away
)

// returns asks that of a state once.
func (w *leafWalk) returns(state int32) bool {
	if w.turns[state] == unasked {
		w.turns[state] = away
		if w.dfa.returns(state) {
			w.turns[state] = back
		}
	}
	return w.turns[state] == back
}

// allows counts what the step to a place adds, and reports whether so many are allowed.
func (w *leafWalk) allows(p *place, n int32) bool {
	n += w.counts[p.depth-1]
	w.counts[p.depth] = n
	return w.room < 0 || n <= w.room
}

// fits reports whether no token that begins with those of a place can have too many characters.
func (w *leafWalk) fits(p *place) bool {
	return w.room < 0 || w.counts[p.depth]+int32(p.tall-p.depth) <= w.room
}

// under is the tokens that begin with those bytes that lead to a place.
func (w *leafWalk) under(p *place) []int32 { return w.ids[p.first:w.tokensUpTo(p.skip)] }

// takeAll takes the tokens under a place, behind all of which a state is reached that counts nothing at its end.
func (w *leafWalk) takeAll(p *place, state int32) {
	ids, remain := w.under(p), w.remain[state]
	if remain > w.most {
		for _, id := range ids {
			w.far = append(w.far, counted{id, remain})
		}
		if w.wide {
			w.clear(p)
		}
		return
	}
	w.least = min(w.least, remain)
	w.tokens += len(ids)
	if !w.wide {
		for _, id := range ids {
			w.dense[id>>6] |= 1 << (id & 63)
		}
	}
}

func (w *leafWalk) clear(p *place) {
	for _, id := range w.under(p) {
		w.dense[id>>6] &^= 1 << (id & 63)
	}
}

// done lists the tokens if they are few.
func (w *leafWalk) done() *leafMask {
	m := w.leafMask
	if w.tokens <= fewTokens {
		m.sparse = make([]int32, 0, w.tokens)
		for i, word := range m.dense {
			for ; word != 0; word &= word - 1 {
				m.sparse = append(m.sparse, int32(i*64+bits.TrailingZeros64(word)))
			}
		}
		m.dense = nil
	}
	return &m
}
