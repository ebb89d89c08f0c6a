package checkpoint

import (
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of values that are skipped. Nothing real nests deeper than three.
const maxDepth = 64

// scanner reads JSON strictly (RFC 8259) from text that is known to be UTF-8. It exists because a release has 150,000
// entries: encoding/json takes seconds for them, accepts duplicate keys and mends broken strings.
//
// The first fault sticks in err; every method then returns at once, and loops end.
type scanner struct {
	text  []byte
	pos   int
	depth int
	err   *Error
}

// fail notes that something else was expected at the present position.
func (s *scanner) fail(want string) {
	found := "the end"
	if s.pos < len(s.text) {
		r, _ := utf8.DecodeRune(s.text[s.pos:])
		found = fmt.Sprintf("%q", r)
	}
	s.failWith(headerSyntax, fmt.Sprintf("%s at byte %d of the JSON", found, s.pos), want)
}

func (s *scanner) failWith(kind, found, want string) {
	if s.err == nil {
		s.err = &Error{Kind: kind, Found: found, Want: want}
	}
}

// at skips white space and reports whether c comes next.
func (s *scanner) at(c byte) bool {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\n', '\t', '\r':
			s.pos++
		default:
			return s.text[s.pos] == c
		}
	}
	return false
}

// take consumes c if it comes next.
func (s *scanner) take(c byte) bool {
	if s.err != nil || !s.at(c) {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) expect(c byte) bool {
	if !s.take(c) {
		s.fail(fmt.Sprintf("%q", c))
		return false
	}
	return true
}

// end checks that only white space is left.
func (s *scanner) end() {
	if s.at(0); s.pos < len(s.text) {
		s.fail("the end")
	}
}

// object calls member for every key; member reads the value. It does not look for duplicate keys.
func (s *scanner) object(member func(key []byte)) {
	s.list('{', '}', func() {
		key := s.string()
		if s.expect(':') {
			member(key)
		}
	})
}

// list reads elements between open and end, parted by commas.
func (s *scanner) list(open, end byte, element func()) {
	if !s.expect(open) || s.take(end) {
		return
	}
	for s.err == nil {
		element()
		if s.take(end) {
			return
		}
		if !s.take(',') {
			s.fail(fmt.Sprintf("%q or %q", ',', end))
		}
	}
}

// string returns the content of a string. It is part of the text where that is possible: copy it to keep it.
func (s *scanner) string() []byte {
	if !s.expect('"') {
		return nil
	}
	start := s.pos
	for i, c := range s.text[start:] {
		if c == '"' {
			s.pos = start + i + 1
			return s.text[start : start+i]
		}
		if c == '\\' || c < ' ' {
			s.pos = start + i
			return s.escaped(append([]byte(nil), s.text[start:s.pos]...))
		}
	}
	s.pos = len(s.text)
	s.fail("a closing quote")
	return nil
}

// escaped goes on with a string from its first escape, appending to b.
func (s *scanner) escaped(b []byte) []byte {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return b
		case c < ' ':
			s.fail("a string without control characters")
			return nil
		case c != '\\':
			b = append(b, c)
			s.pos++
		default:
			s.pos++
			if b = s.escape(b); s.err != nil {
				return nil
			}
		}
	}
	s.fail("a closing quote")
	return nil
}

// escape appends what the characters behind a backslash stand for.
func (s *scanner) escape(b []byte) []byte {
	if s.pos == len(s.text) {
		s.fail("an escape")
		return b
	}
	c := s.text[s.pos]
	s.pos++
	switch c {
	case '"', '\\', '/':
		return append(b, c)
	case 'b':
		return append(b, '\b')
	case 'f':
		return append(b, '\f')
	case 'n':
		return append(b, '\n')
	case 'r':
		return append(b, '\r')
	case 't':
		return append(b, '\t')
	case 'u':
		return utf8.AppendRune(b, s.unicode())
	}
	s.pos--
	s.fail("an escape")
	return b
}

// unicode reads the digits of \uXXXX, and of the second half where the first is half of a pair.
func (s *scanner) unicode() rune {
	r := s.hex4()
	if !utf16.IsSurrogate(r) {
		return r
	}
	if s.pos+1 < len(s.text) && s.text[s.pos] == '\\' && s.text[s.pos+1] == 'u' {
		s.pos += 2
		if pair := utf16.DecodeRune(r, s.hex4()); pair != utf8.RuneError {
			return pair
		}
	}
	s.fail("a whole pair of surrogates")
	return 0
}

func (s *scanner) hex4() (r rune) {
	for range 4 {
		if s.pos == len(s.text) {
			s.fail("a hexadecimal digit")
			return 0
		}
		switch c := s.text[s.pos]; {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			s.fail("a hexadecimal digit")
			return 0
		}
		s.pos++
	}
	return r
}

// integer reads an integer from 0 to 2^63-1, written without sign, fraction or exponent.
func (s *scanner) integer() (n int64) {
	s.at(0)
	start := s.pos
	for ; s.pos < len(s.text) && '0' <= s.text[s.pos] && s.text[s.pos] <= '9'; s.pos++ {
		digit := int64(s.text[s.pos] - '0')
		if n > (math.MaxInt64-digit)/10 {
			s.pos = start
			s.fail("an integer below 2^63")
			return 0
		}
		n = 10*n + digit
	}
	if s.pos == start || s.text[start] == '0' && s.pos > start+1 {
		s.pos = start
		s.fail("an integer of 0 or more")
	}
	return n
}

// skip passes over a value of any kind.
func (s *scanner) skip() {
	if s.depth++; s.depth > maxDepth {
		s.fail(fmt.Sprintf("values nested at most %d deep", maxDepth))
	}
	switch {
	case s.at('{'):
		s.object(func([]byte) { s.skip() })
	case s.at('['):
		s.list('[', ']', s.skip)
	case s.at('"'):
		s.string()
	default:
		s.literal()
	}
	s.depth--
}

// literal passes over a number, true, false or null.
func (s *scanner) literal() {
	start := s.pos
	for s.pos < len(s.text) && isWord(s.text[s.pos]) {
		s.pos++
	}
	if !json.Valid(s.text[start:s.pos]) {
		s.pos = start
		s.fail("a value")
	}
}

func isWord(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '+' || c == '-' || c == '.'
}
