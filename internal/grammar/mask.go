package grammar

// mask is tokens that may come next where a frame is on top, with what they cost afterwards: those of a literal, or those that
// end behind a leaf. (Those that end in the leaf are not the frame's own, see markLeaf.)
type mask struct {
	ids   []int32
	costs []int32
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
	seen  map[placed]bool
	queue []reached // of walkLeaf
}

// placed is a frame that is read on from a place of the vocabulary's tree.
type placed struct {
	frame *frame
	at    int32
}

// maskOf returns the mask of a frame that is read from, and remembers it.
func (m *Matcher) maskOf(f *frame) *mask {
	if f.mask == nil {
		w := masking{arena: m.arena, vocabulary: m.vocabulary, seen: map[placed]bool{}}
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

func (w *masking) run(f *frame) {
	switch {
	case f.node == nil:
	case f.node.kind == literalNode:
		w.walk(f, root)
	default:
		w.leave(f)
	}
}

// leave tries what is read behind a leaf on the tokens that go on there.
func (w *masking) leave(f *frame) {
	var behind [256][]*frame // by what they read first
	for _, g := range f.below.opened(w.arena) {
		switch {
		case g.node == nil:
		case g.node.kind == literalNode:
			b := g.node.text[g.at]
			behind[b] = append(behind[b], g)
		default:
			for b := range 256 {
				if g.mayRead(byte(b)) {
					behind[b] = append(behind[b], g)
				}
			}
		}
	}
	t, k := w.leafOf(f)
	for b, frames := range behind {
		if len(frames) == 0 {
			continue
		}
		if exits := t.exits(k, byte(b)); len(exits) > 0 {
			w.leaveBy(f, exits, stepAll(w.arena, frames, byte(b)))
		}
	}
}

func (w *masking) leaveBy(f *frame, exits []counted, behind []*frame) {
	for _, e := range exits {
		if e.count >= f.want && (f.room < 0 || e.count <= f.room) {
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

// mayRead reports whether a frame can read a byte.
func (f *frame) mayRead(b byte) bool {
	switch {
	case f.node == nil:
		return false
	case f.node.kind == literalNode:
		return f.node.text[f.at] == b
	}
	return f.node.dfa.follow(int32(f.at), b) != dead
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
	if f.node == nil || at != root && w.visits > maxVisits || w.seen[k] {
		return
	}
	w.seen[k] = true
	if f.node.kind == literalNode {
		w.walkLiteral(f, at)
	} else {
		w.walkLeaf(f, at)
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

// reached is a place in a leaf that is still to be gone on from.
type reached struct{ place, state, want, room int32 }

// walkLeaf takes the tokens that go on from a place inside a leaf, in the order of their lengths, and those behind its end.
func (w *masking) walkLeaf(f *frame, from int32) {
	d, v, first := f.node.dfa, w.vocabulary, len(w.queue)
	w.queue = append(w.queue, reached{from, int32(f.at), f.want, f.room})
	for i := first; i < len(w.queue); i++ {
		at, end := v.children(w.queue[i].place)
		for ; at < end && w.visits <= maxVisits; at++ {
			w.visits++
			r, count := w.queue[i], int32(0)
			r.state, count = d.step(r.state, v.byte[at])
			if r.place = at; r.state == dead || r.room >= 0 && r.room < count {
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
			w.queue = append(w.queue, r)
		}
	}
	w.queue = w.queue[:first]
}
