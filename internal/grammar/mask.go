package grammar

import "iter"

// mask is tokens that may come next where a frame is on top, with what they cost afterwards: those of a literal, or those that
// end behind a leaf. (Those that end in the leaf are not the frame's own, see markLeaf.)
type mask struct {
	ids     []int32
	costs   []int32
	crowded bool // there are more, see fewVisits
}

func (m *mask) add(id, cost int32) {
	m.ids = append(m.ids, id)
	m.costs = append(m.costs, cost)
}

// masking makes the mask of a frame.
type masking struct {
	*arena
	vocabulary *Vocabulary
	mask
	seen map[placed]bool
	most int // visits
}

// placed is a frame that is read on from a place of the vocabulary's tree.
type placed struct {
	frame *frame
	at    int32
}

// maskOf returns the mask of a frame that is read from, and remembers it.
func (m *Matcher) maskOf(f *frame) *mask {
	if f.mask == nil {
		w := masking{arena: m.arena, vocabulary: m.vocabulary, seen: map[placed]bool{}, most: m.arena.visits + fewVisits}
		w.run(f)
		f.mask = &w.mask
		m.arena.size += len(w.ids)
	}
	return f.mask
}

// leafOf is what the masks of the leaf of a frame are remembered by, and where.
func (a *arena) leafOf(f *frame) (*tables, leafState) {
	k := leafState{f.node.dfa, int32(f.at)}
	if k.dfa.shared {
		return a.tables.vocabulary.shared, k
	}
	return a.tables, k
}

// run takes the tokens that go on from a frame.
func (w *masking) run(f *frame) {
	switch {
	case f.node == nil:
	case f.node.kind == leafNode:
		w.leave(f)
	default:
		w.walk(f, root)
	}
}

// leave tries what is read behind a leaf on the tokens that go on there.
func (w *masking) leave(f *frame) {
	var behind [256][]*frame // by what they read first
	for _, g := range f.below.opened(w.arena) {
		for b := range g.begins() {
			behind[b] = append(behind[b], g)
		}
	}
	t, k := w.leafOf(f)
	for b, frames := range behind {
		if len(frames) == 0 {
			continue
		}
		if w.full() {
			return
		}
		if exits := t.exits(k, byte(b)); len(exits) > 0 {
			w.leaveBy(f, exits, stepAll(w.arena, frames, byte(b)))
		}
	}
}

// full reports whether enough was looked at.
func (w *masking) full() bool {
	w.crowded = w.crowded || w.visits > w.most
	return w.crowded
}

func (w *masking) leaveBy(f *frame, exits []counted, behind []*frame) {
	for _, e := range exits {
		if w.full() {
			return
		}
		if w.visits++; e.count >= f.want && (f.room < 0 || e.count <= f.room) {
			w.arrive(behind, e.at)
		}
	}
}

// stepAll returns the frames that are read from behind a byte.
func stepAll(a *arena, frames []*frame, b byte) (behind []*frame) {
	for _, f := range frames {
		behind = append(behind, f.step(a, b)...)
	}
	return behind
}

// begins is the bytes that a frame may read.
func (f *frame) begins() iter.Seq[byte] {
	return func(yield func(byte) bool) {
		switch {
		case f.node == nil:
		case f.node.kind == literalNode:
			yield(f.node.text[f.at])
		case f.node.sorted != nil:
			from, to, depth := f.keys()
			last := -1
			for _, i := range f.node.sorted[from:to] {
				b := f.node.key(i).text[depth]
				if int(b) != last && !yield(b) {
					return
				}
				last = int(b)
			}
		default:
			for b := range 256 {
				if f.node.dfa.follow(int32(f.at), byte(b)) != dead && !yield(byte(b)) {
					return
				}
			}
		}
	}
}

// arrive takes the token at a place, behind which the frames are read from, and goes on.
func (w *masking) arrive(frames []*frame, at int32) {
	if token := w.vocabulary.token[at]; token >= 0 {
		least := never
		for _, f := range frames {
			least = min(least, f.cost)
		}
		if least < never {
			w.add(token, least)
		}
	}
	if w.vocabulary.longer(at) {
		for _, f := range frames {
			w.walk(f, at)
		}
	}
}

// walk takes the tokens that go on from a place with what a frame reads.
func (w *masking) walk(f *frame, at int32) {
	k := placed{f, at}
	if f.node != nil && f.node.kind == literalNode && w.vocabulary.next(at, f.node.text[f.at]) == nowhere {
		w.visits++
		return
	}
	if f.node == nil || w.seen[k] || at != root && w.full() {
		return
	}
	w.seen[k] = true
	switch f.node.kind {
	case literalNode:
		w.walkLiteral(f, at)
	case leafNode:
		w.walkLeaf(f, reached{at, int32(f.at), f.want, f.room})
	default:
		w.walkKeys(f, at)
	}
}

// walkKeys takes the tokens that go on from a place with a key.
func (w *masking) walkKeys(f *frame, at int32) {
	for b := range f.begins() {
		w.visits++
		if to := w.vocabulary.next(at, b); to != nowhere {
			w.arrive(f.step(w.arena, b), to)
		}
	}
}

func (w *masking) walkLiteral(f *frame, at int32) {
	text := f.node.text
	spelling := w.spelling[f.node.id]
	for i := int(f.at); i < len(text); i++ {
		w.visits++
		if at = w.vocabulary.next(at, text[i]); at == nowhere {
			return
		}
		if i == len(text)-1 {
			w.arrive(f.below.opened(w.arena), at)
			return
		}
		if token := w.vocabulary.token[at]; token >= 0 {
			if cost := add(spelling[i+1], f.below.cost); cost < never {
				w.add(token, cost)
			}
		}
	}
}

// reached is a place of a leaf.
type reached struct{ place, state, want, room int32 }

// walkLeaf takes the tokens that go on from a place inside a leaf, and those behind its end.
func (w *masking) walkLeaf(f *frame, from reached) {
	d, v := f.node.dfa, w.vocabulary
	at, end := v.children(from.place)
	for ; at < end && !w.full(); at++ {
		w.visits++
		r, count := from, int32(0)
		r.place = at
		r.state, count = d.step(r.state, v.byte[at])
		if r.state == dead || r.room >= 0 && r.room < count {
			continue
		}
		r.want = max(0, r.want-count)
		if r.room >= 0 {
			r.room -= count
		}
		cost := add(d.distance(r.state, r.want, r.room), f.below.cost)
		if cost >= never {
			continue
		}
		if token := v.token[at]; token >= 0 {
			w.add(token, cost)
		}
		if !v.longer(at) {
			continue
		}
		if d.accept[r.state] && r.want <= 0 {
			for _, g := range f.below.opened(w.arena) {
				w.walk(g, at)
			}
		}
		w.walkLeaf(f, r)
	}
}
