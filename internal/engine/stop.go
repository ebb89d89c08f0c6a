package engine

// stopper watches the bytes of an answer for stop strings. It lets through what cannot be part of one any more and holds
// the rest back, so no byte of a stop string gets out, however tokens are cut.
//
// The string that is complete first wins; of those complete with the same byte the longest does, then the first in the
// list. So the result depends on the bytes only. The work per byte is constant on average: this is the automaton of Aho and
// Corasick, whose state is the longest end of the text that begins some stop string. That end is what must be held.
type stopper struct {
	nodes []stopNode // 0 is the root; empty when there are no stop strings
	at    int32
	held  []byte // the string of node at
	hit   int    // the stop string found, or -1
}

// stopNode is one beginning of a stop string.
type stopNode struct {
	child, sibling int32 // 0 is none
	fallback       int32 // of the longest shorter beginning that this one ends with
	depth          int   // its length
	match          int   // the longest stop string that this ends with, or -1
	length         int   // of that one
	letter         byte
}

// newStopper wants strings that are not empty.
func newStopper(stops [][]byte) stopper {
	m := stopper{hit: -1}
	if len(stops) == 0 {
		return m
	}
	m.nodes = []stopNode{{match: -1}}
	for i, s := range stops {
		m.add(i, s)
	}
	m.link()
	return m
}

func (m *stopper) add(stop int, s []byte) {
	at := int32(0)
	for _, letter := range s {
		next := m.child(at, letter)
		if next == 0 {
			next = int32(len(m.nodes))
			m.nodes = append(m.nodes, stopNode{sibling: m.nodes[at].child, depth: m.nodes[at].depth + 1, match: -1, letter: letter})
			m.nodes[at].child = next
		}
		at = next
	}
	if n := &m.nodes[at]; n.match < 0 {
		n.match, n.length = stop, len(s)
	}
}

// link sets the fallbacks, shorter beginnings first.
func (m *stopper) link() {
	queue := []int32{0}
	for i := 0; i < len(queue); i++ {
		parent := queue[i]
		for at := m.nodes[parent].child; at != 0; at = m.nodes[at].sibling {
			n := &m.nodes[at]
			if parent != 0 {
				n.fallback = m.step(m.nodes[parent].fallback, n.letter)
			}
			if back := m.nodes[n.fallback]; n.match < 0 {
				n.match, n.length = back.match, back.length
			}
			queue = append(queue, at)
		}
	}
}

func (m *stopper) child(at int32, letter byte) int32 {
	at = m.nodes[at].child
	for at != 0 && m.nodes[at].letter != letter {
		at = m.nodes[at].sibling
	}
	return at
}

func (m *stopper) step(at int32, letter byte) int32 {
	for {
		if next := m.child(at, letter); next != 0 || at == 0 {
			return next
		}
		at = m.nodes[at].fallback
	}
}

// feed takes more of the answer and returns what may be sent now. At a stop string it returns what was before it, and
// found is its index; otherwise -1. After that nothing comes out any more. What is returned is never written to again.
func (m *stopper) feed(text []byte) (send []byte, found int) {
	if m.hit >= 0 {
		return nil, m.hit
	}
	if len(m.nodes) == 0 {
		return text, -1
	}
	before := len(m.held)
	m.held = append(m.held, text...)
	for i, letter := range text {
		m.at = m.step(m.at, letter)
		if n := m.nodes[m.at]; n.match >= 0 {
			m.hit = n.match
			return m.held[:before+i+1-n.length], m.hit
		}
	}
	return m.release(len(m.held) - m.nodes[m.at].depth), -1
}

// flush returns what is held: the answer ends, and it was no stop string. It is empty after a stop string.
func (m *stopper) flush() []byte {
	if m.hit >= 0 || len(m.nodes) == 0 {
		return nil
	}
	m.at = 0
	return m.release(len(m.held))
}

// release cuts n bytes off held. The rest stays where it is and grows behind itself, so a long one is not moved each time.
func (m *stopper) release(n int) []byte {
	send := m.held[:n:n]
	m.held = m.held[n:]
	return send
}
