package cpu

import (
	"fmt"
	"maps"
	"slices"
	"unsafe"

	"baleen/internal/device/cpu/kernel"
	"baleen/internal/op"
)

// addSteps appends the steps of a phase.
func (e *executable) addSteps(ph phase) error {
	if len(ph.rows) > 0 {
		s := step{ops: ph.ops()}
		for _, dim := range slices.Sorted(maps.Keys(ph.rows)) {
			s.parts = append(s.parts, e.chain(dim, ph.rows[dim]))
		}
		e.steps = append(e.steps, s)
		return nil
	}
	var steps []step
	for _, i := range ph.wide {
		stages, err := e.stages(e.Ops[i])
		if err != nil {
			return fmt.Errorf("cannot load: program %s: op %d, %s: %w", e.Name, i, op.KindOf(e.Ops[i]), err)
		}
		for n, p := range stages {
			if n == len(steps) {
				steps = append(steps, step{})
			}
			steps[n].ops = append(steps[n].ops, i)
			steps[n].parts = append(steps[n].parts, p)
		}
	}
	e.steps = append(e.steps, steps...)
	return nil
}

// stages returns what a wide op does, one part after the other.
func (e *executable) stages(o op.Op) ([]part, error) {
	switch o := o.(type) {
	case op.Linear:
		return []part{e.linear(o)}, nil
	case op.ExpertLinear:
		if e.weight(o.W).arena == nil {
			return nil, fmt.Errorf("its experts come from disk, which only fused mixtures can use: give the device more memory, or use the ref device")
		}
		return []part{e.expertLinear(o)}, nil
	case op.Experts:
		m, err := e.newExperts(o)
		if err != nil {
			return nil, err
		}
		if m.cache != nil {
			return m.streamStages(), nil
		}
		return m.stages(), nil
	case op.Attend:
		return []part{e.attend(o)}, nil
	case op.Select:
		return e.selectEntries(o)
	case op.IndexScore:
		return []part{e.indexScore(o)}, nil
	}
	return nil, fmt.Errorf("no such op: use the ref device")
}

// pool is memory that several ops use by turns.
type pool struct{ bytes []byte }

func (p *pool) grow(d *Device, n int64) error {
	if n <= int64(len(p.bytes)) {
		return nil
	}
	bytes, err := allocate(n)
	if err == nil {
		d.memory = append(d.memory, bytes)
		p.bytes = bytes
	}
	return err
}

func (p *pool) floats() []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(&p.bytes[0])), len(p.bytes)/4)
}

// scratch is memory of one worker.
type scratch struct {
	node   int          // of the worker
	dot    kernel.Dot   // the arguments of a product: here they need not be allocated
	heads  kernel.Heads // those of an attention
	query  *kernel.IndexQuery
	picks  *kernel.Picks
	floats []float32 // gate and up of some rows; a window of a compressor; a mix of streams
	row    []float32 // a decoded state row
	keys   []float32 // decoded keys
	scores []float32

	halfQueries, halfKeys, halfWeights []uint16 // of an attention in fast numerics

	order []int32
	bytes []byte // a row of a table

	shares []share // by part of a step: what there is to do on a node

	holding *attention // whose keys of which row the keys are, until the run ends
	holdRow int
}

// newScratch makes it as large as any op of the program wants it.
func (e *executable) newScratch() scratch {
	var z sizes
	for _, o := range e.Ops {
		z.look(e, o)
	}
	parts := 0
	for _, s := range e.steps {
		parts = max(parts, len(s.parts))
	}
	s := scratch{
		shares: make([]share, parts),
		floats: make([]float32, max(z.floats, 2*expertRow*blockRows)), row: make([]float32, z.row), keys: make([]float32, z.keys),
		scores: make([]float32, z.scores), order: make([]int32, z.order),
		bytes: make([]byte, z.bytes), query: kernel.NewIndexQuery(z.heads), picks: kernel.NewPicks(z.picks),
	}
	if e.device.fast {
		s.halfQueries, s.halfKeys, s.halfWeights = make([]uint16, z.queries), make([]uint16, z.keys), make([]uint16, z.scores)
	}
	return s
}

// sizes are what the ops of a program want of scratch memory.
type sizes struct{ floats, row, keys, scores, order, heads, picks, bytes, queries int }

func (z *sizes) look(e *executable, o op.Op) {
	cols := func(id op.ID) int { return e.Buffers[id].Cols }
	switch o := o.(type) {
	case op.Embed:
		z.bytes = max(z.bytes, 8*cols(op.ID(o.W)))
	case op.Lookup:
		z.bytes = max(z.bytes, 8*cols(op.ID(o.W)))
	case op.Pool:
		z.floats, z.row = max(z.floats, 4*o.Ratio*cols(op.ID(o.Y))), max(z.row, e.Buffers[o.U].Row.Width)
	case op.TopK:
		z.picks = max(z.picks, cols(op.ID(o.Ids)))
	case op.Select:
		z.picks, z.scores = max(z.picks, cols(op.ID(o.Ids))), max(z.scores, e.Caps.Context/o.Ratio)
		z.lookIndex(e, o.W, o.Keys)
	case op.IndexScore:
		z.lookIndex(e, o.W, o.Keys)
	case op.Experts:
		z.order = max(z.order, cols(op.ID(o.Ids)))
	case op.Combine:
		z.order = max(z.order, cols(op.ID(o.Ids)))
	case op.Attend:
		z.keys = max(z.keys, keptKeys*cols(op.ID(o.Window)))
		z.scores = max(z.scores, headsPerTask*e.mostKeys(o))
		z.queries = max(z.queries, headsPerTask*cols(op.ID(o.Window)))
	}
}

func (z *sizes) lookIndex(e *executable, w, keys op.In) {
	heads := e.Buffers[w].Cols
	z.heads, z.floats = max(z.heads, heads), max(z.floats, keyBlock*heads)
	z.keys = max(z.keys, e.Buffers[keys].PerPage*e.Buffers[keys].Cols)
}

// mostKeys is how many keys a row of an attention may have.
func (e *executable) mostKeys(o op.Attend) int {
	switch {
	case o.Ids != 0:
		return o.Span + e.Buffers[o.Ids].Cols
	case o.Ratio != 0:
		return o.Span + e.Caps.Context/o.Ratio
	}
	return o.Span
}

// holds tells whether the worker's keys are those of a row already; if not, they will be.
func (s *scratch) holds(a *attention, row int) bool {
	if s.holding == a && s.holdRow == row {
		return true
	}
	s.holding, s.holdRow = a, row
	return false
}
