package kv

import "encoding/binary"

// table finds nodes by their ID. IDs are hashes already, so that it needs no other, and a node is its own entry.
type table struct {
	buckets []*Node // as many as a power of two
	length  int
}

func newTable() table { return table{buckets: make([]*Node, 64)} }

func (t *table) bucket(id *ID) **Node {
	return &t.buckets[binary.LittleEndian.Uint64(id[:])&uint64(len(t.buckets)-1)]
}

func (t *table) get(id *ID) *Node {
	n := *t.bucket(id)
	for n != nil && n.ID != *id {
		n = n.next
	}
	return n
}

// add adds a node that is not there.
func (t *table) add(n *Node) {
	if t.length == len(t.buckets) {
		old := *t
		*t = table{buckets: make([]*Node, 2*len(old.buckets))}
		for n := range old.all {
			t.add(n)
		}
	}
	b := t.bucket(&n.ID)
	n.next, *b = *b, n
	t.length++
}

// remove removes a node, if it is there.
func (t *table) remove(n *Node) {
	b := t.bucket(&n.ID)
	for *b != n {
		if *b == nil {
			return
		}
		b = &(*b).next
	}
	*b, n.next = n.next, nil
	t.length--
}

// all yields every node, in no order. What it has yielded may be changed.
func (t *table) all(yield func(*Node) bool) {
	for _, n := range t.buckets {
		for n != nil {
			next := n.next
			if !yield(n) {
				return
			}
			n = next
		}
	}
}
