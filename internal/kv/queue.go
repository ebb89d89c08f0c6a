package kv

import "container/heap"

// The queues of what may go.
const (
	pages       = iota // in memory, of nodes that nobody has pinned
	files              // both of a node
	checkpoints        // in memory
	queues
)

// queue is a heap of nodes: what was used longest ago comes first.
type queue struct {
	which int
	nodes []*Node
}

func (q *queue) key(i int) uint64 {
	if q.which == checkpoints {
		return q.nodes[i].used
	}
	return q.nodes[i].stamp
}

func (q *queue) Len() int           { return len(q.nodes) }
func (q *queue) Less(i, j int) bool { return q.key(i) < q.key(j) }

func (q *queue) Swap(i, j int) {
	q.nodes[i], q.nodes[j] = q.nodes[j], q.nodes[i]
	q.nodes[i].at[q.which], q.nodes[j].at[q.which] = i+1, j+1
}

func (q *queue) Push(x any) {
	n := x.(*Node)
	q.nodes = append(q.nodes, n)
	n.at[q.which] = len(q.nodes)
}

func (q *queue) Pop() any {
	last := len(q.nodes) - 1
	n := q.nodes[last]
	q.nodes[last], q.nodes = nil, q.nodes[:last]
	n.at[q.which] = 0
	return n
}

// first returns the node that goes next, or nil.
func (q *queue) first() *Node {
	if len(q.nodes) == 0 {
		return nil
	}
	return q.nodes[0]
}

// put makes a node a member or not, at the place that its key gives it now.
func (q *queue) put(n *Node, member bool) {
	at := n.at[q.which] - 1
	switch {
	case member && at >= 0:
		heap.Fix(q, at)
	case member:
		heap.Push(q, n)
	case at >= 0:
		heap.Remove(q, at)
	}
}
