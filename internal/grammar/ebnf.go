package grammar

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// EBNF is the language of a grammar in the dialect of llama.cpp (GBNF), or in the usual notations near it:
//
//	root   ::= "yes" | "no" | '(' root ("," root)* ')' | number   # a comment
//	number ::= [0-9]{1,3} ("." [0-9]+)? | [^a-z\n] .
//
// A rule may go on over lines, end with ";", and use "=" or ":=". In quotes and brackets stand \n, \t, \r, \\, the quote or
// bracket, \xHH, \uHHHH and \UHHHHHHHH; "." is any character. The answer is what the rule root writes or, without one, the first
// rule. Errors name the line. Recursion to the left is one.
func EBNF(text string) (*Grammar, error) {
	p := ebnfParser{text: text, line: 1, rules: map[string]*expr{}}
	if len(text) > maxInput || !utf8.ValidString(text) {
		return nil, fault("grammar", "the text", fmt.Sprintf("%d bytes", len(text)), fmt.Sprintf("write at most %d bytes of UTF-8", maxInput))
	}
	p.parse()
	if p.err != nil {
		return nil, p.err
	}
	c := ebnfCompiler{builder: newBuilder(), rules: p.rules, nodes: map[string]*node{}, regular: map[string]bool{}, loops: map[string]bool{}, known: map[*expr]bool{}}
	root := p.first
	if p.rules["root"] != nil {
		root = "root"
	}
	j := judging{ebnfCompiler: &c, met: map[string]int{}}
	if j.judge(root); c.err != nil {
		return nil, c.err
	}
	n := c.node(&expr{op: opRule, name: root})
	if c.err != nil {
		return nil, c.err
	}
	return c.finish(n, "grammar")
}

// ebnfParser reads a grammar. The first fault sticks in err, and ends it.
type ebnfParser struct {
	text  string
	pos   int
	line  int
	depth int
	rules map[string]*expr
	first string // the name of the first rule
	err   error
}

func (p *ebnfParser) fail(found, mend string) {
	if p.err == nil {
		p.err = fault("grammar", fmt.Sprintf("line %d", p.line), found, mend)
	}
	p.pos = len(p.text)
}

func (p *ebnfParser) parse() {
	for p.space(); p.pos < len(p.text); p.space() {
		name := p.name()
		if name == "" || !p.defines() {
			p.fail("no rule", "write name ::= what it is")
			return
		}
		if p.rules[name] != nil {
			p.fail("the rule "+quote(name)+" twice", "join the two by |")
			return
		}
		if p.first == "" {
			p.first = name
		}
		e := p.alternatives()
		p.rules[name] = e
		p.space()
		p.skip(";")
	}
	if p.first == "" {
		p.fail("no rule", "write root ::= what the answer is")
	}
}

// skip steps over a text if it comes next.
func (p *ebnfParser) skip(text string) bool {
	if !strings.HasPrefix(p.text[p.pos:], text) {
		return false
	}
	p.line += strings.Count(text, "\n")
	p.pos += len(text)
	return true
}

// space steps over blanks and comments.
func (p *ebnfParser) space() {
	for p.pos < len(p.text) {
		rest := p.text[p.pos:]
		n := len(rest) - len(strings.TrimLeft(rest, " \t\r\n"))
		for _, c := range [][2]string{{"#", "\n"}, {"//", "\n"}, {"/*", "*/"}, {"(*", "*)"}} {
			if n == 0 && strings.HasPrefix(rest, c[0]) {
				if n = strings.Index(rest, c[1]); n < 0 {
					n = len(rest)
				} else {
					n += len(c[1])
				}
			}
		}
		if n == 0 {
			return
		}
		p.skip(rest[:n])
	}
}

// name reads the name of a rule, or nothing.
func (p *ebnfParser) name() string {
	rest := p.text[p.pos:]
	n := strings.IndexFunc(rest, func(r rune) bool { return r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if n < 0 {
		n = len(rest)
	}
	p.pos += n
	return rest[:n]
}

// defines steps over the sign between a rule and what it is.
func (p *ebnfParser) defines() bool {
	p.space()
	return p.skip("::=") || p.skip(":=") || p.skip("=")
}

func (p *ebnfParser) alternatives() *expr {
	if p.depth++; p.depth > maxNesting {
		p.fail("too many brackets in one another", "make rules of them")
	}
	e := &expr{op: opAlt, subs: []*expr{p.sequence()}, at: p.line}
	for p.space(); p.skip("|"); p.space() {
		e.subs = append(e.subs, p.sequence())
	}
	p.depth--
	if len(e.subs) == 1 {
		return e.subs[0]
	}
	return e
}

func (p *ebnfParser) sequence() *expr {
	e := &expr{op: opSeq, at: p.line}
	for {
		p.space()
		for p.skip(",") {
			p.space()
		}
		item := p.item()
		if item == nil {
			return e
		}
		e.subs = append(e.subs, p.repeats(item))
	}
}

// item reads what stands in a sequence, or nothing at its end.
func (p *ebnfParser) item() *expr {
	if p.pos == len(p.text) {
		return nil
	}
	switch c := p.text[p.pos]; c {
	case '"', '\'':
		p.pos++
		return p.quoted(c)
	case '[':
		p.pos++
		return p.class()
	case '.':
		p.pos++
		return anyChar()
	case '(':
		p.pos++
		e := p.alternatives()
		if p.space(); !p.skip(")") {
			p.fail("an open bracket", "close it")
		}
		return e
	case '|', ')', ';':
		return nil
	}
	before := *p
	at := p.line
	if name := p.name(); name != "" {
		if p.defines() { // the next rule
			*p = before
			return nil
		}
		p.pos, p.line = before.pos+len(name), before.line
		return &expr{op: opRule, name: name, at: at}
	}
	p.fail("the sign "+quote(p.text[p.pos:min(len(p.text), p.pos+1)]), "write text in quotes")
	return nil
}

// repeats reads the signs behind an item.
func (p *ebnfParser) repeats(e *expr) *expr {
	for levels := 0; p.err == nil; levels++ {
		if levels > maxNesting {
			p.fail("too many signs of repetition", "use one")
		}
		switch {
		case p.skip("*"):
			e = repeat(e, 0, -1)
		case p.skip("+"):
			e = repeat(e, 1, -1)
		case p.skip("?"):
			e = repeat(e, 0, 1)
		case p.skip("{"):
			e = p.bounds(e)
		default:
			return e
		}
	}
	return e
}

// bounds reads {n}, {n,}, {,m} or {n,m}.
func (p *ebnfParser) bounds(e *expr) *expr {
	inside, _, ok := strings.Cut(p.text[p.pos:], "}")
	low, high, both := strings.Cut(inside, ",")
	number := func(text string, empty int) int {
		text = strings.TrimSpace(text)
		if text == "" && both {
			return empty
		}
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || n > maxRepeat {
			p.fail("no bounds of a repetition", fmt.Sprintf("write {n}, {n,} or {n,m}, %d at most", maxRepeat))
		}
		return int(n)
	}
	e = repeat(e, number(low, 0), 0)
	if e.max = e.min; both {
		e.max = number(high, -1)
	}
	if !ok || e.max >= 0 && e.max < e.min {
		p.fail("no bounds of a repetition", "write {n}, {n,} or {n,m}")
		return e
	}
	p.skip(inside + "}")
	return e
}

// quoted reads a text up to its quote.
func (p *ebnfParser) quoted(quote byte) *expr {
	e := &expr{op: opSeq}
	for p.pos < len(p.text) && p.text[p.pos] != quote {
		r := p.char()
		e.subs = append(e.subs, &expr{op: opClass, ranges: []rune{r, r}})
	}
	if !p.skip(string(quote)) {
		p.fail("an open quote", "close it")
	}
	return e
}

// class reads what stands in brackets.
func (p *ebnfParser) class() *expr {
	not := p.skip("^")
	var ranges []rune
	for p.pos < len(p.text) && p.text[p.pos] != ']' {
		lo := p.char()
		hi := lo
		if rest := p.text[p.pos:]; len(rest) > 1 && rest[0] == '-' && rest[1] != ']' {
			p.pos++
			hi = p.char()
		}
		if hi < lo {
			p.fail("a range from high to low", "turn it round")
		}
		ranges = append(ranges, lo, hi)
	}
	if !p.skip("]") {
		p.fail("an open bracket", "close it")
	}
	if not {
		ranges = complement(ranges)
	}
	return &expr{op: opClass, ranges: ranges}
}

// complement is the characters outside of ranges.
func complement(ranges []rune) (rest []rune) {
	pairs := slices.Collect(slices.Chunk(ranges, 2))
	slices.SortFunc(pairs, func(a, b []rune) int { return int(a[0] - b[0]) })
	next := rune(0)
	for _, p := range pairs {
		if p[0] > next {
			rest = append(rest, next, p[0]-1)
		}
		next = max(next, p[1]+1)
	}
	if next <= unicode.MaxRune {
		rest = append(rest, next, unicode.MaxRune)
	}
	return rest
}

// char reads a character or an escape.
func (p *ebnfParser) char() rune {
	r, n := utf8.DecodeRuneInString(p.text[p.pos:])
	p.skip(p.text[p.pos : p.pos+n])
	if r != '\\' || p.pos == len(p.text) {
		return r
	}
	r, n = utf8.DecodeRuneInString(p.text[p.pos:])
	p.skip(p.text[p.pos : p.pos+n])
	switch r {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'r':
		return '\r'
	case 'x':
		return p.hex(2)
	case 'u':
		return p.hex(4)
	case 'U':
		return p.hex(8)
	}
	if unicode.IsLetter(r) || unicode.IsDigit(r) {
		p.fail("the escape \\"+string(r), `use \n, \t, \r, \\, \xHH, \uHHHH or \UHHHHHHHH`)
	}
	return r
}

func (p *ebnfParser) hex(digits int) rune {
	text := p.text[p.pos:min(len(p.text), p.pos+digits)]
	n, err := strconv.ParseUint(text, 16, 32)
	if err != nil || len(text) < digits || !utf8.ValidRune(rune(min(n, unicode.MaxRune+1))) {
		p.fail("an escape that is no character", "write hexadecimal digits, all of them")
		return 0
	}
	p.pos += digits
	return rune(n)
}
