package token

// added is the added tokens, sorted by literal.
type added struct {
	literals []string
	ids      []int32
	isAdded  map[int32]bool
	first    [256]bool // the bytes that literals begin with
}

// find returns the first added token in text and where it lies: the longest, where several begin there. Without any,
// begin and end are the length of text.
func (a *added) find(text string) (begin, end int, id int32) {
	for i := range len(text) {
		if !a.first[text[i]] {
			continue
		}
		if n, id := a.match(text[i:]); n > 0 {
			return i, i + n, id
		}
	}
	return len(text), len(text), 0
}

// match returns the longest literal that text begins with, or 0. At every byte it narrows the range of literals that
// still agree; the one that ends there comes first in the range.
func (a *added) match(text string) (size int, id int32) {
	lo, hi := 0, len(a.literals)
	for i := range len(text) {
		for lo < hi && len(a.literals[lo]) == i {
			lo++
		}
		lo, hi = a.narrow(lo, hi, i, text[i])
		if lo == hi {
			break
		}
		if len(a.literals[lo]) == i+1 {
			size, id = i+1, a.ids[lo]
		}
	}
	return size, id
}

// narrow returns the part of the literals lo to hi, all longer than i and equal up to there, whose byte i is c.
func (a *added) narrow(lo, hi, i int, c byte) (int, int) {
	from := func(c int) int {
		low, high := lo, hi
		for low < high {
			if mid := (low + high) / 2; int(a.literals[mid][i]) < c {
				low = mid + 1
			} else {
				high = mid
			}
		}
		return low
	}
	return from(int(c)), from(int(c) + 1)
}
