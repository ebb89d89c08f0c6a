package grammar

import (
	"encoding/binary"
	"slices"
)

// expr is a regular expression over characters, or over bytes as an nfa's spelling writes them.
type expr struct {
	op       exprOp
	ranges   []rune // of a class: first, last, first, last
	subs     []*expr
	min, max int    // of a repetition; max is -1 for none
	name     string // of a rule, in a grammar
	at       int    // the line, in a grammar
}

type exprOp uint8

const (
	opClass  exprOp = iota // one character of ranges
	opSeq                  // subs, one after another
	opAlt                  // one of subs
	opRepeat               // the only sub, min to max times
	opBegin                // nothing, at the beginning
	opEnd                  // nothing, at the end
	opRule                 // a rule of a grammar
)

func literal(text string) *expr {
	e := &expr{op: opSeq}
	for _, r := range text {
		e.subs = append(e.subs, &expr{op: opClass, ranges: []rune{r, r}})
	}
	return e
}

func repeat(e *expr, min, max int) *expr {
	return &expr{op: opRepeat, subs: []*expr{e}, min: min, max: max}
}

func seqOf(subs ...*expr) *expr { return &expr{op: opSeq, subs: subs} }

// anyChar is every character.
func anyChar() *expr { return &expr{op: opClass, ranges: []rune{0, 0x10ffff}} }

// nfa is a nondeterministic automaton over bytes.
type nfa struct {
	edges [][]edge // by state
	count int      // of edges and of expressions added
	spell spelling

	// Of a grammar: rules, and those that lead to themselves, though only at their ends. Where one is read to the same end again,
	// it is where it began.
	rules  map[string]*expr
	loops  map[string]bool
	begins map[ruleEnd]int32
}

// ruleEnd is a rule and the state that it leads to.
type ruleEnd struct {
	name string
	to   int32
}

type edge struct {
	kind   edgeKind
	lo, hi byte
	to     int32
}

type edgeKind uint8

const (
	onBytes edgeKind = iota
	free
	atBegin
	atEnd
)

// spelling adds the ways in which the characters lo to hi are written, between two states.
type spelling func(n *nfa, lo, hi rune, from, to int32)

func (n *nfa) state() int32 {
	n.edges = append(n.edges, nil)
	return int32(len(n.edges) - 1)
}

func (n *nfa) link(from int32, e edge) {
	n.count++
	n.edges[from] = append(n.edges[from], e)
}

func (n *nfa) full() bool { return n.count > maxFragment || len(n.edges) > maxFragment }

// add puts an expression behind a state, and returns the state at its end. Once the automaton is full it adds nothing.
func (n *nfa) add(e *expr, from int32) int32 {
	n.count++
	if n.full() {
		return from
	}
	switch e.op {
	case opRule:
		if n.loops[e.name] {
			to := n.state()
			n.addTo(e, from, to)
			return to
		}
		return n.add(n.rules[e.name], from)
	case opSeq:
		for _, sub := range e.subs {
			from = n.add(sub, from)
		}
		return from
	case opRepeat:
		return n.repeat(e, from)
	}
	to := n.state()
	switch e.op {
	case opClass:
		for i := 0; i < len(e.ranges); i += 2 {
			n.spell(n, e.ranges[i], e.ranges[i+1], from, to)
		}
	case opAlt:
		for _, sub := range e.subs {
			n.link(n.add(sub, from), edge{kind: free, to: to})
		}
	case opBegin:
		n.link(from, edge{kind: atBegin, to: to})
	case opEnd:
		n.link(from, edge{kind: atEnd, to: to})
	}
	return to
}

// addTo puts an expression between two states.
func (n *nfa) addTo(e *expr, from, to int32) {
	n.count++
	switch {
	case n.full():
	case e.op == opRule:
		k := ruleEnd{e.name, to}
		begin, known := n.begins[k]
		if !known {
			begin = n.state()
			n.begins[k] = begin
			n.addTo(n.rules[e.name], begin, to)
		}
		n.link(from, edge{kind: free, to: begin})
	case e.op == opSeq && len(e.subs) > 0:
		last := len(e.subs) - 1
		for _, sub := range e.subs[:last] {
			from = n.add(sub, from)
		}
		n.addTo(e.subs[last], from, to)
	case e.op == opAlt:
		for _, sub := range e.subs {
			n.addTo(sub, from, to)
		}
	default:
		n.link(n.add(e, from), edge{kind: free, to: to})
	}
}

func (n *nfa) repeat(e *expr, from int32) int32 {
	sub := e.subs[0]
	for range e.min {
		if n.full() {
			return from
		}
		from = n.add(sub, from)
	}
	if e.max < 0 {
		loop := n.state()
		n.link(from, edge{kind: free, to: loop})
		n.link(n.add(sub, loop), edge{kind: free, to: loop})
		to := n.state()
		n.link(loop, edge{kind: free, to: to})
		return to
	}
	to := n.state()
	for range e.max - e.min {
		if n.full() {
			return from
		}
		n.link(from, edge{kind: free, to: to})
		begin := n.state()
		n.link(from, edge{kind: free, to: begin})
		from = n.add(sub, begin)
	}
	n.link(from, edge{kind: free, to: to})
	return to
}

// compile makes the automaton of an expression.
func compile(w *work, e *expr, spell spelling) (*dfa, error) {
	n := &nfa{spell: spell}
	end := n.add(e, n.state())
	if n.full() || !w.spend(n.count) {
		return nil, errTooBig
	}
	return n.determine(w, end)
}

// subsets determines an nfa. A set of states is known by its members as a string.
type subsets struct {
	*nfa
	*work
	end  int32
	seen []int // by state: the last round in which it was met
	turn int
}

// determine makes an automaton with one state for each set of states that bytes lead to. The assertion of a beginning holds in
// the first set only, that of an end only where acceptance is asked.
func (n *nfa) determine(w *work, end int32) (*dfa, error) {
	s := &subsets{nfa: n, work: w, end: end, seen: make([]int, len(n.edges))}
	start := s.close([]int32{0}, true, false)
	a := n.alphabet()
	return explore(w, a, pack(start), s.step, s.accepts)
}

func pack(set []int32) string {
	var key []byte
	for _, s := range set {
		key = binary.LittleEndian.AppendUint32(key, uint32(s))
	}
	return string(key)
}

func unpack(key string) []int32 {
	set := make([]int32, 0, len(key)/4)
	for i := 0; i < len(key); i += 4 {
		set = append(set, int32(binary.LittleEndian.Uint32([]byte(key[i:i+4]))))
	}
	return set
}

// close adds what is reached without bytes.
func (s *subsets) close(set []int32, begin, end bool) []int32 {
	s.turn++
	var closed []int32
	visit := func(state int32) {
		if s.seen[state] != s.turn {
			s.seen[state] = s.turn
			closed = append(closed, state)
		}
	}
	for _, state := range set {
		visit(state)
	}
	for i := 0; i < len(closed); i++ {
		for _, e := range s.edges[closed[i]] {
			s.left--
			if e.kind == free || e.kind == atBegin && begin || e.kind == atEnd && end {
				visit(e.to)
			}
		}
	}
	slices.Sort(closed)
	return closed
}

func (s *subsets) step(key string, b byte) (string, bool) {
	if s.left < 0 {
		return "", false
	}
	var to []int32
	for _, state := range unpack(key) {
		for _, e := range s.edges[state] {
			s.left--
			if e.kind == onBytes && e.lo <= b && b <= e.hi {
				to = append(to, e.to)
			}
		}
	}
	if len(to) == 0 {
		return "", false
	}
	return pack(s.close(to, false, false)), true
}

func (s *subsets) accepts(key string) bool {
	set := unpack(key)
	begin := slices.Contains(set, 0) // only the first set has it: nothing leads back to it
	_, ok := slices.BinarySearch(s.close(set, begin, true), s.end)
	return ok
}

// alphabet puts bytes into one class that lie in the same ranges.
func (n *nfa) alphabet() alphabet {
	var cut [257]bool
	for _, edges := range n.edges {
		for _, e := range edges {
			if e.kind == onBytes {
				cut[e.lo], cut[int(e.hi)+1] = true, true
			}
		}
	}
	var part [256]int
	for b := 1; b < 256; b++ {
		part[b] = part[b-1]
		if cut[b] {
			part[b]++
		}
	}
	return newAlphabet(func(b byte) int { return part[b] })
}
