package grammar

import (
	"cmp"
	"slices"
)

// frame is a node that is being read and the frames below it, which are read after it. Frames are interned in an arena:
// equal ones are one.
type frame struct {
	key
	id    int32 // in its arena
	cost  int32 // tokens to complete this and what is below, the end token not counted
	depth int32

	opens  []*frame // what may be read first, see opened
	isOpen bool     // opens is set
	mask   *mask    // of a frame that is read from, once it was asked for
}

// key is what a frame is. What at, want and room mean depends on the node:
//
//	literal     at: bytes read
//	leaf        at: state; want, room: characters wanted and allowed, -1 for no bound
//	sequence    at: the part that comes next
//	repetition  want, room: times wanted and allowed, -1 for no bound
//	object      at: the members used, or the place in their order; room: see below
//	words       want, room: as in the key of an object
//
// The bottom has no node.
type key struct {
	node       *node
	at         uint64
	want, room int32
	below      *frame
}

// arena interns frames.
type arena struct {
	*view
	frames map[key]*frame
	bottom *frame
	sets   *sets
	size   int // of the masks of its frames, in tokens
	visits int // of frames and places, by the mask or token at hand
}

func newArena(v *view) *arena {
	a := &arena{view: v, frames: map[key]*frame{}}
	a.sets = newSets(a)
	a.bottom = a.frame(key{})
	return a
}

func (a *arena) frame(k key) *frame {
	f := a.frames[k]
	if f == nil {
		f = &frame{key: k, id: int32(len(a.frames))}
		if k.below != nil {
			f.cost = add(a.head(k), k.below.cost)
			f.depth = k.below.depth + 1
		}
		a.frames[k] = f
	}
	return f
}

// head is the cost of the node of a frame from where it is read on.
func (a *arena) head(k key) int32 {
	switch k.node.kind {
	case literalNode:
		return a.spelling[k.node.id][k.at]
	case leafNode:
		return k.node.dfa.distance(int32(k.at), k.want, k.room)
	case sequenceNode:
		sum := int32(0)
		for _, sub := range k.node.subs[k.at:] {
			sum = add(sum, a.view.cost[sub.id])
		}
		return sum
	case repetitionNode:
		return times(int(k.want), a.view.cost[k.node.subs[0].id])
	case objectNode:
		return a.objectHead(k)
	case choiceNode:
		if k.node.sorted != nil {
			return a.wordsHead(k)
		}
	}
	return a.view.cost[k.node.id]
}

// enter is the frame of a node of which nothing is read yet.
func (a *arena) enter(n *node, below *frame) *frame {
	k := key{node: n, below: below}
	switch n.kind {
	case leafNode:
		k.at = uint64(start)
		fallthrough
	case repetitionNode:
		k.want, k.room = int32(n.min), int32(n.max)
	case choiceNode:
		if n.sorted != nil {
			k.want, k.room = int32(len(n.sorted)), inKey
		}
	}
	return a.frame(k)
}

// opened returns the frames that are read from where f is on top, nothing having been read: the literals and leaves that it may
// begin with, and those of what is below where it may be empty. Each can be completed, and one costs what f costs.
func (f *frame) opened(a *arena) []*frame {
	if !f.isOpen {
		o := opening{arena: a, seen: map[key]bool{}}
		o.visit(f)
		f.opens, f.isOpen = trim(o.found, maxOpened), true
	}
	return f.opens
}

// opening collects what is read from.
type opening struct {
	*arena
	seen  map[key]bool
	found []*frame
}

// visit looks at a frame once. It does not return to a frame through itself: grammars do not recurse to the left, and where
// what may be empty is repeated, the frames that it comes back to allow nothing that the first one does not, so they count as
// the same.
func (o *opening) visit(f *frame) {
	k := f.key
	if f.node != nil && f.node.kind == repetitionNode {
		k.want, k.room = 0, 0
	}
	if f.cost >= never || o.seen[k] || len(o.seen) > 4*maxOpened {
		return
	}
	o.seen[k] = true
	o.visits++
	if f.node == nil {
		o.found = append(o.found, f)
		return
	}
	n := f.node
	switch n.kind {
	case literalNode:
		o.found = append(o.found, f)
	case leafNode:
		if n.dfa.onward[f.at] {
			o.found = append(o.found, f)
		}
		if n.dfa.accept[f.at] && f.want <= 0 {
			o.visit(f.below)
		}
	case sequenceNode:
		o.sequence(f)
	case repetitionNode:
		o.repetition(f)
	case objectNode:
		o.object(f)
	default:
		if n.sorted != nil {
			o.found = append(o.found, f)
			return
		}
		for _, sub := range n.subs {
			o.visit(o.enter(sub, f.below))
		}
	}
}

func (o *opening) sequence(f *frame) {
	at := int(f.at)
	switch subs := f.node.subs; {
	case at == len(subs):
		o.visit(f.below)
	case at == len(subs)-1:
		o.visit(o.enter(subs[at], f.below))
	default:
		o.visit(o.enter(subs[at], o.frame(key{node: f.node, at: f.at + 1, below: f.below})))
	}
}

func (o *opening) repetition(f *frame) {
	if f.want <= 0 {
		o.visit(f.below)
	}
	if f.room != 0 {
		rest := key{node: f.node, want: max(0, f.want-1), room: max(-1, f.room-1), below: f.below}
		o.visit(o.enter(f.node.subs[0], o.frame(rest)))
	}
}

// trim drops the frames that are too deep, but for those as cheap as any, and keeps the cheapest of too many, in the order of
// their costs.
func trim(frames []*frame, most int) []*frame {
	if len(frames) == 0 {
		return nil
	}
	least := slices.MinFunc(frames, byCost).cost
	frames = slices.DeleteFunc(frames, func(f *frame) bool { return f.depth > maxDepth && f.cost > least })
	if len(frames) > most {
		slices.SortStableFunc(frames, byCost)
		frames = frames[:most]
	}
	return frames
}

func byCost(a, b *frame) int { return cmp.Compare(a.cost, b.cost) }

// step returns the frames that are read from behind a byte, without those that end at once twice.
func (f *frame) step(a *arena, b byte) []*frame {
	if f.node == nil {
		return nil
	}
	if f.node.kind == literalNode {
		if f.node.text[f.at] != b {
			return nil
		}
		if int(f.at)+1 == len(f.node.text) {
			return f.below.opened(a)
		}
		return []*frame{a.frame(key{node: f.node, at: f.at + 1, below: f.below})}
	}
	var next *frame
	if f.node.sorted != nil {
		from, to, depth := f.nextKeys(b)
		if from == to {
			return nil
		}
		next = a.keyFrame(f, from, to, depth)
	} else {
		k, ok := f.key.read(b)
		if !ok {
			return nil
		}
		next = a.frame(k)
	}
	if next.cost >= never {
		return nil
	}
	return next.opened(a)
}

// read steps a leaf over a byte.
func (k key) read(b byte) (key, bool) {
	to, n := k.node.dfa.step(int32(k.at), b)
	k.at = uint64(to)
	return k, to != dead && k.count(n)
}

// count takes so many characters of a leaf, and reports whether they are allowed.
func (k *key) count(n int32) bool {
	k.want = max(0, k.want-n)
	if k.room >= 0 {
		if k.room -= n; k.room < 0 {
			return false
		}
	}
	return true
}

// adopt brings a frame of another arena into this one. The frames below come first.
func (a *arena) adopt(f *frame) *frame {
	var path []*frame
	for ; f.node != nil; f = f.below {
		path = append(path, f)
	}
	top := a.bottom
	for _, f := range slices.Backward(path) {
		k := f.key
		k.below = top
		top = a.frame(k)
	}
	return top
}
