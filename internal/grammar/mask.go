package grammar

// mask is what may come next where a frame is on top: the near tokens of a leaf's own mask, which cost least to worst
// afterwards, and others with what they cost afterwards. Where characters are wanted the far tokens of a leaf are among these
// at more than their cost, so that worst is more than that of any. Where the leaf's own mask does not say it all, exact is set.
type mask struct {
	leaf         *leafMask
	exact        bool
	least, worst int32
	ids          []int32
	costs        []int32
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

// endings returns where the tokens end in the leaf of a frame.
func (a *arena) endings(f *frame) *endings {
	t, k := a.leafOf(f)
	return t.endings(k)
}

// leafOf is what the masks of the leaf of a frame are remembered by, and where.
func (a *arena) leafOf(f *frame) (*tables, leafState) {
	d := f.node.dfa
	k := leafState{d, int32(f.at), d.firstBytes(f.below.opened(a))}
	if d.shared {
		return a.tables.vocabulary.shared, k
	}
	return a.tables, k
}

// run makes the mask of a leaf from that of its automaton, which is the same for all frames and remembered.
func (w *masking) run(f *frame) {
	if f.node == nil {
		return
	}
	if f.node.kind == literalNode {
		w.walk(f, 0)
		return
	}
	t, k := w.leafOf(f)
	w.leaf = t.leaf(k)
	w.exact = w.leaf.scattered || f.room >= 0 && int(f.room) < w.vocabulary.deep
	w.near(f)
	for _, g := range f.below.opened(w.arena) {
		w.leave(f, g)
	}
}

// near notes what the tokens of a leaf's own mask cost, and takes the few that it lists with a number.
func (w *masking) near(f *frame) {
	if w.exact {
		return
	}
	d := f.node.dfa
	w.least = add(w.leaf.least, f.below.cost)
	w.worst = add(d.distance(int32(f.at), 0, -1), f.below.cost)
	if f.want > 0 {
		w.least, w.worst = f.below.cost, add(d.far+f.want, f.below.cost)
	}
	for _, l := range w.leaf.far {
		w.add(l.at, add(l.count+max(0, f.want), f.below.cost))
	}
	for _, l := range w.leaf.last {
		if l.count >= f.want {
			w.add(l.at, f.below.cost)
		}
	}
}

// firstBytes is what the frames behind a leaf may begin with. A leaf that is over where it ends has few places there: one set
// of all bytes does for whatever is behind, so that the mask is shared.
func (d *dfa) firstBytes(behind []*frame) (first byteSet) {
	if d.count != nil {
		return everyByte()
	}
	for _, f := range behind {
		for b := range 256 {
			if f.mayRead(byte(b)) {
				first.add(byte(b))
			}
		}
	}
	return first
}

// leave tries what is read behind a leaf on the tokens that go on there.
func (w *masking) leave(f, g *frame) {
	switch {
	case g.node == nil:
	case g.node.kind == literalNode:
		w.leaveWith(f, g, g.node.text[g.at])
	default:
		for b := range w.leaf.exits {
			w.leaveWith(f, g, b)
		}
	}
}

func (w *masking) leaveWith(f, g *frame, b byte) {
	exits := w.leaf.exits[b]
	if len(exits) == 0 || !g.mayRead(b) {
		return
	}
	behind := g.step(w.arena, b)
	for _, e := range exits {
		if e.count >= f.want && (f.room < 0 || e.count <= f.room) {
			w.arrive(behind, e.at)
		}
	}
}

// mayRead reports whether a frame can read a byte.
func (f *frame) mayRead(b byte) bool {
	switch {
	case f.node == nil:
		return false
	case f.node.kind == literalNode:
		return f.node.text[f.at] == b
	}
	return f.node.dfa.step(int32(f.at), b) != dead
}

// arrive takes the token at a place, behind which the frames are read from, and goes on.
func (w *masking) arrive(frames []*frame, at int32) {
	p := &w.vocabulary.places[at]
	if p.token >= 0 {
		least := never
		for _, f := range frames {
			least = min(least, f.cost)
		}
		if least < never {
			w.add(p.token, least)
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
	if f.node != nil && f.node.kind == literalNode && w.vocabulary.child(at, f.node.text[f.at]) == 0 {
		w.visits++
		return
	}
	if f.node == nil || at > 0 && w.visits > maxVisits || w.seen[k] {
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
		if at = w.vocabulary.child(at, text[i]); at == 0 {
			return
		}
		if i == len(text)-1 {
			w.arrive(f.below.opened(w.arena), at)
			return
		}
		if token := w.vocabulary.places[at].token; token >= 0 {
			if cost := add(spelling[i+1], f.below.cost); cost < never {
				w.add(token, cost)
			}
		}
	}
}

// takeAll takes the tokens that begin with those of a place, all of which cost the same afterwards.
func (w *masking) takeAll(p *place, cost int32) {
	for _, id := range w.vocabulary.ids[p.first:w.vocabulary.tokensUpTo(p.skip)] {
		w.add(id, cost)
	}
}

// walkLeaf goes down the tree in the order of its places, from one behind the root. The keys on the way from the start are in a
// stack.
func (w *masking) walkLeaf(f *frame, start int32) {
	places := w.vocabulary.places
	depth := int(places[start].depth)
	path := make([]key, int(w.vocabulary.tall[start])+1-depth)
	path[0] = f.key
	for i := start + 1; i < places[start].skip; {
		p := &places[i]
		k, ok := path[int(p.depth)-depth-1].read(p.byte)
		d := k.node.dfa
		cost := never
		if ok {
			cost = add(d.distance(int32(k.at), k.want, k.room), f.below.cost)
		}
		w.visits++
		if cost >= never || w.visits > maxVisits {
			i = p.skip
			continue
		}
		if path[int(p.depth)-depth] = k; w.vocabulary.below[i].without(d.loops[k.at]) == (groups{}) && !d.accept[k.at] && k.want <= 0 && k.room < 0 {
			w.takeAll(p, cost)
			i = p.skip
			continue
		}
		if p.token >= 0 && cost < never {
			w.add(p.token, cost)
		}
		if d.accept[k.at] && k.want <= 0 && p.skip > i+1 {
			for _, g := range f.below.opened(w.arena) {
				w.walk(g, i)
			}
		}
		i++
	}
}
