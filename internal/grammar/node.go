package grammar

import (
	"container/heap"
	"slices"
	"strings"
)

// node is a part of a language. Nodes are made by a builder and never change after finish.
type node struct {
	id       int
	kind     nodeKind
	text     string  // of a literal: not empty
	dfa      *dfa    // of a leaf
	min, max int     // of a leaf: characters; of a repetition: times; max is -1 for no bound
	subs     []*node // of a sequence, the alternatives, a repetition or a rule: its parts
	sorted   []int   // of an object: its members by their keys; of some alternatives: all of them by their texts

	// Of an object: what stands in front of the first key and of those that follow, and what an extra member is behind that,
	// or nil. Extras may be there any number of times.
	first, later, extra *node
	members             []member
	ordered             bool  // members come in their order, extras last
	wanted              []int // if so, by member: the first required one from it on, or their number
}

type nodeKind uint8

const (
	literalNode    nodeKind = iota
	leafNode                // what an automaton accepts
	sequenceNode            // subs, one after another
	choiceNode              // one of subs
	repetitionNode          // subs[0], min to max times
	objectNode              // members, each at most once, the required ones once
	ruleNode                // subs[0], set later, so that it may be what the rule is part of
)

// member is a member of an object. No key is the beginning of another.
type member struct {
	key, value *node
	required   bool
}

// maxUnordered is how many members may come in any order: they are bits of a word.
const maxUnordered = 64

// builder makes nodes.
type builder struct {
	nodes  []*node
	tables int // transitions of all leaves
	work   *work
	full   bool
}

func newBuilder() builder { return builder{work: ample()} }

func (b *builder) node(n *node) *node {
	n.id = len(b.nodes)
	b.nodes = append(b.nodes, n)
	b.full = b.full || n.id >= maxNodes
	return n
}

func (b *builder) literal(text string) *node {
	if text == "" {
		return b.sequence()
	}
	return b.node(&node{kind: literalNode, text: text})
}

func (b *builder) leaf(d *dfa) *node { return b.counted(d, 0, -1) }

// counted is a leaf whose value has min to max characters.
func (b *builder) counted(d *dfa, min, max int) *node {
	if !d.shared {
		b.tables += len(d.next)
	}
	b.full = b.full || b.tables > maxTables
	return b.node(&node{kind: leafNode, dfa: d, min: min, max: max})
}

func (b *builder) sequence(subs ...*node) *node {
	return b.node(&node{kind: sequenceNode, subs: subs})
}

// choice of nothing is what cannot be.
func (b *builder) choice(subs ...*node) *node {
	if len(subs) == 1 {
		return subs[0]
	}
	return b.node(&node{kind: choiceNode, subs: subs})
}

func (b *builder) repetition(sub *node, min, max int) *node {
	return b.node(&node{kind: repetitionNode, subs: []*node{sub}, min: min, max: max})
}

// words is a choice of texts, none of which is the beginning of another.
func (b *builder) words(texts []string) *node {
	slices.Sort(texts)
	var subs []*node
	for _, text := range slices.Compact(texts) {
		subs = append(subs, b.literal(text))
	}
	n := b.choice(subs...)
	if len(subs) > 1 {
		n.sort(len(subs))
	}
	return n
}

// object makes an object of its members and what is around them.
func (b *builder) object(n *node) *node {
	n.kind = objectNode
	n.sort(len(n.members))
	n.wanted = make([]int, len(n.members)+1)
	n.wanted[len(n.members)] = len(n.members)
	for i, m := range slices.Backward(n.members) {
		if n.wanted[i] = n.wanted[i+1]; m.required {
			n.wanted[i] = i
		}
	}
	return b.node(n)
}

func (n *node) sort(size int) {
	for i := range size {
		n.sorted = append(n.sorted, i)
	}
	slices.SortFunc(n.sorted, func(i, j int) int { return strings.Compare(n.key(i).text, n.key(j).text) })
}

// key is the text of what is sorted.
func (n *node) key(i int) *node {
	if n.kind == objectNode {
		return n.members[i].key
	}
	return n.subs[i]
}

func (b *builder) rule() *node { return b.node(&node{kind: ruleNode}) }

// finish makes a grammar of a node. what names the input in errors.
func (b *builder) finish(root *node, what string) (*Grammar, error) {
	if b.full {
		return nil, fault(what, "size", "more than can be compiled", "make it smaller")
	}
	g := &Grammar{nodes: b.nodes, root: root}
	bytes := g.bytes()
	for _, n := range b.nodes {
		if n.kind == repetitionNode && bytes[n.subs[0].id] == 0 {
			n.min = 0 // what may be empty may as well be left out
		}
	}
	if bytes[root.id] >= never {
		return nil, fault(what, "the whole", "nothing fits it", "take out what contradicts itself")
	}
	if g.recursesLeft(bytes) {
		return nil, fault(what, "recursion", "a rule that begins with itself", "let something stand in front of it, or repeat instead")
	}
	return g, nil
}

// bytes is what the nodes take at least, in bytes.
func (g *Grammar) bytes() []int32 {
	return g.costs(func(n *node) int32 { return int32(len(n.text)) })
}

// costs finds what each node takes at least, by what its literals take: never, where it cannot be completed. (A generalised
// shortest path: nodes are settled in the order of their costs, so that recursion needs no special care.)
func (g *Grammar) costs(literal func(*node) int32) []int32 {
	s := &settling{cost: make([]int32, len(g.nodes)), missing: make([]int, len(g.nodes)), users: make([][]*node, len(g.nodes))}
	for _, n := range g.nodes {
		s.cost[n.id] = never
		for _, part := range n.needs() {
			s.missing[n.id]++
			s.users[part.id] = append(s.users[part.id], n)
		}
	}
	for _, n := range g.nodes {
		switch {
		case n.kind == literalNode:
			s.offer(n, literal(n))
		case n.kind == leafNode:
			s.offer(n, n.dfa.distance(start, int32(n.min), int32(n.max)))
		case s.missing[n.id] == 0 && n.kind != choiceNode:
			s.offer(n, 0)
		}
	}
	done := make([]bool, len(g.nodes))
	for s.Len() > 0 {
		n := heap.Pop(s).(offer).node
		if done[n.id] {
			continue
		}
		done[n.id] = true
		for _, user := range s.users[n.id] {
			s.missing[user.id]--
			switch {
			case user.kind == choiceNode:
				s.offer(user, s.cost[n.id])
			case s.missing[user.id] == 0:
				s.offer(user, user.total(s.cost))
			}
		}
	}
	return s.cost
}

// needs are the parts that a node's cost is made of.
func (n *node) needs() []*node {
	switch n.kind {
	case repetitionNode:
		if n.min == 0 {
			return nil
		}
	case objectNode:
		var needs []*node
		for _, m := range n.members {
			if m.required {
				needs = append(needs, n.first, n.later, m.key, m.value)
			}
		}
		return needs
	}
	return n.subs
}

// total adds up the cost of a node that is no choice, whose parts are settled.
func (n *node) total(cost []int32) int32 {
	switch n.kind {
	case repetitionNode:
		return times(n.min, cost[n.subs[0].id])
	case objectNode:
		return n.rest(cost, 0, false)
	}
	sum := int32(0)
	for _, sub := range n.subs {
		sum = add(sum, cost[sub.id])
	}
	return sum
}

func times(n int, cost int32) int32 { return int32(min(int64(n)*int64(cost), int64(never))) }

// rest is the cost of the members that an object still must have: those of the bits not in used, or, where they are ordered,
// from the place used on. begun says that something has been written.
func (n *node) rest(cost []int32, used uint64, begun bool) int32 {
	sum := int32(0)
	for i, m := range n.members {
		if m.required && !n.has(used, i) {
			sum = add(sum, n.price(cost, m))
		}
	}
	return n.from(cost, sum, begun)
}

// from is what members cost where they are the first ones, if nothing has been written.
func (n *node) from(cost []int32, sum int32, begun bool) int32 {
	if !begun && sum > 0 && sum < never {
		sum += cost[n.first.id] - cost[n.later.id]
	}
	return sum
}

// has reports whether a member is behind an object that is being written.
func (n *node) has(used uint64, i int) bool {
	if n.ordered {
		return uint64(i) < used
	}
	return used&(1<<i) != 0
}

// settling is nodes whose cost is offered, cheapest first.
type settling struct {
	cost    []int32
	missing []int // parts of a node that are not settled
	users   [][]*node
	heap    []offer
}

type offer struct {
	cost int32
	node *node
}

func (s *settling) offer(n *node, cost int32) {
	if cost < s.cost[n.id] {
		s.cost[n.id] = cost
		heap.Push(s, offer{cost, n})
	}
}

func (s *settling) Len() int           { return len(s.heap) }
func (s *settling) Less(i, j int) bool { return s.heap[i].cost < s.heap[j].cost }
func (s *settling) Swap(i, j int)      { s.heap[i], s.heap[j] = s.heap[j], s.heap[i] }
func (s *settling) Push(x any)         { s.heap = append(s.heap, x.(offer)) }
func (s *settling) Pop() any {
	last := s.heap[len(s.heap)-1]
	s.heap = s.heap[:len(s.heap)-1]
	return last
}

// recursesLeft reports whether a node can begin with itself, nothing having been written before. bytes are the nodes' costs in
// bytes: what can be empty costs 0.
func (g *Grammar) recursesLeft(bytes []int32) bool {
	const open, closed = 1, 2
	state := make([]uint8, len(g.nodes))
	type visit struct {
		n     *node
		heads []*node
	}
	for _, n := range g.nodes {
		if state[n.id] == closed {
			continue
		}
		state[n.id] = open
		path := []visit{{n, n.heads(bytes)}}
		for len(path) > 0 {
			top := &path[len(path)-1]
			if len(top.heads) == 0 {
				state[top.n.id] = closed
				path = path[:len(path)-1]
				continue
			}
			head := top.heads[0]
			top.heads = top.heads[1:]
			switch state[head.id] {
			case open:
				return true
			case 0:
				state[head.id] = open
				path = append(path, visit{head, head.heads(bytes)})
			}
		}
	}
	return false
}

// heads are the parts that a node may begin with.
func (n *node) heads(bytes []int32) []*node {
	if n.kind == objectNode {
		return []*node{n.first}
	}
	if n.kind == sequenceNode {
		for i, sub := range n.subs {
			if bytes[sub.id] > 0 {
				return n.subs[:i+1]
			}
		}
	}
	return n.subs
}
