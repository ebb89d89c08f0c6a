package grammar

import (
	"math"
	"slices"
)

// Matcher is one answer that is being written. It is an engine.Constraint. It must not be used by two goroutines at a time.
type Matcher struct {
	grammar    *Grammar
	view       *view
	vocabulary *Vocabulary
	arena      *arena
	stacks     []*frame // none once the answer has ended, or has left the language
	marks      []uint64
}

// Mask clears the bits of the tokens that may not come next: token i is bit i%64 of word i/64. left is how many tokens the
// answer may still have, the next one and the end token included: with few left, only those stay that let it end in time. It
// never clears all: where none of the tokens that may come next was set, it sets them.
func (m *Matcher) Mask(allowed []uint64, left int) {
	m.marks = slices.Grow(m.marks[:0], len(allowed))[:len(allowed)]
	clear(m.marks)
	m.mark(left)
	some := uint64(0)
	for i, word := range m.marks {
		some |= allowed[i] & word
	}
	for i, word := range m.marks {
		if some != 0 {
			word &= allowed[i]
		}
		allowed[i] = word
	}
}

// mark sets the marks of the tokens that may come next.
func (m *Matcher) mark(left int) {
	least := m.cost()
	// A token that costs at most this much afterwards leaves enough for the end token.
	most := int32(min(max(left, int(least)+1), math.MaxInt32)) - 2
	if least == 0 || len(m.stacks) == 0 {
		m.markEnd()
	}
	m.arena.visits = 0
	inLeaf, crowded := map[key]bool{}, false
	for i, f := range m.stacks {
		if f.node == nil {
			m.markEnd()
			continue
		}
		if i > 0 && m.arena.visits > fewVisits && f.mask == nil {
			crowded = true // the cheapest comes first
			continue
		}
		k := m.maskOf(f)
		crowded = crowded || k.crowded
		m.markSome(k, most)
		leaf := f.key
		leaf.below = nil
		if f.node.kind == leafNode && !inLeaf[leaf] { // of those that differ only below, the first costs least
			inLeaf[leaf] = true
			m.markLeaf(f, most)
		}
	}
	if crowded {
		m.arena.visits = 0
		m.arena.sets.read(m.vocabulary, m.stacks, func(token, cost int32) {
			if cost <= most {
				m.set(token)
			}
		})
	}
	for _, s := range m.vocabulary.same {
		if m.marked(s[0]) {
			m.set(s[1])
		}
	}
}

// cost is the fewest tokens known to complete the answer, without the end token.
func (m *Matcher) cost() int32 {
	least := never
	for _, f := range m.stacks {
		least = min(least, f.cost)
	}
	if least == never {
		return 0
	}
	return least
}

func (m *Matcher) set(id int32) {
	if w := int(id >> 6); w < len(m.marks) {
		m.marks[w] |= 1 << (id & 63)
	}
}

func (m *Matcher) marked(id int32) bool {
	w := int(id >> 6)
	return w < len(m.marks) && m.marks[w]&(1<<(id&63)) != 0
}

func (m *Matcher) markEnd() {
	for _, id := range m.vocabulary.ends {
		m.set(id)
	}
}

// markLeaf marks the tokens that stay in the leaf of a frame, or end with it, and cost at most most afterwards.
func (m *Matcher) markLeaf(f *frame, most int32) {
	t, k := m.arena.leafOf(f)
	want := max(0, f.want)
	worst := k.dfa.distance(k.state, 0, -1) // of the near ones
	if want > 0 {
		worst = add(k.dfa.far, want)
	}
	var l *leafMask
	if add(worst, f.below.cost) <= most && (f.room < 0 || int(f.room) >= m.vocabulary.deep) {
		l = t.leaf(k)
	}
	if l == nil || l.scattered && add(add(k.dfa.far, want), f.below.cost) > most {
		m.markEndings(f, most)
		return
	}
	for _, id := range l.sparse {
		m.set(id)
	}
	for i, word := range l.dense[:min(len(l.dense), len(m.marks))] {
		m.marks[i] |= word
	}
	for _, e := range l.far {
		if add(add(e.count, want), f.below.cost) <= most {
			m.set(e.at)
		}
	}
	for _, e := range l.last {
		if e.count >= want && f.below.cost <= most {
			m.set(e.at)
		}
	}
}

// markEndings does so token by token.
func (m *Matcher) markEndings(f *frame, most int32) {
	t, k := m.arena.leafOf(f)
	ends := t.endings(k)
	allowed := m.vocabulary.endings(k.dfa, func(state, count int32) uint8 {
		k := f.key
		if k.count(count) && add(k.node.dfa.distance(state, k.want, k.room), f.below.cost) <= min(most, never-1) {
			return 1
		}
		return 0
	})
	for w := range m.marks[:min(len(m.marks), m.vocabulary.words)] {
		word := uint64(0)
		for _, code := range ends[w*64:][:64] {
			word = word>>1 | uint64(allowed[code])<<63
		}
		m.marks[w] |= word
	}
}

func (m *Matcher) markSome(k *mask, most int32) {
	for i, id := range k.ids {
		if k.costs[i] <= most {
			m.set(id)
		}
	}
}

// Advance takes the token that was chosen. Behind the end token, or one that Mask does not allow, the answer is over: only the
// end token may come.
func (m *Matcher) Advance(token int32) {
	if slices.Contains(m.vocabulary.ends, token) {
		m.stacks = nil
		return
	}
	a := advance{arena: m.arena, text: m.vocabulary.text(token), seen: map[placed]bool{}, met: map[*frame]bool{}}
	if len(a.text) == 0 {
		m.stacks = nil
		return
	}
	a.visits = 0
	for _, f := range m.stacks {
		a.walk(f, 0)
	}
	if a.visits > maxVisits {
		a.visits, a.seen = 0, map[placed]bool{}
		a.walk(m.promised(token), 0)
		a.visits = 0
		set := a.sets.of(m.stacks)
		for _, b := range a.text {
			set = a.sets.step(set, b)
		}
		for _, f := range a.sets.frames[set] {
			a.walk(f, len(a.text))
		}
	}
	slices.SortStableFunc(a.found, byCost)
	m.stacks = trim(a.found, maxStacks)
	if len(m.arena.frames) > maxFrames || m.arena.size > maxListed || len(m.arena.sets.frames) > maxSets/2 {
		m.renew()
	}
}

// advance reads a token from frames. It goes on from each as the walk of a mask does, so that it finds within its bound what
// that walk has found.
type advance struct {
	*arena
	text  []byte
	seen  map[placed]bool
	found []*frame
	met   map[*frame]bool // that were found
}

func (a *advance) walk(f *frame, at int) {
	if at == len(a.text) {
		if !a.met[f] {
			a.met[f] = true
			a.found = append(a.found, f)
		}
		return
	}
	k := placed{f, int32(at)}
	if a.visits++; a.visits > maxVisits || a.seen[k] {
		return
	}
	a.seen[k] = true
	for _, next := range f.step(a.arena, a.text[at]) {
		a.walk(next, at+1)
	}
}

// promised is the frame for which Mask has allowed a token at the least cost.
func (m *Matcher) promised(token int32) *frame {
	best, least := m.stacks[0], never
	offer := func(f *frame, cost int32) {
		if cost < least {
			best, least = f, cost
		}
	}
	for _, f := range m.stacks {
		if f.mask == nil {
			continue
		}
		for i, id := range f.mask.ids {
			if id == token {
				offer(f, f.mask.costs[i])
			}
		}
		if f.node.kind != leafNode {
			continue
		}
		k, ok := f.key, true
		for _, b := range m.vocabulary.text(token) {
			if ok {
				k, ok = k.read(b)
			}
		}
		if ok {
			offer(f, add(k.node.dfa.distance(int32(k.at), k.want, k.room), f.below.cost))
		}
	}
	return best
}

// renew forgets all frames but those in use.
func (m *Matcher) renew() {
	m.arena = newArena(m.view)
	var stacks []*frame
	for _, f := range m.stacks {
		stacks = append(stacks, m.arena.adopt(f))
	}
	m.stacks = stacks
}
