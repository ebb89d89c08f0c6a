package token

// The regular expressions of the three Split steps (formats spec 3.1), which split carries out by hand: Go's regexp has
// no lookahead. Every step sees each piece of the step before by itself, so a lookahead at a piece's end sees the end of
// all text; and what an expression does not match becomes pieces, too.
var splitExpressions = [3]string{
	`\p{N}{1,3}`,
	`[一-龥぀-ゟ゠-ヿ]+`,
	`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_` + "`" + `{|}~][A-Za-z]+|[^` + "\r\n" + `\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[` + "\r\n" + `]*|\s*[` + "\r\n" + `]+|\s+(?!\S)|\s+`,
}

// split calls piece for every piece of text in order. Joined, they are text.
func (t *classTable) split(text string, piece func(string)) {
	for len(text) > 0 {
		run, kind := t.kindRun(text)
		switch kind {
		case digit:
			t.splitDigits(text[:run], piece)
		default:
			t.splitWords(text[:run], piece)
		}
		text = text[run:]
	}
}

// kindRun returns the longest front of text that steps 1 and 2 do not cut: digits, eastern characters, or others.
func (t *classTable) kindRun(text string) (end int, kind uint8) {
	class, end := t.at(text, 0)
	kind = class & (digit | eastern)
	for end < len(text) {
		class, size := t.at(text, end)
		if class&(digit|eastern) != kind {
			break
		}
		end += size
	}
	return end, kind
}

// splitDigits is step 1 within a run of digits: threes from the left.
func (t *classTable) splitDigits(run string, piece func(string)) {
	for len(run) > 0 {
		end := 0
		for n := 0; n < 3 && end < len(run); n++ {
			_, size := t.at(run, end)
			end += size
		}
		piece(run[:end])
		run = run[end:]
	}
}

// splitWords is step 3 on one piece of step 2.
func (t *classTable) splitWords(run string, piece func(string)) {
	for len(run) > 0 {
		end := t.match(run)
		if end == 0 {
			end = t.gap(run)
		}
		piece(run[:end])
		run = run[end:]
	}
}

// gap returns the length of what no alternative matches at the front of s.
func (t *classTable) gap(s string) int {
	_, end := t.at(s, 0)
	for end < len(s) && t.match(s[end:]) == 0 {
		_, size := t.at(s, end)
		end += size
	}
	return end
}

// match returns the length of the third expression's match at the front of s, or 0. It tries the alternatives in their
// order.
func (t *classTable) match(s string) int {
	class, first := t.at(s, 0)
	second, size := t.at(s, first)
	switch {
	case class&sign != 0 && s[0] < 0x80 && first < len(s) && isASCIILetter(s[first]):
		return first + asciiLetters(s[first:])
	case class&word != 0:
		return t.end(s, first, word)
	case class&(sign|line) == 0 && second&word != 0:
		return t.end(s, first+size, word)
	case class&sign != 0:
		return t.end(s, t.end(s, first, sign), line)
	case s[0] == ' ' && second&sign != 0:
		return t.end(s, t.end(s, first+size, sign), line)
	case class&space != 0:
		return t.matchSpace(s)
	}
	return 0
}

// end returns where the run of characters that have bit, from i on, ends.
func (t *classTable) end(s string, i int, bit uint8) int {
	for i < len(s) {
		class, size := t.at(s, i)
		if class&bit == 0 {
			break
		}
		i += size
	}
	return i
}

// matchSpace is the last three alternatives, on a run of white space: up to its last line break, else all of it at the
// end of the piece, else all but the last character, which the next match may want in front; but at least one.
func (t *classTable) matchSpace(s string) int {
	end, last, lineEnd := 0, 0, 0
	for end < len(s) {
		class, size := t.at(s, end)
		if class&space == 0 {
			break
		}
		last = end
		end += size
		if class&line != 0 {
			lineEnd = end
		}
	}
	switch {
	case lineEnd > 0:
		return lineEnd
	case end == len(s) || last == 0:
		return end
	}
	return last
}

func isASCIILetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func asciiLetters(s string) int {
	n := 0
	for n < len(s) && isASCIILetter(s[n]) {
		n++
	}
	return n
}
