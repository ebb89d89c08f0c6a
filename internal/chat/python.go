package chat

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of JSON that is printed. Python gives up at about twice of it.
const maxDepth = 500

var errJSON = errors.New("no JSON, or nested too deep")

// appendPython appends data, a JSON value, as Python's json.dumps(json.loads(data), ensure_ascii=False) writes it
// (formats spec 4.1 rule 9): ", " and ": ", keys in order, the last value of a key that comes twice at the place of the
// first, only what must be is escaped, integers as they are, other numbers in their shortest form.
func appendPython(dst, data []byte) ([]byte, error) {
	if !json.Valid(data) {
		return dst, errJSON
	}
	p := printer{in: data, out: dst}
	p.value(0)
	return p.out, p.err
}

// printer prints JSON that is known to be valid.
type printer struct {
	in  []byte
	out []byte
	err error
}

// peek returns the next byte that is no blank. Valid JSON has one wherever this is called.
func (p *printer) peek() byte {
	for {
		switch p.in[0] {
		case ' ', '\t', '\r', '\n':
			p.in = p.in[1:]
		default:
			return p.in[0]
		}
	}
}

func (p *printer) value(depth int) {
	if depth > maxDepth {
		p.err = errJSON
	}
	if p.err != nil {
		return
	}
	switch c := p.peek(); c {
	case '{':
		p.object(depth)
	case '[':
		p.list(depth)
	case '"':
		p.out = appendString(p.out, p.text())
	default:
		p.word(c)
	}
}

// more steps over what stands in front of an element, or over the end, and reports whether there is an element.
func (p *printer) more(end byte) bool {
	if p.peek() != end {
		p.in = p.in[1:] // the opening bracket or a comma
		if p.peek() != end {
			return true
		}
	}
	p.in = p.in[1:]
	return false
}

func (p *printer) list(depth int) {
	p.out = append(p.out, '[')
	for first := true; p.more(']'); first = false {
		if !first {
			p.out = append(p.out, ", "...)
		}
		if p.value(depth + 1); p.err != nil {
			return
		}
	}
	p.out = append(p.out, ']')
}

// member is a key and where its value lies in a printed object.
type member struct {
	key        string
	begin, end int
}

func (p *printer) object(depth int) {
	begin := len(p.out)
	p.out = append(p.out, '{')
	var members []member
	seen := map[string]int{}
	twice := false
	for p.more('}') {
		m := member{key: p.text()}
		p.peek()
		p.in = p.in[1:] // the colon
		p.out = appendKey(p.out, m.key, len(members) == 0)
		m.begin = len(p.out)
		if p.value(depth + 1); p.err != nil {
			return
		}
		m.end = len(p.out)
		if i, ok := seen[m.key]; ok {
			members[i], twice = m, true
		} else {
			seen[m.key] = len(members)
			members = append(members, m)
		}
	}
	p.out = append(p.out, '}')
	if twice {
		p.out = append(p.out[:begin], appendMembers(nil, p.out, members)...)
	}
}

// appendMembers writes an object anew, of values that lie in printed.
func appendMembers(dst, printed []byte, members []member) []byte {
	dst = append(dst, '{')
	for i, m := range members {
		dst = appendKey(dst, m.key, i == 0)
		dst = append(dst, printed[m.begin:m.end]...)
	}
	return append(dst, '}')
}

// appendKey appends a key of an object and what separates it from its neighbours.
func appendKey(dst []byte, key string, first bool) []byte {
	if !first {
		dst = append(dst, ", "...)
	}
	dst = appendString(dst, key)
	return append(dst, ": "...)
}

// text reads a string.
func (p *printer) text() string {
	p.peek()
	end := 1
	for p.in[end] != '"' {
		if p.in[end] == '\\' {
			end++
		}
		end++
	}
	var text string
	_ = json.Unmarshal(p.in[:end+1], &text) // it is known to be valid
	p.in = p.in[end+1:]
	return text
}

// word prints a number, true, false or null.
func (p *printer) word(first byte) {
	end := 1
	for end < len(p.in) && strings.IndexByte(" \t\r\n,]}", p.in[end]) < 0 {
		end++
	}
	word := string(p.in[:end])
	p.in = p.in[end:]
	if first != '-' && (first < '0' || first > '9') {
		p.out = append(p.out, word...)
		return
	}
	p.out = appendNumber(p.out, word)
}

// appendNumber appends a JSON number. Python keeps integers of any size, and prints other numbers in the shortest form
// that reads back the same, with an exponent from 1e16 up and below 1e-4.
func appendNumber(dst []byte, number string) []byte {
	if number == "-0" {
		return append(dst, '0')
	}
	if !strings.ContainsAny(number, ".eE") {
		return append(dst, number...)
	}
	f, _ := strconv.ParseFloat(number, 64) // too large gives an infinity, as in Python
	size := math.Abs(f)
	switch {
	case f > math.MaxFloat64:
		return append(dst, "Infinity"...)
	case f < -math.MaxFloat64:
		return append(dst, "-Infinity"...)
	case size != 0 && (size < 1e-4 || size >= 1e16):
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	begin := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if !strings.Contains(string(dst[begin:]), ".") {
		dst = append(dst, ".0"...)
	}
	return dst
}

// appendString appends text as a JSON string.
func appendString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, text)
	return append(dst, '"')
}

// appendEscaped appends the inside of a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendEscaped(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r >= ' ':
			dst = utf8.AppendRune(dst, r)
		case strings.ContainsRune("\b\t\n\f\r", r):
			dst = append(dst, '\\', "btn_fr"[r-'\b'])
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		}
	}
	return dst
}
