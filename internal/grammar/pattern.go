package grammar

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// formats are the formats of strings that are enforced.
var formats = map[string]string{
	"date":      `^` + datePattern + `$`,
	"time":      `^` + timePattern + `$`,
	"date-time": `^` + datePattern + `T` + timePattern + `$`,
	"duration":  `^P(\d{1,4}W|\d{1,4}D|\d{1,4}Y(\d{1,4}M(\d{1,4}D)?)?|\d{1,4}M(\d{1,4}D)?|(\d{1,4}D)?T(\d{1,4}H(\d{1,4}M(\d{1,4}S)?)?|\d{1,4}M(\d{1,4}S)?|\d{1,4}S))$`,
	"email":     `^[A-Za-z0-9_+-]{1,20}(\.[A-Za-z0-9_+-]{1,20}){0,2}@` + hostPattern + `$`,
	"hostname":  `^` + hostPattern + `$`,
	"ipv4":      `^(` + bytePattern + `\.){3}` + bytePattern + `$`,
	"ipv6":      `^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$`,
	"uuid":      `^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`,
	"uri":       `^[A-Za-z][A-Za-z0-9+.-]*://` + hostPattern + `(:[0-9]{1,4})?(/[A-Za-z0-9._~@!$&'()*+,;=-]*)*(\?[A-Za-z0-9._~@!$&'()*+,;=/?:-]*)?(#[A-Za-z0-9._~@!$&'()*+,;=/?:-]*)?$`,
}

const (
	// Years that are divisible by four have a 29th of February, but centuries only by four hundred.
	datePattern = `(\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))` +
		`|(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)`
	timePattern = `([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)`
	hostPattern = `[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?(\.[A-Za-z]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?){0,3}`
	bytePattern = `(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`
)

// patternLeaf is a text with patterns, spelt in some way, without tags.
func (c *compiler) patternLeaf(s *shape, spell spelling, tags []string) (*node, error) {
	key := fmt.Sprintf("%p %q ", spell, slices.Concat(tags, s.patterns)) + strconv.Itoa(s.minChars) + " " + strconv.Itoa(s.maxChars)
	return c.leafOf(s.pattern, key, func() (*dfa, error) {
		d, err := compilePatterns(c.work, s.patterns, spell)
		if err == nil {
			d, err = limit(c.work, d, s.minChars, s.maxChars, spell)
		}
		if err != nil {
			return nil, err
		}
		return without(c.work, d, tags...)
	})
}

// compilePatterns makes the automaton of the texts that all patterns match.
func compilePatterns(w *work, patterns []string, spell spelling) (*dfa, error) {
	var all *dfa
	for _, p := range patterns {
		e, err := parsePattern(p)
		if err != nil {
			return nil, err
		}
		e.script()
		d, err := compile(w, anywhere(e), spell)
		if err == nil && all != nil {
			d, err = intersect(w, all, d)
		}
		if err != nil {
			return nil, err
		}
		all = d
	}
	return all, nil
}

// shorter is the bound that takes the place of one with which an automaton has too many states.
const shorter = 200

// limit keeps the texts of min to max characters. Where that takes too many states, only shorter ones stay.
func limit(w *work, d *dfa, least, most int, spell spelling) (*dfa, error) {
	if least == 0 && most < 0 {
		return d, nil
	}
	one, err := compile(w, anyChar(), spell)
	if err != nil {
		return nil, err
	}
	type state struct {
		pair
		count int
	}
	limited, err := explore(w, both(d, one), state{pair: pair{start, start}}, func(k state, c byte) (state, bool) {
		k.a, k.b = d.follow(k.a, c), one.follow(k.b, c)
		if k.a == dead || k.b == dead {
			return k, false
		}
		if one.accept[k.b] {
			k.b = start
			k.count++
		}
		if most < 0 {
			k.count = min(k.count, least)
		}
		return k, most < 0 || k.count < most || k.count == most && k.b == start
	}, func(k state) bool { return k.b == start && k.count >= least && d.accept[k.a] })
	if tighter := max(least, shorter); errors.Is(err, errTooBig) && (most < 0 || most > tighter) {
		return limit(w, d, least, tighter, spell)
	}
	return limited, err
}

// texts are the strings among values.
func texts(values []*value) (list []string) {
	for _, v := range values {
		if v.kind == kindString {
			list = append(list, v.text)
		}
	}
	return list
}

// oneOf is the automaton of some texts.
func oneOf(w *work, texts []string, spell spelling) (*dfa, error) {
	all := &expr{op: opAlt}
	for _, t := range texts {
		all.subs = append(all.subs, literal(t))
	}
	return compile(w, all, spell)
}

// except leaves out the texts given.
func except(w *work, d *dfa, texts []string, spell spelling) (*dfa, error) {
	not, err := oneOf(w, texts, spell)
	if errors.Is(err, errEmpty) {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	return explore(w, both(d, not), pair{start, start}, func(p pair, c byte) (pair, bool) {
		p = pair{d.follow(p.a, c), not.follow(p.b, c)}
		return p, p.a != dead
	}, func(p pair) bool { return d.accept[p.a] && !not.accept[p.b] })
}
