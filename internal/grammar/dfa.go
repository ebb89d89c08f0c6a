package grammar

import "errors"

// dfa is a deterministic automaton over bytes. From every state but dead an accepting one can be reached.
type dfa struct {
	class   [256]uint8 // bytes that no state tells apart share a class
	classes int
	next    []uint16 // by state*classes + class
	accept  []bool
	onward  []bool  // something may follow
	dist    []int32 // bytes to the nearest accepting state

	// Leaves of strings count the characters of the value. counting is a table of codes by class<<codeBits + state: the state
	// that follows, and above it how many characters the step counts. distBy is the distance under bounds on them, and far is
	// the most that a distance exceeds the characters wanted. See text.go.
	counting []uint16
	distBy   []int32
	far      int32

	shared bool // by all grammars
}

const (
	dead  = int32(0) // what nothing follows, and where all goes that is not read
	start = int32(1)
)

// codeBits is how many bits a state has in a code of a leaf that counts. Elsewhere the code is the state.
const codeBits = 6

var (
	errTooBig = errors.New("too many states")
	errEmpty  = errors.New("matches nothing")
)

func (d *dfa) states() int { return len(d.accept) }

// follow returns the state behind a byte.
func (d *dfa) follow(state int32, b byte) int32 {
	return int32(d.next[int(state)*d.classes+int(d.class[b])])
}

// step returns the state behind a byte, and how many characters it counts.
func (d *dfa) step(state int32, b byte) (to, count int32) {
	if d.counting == nil {
		return d.follow(state, b), 0
	}
	return d.split(d.counting[int(d.class[b])<<codeBits|int(state)])
}

// split returns the state of a code, and its characters.
func (d *dfa) split(code uint16) (state, count int32) {
	if d.counting == nil {
		return int32(code), 0
	}
	return int32(code & (1<<codeBits - 1)), int32(code >> codeBits)
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

// bytes is one byte of each class.
func (d *dfa) bytes() []byte {
	return newAlphabet(func(b byte) uint8 { return d.class[b] }).bytes
}

// work is how many steps may still be spent on making the leaves of a grammar.
type work struct{ left int }

// spend takes steps, and reports whether there were so many left.
func (w *work) spend(steps int) bool {
	w.left -= steps
	return w.left >= 0
}

// explore makes the automaton of a step function: all that is reachable from the first key, without what leads nowhere.
func explore[K comparable](w *work, a alphabet, first K, step func(K, byte) (K, bool), accept func(K) bool) (*dfa, error) {
	d := &dfa{class: a.class, classes: len(a.bytes), accept: []bool{false}, next: make([]uint16, len(a.bytes))}
	index := map[K]uint16{first: uint16(start)}
	keys := []K{first}
	for i := 0; i < len(keys); i++ {
		d.accept = append(d.accept, accept(keys[i]))
		for _, b := range a.bytes {
			to := uint16(dead)
			if k, ok := step(keys[i], b); ok {
				if to, ok = index[k]; !ok {
					keys = append(keys, k)
					to = uint16(len(keys))
					index[k] = to
				}
			}
			d.next = append(d.next, to)
		}
		if !w.spend(d.classes) || len(keys) > maxStates || len(keys)*d.classes > maxTable {
			return nil, errTooBig
		}
	}
	d.measure()
	if d.dist[start] >= never {
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
		if int32(to) != dead {
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
	place := make([]uint16, d.states())
	kept := uint16(0)
	for s := range place {
		if int32(s) != dead && d.dist[s] < never {
			kept++
			place[s] = kept
		}
	}
	n := 0
	for s, p := range place {
		if int32(s) != dead && int32(p) == dead {
			continue
		}
		d.accept[n], d.dist[n] = d.accept[s], d.dist[s]
		onward := false
		for i := range d.classes {
			to := place[d.next[s*d.classes+i]]
			d.next[n*d.classes+i] = to
			onward = onward || int32(to) != dead
		}
		d.onward = append(d.onward, onward)
		if n++; int32(p) != dead {
			d.far = max(d.far, d.dist[s])
		}
	}
	d.accept, d.dist, d.next = d.accept[:n], d.dist[:n], d.next[:n*d.classes]
}

// pair is a state of two automata that run side by side.
type pair struct{ a, b int32 }

// both is the alphabet of two automata that run side by side.
func both(a, b *dfa) alphabet {
	return newAlphabet(func(c byte) [2]uint8 { return [2]uint8{a.class[c], b.class[c]} })
}

// intersect makes the automaton of what both accept.
func intersect(w *work, a, b *dfa) (*dfa, error) {
	return explore(w, both(a, b), pair{start, start}, func(p pair, c byte) (pair, bool) {
		p = pair{a.follow(p.a, c), b.follow(p.b, c)}
		return p, p.a != dead && p.b != dead
	}, func(p pair) bool { return a.accept[p.a] && b.accept[p.b] })
}
