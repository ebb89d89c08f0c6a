package grammar

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// parsePattern reads a regular expression of JSON schema (ECMA-262, as far as it is regular) or of Go's syntax.
func parsePattern(pattern string) (*expr, error) {
	parsed, err := syntax.Parse(ecma(pattern), syntax.Perl)
	var bad *syntax.Error
	switch {
	case errors.As(err, &bad):
		return nil, fmt.Errorf("%s in %s", strings.ToLower(string(bad.Code)), quote(bad.Expr))
	case err != nil:
		return nil, err
	}
	return fromSyntax(parsed)
}

// ecma rewrites the escapes \uXXXX and \u{X}, which Go writes \x{X}. Two of the former may be a pair of surrogates.
func ecma(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '\\' || i+1 == len(pattern) {
			b.WriteByte(pattern[i])
			continue
		}
		r, ok := unit(pattern[i:])
		switch {
		case ok:
			i += 5
			if low, ok := unit(pattern[i+1:]); ok && utf16.DecodeRune(r, low) != unicode.ReplacementChar {
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			fmt.Fprintf(&b, `\x{%x}`, r)
		case strings.HasPrefix(pattern[i:], `\u{`):
			b.WriteString(`\x`)
			i++
		default:
			b.WriteString(pattern[i : i+2])
			i++
		}
	}
	return b.String()
}

// unit reads an escape \uXXXX.
func unit(text string) (rune, bool) {
	if len(text) < 6 || !strings.HasPrefix(text, `\u`) {
		return 0, false
	}
	n, err := strconv.ParseUint(text[2:6], 16, 16)
	return rune(n), err == nil
}

func fromSyntax(r *syntax.Regexp) (*expr, error) {
	e := &expr{op: opSeq}
	switch r.Op {
	case syntax.OpNoMatch:
		return &expr{op: opAlt}, nil
	case syntax.OpEmptyMatch:
		return e, nil
	case syntax.OpLiteral:
		for _, c := range r.Rune {
			e.subs = append(e.subs, &expr{op: opClass, ranges: folded(c, r.Flags&syntax.FoldCase != 0)})
		}
		return e, nil
	case syntax.OpCharClass:
		return &expr{op: opClass, ranges: r.Rune}, nil
	case syntax.OpAnyChar:
		return anyChar(), nil
	case syntax.OpAnyCharNotNL:
		return &expr{op: opClass, ranges: notLine()}, nil
	case syntax.OpBeginText:
		return &expr{op: opBegin}, nil
	case syntax.OpEndText:
		return &expr{op: opEnd}, nil
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return nil, fmt.Errorf("%s is not supported", quote(r.String()))
	}
	for _, sub := range r.Sub {
		s, err := fromSyntax(sub)
		if err != nil {
			return nil, err
		}
		e.subs = append(e.subs, s)
	}
	switch r.Op {
	case syntax.OpAlternate:
		e.op = opAlt
	case syntax.OpStar:
		e.op, e.min, e.max = opRepeat, 0, -1
	case syntax.OpPlus:
		e.op, e.min, e.max = opRepeat, 1, -1
	case syntax.OpQuest:
		e.op, e.min, e.max = opRepeat, 0, 1
	case syntax.OpRepeat:
		e.op, e.min, e.max = opRepeat, r.Min, r.Max
	}
	return e, nil
}

// notLine and notSpace are what . and \S are in package regexp.
func notLine() []rune { return []rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune} }

func notSpace() []rune { return complement([]rune{'\t', '\n', '\f', '\r', ' ', ' '}) }

// script leaves out of . and \S, and what equals them, what they are not in ECMA-262 either: the answer matches under both.
func (e *expr) script() {
	lines := []rune{'\n', '\n', '\r', '\r', 0x2028, 0x2029}
	spaces := []rune{'\t', '\r', ' ', ' ', 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff}
	switch {
	case e.op == opClass && slices.Equal(e.ranges, notLine()):
		e.ranges = complement(lines)
	case e.op == opClass && slices.Equal(e.ranges, notSpace()):
		e.ranges = complement(spaces)
	}
	for _, sub := range e.subs {
		sub.script()
	}
}

// folded returns the range of a character, or of all that differ from it only in case.
func folded(c rune, fold bool) []rune {
	ranges := []rune{c, c}
	if fold {
		for r := unicode.SimpleFold(c); r != c; r = unicode.SimpleFold(r) {
			ranges = append(ranges, r, r)
		}
	}
	return ranges
}

// search says that a pattern may match anywhere in a text, as a pattern of JSON schema does.
func anywhere(e *expr) *expr {
	return seqOf(repeat(anyChar(), 0, -1), e, repeat(anyChar(), 0, -1))
}

// patternFault is the error of a pattern.
func patternFault(where, pattern string, err error) error {
	mend := "write a simpler one"
	switch {
	case errors.Is(err, errTooBig):
		mend = "make its counts and alternatives smaller"
	case errors.Is(err, errEmpty):
		mend = "write one that some text matches"
	}
	return fault("pattern", where, fmt.Sprintf("%s: %v", quote(pattern), err), mend)
}

// Regex is the language of the texts that a regular expression matches as a whole, in the syntax of package regexp; ^ and $ at
// its ends change nothing. Word boundaries and line anchors are errors, as is a pattern that is too big or that nothing
// matches.
func Regex(pattern string) (*Grammar, error) {
	if len(pattern) > maxInput {
		return nil, fault("pattern", "length", fmt.Sprintf("%d bytes", len(pattern)), fmt.Sprintf("write at most %d", maxInput))
	}
	e, err := parsePattern(pattern)
	if err != nil {
		return nil, patternFault("regex", pattern, err)
	}
	b := newBuilder()
	d, err := compile(b.work, e, plain)
	if err != nil {
		return nil, patternFault("regex", pattern, err)
	}
	return b.finish(b.leaf(d), "regex")
}
