package grammar

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// sets is the sets of frames that an answer may be at: an automaton, of which each step is found when it is first taken. Grammars
// that read the same bytes in many ways come to few sets.
type sets struct {
	*arena
	frames [][]*frame // by set; the first one is empty
	costs  []int32    // of the cheapest frame of each
	index  map[string]uint16
	next   []uint16 // by set and byte
}

// untried is a step of a set that was not taken yet.
const untried = 1<<16 - 1

func newSets(a *arena) *sets {
	s := &sets{arena: a, index: map[string]uint16{}}
	s.of(nil)
	return s
}

// of returns the set of some frames, or of as many of the cheapest as a set has at most. It is the empty one where there are too
// many sets.
func (s *sets) of(frames []*frame) uint16 {
	frames = slices.Clone(frames)
	slices.SortFunc(frames, func(a, b *frame) int { return cmp.Compare(a.id, b.id) })
	frames = trim(slices.Compact(frames), maxStacks)
	var name []byte
	for _, f := range frames {
		name = binary.LittleEndian.AppendUint32(name, uint32(f.id))
	}
	set, known := s.index[string(name)]
	if !known && len(s.frames) < maxSets {
		set = uint16(len(s.frames))
		s.index[string(name)] = set
		s.frames = append(s.frames, frames)
		cost := never
		for _, f := range frames {
			cost = min(cost, f.cost)
		}
		s.costs = append(s.costs, cost)
		for range 256 {
			s.next = append(s.next, untried)
		}
	}
	return set
}

// step returns the set behind a byte. It is the empty one where too many frames were looked at.
func (s *sets) step(set uint16, b byte) uint16 {
	at := int(set)<<8 | int(b)
	next := s.next[at]
	if next != untried {
		return next
	}
	if s.visits > maxVisits {
		return 0
	}
	behind := stepAll(s.arena, s.frames[set], b)
	s.visits += 1 + len(s.frames[set])/16 + len(behind) // most frames do not read most bytes
	next = s.of(behind)
	s.next[at] = next
	return next
}

// read reads all tokens at once from some frames on, and gives each of those that are in the language, and what it costs
// afterwards, to take.
func (s *sets) read(v *Vocabulary, frames []*frame, take func(token, cost int32)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := &v.last
	r.leafState = leafState{}
	v.read(r, s.of(frames), func(from, to int32) bool {
		parents, into := v.parent[from:to], r.codes[from:to]
		some := uint16(0)
		for i, b := range v.byte[from:to] {
			set := r.codes[parents[i]]
			next := s.next[int(set)<<8|int(b)]
			if next == untried {
				next = s.step(set, b)
			}
			into[i] = next
			some |= next
		}
		return some != 0
	})
	for ids, at := range v.tokens(r) {
		for i, id := range ids {
			if cost := s.costs[r.codes[at[i]]]; cost < never {
				take(id, cost)
			}
		}
	}
}
