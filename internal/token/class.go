package token

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// What the three regular expressions distinguish, as bits. A character has at most one of the first four, except that
// ideographs and kana have theirs beside it. Unassigned, private and format characters have none, nor has a control
// character that is no white space.
const (
	word    = 1 << iota // L and M
	digit               // N
	sign                // P and S
	space               // White_Space: U+0009-000D 0020 0085 00A0 1680 2000-200A 2028 2029 202F 205F 3000
	line                // CR and LF, beside space
	eastern             // in the ranges of the second expression
)

// classTable holds the bits of every code point.
type classTable [unicode.MaxRune + 1]uint8

// loadClasses makes the table when it is first needed. Pages of it that no character lies in take no memory.
var loadClasses = sync.OnceValue(func() *classTable {
	t := new(classTable)
	t.mark(word, unicode.L, unicode.M)
	t.mark(digit, unicode.N)
	t.mark(sign, unicode.P, unicode.S)
	t.mark(space, unicode.White_Space)
	t['\r'] |= line
	t['\n'] |= line
	for _, r := range easternRanges {
		for c := r[0]; c <= r[1]; c++ {
			t[c] |= eastern
		}
	}
	return t
})

// easternRanges are the ideographs, Hiragana and Katakana that step 2 cuts out. They are narrower than the scripts, and
// hold code points that are no letters.
var easternRanges = [][2]rune{{0x4e00, 0x9fa5}, {0x3040, 0x309f}, {0x30a0, 0x30ff}}

func (t *classTable) mark(bit uint8, tables ...*unicode.RangeTable) {
	for _, table := range tables {
		for _, r := range table.R16 {
			for c := int(r.Lo); c <= int(r.Hi); c += int(r.Stride) {
				t[c] |= bit
			}
		}
		for _, r := range table.R32 {
			for c := int(r.Lo); c <= int(r.Hi); c += int(r.Stride) {
				t[c] |= bit
			}
		}
	}
}

// at returns the class and the length of the character at s[i:]. At the end of s it returns 0, 0: a class of nothing.
func (t *classTable) at(s string, i int) (class uint8, size int) {
	if i < len(s) && s[i] < utf8.RuneSelf {
		return t[s[i]], 1
	}
	return t.decode(s[i:])
}

func (t *classTable) decode(s string) (class uint8, size int) {
	r, size := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && size <= 1 {
		return 0, size // no character; U+FFFD itself is a sign
	}
	return t[r], size
}
