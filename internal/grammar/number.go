package grammar

import (
	"fmt"
	"math/big"
	"strings"
)

// Numbers have at most so many digits in front of the point, and behind it.
const (
	maxDigits   = 16
	maxDecimals = 16
)

// interval is the numbers between two bounds, each nil for none.
type interval struct {
	low, high         *big.Rat
	lowOpen, highOpen bool // the bound itself is left out
}

// over raises the lower bound.
func (v *interval) over(low *big.Rat, open bool) {
	if v.low == nil || low.Cmp(v.low) > 0 || low.Cmp(v.low) == 0 && open {
		v.low, v.lowOpen = low, open
	}
}

// under lowers the upper bound.
func (v *interval) under(high *big.Rat, open bool) {
	if v.high == nil || high.Cmp(v.high) < 0 || high.Cmp(v.high) == 0 && open {
		v.high, v.highOpen = high, open
	}
}

func (v *interval) contains(r *big.Rat) bool {
	low, high := -1, -1
	if v.low != nil {
		low = v.low.Cmp(r)
	}
	if v.high != nil {
		high = r.Cmp(v.high)
	}
	return (low < 0 || low == 0 && !v.lowOpen) && (high < 0 || high == 0 && !v.highOpen)
}

func (v interval) String() string {
	text := ""
	if v.low != nil {
		text = fmt.Sprint(v.low, v.lowOpen)
	}
	text += " to "
	if v.high != nil {
		text += fmt.Sprint(v.high, v.highOpen)
	}
	return text
}

// free reports whether there are no bounds.
func (v *interval) free() bool { return v.low == nil && v.high == nil }

// numbers makes the automaton of the numbers in an interval: integers only, or with up to so many decimals. Only free
// intervals have exponents, of two digits, so that the number stays finite. There is no -0.
func numbers(w *work, v interval, decimals int) (*dfa, error) {
	var parts []*expr
	if v.contains(new(big.Rat)) {
		parts = append(parts, zero(decimals))
	}
	positive := v
	positive.over(new(big.Rat), true)
	parts = append(parts, magnitudes(positive, decimals))
	negative := interval{lowOpen: v.highOpen, highOpen: v.lowOpen}
	if v.high != nil {
		negative.low = new(big.Rat).Neg(v.high)
	}
	if v.low != nil {
		negative.high = new(big.Rat).Neg(v.low)
	}
	negative.over(new(big.Rat), true)
	parts = append(parts, seqOf(literal("-"), magnitudes(negative, decimals)))
	e := &expr{op: opAlt, subs: parts}
	if v.free() && decimals > 0 {
		digit := digits('0', '9')
		exponent := seqOf(&expr{op: opClass, ranges: []rune{'E', 'E', 'e', 'e'}},
			repeat(&expr{op: opClass, ranges: []rune{'+', '+', '-', '-'}}, 0, 1), repeat(digit, 1, 2))
		e = seqOf(e, repeat(exponent, 0, 1))
	}
	return compile(w, e, plain)
}

func digits(lo, hi byte) *expr { return &expr{op: opClass, ranges: []rune{rune(lo), rune(hi)}} }

func zero(decimals int) *expr {
	e := seqOf(literal("0"))
	if decimals > 0 {
		e.subs = append(e.subs, repeat(seqOf(literal("."), repeat(literal("0"), 1, decimals)), 0, 1))
	}
	return e
}

// magnitudes is the numbers of an interval above zero.
func magnitudes(v interval, decimals int) *expr {
	limit := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(maxDigits), nil))
	v.under(limit, true)
	e := &expr{op: opAlt}
	if v.low.Cmp(v.high) > 0 {
		return e
	}
	for size := 1; size <= maxDigits; size++ {
		d := decimal{interval: v, whole: size, size: size + decimals}
		if low, high, ok := d.bounds(); ok {
			e.subs = append(e.subs, d.from(0, low, high))
		}
	}
	return e
}

// decimal makes expressions of numbers with whole digits in front of the point.
type decimal struct {
	interval
	whole, size int // digits in front of the point, and all
}

// bounds returns the digits of the least and the greatest number, all of them, and whether there is any. A bound that has more
// decimals than that, or is left out, moves inwards by less than the last decimal, or by it.
func (d *decimal) bounds() (low, high string, ok bool) {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.size-d.whole)), nil)
	round := func(r *big.Rat, open bool, up int64) *big.Int {
		q, rest := new(big.Int).DivMod(new(big.Int).Mul(r.Num(), scale), r.Denom(), new(big.Int))
		exact := rest.Sign() == 0
		switch {
		case exact && open:
			q.Add(q, big.NewInt(2*up-1))
		case !exact:
			q.Add(q, big.NewInt(up))
		}
		return q
	}
	lo, hi := round(d.low, d.lowOpen, 1), round(d.high, d.highOpen, 0)
	least := new(big.Int).Set(scale)
	least.Mul(least, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.whole-1)), nil))
	if d.whole == 1 {
		least.SetInt64(1) // 0 and decimals
	}
	most := new(big.Int).Mul(scale, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.whole)), nil))
	most.Sub(most, big.NewInt(1))
	if lo.Cmp(least) < 0 {
		lo = least
	}
	if hi.Cmp(most) > 0 {
		hi = most
	}
	return d.pad(lo), d.pad(hi), lo.Cmp(hi) <= 0
}

func (d *decimal) pad(n *big.Int) string {
	text := n.String()
	return strings.Repeat("0", max(0, d.size-len(text))) + text
}

// from is the digits from a place on that keep a number between two: both have all their digits, and agree up to there. An
// empty bound is one that an earlier digit has settled, or that no later one can miss.
func (d *decimal) from(at int, low, high string) *expr {
	if at == d.size {
		return &expr{op: opSeq}
	}
	if low != "" && strings.Trim(low[at:], "0") == "" {
		low = ""
	}
	if high != "" && strings.Trim(high[at:], "9") == "" {
		high = ""
	}
	if low == "" && high == "" {
		return d.rest(at)
	}
	lo, hi := byte('0'), byte('9')
	if low != "" {
		lo = low[at]
	}
	if high != "" {
		hi = high[at]
	}
	var ways []*expr
	way := func(from, to byte, low, high string) {
		if from <= to {
			ways = append(ways, seqOf(digits(from, to), d.from(at+1, low, high)))
		}
	}
	switch {
	case low != "" && high != "" && lo == hi:
		way(lo, hi, low, high)
	case low != "" && high != "":
		way(lo, lo, low, "")
		way(lo+1, hi-1, "", "")
		way(hi, hi, "", high)
	case low != "":
		way(lo, lo, low, "")
		way(lo+1, '9', "", "")
	default:
		way('0', hi-1, "", "")
		way(hi, hi, "", high)
	}
	e := &expr{op: opAlt, subs: ways}
	if at > d.whole {
		return d.mayEnd(e, at, low)
	}
	if at == d.whole {
		return d.mayEnd(seqOf(literal("."), e), at, low)
	}
	return e
}

// mayEnd is e, or nothing where the decimals left out, all 0, do not bring the number below the lower bound.
func (d *decimal) mayEnd(e *expr, at int, low string) *expr {
	if low != "" && strings.Trim(low[at:], "0") != "" {
		return e
	}
	return repeat(e, 0, 1)
}

// rest is any digits from a place on.
func (d *decimal) rest(at int) *expr {
	decimals := seqOf(literal("."), repeat(digits('0', '9'), 1, d.size-d.whole))
	switch {
	case at > d.whole:
		return repeat(digits('0', '9'), 0, d.size-at)
	case d.size == d.whole:
		return repeat(digits('0', '9'), d.whole-at, d.whole-at)
	}
	return seqOf(repeat(digits('0', '9'), d.whole-at, d.whole-at), repeat(decimals, 0, 1))
}

// maxStep is the greatest step of which multiples are, counted in units of its last decimal.
const maxStep = 1000

// multiple returns a step as a number of units, and how many decimals a unit has.
func multiple(step *big.Rat) (by int64, decimals int, ok bool) {
	for unit := new(big.Rat).Set(step); decimals <= maxDecimals; decimals++ {
		if unit.IsInt() {
			return unit.Num().Int64(), decimals, unit.Num().IsInt64() && unit.Num().Int64() <= maxStep
		}
		unit.Mul(unit, big.NewRat(10, 1))
	}
	return 0, 0, false
}

// divisible is the numbers without an exponent that are so many units, or a multiple of that. A unit has so many decimals, and so
// have the numbers at most.
func divisible(by int64, decimals int) *dfa {
	type seen struct {
		rest    int64 // -1 where nothing was read
		decimal int   // decimals that were read, -1 in front of the point
	}
	a := newAlphabet(func(b byte) byte {
		if b == '-' || b == '.' || b >= '0' && b <= '9' {
			return b
		}
		return 0
	})
	return must(explore(ample(), a, seen{-1, -1}, func(r seen, b byte) (seen, bool) {
		switch {
		case b == '-':
			return r, r.rest < 0
		case b == '.':
			return seen{r.rest, 0}, r.rest >= 0 && r.decimal < 0
		case r.decimal >= 0:
			r.decimal++
		}
		r.rest = (max(r.rest, 0)*10 + int64(b-'0')) % by
		return r, b >= '0' && b <= '9' && r.decimal <= decimals
	}, func(r seen) bool {
		rest := r.rest
		for range decimals - max(r.decimal, 0) {
			rest = rest * 10 % by
		}
		return rest == 0 && r.rest >= 0
	}))
}
