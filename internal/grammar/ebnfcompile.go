package grammar

import (
	"errors"
	"fmt"
	"slices"
)

// ebnfCompiler makes nodes of rules. What is regular becomes a leaf, as large as it can be; what recurses but at its end, or would
// be too large, becomes nodes. The first fault sticks in err.
type ebnfCompiler struct {
	builder
	rules   map[string]*expr
	nodes   map[string]*node
	regular map[string]bool
	loops   map[string]bool // rules that lead to themselves
	known   map[*expr]bool  // that are regular, or not
	err     error
}

// judging finds the rules that lead to one another (after Tarjan). Those are regular where each stands at the end of what leads
// to it, and all others that they lead to are.
type judging struct {
	*ebnfCompiler
	met   map[string]int // in which turn
	stack []string
}

// call is a rule in an expression.
type call struct {
	*expr
	last bool // nothing follows it
}

// calls adds those of an expression.
func calls(list []call, e *expr, last bool) []call {
	if e.op == opRule {
		return append(list, call{e, last})
	}
	for i, sub := range e.subs {
		list = calls(list, sub, last && (e.op == opAlt || e.op == opSeq && i == len(e.subs)-1))
	}
	return list
}

// judge returns the earliest turn of what leads to a rule and is led to by it.
func (j *judging) judge(name string) int {
	turn := len(j.met) + 1
	j.met[name] = turn
	first, from := turn, len(j.stack)
	j.stack = append(j.stack, name)
	for _, call := range calls(nil, j.rules[name], true) {
		switch _, done := j.regular[call.name]; {
		case j.rules[call.name] == nil:
			j.fail(call.at, "no rule "+quote(call.name), "define it")
			return first
		case j.met[call.name] == 0:
			first = min(first, j.judge(call.name))
		case !done:
			first = min(first, j.met[call.name])
		}
	}
	if first == turn {
		j.settle(j.stack[from:])
		j.stack = j.stack[:from]
	}
	return first
}

// settle judges rules that lead to one another.
func (j *judging) settle(names []string) {
	among := map[string]bool{}
	for _, name := range names {
		among[name] = true
	}
	regular := true
	for _, name := range names {
		for _, call := range calls(nil, j.rules[name], true) {
			if among[call.name] {
				j.loops[name] = true
				regular = regular && call.last
			} else {
				regular = regular && j.regular[call.name]
			}
		}
	}
	for _, name := range names {
		j.regular[name] = regular
	}
}

func (c *ebnfCompiler) fail(at int, found, mend string) {
	if c.err == nil {
		c.err = fault("grammar", fmt.Sprintf("line %d", at), found, mend)
	}
}

// isRegular reports whether an expression leads to regular rules alone.
func (c *ebnfCompiler) isRegular(e *expr) bool {
	if e.op == opRule {
		return c.regular[e.name]
	}
	ok, known := c.known[e]
	if !known {
		ok = !slices.ContainsFunc(e.subs, func(sub *expr) bool { return !c.isRegular(sub) })
		c.known[e] = ok
	}
	return ok
}

// node makes the node of an expression.
func (c *ebnfCompiler) node(e *expr) *node {
	if c.err != nil || c.full {
		return c.choice()
	}
	if c.isRegular(e) {
		if n := c.regularNode(e); n != nil {
			return n
		}
	}
	switch e.op {
	case opRule:
		return c.ruleNode(e)
	case opRepeat:
		return c.repetition(c.node(e.subs[0]), e.min, e.max)
	case opSeq:
		return c.sequence(c.parts(e)...)
	case opAlt:
		return c.choice(c.parts(e)...)
	}
	c.fail(e.at, "more than can be compiled", "make it smaller")
	return c.choice()
}

func (c *ebnfCompiler) ruleNode(e *expr) *node {
	n := c.nodes[e.name]
	if n == nil && c.rules[e.name] != nil {
		n = c.rule()
		c.nodes[e.name] = n
		n.subs = []*node{c.node(c.rules[e.name])}
	}
	return n
}

// parts makes nodes of the subs of a sequence or of alternatives. Regular ones are joined: neighbours of a sequence, all of the
// alternatives.
func (c *ebnfCompiler) parts(e *expr) (nodes []*node) {
	subs := slices.Clone(e.subs)
	if e.op == opAlt {
		slices.SortStableFunc(subs, func(a, b *expr) int { return order(c.isRegular(b)) - order(c.isRegular(a)) })
	}
	for len(subs) > 0 {
		n := 0
		for n < len(subs) && c.isRegular(subs[n]) {
			n++
		}
		if n > 1 && n < len(e.subs) {
			if joined := c.regularNode(&expr{op: e.op, subs: subs[:n]}); joined != nil {
				nodes = append(nodes, joined)
				subs = subs[n:]
				continue
			}
		}
		for _, sub := range subs[:max(1, n)] {
			nodes = append(nodes, c.node(sub))
		}
		subs = subs[max(1, n):]
	}
	return nodes
}

func order(b bool) int {
	if b {
		return 1
	}
	return 0
}

// attempt is how much of the work one leaf may take before it is tried as nodes.
const attempt = maxWork / 8

// mostLiterals is how many alternatives of plain text stay such: they know what they cost in tokens.
const mostLiterals = 256

// regularNode makes a regular expression a literal, a choice of literals or a leaf. It returns nil where it is too large.
func (c *ebnfCompiler) regularNode(e *expr) *node {
	if n := c.literals(e); n != nil {
		return n
	}
	try := work{left: min(attempt, c.work.left)}
	start := try.left
	n := nfa{spell: plain, rules: c.rules, loops: c.loops, begins: map[ruleEnd]int32{}}
	end := n.add(e, n.state())
	if n.full() || !try.spend(n.count) {
		c.work.left -= n.count
		return nil
	}
	d, err := n.determine(&try, end)
	c.work.left -= start - max(0, try.left)
	switch {
	case errors.Is(err, errEmpty):
		return c.choice()
	case err != nil:
		return nil
	}
	return c.leaf(d)
}

// literals is an expression that is one text, or some.
func (c *ebnfCompiler) literals(e *expr) *node {
	for e.op == opRule || e.op == opSeq && len(e.subs) == 1 {
		switch {
		case e.op == opSeq:
			e = e.subs[0]
		case c.loops[e.name]:
			return nil
		default:
			e = c.rules[e.name]
		}
	}
	subs := []*expr{e}
	if e.op == opAlt {
		subs = e.subs
	}
	if len(subs) > mostLiterals {
		return nil
	}
	var nodes []*node
	for _, sub := range subs {
		reader := literalReader{rules: c.rules}
		if !reader.read(sub) || len(reader.text) == 0 || len(reader.text) == 1 && len(subs) > 1 {
			return nil
		}
		nodes = append(nodes, c.literal(string(reader.text)))
	}
	return c.choice(nodes...)
}

// literalReader reads an expression that is one text.
type literalReader struct {
	rules map[string]*expr
	text  []rune
	steps int
}

func (r *literalReader) read(e *expr) bool {
	if r.steps++; r.steps > maxRepeat>>6 {
		return false
	}
	switch {
	case e.op == opClass && len(e.ranges) == 2 && e.ranges[0] == e.ranges[1]:
		r.text = append(r.text, e.ranges[0])
		return true
	case e.op == opRule:
		return r.read(r.rules[e.name])
	case e.op != opSeq:
		return false
	}
	for _, sub := range e.subs {
		if !r.read(sub) {
			return false
		}
	}
	return true
}
