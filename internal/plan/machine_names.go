package plan

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// lookUp finds the entry that a name means: the one called so; or the only one that has all its words; or has words that begin
// with them; or in which it begins a run of words, blanks aside ("RTX5090"). The maker's name may stand before. Of several, it is
// the plain one of which the others are variants: "910C" is the package, not "910C die".
func (t *Table) lookUp(name string) (*entry, error) {
	name = strings.Join(strings.Fields(name), " ")
	if i := t.at(name); i >= 0 {
		return &t.entries[i], nil
	}
	text := wordsOf(name)
	if len(text) == 0 || len(name) > mostName {
		return nil, unknown(name, nil)
	}
	for _, match := range []func(e *entry, text []string) bool{(*entry).hasWords, (*entry).hasPrefixes, (*entry).hasRun} {
		var found []*entry
		for i := range t.entries {
			if match(&t.entries[i], text) {
				found = append(found, &t.entries[i])
			}
		}
		if e := plainest(found); e != nil {
			return e, nil
		}
		if len(found) > 0 {
			return nil, ambiguous(name, found)
		}
	}
	return nil, unknown(name, t.nearest(text))
}

// wordsOf cuts a name into words, without the sign x. What stands within one (3e in H20-3e, 9.5) stays.
func wordsOf(name string) []string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-+.", r)
	})
	return slices.DeleteFunc(words, func(w string) bool { return w == "x" || strings.Trim(w, "-+.") == "" })
}

func (e *entry) hasWords(text []string) bool {
	return e.all(text, func(word, w string) bool { return word == w })
}

func (e *entry) hasPrefixes(text []string) bool { return e.all(text, strings.HasPrefix) }

// all tells whether each word of a text matches one of the name's or is its maker's.
func (e *entry) all(text []string, match func(word, w string) bool) bool {
	words, vendor := wordsOf(e.Name), wordsOf(e.Vendor)
	return !slices.ContainsFunc(text, func(w string) bool {
		return !slices.Contains(vendor, w) && !slices.ContainsFunc(words, func(word string) bool { return match(word, w) })
	})
}

// hasRun tells whether the text's letters and digits, without what stands between, begin a run of the name's words.
func (e *entry) hasRun(text []string) bool {
	run, words := solid(text), wordsOf(e.Name)
	for i := range words {
		if strings.HasPrefix(solid(words[i:]), run) {
			return true
		}
	}
	return false
}

func solid(words []string) string {
	return strings.NewReplacer("-", "", "+", "", ".", "").Replace(strings.Join(words, ""))
}

var (
	remark = regexp.MustCompile(`\([^)]*\)`)
	size   = regexp.MustCompile(`^\d+gb$`)
)

// plainest returns the entry whose words, remarks and sizes aside, all others have too, or nil.
func plainest(found []*entry) *entry {
	for _, e := range found {
		core := slices.DeleteFunc(wordsOf(remark.ReplaceAllString(e.Name, " ")), size.MatchString)
		variants := true
		for _, other := range found {
			words := wordsOf(other.Name)
			variants = variants && !slices.ContainsFunc(core, func(w string) bool { return !slices.Contains(words, w) })
		}
		if variants && (len(core) > 0 || len(found) == 1) {
			return e
		}
	}
	return nil
}

// mostNames is how many names an error lists.
const mostNames = 8

func ambiguous(name string, found []*entry) error {
	list := quoteNames(found[:min(len(found), mostNames)])
	if more := len(found) - mostNames; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("more than one such chip: %q: write more of the name: %s", short(name), list)
}

func quoteNames(list []*entry) string {
	quoted := make([]string, len(list))
	for i, e := range list {
		quoted[i] = strconv.Quote(e.Name)
	}
	return strings.Join(quoted, ", ")
}

// unknown is the error for a name that nothing has, with the names that are near.
func unknown(name string, near []*entry) error {
	if len(near) == 0 {
		return fmt.Errorf("no such chip: %q: none is called like this: describe it in a --hardware file", short(name))
	}
	return fmt.Errorf("no such chip: %q: like it: %s: write one of these, or describe yours in a --hardware file", short(name), quoteNames(near))
}

// nearest lists at most three entries whose words are near those of a text: less than half of its letters changed.
func (t *Table) nearest(text []string) []*entry {
	type candidate struct {
		*entry
		distance int
	}
	letters := utf8.RuneCountInString(strings.Join(text, ""))
	var near []candidate
	for i := range t.entries {
		e := &t.entries[i]
		if d := e.distance(text); 2*d < letters {
			near = append(near, candidate{e, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var list []*entry
	for _, c := range near[:min(len(near), 3)] {
		list = append(list, c.entry)
	}
	return list
}

// distance adds up, for the words of a text, how far each is from the nearest word of the name.
func (e *entry) distance(text []string) (sum int) {
	words := append(wordsOf(e.Name), wordsOf(e.Vendor)...)
	for _, w := range text {
		best := utf8.RuneCountInString(w)
		for _, word := range words {
			best = min(best, edits([]rune(w), []rune(word)))
		}
		sum += best
	}
	return sum
}

// edits is how many letters must be changed, added or left out to make one word of another.
func edits(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range b {
			change := diagonal
			if x != y {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
