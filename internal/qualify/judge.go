package qualify

import (
	"bytes"
	"fmt"
	"math"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// deviation is the element of an output that is nearest to its bound, or furthest beyond it.
type deviation struct {
	err, bound float64
	where      string // what is wrong with it, if it is beyond
}

func (d deviation) bad() bool { return d.where != "" }

// ratio is how much of the bound the error takes.
func (d deviation) ratio() float64 {
	switch {
	case d.bad():
		return math.Inf(1)
	case d.bound == 0:
		return 0
	}
	return d.err / d.bound
}

func (d deviation) worse(e deviation) deviation {
	if e.ratio() > d.ratio() || d.bad() && e.bad() && e.err > d.err {
		return e
	}
	return d
}

// sameBits compares what must be equal, bit by bit.
func sameBits(name string, b op.Buffer, got, want []byte) deviation {
	if bytes.Equal(got, want) {
		return deviation{}
	}
	if len(got) != len(want) {
		return deviation{math.Inf(1), 0, fmt.Sprintf("%s: %d bytes, not %d", name, len(got), len(want))}
	}
	i := 0
	for got[i] == want[i] {
		i++
	}
	if b.Space == op.State {
		row := b.Row.Bytes()
		return deviation{1, 0, fmt.Sprintf("%s: state row %d, byte %d: %#02x, not %#02x", name, i/row, i%row, got[i], want[i])}
	}
	at := i / 4
	if b.Kind == quant.KindI32 {
		g, w := toIDs(got[4*at : 4*at+4])[0], toIDs(want[4*at : 4*at+4])[0]
		return deviation{1, 0, fmt.Sprintf("%s: row %d, %d: %d, not %d", name, at/b.Cols, at%b.Cols, g, w)}
	}
	g, w := toFloats(got[4*at : 4*at+4])[0], toFloats(want[4*at : 4*at+4])[0]
	return deviation{math.Abs(float64(g) - float64(w)), 0, fmt.Sprintf("%s: row %d, %d: %g, not %g", name, at/b.Cols, at%b.Cols, g, w)}
}

// within compares numbers with a bound for each; without bounds they must be equal.
func within(name string, cols int, got, want []float32, bounds []float64) (worst deviation) {
	for i, w := range want {
		g := float64(got[i])
		d := deviation{err: math.Abs(g - float64(w))}
		if bounds != nil {
			d.bound = bounds[i]
		}
		if g == float64(w) {
			d.err = 0 // infinities, too
		}
		if !(d.err <= d.bound) {
			d.where = fmt.Sprintf("%s: row %d, %d: %g, not %g, and the bound is %.3g", name, i/cols, i%cols, g, w, d.bound)
			d.err = finite(d.err)
		}
		worst = worst.worse(d)
	}
	return worst
}

// judge compares what an op wrote with what it should have written. exact says that the inputs leave no room for rounding.
func judge(o op.Op, v *view, got, want map[string][]byte, exact bool) (worst deviation) {
	for _, operand := range op.Operands(o) {
		b := v.p.Buffer(operand.ID)
		if !operand.Writes {
			continue
		}
		g, w := got[b.Name], want[b.Name]
		switch {
		case len(g) != len(w):
			worst = worst.worse(deviation{math.Inf(1), 0, fmt.Sprintf("%s: %d bytes, not %d", b.Name, len(g), len(w))})
		case exact && b.Space != op.State && b.Kind == quant.KindF32 && o.Class() != op.Exact:
			worst = worst.worse(within(b.Name, b.Cols, toFloats(g), toFloats(w), nil))
		case exact:
			worst = worst.worse(sameBits(b.Name, b, g, w))
		default:
			worst = worst.worse(v.compare(o, b, operand.ID, g, w))
		}
	}
	return worst
}

// compare judges one output whose inputs were any.
func (v *view) compare(o op.Op, b op.Buffer, id op.ID, got, want []byte) deviation {
	if s, ok := o.(op.Select); ok {
		return v.selection(s, toIDs(got), toIDs(want))
	}
	if o.Class() == op.Exact {
		return sameBits(b.Name, b, got, want)
	}
	v.want = toFloats(want)
	return within(b.Name, b.Cols, toFloats(got), v.want, v.bounds(o, id))
}
