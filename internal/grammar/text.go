package grammar

import (
	"strings"
	"sync"
)

// Control text that the values and strings of an answer must not have in them (chat.Parser would take it for its own).
const (
	dsml      = "｜DSML｜"
	openTag   = "<" + dsml
	closeTag  = "</" + dsml
	thinkTag  = "</think>"
	closeName = "parameter>" // behind closeTag, at the end of a parameter
)

// textLeaves are the leaves that every grammar shares, so that a vocabulary computes their masks once.
type textLeaves struct {
	content *dfa // the inside of a JSON string and its closing quote, in an answer that is JSON
	value   *dfa // the same in a parameter of a call
	raw     *dfa // a parameter that is a string, as it is, and closeTag
	free    *dfa // any bytes without openTag; what is free may end everywhere
	integer *dfa
	number  *dfa
	reason  *dfa // any bytes up to the first thinkTag, without openTag
}

// sharedTexts makes them once: nothing ever changes them.
var sharedTexts = sync.OnceValue(func() *textLeaves {
	t := &textLeaves{
		content: jsonString(thinkTag, openTag),
		value:   jsonString(closeTag),
		raw:     rawString(),
		free:    freeText("", openTag),
		reason:  freeText(thinkTag, openTag),
		integer: must(numbers(ample(), interval{}, 0)),
		number:  must(numbers(ample(), interval{}, maxDecimals)),
	}
	for _, d := range []*dfa{t.content, t.value, t.raw, t.free, t.reason, t.integer, t.number} {
		d.shared = true
	}
	return t
})

// tagged is the state of an automaton that runs beside a search for tags: how much of which tag the text ends in.
type tagged struct {
	base int32
	tail string
}

// search steps over a byte. It returns the longest end of the text that is the beginning of a tag, which may be all of one.
func search(tail string, b byte, tags []string) string {
	tail += string([]byte{b})
	for tail != "" {
		for _, tag := range tags {
			if strings.HasPrefix(tag, tail) {
				return tail
			}
		}
		tail = tail[1:]
	}
	return ""
}

func whole(tail string, tags []string) bool {
	for _, tag := range tags {
		if tail == tag {
			return true
		}
	}
	return false
}

// without makes the automaton of what d accepts and has no tag in it.
func without(w *work, d *dfa, tags ...string) (*dfa, error) {
	return explore(w, tagAlphabet(d, tags), tagged{base: start}, func(k tagged, b byte) (tagged, bool) {
		k = tagged{d.follow(k.base, b), search(k.tail, b, tags)}
		return k, k.base != dead && !whole(k.tail, tags)
	}, func(k tagged) bool { return d.accept[k.base] })
}

func tagAlphabet(d *dfa, tags []string) alphabet {
	all := strings.Join(tags, "")
	return newAlphabet(func(b byte) [2]int {
		return [2]int{int(d.class[b]), strings.IndexByte(all, b)}
	})
}

// ample is work enough for the automata of ours.
func ample() *work { return &work{left: maxWork} }

// must is for automata of ours, which do not depend on any input.
func must(d *dfa, err error) *dfa {
	if err != nil {
		panic(err)
	}
	return d
}

// jsonString is the inside of a JSON string without tags, and the closing quote. It counts characters at their first byte.
func jsonString(tags ...string) *dfa {
	base := must(compile(ample(), seqOf(repeat(escapedJSON(), 0, -1), literal(`"`)), plain))
	d := must(without(ample(), base, tags...))
	d.count(func(s int32, b byte) int {
		if d.dist[s] == 1 && b != '"' { // a quote ends it here: whatever else follows begins a character
			return 1
		}
		return 0
	})
	return d
}

// rawString is a text, and closeTag. The characters of what may yet become the tag are counted when it turns out not to.
func rawString() *dfa {
	base := must(compile(ample(), repeat(anyChar(), 0, -1), plain))
	tags := []string{closeTag}
	d := must(explore(ample(), tagAlphabet(base, tags), tagged{base: start}, func(k tagged, b byte) (tagged, bool) {
		if k.tail == closeTag {
			return k, false
		}
		k = tagged{base.follow(k.base, b), search(k.tail, b, tags)}
		return k, k.base != dead
	}, func(k tagged) bool { return k.tail == closeTag }))
	tails := map[int32]string{start: ""}
	for queue := []int32{start}; len(queue) > 0; queue = queue[1:] {
		for b := range 256 {
			to := d.follow(queue[0], byte(b))
			if _, known := tails[to]; !known && to != dead {
				tails[to] = search(tails[queue[0]], byte(b), tags)
				queue = append(queue, to)
			}
		}
	}
	d.count(func(s int32, b byte) int {
		return characters(tails[s]) + characters(string([]byte{b})) - characters(tails[d.follow(s, b)])
	})
	return d
}

// count notes how many characters the steps count.
func (d *dfa) count(of func(state int32, b byte) int) {
	d.counting = make([]uint16, d.classes<<codeBits)
	for c, b := range d.bytes() {
		for s := range int32(d.states()) {
			if to := d.follow(s, b); to != dead {
				d.counting[c<<codeBits|int(s)] = uint16(int(to) | of(s, b)<<codeBits)
			}
		}
	}
	d.bound()
}

// characters counts the first bytes of characters.
func characters(text string) (n int) {
	for i := range len(text) {
		if text[i]&0xc0 != 0x80 {
			n++
		}
	}
	return n
}

// freeText is any bytes without one of the tags: up to and with the first end, or everywhere if there is no end.
func freeText(end string, tags ...string) *dfa {
	if end != "" {
		tags = append(tags, end)
	}
	all := strings.Join(tags, "")
	return must(explore(ample(), newAlphabet(func(b byte) int { return strings.IndexByte(all, b) }), "",
		func(tail string, b byte) (string, bool) {
			if end != "" && tail == end {
				return "", false
			}
			tail = search(tail, b, tags)
			return tail, tail == end && end != "" || !whole(tail, tags)
		}, func(tail string) bool { return tail == end || end == "" }))
}

// window is how many characters distances under bounds are tabulated for. A step adds less than that, so that nothing that is
// beyond it ends a text by surprise.
const window = 16

// bound tabulates the distances of an automaton that counts, by state, characters still wanted (0 to window) and characters
// still allowed (0 to window, and one more for plenty).
//
// With more than window wanted, the distance is that at window plus what is more: each further character is one byte,
// taken at the first place where a character may begin, and leaves less to do by one. A byte that only ends a character or
// commits one that was begun does so too. TestDistanceFalls tries all states and bounds.
func (d *dfa) bound() {
	const row = window + 2
	bytes := d.bytes()
	d.distBy = make([]int32, d.states()*(window+1)*row)
	for i := range d.distBy {
		d.distBy[i] = never
	}
	for changed := true; changed; {
		changed = false
		for i := range d.distBy {
			s, want, room := int32(i/row/(window+1)), int32(i/row%(window+1)), int32(i%row)
			best := d.distBy[i]
			if d.accept[s] && want == 0 {
				best = 0
			}
			for _, b := range bytes {
				best = min(best, add(1, d.behind(s, b, want, room)))
			}
			if best < d.distBy[i] {
				d.distBy[i], changed = best, true
			}
		}
	}
	d.far = 0
	for i, dist := range d.distBy {
		if dist < never {
			d.far = max(d.far, dist-int32(i/row%(window+1)))
		}
	}
}

// behind is the distance after a byte, within the table.
func (d *dfa) behind(s int32, b byte, want, room int32) int32 {
	to, n := d.step(s, b)
	if to == dead {
		return never
	}
	if room <= window {
		if room -= n; room < 0 {
			return never
		}
	}
	return d.distance(to, max(0, want-n), room)
}

// distance is the fewest bytes from a state to the end, with so many characters still wanted and allowed; room is -1 for
// no bound.
func (d *dfa) distance(s, want, room int32) int32 {
	if d.distBy == nil {
		return d.dist[s]
	}
	if room < 0 || room > window {
		room = window + 1
	}
	at := min(want, window)
	return add(d.distBy[(int(s)*(window+1)+int(at))*(window+2)+int(room)], want-at)
}
