package engine

import (
	"sort"

	"baleen/internal/kv"
)

// Requests that come together often begin alike: one prompt several times, or the same instructions before each. What one of them
// is computing the others do not compute as well: they follow it. A follower has a slot and the pages that will be its
// own, and runs nothing until its leader is where their ways part. There a checkpoint is taken, and the follower begins
// behind it, as anybody would who came later.
//
//  1. Who is followed is older. So the oldest sequence follows nobody, and each other waits, in the end, for one that runs
//     or reads. Nobody waits longer than it would take to compute the same: a leader has at least the rows that both
//     would have shared.
//  2. The youngest is put back first, so that no leader is while it has followers. One that ends before its time leaves its
//     last checkpoint; its followers begin behind that, or follow the next.
//  3. Who has followed to the end does not follow again: where no checkpoint could be kept it computes everything itself.

// leader returns the running sequence that will come to know most of what q needs, if that is more than the pages that are
// known, and how many pages that is.
func (s *scheduler) leader(q *sequence, known int) (leader *sequence, pages int) {
	pages = known
	most := (len(q.tokens) - 1) / kv.PageSize // a token is left to be run
	if q.target > 0 || most <= known {
		return nil, pages
	}
	for _, p := range s.long {
		n := min(most, p.prompt/kv.PageSize)
		if n <= pages || p.state != running || p.arrival >= q.arrival || p.prefixes[pages] != q.prefixes[pages] {
			continue
		}
		n = pages + sort.Search(n-pages, func(i int) bool { return p.prefixes[pages+i] != q.prefixes[pages+i] })
		if p.begun() < n*kv.PageSize {
			leader, pages = p, n
		}
	}
	return leader, pages
}

// begun returns the position that a running sequence is at, or will begin at.
func (q *sequence) begun() int {
	switch {
	case !q.reading:
		return q.length
	case q.node == nil:
		return q.target
	}
	return q.node.Depth * kv.PageSize
}

// follow lets a sequence wait until its leader has computed so many pages.
func (s *scheduler) follow(q, leader *sequence, pages int) {
	q.leader, q.target, q.reading = leader, pages*kv.PageSize, true
	s.reading++
}

// follows tells whether there is still something to wait for.
func (q *sequence) follows() bool { return q.leader != nil && q.leader.state == running }

// arrive tells whether anybody has followed a sequence up to a position. From there they go on by themselves.
func (s *scheduler) arrive(q *sequence, position int) (any bool) {
	if s.reading == 0 {
		return false
	}
	for _, p := range s.running {
		if p.leader == q && p.target == position {
			p.leader, any = nil, true
		}
	}
	return any
}
