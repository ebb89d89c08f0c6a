package grammar

import (
	"errors"
	"slices"
)

// dfa is a deterministic automaton over bytes. It starts in state 0. From every state an accepting one can be reached, except
// where the language is empty: then it has no states.
type dfa struct {
	class   [256]uint8 // bytes that no state tells apart share a class
	classes int
	next    []int32 // by state*classes + class; dead where nothing may follow
	accept  []bool
	onward  []bool  // something may follow
	dist    []int32 // bytes to the nearest accepting state

	// Leaves of strings count the characters of the value: count, in step with next, is how many a step adds. distBy is
	// the distance under bounds on them, and far is the most that a distance exceeds the characters wanted. See text.go.
	count  []uint8
	distBy []int32
	far    int32

	holds bool // characters are held back before they are counted

	loops  []groups // by state: those of which all bytes stay in it
	shared bool     // by all grammars
}

const dead = int32(-1)

var (
	errTooBig = errors.New("too many states")
	errEmpty  = errors.New("matches nothing")
)

func (d *dfa) states() int { return len(d.accept) }

func (d *dfa) step(state int32, b byte) int32 {
	return d.next[int(state)*d.classes+int(d.class[b])]
}

// alphabet is the classes of bytes of an automaton to be, and one byte of each.
type alphabet struct {
	class [256]uint8
	bytes []byte
}

// newAlphabet puts two bytes into one class if key says the same of both.
func newAlphabet[K comparable](key func(b byte) K) alphabet {
	var a alphabet
	seen := map[K]uint8{}
	for b := range 256 {
		k := key(byte(b))
		c, ok := seen[k]
		if !ok {
			c = uint8(len(a.bytes))
			seen[k] = c
			a.bytes = append(a.bytes, byte(b))
		}
		a.class[b] = c
	}
	return a
}

// work is how many steps may still be spent on making the leaves of a grammar.
type work struct{ left int }

// spend takes steps, and reports whether there were so many left.
func (w *work) spend(steps int) bool {
	w.left -= steps
	return w.left >= 0
}

// explore makes the automaton of a step function: all that is reachable from start, without what leads nowhere.
func explore[K comparable](w *work, a alphabet, start K, step func(K, byte) (K, bool), accept func(K) bool) (*dfa, error) {
	d := &dfa{class: a.class, classes: len(a.bytes)}
	index := map[K]int32{start: 0}
	keys := []K{start}
	for i := 0; i < len(keys); i++ {
		d.accept = append(d.accept, accept(keys[i]))
		for _, b := range a.bytes {
			to := dead
			if k, ok := step(keys[i], b); ok {
				if to, ok = index[k]; !ok {
					to = int32(len(keys))
					index[k] = to
					keys = append(keys, k)
				}
			}
			d.next = append(d.next, to)
		}
		if !w.spend(d.classes) || len(keys) > maxStates || len(keys)*d.classes > maxTable {
			return nil, errTooBig
		}
	}
	d.measure()
	if d.dist[0] >= never {
		return nil, errEmpty
	}
	d.trim()
	return d, nil
}

// measure finds the distances, backwards from the accepting states.
func (d *dfa) measure() {
	n := d.states()
	before := make([][]int32, n)
	for i, to := range d.next {
		if to != dead {
			before[to] = append(before[to], int32(i/d.classes))
		}
	}
	d.dist = make([]int32, n)
	var queue []int32
	for s := range n {
		d.dist[s] = never
		if d.accept[s] {
			d.dist[s] = 0
			queue = append(queue, int32(s))
		}
	}
	for i := 0; i < len(queue); i++ {
		for _, s := range before[queue[i]] {
			if d.dist[s] == never {
				d.dist[s] = d.dist[queue[i]] + 1
				queue = append(queue, s)
			}
		}
	}
}

// trim takes out the states that lead nowhere, and notes what can be said of the others.
func (d *dfa) trim() {
	place := make([]int32, d.states())
	kept := int32(0)
	for s := range place {
		place[s] = dead
		if d.dist[s] < never {
			place[s] = kept
			kept++
		}
	}
	old := *d
	d.next, d.accept, d.dist = nil, nil, nil
	for s, p := range place {
		if p == dead {
			continue
		}
		d.accept = append(d.accept, old.accept[s])
		d.dist = append(d.dist, old.dist[s])
		for _, to := range old.next[s*d.classes : (s+1)*d.classes] {
			if to != dead {
				to = place[to]
			}
			d.next = append(d.next, to)
		}
	}
	d.finish()
}

// finish notes where something may follow, which bytes change nothing, and the farthest distance.
func (d *dfa) finish() {
	d.far = slices.Max(d.dist)
	for s := range d.states() {
		leaves, onward := groups{}, false
		for b := range 256 {
			to := d.step(int32(s), byte(b))
			onward = onward || to != dead
			if to != int32(s) {
				leaves.add(byte(b))
			}
		}
		d.onward = append(d.onward, onward)
		d.loops = append(d.loops, groups{^uint64(0), ^uint64(0)}.without(leaves))
	}
}

// pair is a state of two automata that run side by side.
type pair struct{ a, b int32 }

// intersect makes the automaton of what both accept.
func intersect(w *work, a, b *dfa) (*dfa, error) {
	both := newAlphabet(func(c byte) [2]uint8 { return [2]uint8{a.class[c], b.class[c]} })
	return explore(w, both, pair{}, func(p pair, c byte) (pair, bool) {
		p = pair{a.step(p.a, c), b.step(p.b, c)}
		return p, p.a != dead && p.b != dead
	}, func(p pair) bool { return a.accept[p.a] && b.accept[p.b] })
}

// groups is a set of groups of bytes: one for each of ASCII, but that 0x7f is in that of 1, and one for the bytes of
// characters beyond, in its place.
type groups [2]uint64

// beyond is the group of the bytes of characters beyond ASCII.
func beyond() groups { return groups{0, 1 << 63} }

// add adds the group of a byte.
func (g *groups) add(b byte) {
	switch {
	case b >= 0x80:
		b = 0x7f
	case b == 0x7f:
		b = 1
	}
	g[b>>6] |= 1 << (b & 63)
}

func (g *groups) unite(h groups) { g[0], g[1] = g[0]|h[0], g[1]|h[1] }

func (g groups) without(h groups) groups { return groups{g[0] &^ h[0], g[1] &^ h[1]} }

func (g groups) meets(h groups) bool { return g[0]&h[0]|g[1]&h[1] != 0 }
