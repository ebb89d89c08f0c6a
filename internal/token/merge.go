package token

import "slices"

// pair is two neighbouring tokens.
type pair struct{ left, right int32 }

// merges is the BPE model: what every byte starts as, and which pairs become one token. A pair's rank is its place in
// the file; of all pairs in a piece the one of the lowest rank is merged first, the leftmost among equals.
type merges struct {
	bytes  [256]int32
	ranks  map[pair]int32
	result []int32 // by rank
}

const noRank = 1<<31 - 1

func (m *merges) rank(left, right int32) int32 {
	if rank, ok := m.ranks[pair{left, right}]; ok {
		return rank
	}
	return noRank
}

// merger encodes one piece at a time. It holds scratch memory and belongs to one goroutine.
type merger struct {
	*merges
	ids   []int32 // the tokens of the piece
	ranks []int32 // ranks[i] is the rank of ids[i] and the token behind it
	links []link  // of a long piece
	queue queue   // of a long piece
}

// link names the neighbours of a token by their index in ids; -1 and len(ids) are none.
type link struct{ prev, next int32 }

const (
	longPiece = 64      // tokens; from here on a queue is faster than looking at every pair
	keep      = 1 << 16 // tokens; scratch memory of longer pieces is not kept
)

func (m *merger) small() bool { return cap(m.ids) <= keep }

// encode appends the ids of one piece.
func (m *merger) encode(ids []int32, piece string) []int32 {
	m.start(piece)
	if len(m.ids) < longPiece {
		m.mergeShort()
	} else {
		m.mergeLong()
	}
	return append(ids, m.ids...)
}

// start sets the tokens to the bytes of piece.
func (m *merger) start(piece string) {
	m.ids = slices.Grow(m.ids[:0], len(piece))
	m.ranks = slices.Grow(m.ranks[:0], len(piece))
	for i := range len(piece) {
		m.ids = append(m.ids, m.bytes[piece[i]])
		if i > 0 {
			m.ranks = append(m.ranks, m.rank(m.ids[i-1], m.ids[i]))
		}
	}
	m.ranks = append(m.ranks, noRank)
}

// mergeShort looks at every pair before every merge.
func (m *merger) mergeShort() {
	for {
		best, at := int32(noRank), 0
		for i, rank := range m.ranks {
			if rank < best {
				best, at = rank, i
			}
		}
		if best == noRank {
			return
		}
		m.ids[at] = m.result[best]
		m.ids = append(m.ids[:at+1], m.ids[at+2:]...)
		m.ranks = append(m.ranks[:at+1], m.ranks[at+2:]...)
		m.ranks[at] = noRank
		if at+1 < len(m.ids) {
			m.ranks[at] = m.rank(m.ids[at], m.ids[at+1])
		}
		if at > 0 {
			m.ranks[at-1] = m.rank(m.ids[at-1], m.ids[at])
		}
	}
}

// mergeLong keeps the pairs in a queue and the tokens in a list. An entry of the queue holds as long as the rank of its
// token is still the one it was entered with; a token that is gone has no rank.
func (m *merger) mergeLong() {
	m.link()
	for len(m.queue) > 0 {
		rank, at := m.queue.pop()
		if m.ranks[at] != rank {
			continue
		}
		gone := m.links[at].next
		next := m.links[gone].next
		m.ids[at] = m.result[rank]
		m.ids[gone], m.ranks[gone] = -1, noRank
		m.links[at].next = next
		m.ranks[at] = noRank
		if int(next) < len(m.ids) {
			m.links[next].prev = at
			m.enter(at, next)
		}
		if prev := m.links[at].prev; prev >= 0 {
			m.enter(prev, at)
		}
	}
	m.compact()
}

// link makes list and queue of the tokens.
func (m *merger) link() {
	m.links = slices.Grow(m.links[:0], len(m.ids))
	m.queue = slices.Grow(m.queue[:0], len(m.ids))
	for i, rank := range m.ranks {
		m.links = append(m.links, link{int32(i) - 1, int32(i) + 1})
		if rank != noRank {
			m.queue = append(m.queue, entry(rank, int32(i)))
		}
	}
	m.queue.init()
}

// enter notes the pair that begins at token at.
func (m *merger) enter(at, next int32) {
	m.ranks[at] = m.rank(m.ids[at], m.ids[next])
	if m.ranks[at] != noRank {
		m.queue.push(entry(m.ranks[at], at))
	}
}

// compact drops the tokens that are gone.
func (m *merger) compact() {
	left := m.ids[:0]
	for _, id := range m.ids {
		if id >= 0 {
			left = append(left, id)
		}
	}
	m.ids = left
}

// queue is a binary heap. An entry is rank and place, so that the smallest is the pair to merge.
type queue []uint64

func entry(rank, at int32) uint64 { return uint64(rank)<<32 | uint64(at) }

func (q queue) init() {
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.down(i)
	}
}

func (q *queue) push(e uint64) {
	*q = append(*q, e)
	h := *q
	i := len(h) - 1
	for parent := (i - 1) / 2; i > 0 && h[parent] > e; parent = (i - 1) / 2 {
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
}

func (q *queue) pop() (rank, at int32) {
	h := *q
	first := h[0]
	h[0] = h[len(h)-1]
	*q = h[:len(h)-1]
	if len(*q) > 0 {
		q.down(0)
	}
	return int32(first >> 32), int32(uint32(first))
}

// down moves the entry at i to its place below.
func (q queue) down(i int) {
	e := q[i]
	for child := 2*i + 1; child < len(q); child = 2*i + 1 {
		if child+1 < len(q) && q[child+1] < q[child] {
			child++
		}
		if q[child] >= e {
			break
		}
		q[i] = q[child]
		i = child
	}
	q[i] = e
}
