package kv

// The queues of what may go.
const (
	pages       = iota // in memory, of nodes that nobody has pinned
	files              // both of a node
	checkpoints        // in memory
	queues
)

// queue is a list of nodes: what was used longest ago comes first. Nearly all come in that order, so that a place is found
// from the back.
type queue struct {
	which       int
	front, back *Node
	length      int
}

// place of a node in a queue.
type links struct {
	in            bool
	before, after *Node
}

func (q *queue) key(n *Node) uint64 {
	if q.which == checkpoints {
		return n.used
	}
	return n.stamp
}

// first returns the node that goes next, or nil.
func (q *queue) first() *Node { return q.front }

// put makes a node a member or not, at the place that its key gives it now.
func (q *queue) put(n *Node, member bool) {
	at := &n.at[q.which]
	switch {
	case at.in && member && q.ordered(at.before, n) && q.ordered(n, at.after):
		return
	case at.in:
		q.join(at.before, at.after)
		*at = links{}
		q.length--
	}
	if !member {
		return
	}
	before := q.back
	for !q.ordered(before, n) {
		before = before.at[q.which].before
	}
	after := q.front
	if before != nil {
		after = before.at[q.which].after
	}
	at.in = true
	q.join(before, n)
	q.join(n, after)
	q.length++
}

// ordered tells whether a may stand before b; nil stands at either end.
func (q *queue) ordered(a, b *Node) bool { return a == nil || b == nil || q.key(a) < q.key(b) }

// join makes two nodes neighbours; nil is an end.
func (q *queue) join(a, b *Node) {
	if a == nil {
		q.front = b
	} else {
		a.at[q.which].after = b
	}
	if b == nil {
		q.back = a
	} else {
		b.at[q.which].before = a
	}
}
