package grammar

import (
	"cmp"
	"slices"
)

// Texts of which none is the beginning of another are read as one: the keys of an object, or words to choose from. A frame knows
// how many bytes were read, and which of the texts, sorted, begin with these. Once that is a single one it is a literal.

// What room says of an object. In a key it is inKey and how many bytes of it are read, and want is which members have keys that
// begin with these, see keys.
const (
	begun   = iota // nothing was written
	written        // a member was
	atKey          // what stands in front of a key was
	inKey
)

// keys returns which of what is sorted a frame reads the key of, and how many bytes of that it has read.
func (k key) keys() (from, to, depth int) {
	return int(k.want >> 16), int(k.want & 0xffff), int(k.room - inKey)
}

// wordsHead is the cost of words from where they are read on.
func (a *arena) wordsHead(k key) int32 {
	best := never
	from, to, depth := k.keys()
	for _, i := range k.node.sorted[from:to] {
		best = min(best, a.spelling[k.node.subs[i].id][depth])
	}
	return best
}

// objectHead is that of an object.
func (a *arena) objectHead(k key) int32 {
	n := k.node
	if k.room < atKey {
		return a.rest(n, k.at, k.room == written)
	}
	best, rest := never, a.rest(n, k.at, true)
	from, to, depth := 0, len(n.members), 0
	if k.room >= inKey {
		from, to, depth = k.keys()
	} else if n.extra != nil && (rest == 0 || !n.ordered) {
		best = add(a.view.cost[n.extra.id], rest)
	}
	last := n.last(k.at)
	for _, i := range n.sorted[from:to] {
		if m := n.members[i]; !n.has(k.at, i) && i <= last {
			cost := add(a.spelling[m.key.id][depth], add(a.view.cost[m.value.id], rest))
			if m.required && cost < never {
				cost -= n.price(a.view.cost, m)
			}
			best = min(best, cost)
		}
	}
	return best
}

// price is the cost of a member that is not the first one.
func (n *node) price(cost []int32, m member) int32 {
	return add(cost[n.later.id], add(cost[m.key.id], cost[m.value.id]))
}

// last is the last member that may come next: where they are ordered the first one that must not be left out. It is the number
// of members if there is none.
func (n *node) last(used uint64) int {
	if !n.ordered {
		return len(n.members)
	}
	return n.wanted[used]
}

// rests is the rest of an object whose members are ordered from each place on.
func (n *node) rests(cost []int32) []int32 {
	rests := make([]int32, len(n.members)+1)
	for i, m := range slices.Backward(n.members) {
		if rests[i] = rests[i+1]; m.required {
			rests[i] = add(rests[i], n.price(cost, m))
		}
	}
	return rests
}

// rest is the cost of the members that an object still must have, see node.rest.
func (a *arena) rest(n *node, used uint64, begun bool) int32 {
	if !n.ordered {
		return n.rest(a.view.cost, used, begun)
	}
	return n.from(a.view.cost, a.view.rests[n.id][used], begun)
}

// object opens an object.
func (o *opening) object(f *frame) {
	n := f.node
	switch ends := o.rest(n, f.at, true) == 0; {
	case f.room >= inKey:
		o.found = append(o.found, f)
	case f.room == atKey:
		if len(n.members) > 0 {
			o.visit(o.keyFrame(f, 0, len(n.members), 0))
		}
		if n.extra != nil && (ends || !n.ordered) {
			used := f.at
			if n.ordered {
				used = uint64(len(n.members))
			}
			o.visit(o.enter(n.extra, o.frame(key{node: n, at: used, room: written, below: f.below})))
		}
	default:
		before := n.later
		if f.room == begun {
			before = n.first
		}
		o.visit(o.enter(before, o.frame(key{node: n, at: f.at, room: atKey, below: f.below})))
		if ends {
			o.visit(f.below)
		}
	}
}

// keyFrame is the frame that has read so many bytes of a key, which those sorted from one to before another begin with. If that is
// one it is the literal, or what is behind it.
func (a *arena) keyFrame(f *frame, from, to, depth int) *frame {
	n, below := f.node, f.below
	i := n.sorted[from]
	if to-from > 1 || n.kind == objectNode && (n.has(f.at, i) || i > n.last(f.at)) {
		return a.frame(key{node: n, at: f.at, want: int32(from<<16 | to), room: int32(inKey + depth), below: f.below})
	}
	if n.kind == objectNode {
		used := f.at | 1<<i
		if n.ordered {
			used = uint64(i) + 1
		}
		below = a.enter(n.members[i].value, a.frame(key{node: n, at: used, room: written, below: f.below}))
	}
	if depth == len(n.key(i).text) {
		return below
	}
	return a.frame(key{node: n.key(i), at: uint64(depth), below: below})
}

// nextKeys narrows the keys of a frame to those that go on with a byte.
func (f *frame) nextKeys(b byte) (from, to, depth int) {
	from, to, depth = f.keys()
	keys := f.node.sorted[from:to]
	below := func(i int, b int) int { return cmp.Compare(int(f.node.key(i).text[depth]), b) }
	low, _ := slices.BinarySearchFunc(keys, int(b), below)
	high, _ := slices.BinarySearchFunc(keys, int(b)+1, below)
	return from + low, from + high, depth + 1
}
