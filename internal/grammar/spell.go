package grammar

import (
	"fmt"
	"unicode/utf8"
)

const (
	surrogateMin = 0xd800
	surrogateMax = 0xdfff
)

// plain spells characters as UTF-8.
func plain(n *nfa, lo, hi rune, from, to int32) {
	for _, part := range [][2]rune{{0, 0x7f}, {0x80, 0x7ff}, {0x800, surrogateMin - 1}, {surrogateMax + 1, 0xffff}, {0x10000, utf8.MaxRune}} {
		if a, b := max(lo, part[0]), min(hi, part[1]); a <= b {
			n.spellRange(a, b, from, to)
		}
	}
}

// spellRange spells characters that take equally many bytes. It cuts the range where the trailing bytes are not all of theirs.
func (n *nfa) spellRange(lo, hi rune, from, to int32) {
	size := utf8.RuneLen(lo)
	for i := 1; i < size; i++ {
		mask := rune(1)<<(6*i) - 1
		if lo&^mask == hi&^mask {
			continue
		}
		if lo&mask != 0 {
			n.spellRange(lo, lo|mask, from, to)
			n.spellRange(lo|mask+1, hi, from, to)
			return
		}
		if hi&mask != mask {
			n.spellRange(lo, hi&^mask-1, from, to)
			n.spellRange(hi&^mask, hi, from, to)
			return
		}
	}
	var a, b [utf8.UTFMax]byte
	utf8.EncodeRune(a[:], lo)
	utf8.EncodeRune(b[:], hi)
	for i := range size {
		next := to
		if i < size-1 {
			next = n.state()
		}
		n.link(from, edge{kind: onBytes, lo: a[i], hi: b[i], to: next})
		from = next
	}
}

// inJSON spells characters as the inside of a JSON string. Each has one spelling: itself where it may stand there, else
// its short escape or, among the control characters, the only one that it has.
func inJSON(n *nfa, lo, hi rune, from, to int32) {
	for r := lo; r <= min(hi, '\\'); r++ {
		if text := escape(r); text != "" {
			n.spellText(text, from, to)
		}
	}
	for _, part := range [][2]rune{{' ', '!'}, {'#', '['}, {']', utf8.MaxRune}} {
		if a, b := max(lo, part[0]), min(hi, part[1]); a <= b {
			plain(n, a, b, from, to)
		}
	}
}

func (n *nfa) spellText(text string, from, to int32) {
	for i := range len(text) {
		next := to
		if i < len(text)-1 {
			next = n.state()
		}
		n.link(from, edge{kind: onBytes, lo: text[i], hi: text[i], to: next})
		from = next
	}
}

// escape returns how a character that must not stand in a JSON string is written, or nothing.
func escape(r rune) string {
	switch {
	case r == '"' || r == '\\':
		return `\` + string(r)
	case r >= ' ':
		return ""
	case r == '\b':
		return `\b`
	case r == '\f':
		return `\f`
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// escapedJSON spells characters as the inside of a JSON string in every way that JSON has for them. It is for wide ranges: of
// the long escapes it writes all or none.
func escapedJSON() *expr {
	class := func(ranges ...rune) *expr { return &expr{op: opClass, ranges: ranges} }
	hex := class('0', '9', 'a', 'f', 'A', 'F')
	low := seqOf(literal(`\u`), class('d', 'd', 'D', 'D'), class('c', 'f', 'C', 'F'), hex, hex)
	return &expr{op: opAlt, subs: []*expr{
		class(' ', '!', '#', '[', ']', utf8.MaxRune),
		seqOf(literal(`\`), class('"', '"', '\\', '\\', '/', '/', 'b', 'b', 'f', 'f', 'n', 'n', 'r', 'r', 't', 't')),
		seqOf(literal(`\u`), class('0', '9', 'a', 'c', 'A', 'C', 'e', 'f', 'E', 'F'), hex, hex, hex),
		seqOf(literal(`\u`), class('d', 'd', 'D', 'D'), class('0', '7'), hex, hex),
		seqOf(literal(`\u`), class('d', 'd', 'D', 'D'), class('8', '9', 'a', 'b', 'A', 'B'), hex, hex, low),
	}}
}
