package cpu

import (
	"unsafe"

	"baleen/internal/device/cpu/kernel"
	"baleen/internal/op"
)

const (
	// taskBytes is about how much of a weight one task reads: long streams are what memory does best, and a task is to be little
	// enough that workers end together.
	taskBytes = 512 << 10

	// callWork bounds one call of a kernel, in products: assembly cannot be interrupted, and this is some 100 microseconds
	// with bfloat16. With float32 it is half of that.
	callWork = 12 << 20

	// callRows is how many rows of activations a call takes: a multiple of what a kernel keeps in registers, and as many as
	// stay in the nearer caches while panels pass by.
	callRows = 48
)

// matrix is rows of numbers in memory, stride elements apart.
type matrix struct {
	at     unsafe.Pointer
	stride int
}

// row returns the matrix from row i on, of elements of size bytes.
func (m matrix) row(i, size int) unsafe.Pointer { return unsafe.Add(m.at, i*m.stride*size) }

// product is a weight, where it lies, and the kernel for activations of one kind.
type product struct {
	*weight
	arena  *arena
	kernel func(*kernel.Dot)
	size   int // bytes of an activation
}

func (e *executable) product(w op.In, half bool) product {
	p := product{weight: e.weight(w), arena: e.weight(w).arena, size: 4}
	if p.kernel = e.device.kernel.F32[p.Format.Kind]; half {
		p.kernel, p.size = e.device.kernel.BF16[p.Format.Kind], 2
	}
	return p
}

// band is some output rows of a part, from a panel on.
type band struct{ part, panel, rows int }

// run computes y[i][0:rows] = band * x[i] for i < n. A band of two nodes does not lie side by side.
func (p *product) run(s *scratch, b band, x, y matrix, n int) {
	for b.rows > 0 {
		at, panels := p.find(p.arena, b.part, b.panel)
		rows := min(b.rows, panels*kernel.Lanes)
		p.runPanels(s, unsafe.Pointer(&p.arena.bytes[at]), rows, x, y, n)
		y.at = unsafe.Add(y.at, 4*rows)
		b.panel, b.rows = b.panel+panels, b.rows-rows
	}
}

// runPanels does so in calls that are short.
func (p *product) runPanels(s *scratch, panels unsafe.Pointer, rows int, x, y matrix, n int) {
	tile := min(n, callRows)
	height := max(1, callWork*2/p.size/(kernel.Lanes*p.Cols*tile)) * kernel.Lanes
	d := &s.dot
	d.Cols, d.XStride, d.YStride = p.Cols, x.stride, y.stride
	for i := 0; i < n; i += tile {
		d.N, d.X = min(tile, n-i), x.row(i, p.size)
		for first := 0; first < rows; first += height {
			d.Panel, d.Rows = unsafe.Add(panels, first/kernel.Lanes*p.panel), min(height, rows-first)
			d.Y = unsafe.Add(y.row(i, 4), 4*first)
			p.kernel(d)
		}
	}
}

// linear is the tasks of a product: some panels of one group each, times all rows.
func (e *executable) linear(o op.Linear) part {
	p := e.product(o.W, e.places[o.X].half)
	side := sideBySide(e.Program, o)
	x, y := matrix{e.base[o.X], e.places[o.X].stride / side}, matrix{e.base[o.Y], e.places[o.Y].stride / side}
	panels, per := p.perPart/p.groups, p.perTask
	tasks := (panels + per - 1) / per
	return part{
		tasks: func(e *executable) int {
			if e.rows(op.ID(o.Y)) == 0 {
				return 0
			}
			return tasks * p.groups
		},
		do: func(e *executable, s *scratch, task int) {
			group, first := task/tasks, task%tasks*per
			row := first * kernel.Lanes
			rows := min(per*kernel.Lanes, p.groupRows()-row)
			x, y := x, y
			x.at = unsafe.Add(x.at, group*p.Cols*p.size)
			y.at = unsafe.Add(y.at, 4*(group*p.groupRows()+row))
			p.run(s, band{0, group*panels + first, rows}, x, y, e.rows(op.ID(o.Y))*side)
		},
	}
}

// sideBySide is how many parts of a row meet the matrix one after the other.
func sideBySide(p *op.Program, o op.Linear) int {
	if o.Groups > 1 {
		return 1
	}
	return p.Buffer(op.ID(o.X)).Cols / p.Buffer(op.ID(o.W)).Cols
}

// expertLinear is the tasks of a product whose matrix is chosen for each row and slot. It serves traces, so it is plain.
func (e *executable) expertLinear(o op.ExpertLinear) part {
	p := e.product(o.W, false)
	k := e.Buffers[o.Ids].Cols
	return part{
		tasks: func(e *executable) int { return e.rows(op.ID(o.Y)) * k },
		do: func(e *executable, s *scratch, task int) {
			row, slot := task/k, task%k
			expert := e.ids(op.ID(o.Ids), row)[slot]
			if !e.isExpert(row, expert, p.Parts) {
				return
			}
			x := e.f32(op.ID(o.X), row)
			if len(x) > p.Cols {
				x = x[slot*p.Cols:]
			}
			y := e.f32(op.ID(o.Y), row)[slot*p.Rows:]
			p.run(s, band{int(expert), 0, p.Rows}, matrix{unsafe.Pointer(&x[0]), p.Cols}, matrix{unsafe.Pointer(&y[0]), p.Rows}, 1)
		},
	}
}

// isExpert fails the run where an expert does not exist.
func (e *executable) isExpert(row int, expert int32, experts int) bool {
	if expert < 0 || int(expert) >= experts {
		e.fail("row %d: expert out of range: %d of %d: the routing table is damaged, or scores are infinite", row, expert, experts)
		return false
	}
	return true
}
