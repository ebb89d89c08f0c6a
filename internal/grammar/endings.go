package grammar

import "slices"

// endings is where the tokens of a vocabulary end in a leaf, from one of its states on, whatever is wanted, allowed or left:
// for each the state and how many characters the leaf has counted. And the places where the leaf has ended and longer tokens
// go on.
type endings struct {
	kinds []counted          // that occur: states and characters; the first stands for tokens that leave the leaf
	of    []uint16           // by token, in the order of the vocabulary's ids
	exits map[byte][]counted // places by the byte behind the leaf, and how many characters it counted
}

// fewPlaces is how many places are sooner walked than asked whether they stay in a state.
const fewPlaces = 8

// endingWalk finds endings.
type endingWalk struct {
	*Vocabulary
	leafState
	endings
	states, counts []int32  // by depth
	begun          []int32  // characters that the bytes begin, by depth
	span           int32    // how many characters a token may count with those that were held back, and one
	slots          []uint16 // in kinds, by state*span and characters
	turns          []turn   // by state
	behind         groups   // of the bytes that may follow
}

// endings walks the whole tree.
func (v *Vocabulary) endings(k leafState) *endings {
	w := endingWalk{Vocabulary: v, leafState: k, span: 1}
	w.kinds = []counted{{dead, 0}}
	w.of = make([]uint16, len(v.ids))
	w.exits = map[byte][]counted{}
	w.states = make([]int32, v.deep+1)
	w.states[0] = k.state
	w.counts = make([]int32, v.deep+1)
	w.begun = make([]int32, v.deep+1)
	if k.dfa.count != nil {
		w.span = int32(v.deep) + int32(slices.Max(k.dfa.count)) + 1
	}
	w.slots = make([]uint16, k.dfa.states()*int(w.span))
	w.turns = make([]turn, k.dfa.states())
	for b := range 256 {
		if k.first.has(byte(b)) {
			w.behind.add(byte(b))
		}
	}
	w.walk()
	return &w.endings
}

// walk goes over the places. Where nothing below a place can leave the state or the leaf, all its tokens are taken at once. What
// is noted at a place where no token ends is written over at the next one behind it where one does.
func (w *endingWalk) walk() {
	d, places, states, of := w.dfa, w.places, w.states, w.of
	next, classes, class := d.next, d.classes, &d.class
	ends := w.behind != groups{}
	for i := 1; i < len(places); {
		p := &places[i]
		from := states[p.depth-1]
		if ends && d.accept[from] && p.depth > 1 && w.first.has(p.byte) {
			w.exits[p.byte] = append(w.exits[p.byte], counted{int32(i), w.counts[p.depth-1]})
		}
		at := int(from)*classes + int(class[p.byte])
		to := next[at]
		if to == dead {
			of[p.first] = 0
			i = int(p.skip)
			continue
		}
		states[p.depth] = to
		if d.count != nil {
			w.counts[p.depth] = w.counts[p.depth-1] + int32(d.count[at])
			w.begun[p.depth] = w.begun[p.depth-1] + begins(p.byte)
		}
		if int(p.skip) > i+fewPlaces && w.stays(i, to) {
			w.takeAll(p, to)
			i = int(p.skip)
			continue
		}
		if end := w.slots[to*w.span+w.counts[p.depth]]; end > 0 {
			of[p.first] = end
		} else {
			of[p.first] = w.end(to, w.counts[p.depth])
		}
		i++
	}
}

// begins is 1 for the first byte of a character, and 0 for others.
func begins(b byte) int32 {
	if b&0xc0 == 0x80 {
		return 0
	}
	return 1
}

// end returns the place in kinds of a state and so many characters.
func (w *endingWalk) end(state, count int32) uint16 {
	slot := &w.slots[state*w.span+count]
	if *slot == 0 {
		*slot = uint16(len(w.kinds))
		w.kinds = append(w.kinds, counted{state, count})
	}
	return *slot
}

// stays reports whether all that tokens have behind a place neither leaves the state nor the leaf. What leaves the state may
// be the bytes of characters beyond ASCII, if these are whole and lead back to it.
func (w *endingWalk) stays(at int, state int32) bool {
	loops := w.dfa.loops[state]
	if loops == (groups{}) {
		return false
	}
	below := w.below[at]
	leaves := below.without(loops)
	if leaves != (groups{}) && (leaves != beyond() || w.places[at].broken) {
		return false
	}
	if leaves != (groups{}) && !w.back(state) {
		return false
	}
	return !(w.dfa.accept[state] && below.meets(w.behind))
}

// turn says whether all whole characters beyond ASCII lead back to a state.
type turn uint8

const (
	unasked turn = iota
	back
	away
)

// back asks that of a state once.
func (w *endingWalk) back(state int32) bool {
	if w.turns[state] == unasked {
		w.turns[state] = away
		if w.dfa.returns(state) {
			w.turns[state] = back
		}
	}
	return w.turns[state] == back
}

// takeAll takes the tokens that begin with those bytes that lead to a place, all of which end in a state. Where characters
// count, each that stays in the state, or leads back to it, counts one (TestCharactersCountOne).
func (w *endingWalk) takeAll(p *place, state int32) {
	first, behind := p.first, w.tokensUpTo(p.skip)
	of := w.of[first:behind]
	if w.dfa.count == nil {
		end := w.end(state, 0)
		for i := range of {
			of[i] = end
		}
		return
	}
	counted := w.counts[p.depth] - w.begun[p.depth]
	slots := w.slots[state*w.span:][:w.span]
	for i, chars := range w.chars[first:behind] {
		n := int32(chars) + counted
		if slots[n] == 0 {
			w.end(state, n)
		}
		of[i] = slots[n]
	}
}
