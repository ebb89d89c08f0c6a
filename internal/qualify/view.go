package qualify

import (
	"math"

	"baleen/internal/op"
)

// u is the unit of rounding of float32.
const u = 0x1p-24

// tiny is what products that are no normal numbers may cost, for each of them: a device may take them for zero.
const tiny = 0x1p-126

// view is the operands of an op before it ran: what its bounds are derived from.
type view struct {
	p      *op.Program
	args   *op.Args
	data   func(name string) []byte            // of an activation or a state
	weight func(b op.Buffer, part int) *matrix // a part of a weight
	want   []float32                           // what the output that is being bounded should be

	decoded *decoded
}

// decoded keeps the numbers of some parts of weights: of a large model not all have room.
type decoded struct {
	parts map[partOf][]float32
	order []partOf
	held  int // numbers
}

type partOf struct {
	name string
	part int
}

// mostDecoded is how many numbers are kept, at least one part aside.
const mostDecoded = 1 << 27

func newDecoded() *decoded { return &decoded{parts: map[partOf][]float32{}} }

func (d *decoded) keep(at partOf, x []float32) {
	for len(d.order) > 0 && d.held+len(x) > mostDecoded {
		d.held -= len(d.parts[d.order[0]])
		delete(d.parts, d.order[0])
		d.order = d.order[1:]
	}
	d.parts[at], d.held, d.order = x, d.held+len(x), append(d.order, at)
}

func (v *view) rows(id op.ID) int { return v.args.Counts[v.p.Buffer(id).Dim] }

func (v *view) floats(id op.In) []float32 {
	b := v.p.Buffer(op.ID(id))
	return toFloats(v.data(b.Name))[:v.rows(op.ID(id))*b.Cols]
}

func (v *view) ids(id op.In) []int32 {
	b := v.p.Buffer(op.ID(id))
	return toIDs(v.data(b.Name))[:v.rows(op.ID(id))*b.Cols]
}

func (v *view) cols(id op.ID) int { return v.p.Buffer(id).Cols }

func (v *view) table(id op.In) []int32 { return v.args.Tables[id] }

// numbers decodes a part of a weight, or remembers it.
func (v *view) numbers(id op.In, part int) []float32 {
	b := v.p.Buffer(op.ID(id))
	if v.decoded == nil {
		v.decoded = newDecoded()
	}
	at := partOf{b.Name, part}
	x, ok := v.decoded.parts[at]
	if !ok {
		x = v.weight(b, part).decode()
		v.decoded.keep(at, x)
	}
	return x
}

// entry decodes what a slot remembers as an entry.
func (v *view) entry(id op.In, slot int32, entry int) []float32 {
	b := v.p.Buffer(op.ID(id))
	x := make([]float32, b.Row.Width)
	b.Row.Decode(x, v.data(b.Name)[placeOf(b, v.args.Pages, slot, entry)*b.Row.Bytes():])
	return x
}

// placeOf is the row of a state in which an entry of a slot lies.
func placeOf(b op.Buffer, pages [][]int32, slot int32, entry int) int {
	if b.PerPage > 0 {
		return int(pages[slot][entry/b.PerPage])*b.PerPage + entry%b.PerPage
	}
	return int(slot)*b.Ring + entry%b.Ring
}

// depth is how many roundings a product of a sum of k passes through in the declared order: a chain within a block of 32,
// and one over the blocks.
func depth(k int) float64 { return float64(min(k, 32) + (k+31)/32 + 2) }

// magnitude is the sum of the products' magnitudes.
func magnitude(a, b []float32) float64 {
	sum := 0.0
	for i, x := range a {
		sum += math.Abs(float64(x) * float64(b[i]))
	}
	return sum
}

func product(a, b []float32) float64 {
	sum := 0.0
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

// dotBound bounds a sum of k products.
func dotBound(x, w []float32) float64 {
	k := len(x)
	m := magnitude(x, w)
	return depth(k)*u*m + float64(k)*tiny
}

// each calls f for every element of an output of a row-wise op.
func (v *view) each(id op.ID, f func(row, col int) float64) []float64 {
	cols := v.cols(id)
	all := make([]float64, v.rows(id)*cols)
	for i := range all {
		all[i] = f(i/cols, i%cols)
	}
	return all
}
