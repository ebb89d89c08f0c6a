package cpu

import (
	"slices"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// place is where an activation lies in a program's memory, and how.
type place struct {
	offset, bytes int64
	half          bool // bfloat16 instead of float32: quantised numbers that products alone read
	stride        int  // elements from row to row
}

// layOut gives every Temp of a program a place. Two whose lives do not overlap may share it. Phases are when ops run.
func layOut(p *op.Program, phases []phase) (places []place, total int64) {
	places = make([]place, len(p.Buffers))
	first, last := lives(p, phases)
	halves(p, places)
	strides(p, places)
	var ids []int
	for i, b := range p.Buffers {
		if b.Space == op.Temp && last[i] >= 0 {
			places[i].bytes = (int64(p.Dims[b.Dim].Capacity)*int64(places[i].stride)*places[i].size() + 63) &^ 63
			ids = append(ids, i)
		}
	}
	// the largest first, each at the lowest place that is free while it lives
	slices.SortStableFunc(ids, func(a, b int) int { return int(places[b].bytes - places[a].bytes) })
	for n, id := range ids {
		places[id].offset = lowest(places, ids[:n], id, first, last)
		total = max(total, places[id].offset+places[id].bytes)
	}
	return places, total
}

// size is that of an element.
func (p place) size() int64 {
	if p.half {
		return 2
	}
	return 4
}

// aliasBytes is the distance at which addresses fall into the same places of the nearest cache.
const aliasBytes = 4096

// strides spaces rows. Rows of a Temp that lie a multiple of aliasBytes apart are moved a little further: a kernel walks
// several of them at a time.
func strides(p *op.Program, places []place) {
	dense := map[op.ID]bool{}
	for _, o := range p.Ops {
		if linear, ok := o.(op.Linear); ok && sideBySide(p, linear) > 1 {
			dense[op.ID(linear.X)], dense[op.ID(linear.Y)] = true, true
		}
	}
	for i, b := range p.Buffers {
		places[i].stride = b.Cols
		if b.Space == op.Temp && !dense[op.ID(i)] {
			places[i].stride = spaced(b.Cols, int(places[i].size()))
		}
	}
}

// spaced returns the stride for rows of cols elements.
func spaced(cols, size int) int {
	if cols*size%aliasBytes == 0 {
		return cols + 64/size
	}
	return cols
}

// lives returns the first and the last phase in which each buffer is used, or -1.
func lives(p *op.Program, phases []phase) (first, last []int) {
	first, last = make([]int, len(p.Buffers)), make([]int, len(p.Buffers))
	for i := range first {
		first[i], last[i] = -1, -1
	}
	for when, ph := range phases {
		for _, i := range ph.ops() {
			for _, operand := range op.Operands(p.Ops[i]) {
				if first[operand.ID] < 0 {
					first[operand.ID] = when
				}
				last[operand.ID] = when
			}
		}
	}
	return first, last
}

// ops lists the ops of a phase.
func (ph phase) ops() []int {
	list := slices.Clone(ph.wide)
	for _, ops := range ph.rows {
		list = append(list, ops...)
	}
	slices.Sort(list)
	return list
}

// lowest finds room for a buffer between those placed before that live when it does.
func lowest(places []place, placed []int, id int, first, last []int) int64 {
	var taken []place
	for _, other := range placed {
		if first[other] <= last[id] && first[id] <= last[other] {
			taken = append(taken, places[other])
		}
	}
	slices.SortFunc(taken, func(a, b place) int { return int(a.offset - b.offset) })
	at := int64(0)
	for _, t := range taken {
		if t.offset-at >= places[id].bytes {
			break
		}
		at = max(at, t.offset+t.bytes)
	}
	return at
}

// halves marks what is quantised for products only: such numbers are bfloat16 numbers.
func halves(p *op.Program, places []place) {
	for _, o := range p.Ops {
		q, ok := o.(op.Quantise)
		if ok && q.Kind != quant.KindE2M1 && op.ID(q.X) != op.ID(q.Y) && q.Channels == q.Width && p.Buffer(op.ID(q.Y)).Space == op.Temp {
			places[q.Y].half = true
		}
	}
	for _, o := range p.Ops {
		for _, operand := range op.Operands(o) {
			if operand.Reads && places[operand.ID].half && !takesHalf(o, operand.ID) {
				places[operand.ID].half = false
			}
		}
	}
}

// takesHalf tells whether an op reads an operand as bfloat16: the activations of quantised matrices.
func takesHalf(o op.Op, id op.ID) bool {
	switch o := o.(type) {
	case op.Linear:
		return op.ID(o.X) == id
	case op.Experts:
		return op.ID(o.X) == id
	}
	return false
}
