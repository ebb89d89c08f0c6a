package cpu

import (
	"unsafe"

	"baleen/internal/device/cpu/kernel"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// experts is a mixture of experts in five stages, with a meeting of the workers after each:
//
//  1. sort the choices of all rows by expert;
//  2. bring the inputs of each expert together, where there are several rows;
//  3. gate and up of every chosen expert, blockRows of its hidden channels a task, then SwiGLU and the quantiser;
//  4. down of every chosen expert;
//  5. for each row, the sum in ascending order of expert, and the shared expert.
type experts struct {
	op.Experts
	k, inputs, hidden, outputs int
	xStride, hStride           int // elements from place to place
	gate, up, down             product

	// by place: the choices sorted by expert, then by row
	choice []int32 // row*k + slot
	begin  []int32 // by expert: its first place; one more at the end
	active []int32 // experts that were chosen
	placed []int32 // by choice: its place

	x, h, y *pool // by place: inputs, hidden and outputs
	int8    bool  // x and h are rows of 8 bits, for fast numerics; strides and sizes are then of bytes

	cache *cache // where experts come from disk; nil if all are in memory
	flow  *flow
}

const (
	blockRows = 128 // hidden channels of a task: whole groups of the quantiser
	expertRow = 64  // rows of an expert that go through the scratch memory at a time
)

// newExperts prepares a mixture. All mixtures of a program use the same memory, one after the other.
func (e *executable) newExperts(o op.Experts) (*experts, error) {
	m := &experts{Experts: o, k: e.Buffers[o.Ids].Cols}
	half := e.places[o.X].half
	m.gate, m.up, m.down = e.product(o.W1, half), e.product(o.W3, half), e.product(o.W2, o.Group != 0)
	m.inputs, m.hidden, m.outputs = m.gate.Cols, m.gate.Rows, m.down.Rows
	m.xStride, m.hStride = spaced(m.inputs, m.gate.size), spaced(m.hidden, m.down.size)
	if m.int8 = e.device.fast && !half && m.gate.Format.Kind == quant.KindE2M1 && m.down.Format.Kind == quant.KindE2M1; m.int8 {
		for _, p := range []*product{&m.gate, &m.up, &m.down} {
			p.kernel, p.size = e.device.kernel.FP4Int8, 1
		}
		m.xStride, m.hStride = spaced(kernel.Int8Bytes(m.inputs), 1), spaced(kernel.Int8Bytes(m.hidden), 1)
	}
	places := e.Dims[e.Buffers[o.Y].Dim].Capacity * m.k
	m.choice, m.placed = make([]int32, places), make([]int32, places)
	m.begin, m.active = make([]int32, m.gate.Parts+1), make([]int32, 0, m.gate.Parts)
	for i, size := range []int{m.xStride * m.gate.size, m.hStride * m.down.size, m.outputs * 4} {
		if err := e.shared[i].grow(e.device, int64(places)*int64(size)); err != nil {
			return nil, err
		}
	}
	m.x, m.h, m.y = &e.shared[0], &e.shared[1], &e.shared[2]
	if m.gate.arena == nil {
		m.cache = e.device.cache
		e.streams = append(e.streams, m)
		m.flow = &flow{layer: m.cache.layer(m.gate.weight, m.up.weight, m.down.weight), topology: &e.device.team.topology}
		for i, p := range []*product{&m.gate, &m.up, &m.down} {
			p.arena = &m.flow.layer.arenas[i]
		}
	}
	return m, nil
}

// stages lists the stages.
func (m *experts) stages() []part {
	blocks := (m.hidden + blockRows - 1) / blockRows
	outBlocks := (m.outputs + blockRows - 1) / blockRows
	return []part{
		{
			tasks: func(*executable) int { return 1 },
			do:    func(e *executable, _ *scratch, _ int) { m.sort(e) },
		},
		{
			tasks: func(e *executable) int { return m.places(e) },
			do:    func(e *executable, _ *scratch, place int) { m.gather(e, place) },
		},
		{
			tasks: func(*executable) int { return len(m.active) * blocks },
			each:  blocks,
			do: func(e *executable, s *scratch, task int) {
				m.hiddenBlock(e, s, int(m.active[task/blocks]), task%blocks*blockRows)
			},
		},
		{
			tasks: func(*executable) int { return len(m.active) * outBlocks },
			each:  outBlocks,
			do: func(e *executable, s *scratch, task int) {
				m.outputBlock(s, int(m.active[task/outBlocks]), task%outBlocks*blockRows)
			},
		},
		{
			tasks: func(e *executable) int { return e.rows(op.ID(m.Y)) },
			do:    func(e *executable, s *scratch, row int) { m.combine(e, s, row) },
		},
	}
}

// places is how many choices need their inputs brought together. A single row's inputs serve all of its experts: where
// they are, or rounded once.
func (m *experts) places(e *executable) int {
	switch rows := e.rows(op.ID(m.Y)); {
	case rows > 1:
		return rows * m.k
	case m.int8:
		return rows
	}
	return 0
}

// sort counts and places the choices.
func (m *experts) sort(e *executable) {
	rows := e.rows(op.ID(m.Y))
	clear(m.begin)
	m.active = m.active[:0]
	for i := range rows {
		for _, expert := range e.ids(op.ID(m.Ids), i) {
			if !e.isExpert(i, expert, m.gate.Parts) {
				return
			}
			m.begin[expert+1]++
		}
	}
	for expert := range m.gate.Parts {
		if m.begin[expert+1] > 0 {
			m.active = append(m.active, int32(expert))
		}
		m.begin[expert+1] += m.begin[expert]
	}
	for i := range rows {
		for slot, expert := range e.ids(op.ID(m.Ids), i) {
			place := m.begin[expert]
			m.begin[expert]++
			m.choice[place], m.placed[i*m.k+slot] = int32(i*m.k+slot), place
		}
	}
	copy(m.begin[1:], m.begin) // each begin has moved to the next one's
	m.begin[0] = 0
}

func (m *experts) gather(e *executable, place int) {
	row := int(m.choice[place]) / m.k
	if m.int8 {
		e.device.kernel.Int8Row(m.x.bytes[place*m.xStride:], e.f32(op.ID(m.X), row))
		return
	}
	n := m.inputs * m.gate.size
	from := unsafe.Add(e.base[m.X], row*e.places[m.X].stride*m.gate.size)
	copy(m.x.bytes[place*m.xStride*m.gate.size:][:n], unsafe.Slice((*byte)(from), n))
}

// place returns where in their arenas the matrices of an expert are, which is in use.
func (m *experts) place(expert int) int {
	if m.cache != nil {
		return int(m.flow.layer.slots[expert])
	}
	return expert
}

// input returns the inputs of an expert, and how many they are.
func (m *experts) input(e *executable, expert int) (x matrix, n int) {
	begin, n := int(m.begin[expert]), int(m.begin[expert+1]-m.begin[expert])
	switch {
	case e.rows(op.ID(m.Y)) > 1:
	case m.int8:
		begin = 0
	default:
		return matrix{e.base[m.X], m.inputs}, n
	}
	return matrix{unsafe.Pointer(&m.x.bytes[begin*m.xStride*m.gate.size]), m.xStride}, n
}

// hiddenBlock computes some hidden channels of an expert, for all of its rows.
func (m *experts) hiddenBlock(e *executable, s *scratch, expert, first int) {
	x, n := m.input(e, expert)
	rows := min(blockRows, m.hidden-first)
	g, u := s.floats[:expertRow*blockRows], s.floats[expertRow*blockRows:][:expertRow*blockRows]
	b := band{m.place(expert), first / kernel.Lanes, rows}
	for i := 0; i < n; i += expertRow {
		tile := min(expertRow, n-i)
		x := matrix{x.row(i, m.gate.size), x.stride}
		m.gate.run(s, b, x, matrix{unsafe.Pointer(&g[0]), blockRows}, tile)
		m.up.run(s, b, x, matrix{unsafe.Pointer(&u[0]), blockRows}, tile)
		for t := range tile {
			place := int(m.begin[expert]) + i + t
			m.activate(e, s, place, first, g[t*blockRows:][:rows], u[t*blockRows:][:rows])
		}
	}
}

// activate is SwiGLU with the router's weight, and the quantiser, for one place.
func (m *experts) activate(e *executable, s *scratch, place, first int, g, u []float32) {
	choice := int(m.choice[place])
	weight := e.f32(op.ID(m.W), choice/m.k)[choice%m.k]
	k := e.device.kernel
	if m.int8 {
		k.SwiGLU(g, g, u, weight, float32(m.Limit))
		k.Int8Row(m.h.bytes[place*m.hStride+kernel.Int8Bytes(first):], g) // a block is a group of such a row
		return
	}
	if m.Group == 0 {
		h := unsafe.Slice((*float32)(unsafe.Pointer(&m.h.bytes[4*(place*m.hStride+first)])), len(g))
		k.SwiGLU(h, g, u, weight, float32(m.Limit))
		return
	}
	k.SwiGLU(g, g, u, weight, float32(m.Limit))
	h := unsafe.Slice((*uint16)(unsafe.Pointer(&m.h.bytes[2*(place*m.hStride+first)])), len(g))
	if !k.QuantiseE4M3(h, g, m.Group) {
		e.fail("NaN or infinity in the experts of %s, row %d: a weight is damaged, or numbers overflow", e.Buffers[m.Y].Name, choice/m.k)
	}
}

// outputBlock computes some outputs of an expert, for all of its rows.
func (m *experts) outputBlock(s *scratch, expert, first int) {
	begin, n := int(m.begin[expert]), int(m.begin[expert+1]-m.begin[expert])
	rows := min(blockRows, m.outputs-first)
	h := matrix{unsafe.Pointer(&m.h.bytes[begin*m.hStride*m.down.size]), m.hStride}
	y := matrix{unsafe.Pointer(&m.y.bytes[4*(begin*m.outputs+first)]), m.outputs}
	m.down.run(s, band{m.place(expert), first / kernel.Lanes, rows}, h, y, n)
}

// combine adds up a row: slots in ascending order of expert, then the shared expert.
func (m *experts) combine(e *executable, s *scratch, row int) {
	order := s.order[:m.k]
	kernel.SlotOrder(order, e.ids(op.ID(m.Ids), row))
	for i, slot := range order {
		order[i] = m.placed[row*m.k+int(slot)]
	}
	e.device.kernel.Combine(e.f32(op.ID(m.Y), row), m.y.floats(), e.f32(op.ID(m.Shared), row), order, m.outputs)
}
