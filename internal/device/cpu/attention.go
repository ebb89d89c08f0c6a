package cpu

import (
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/op"
)

const (
	headsPerTask = 16 // heads that share a look at the keys

	// keptKeys is how many decoded keys of a row a worker keeps: a window and what an indexer selects. Rows with more keys
	// have them decoded twice, for the scores and for the sum.
	keptKeys = 768
	keyBlock = 64
)

// attend is the tasks of an attention: some heads of a row each.
func (e *executable) attend(o op.Attend) part {
	heads := e.Buffer(op.ID(o.Sink)).Cols
	groups := (heads + headsPerTask - 1) / headsPerTask
	a := &attention{Attend: o, heads: heads, width: e.Buffer(op.ID(o.Window)).Cols, sinks: e.vector(o.Sink)}
	return part{
		tasks: func(e *executable) int { return e.rows(op.ID(o.Y)) * groups },
		do: func(e *executable, s *scratch, task int) {
			first := task % groups * headsPerTask
			a.run(e, s, task/groups, first, min(headsPerTask, heads-first))
		},
	}
}

type attention struct {
	op.Attend
	heads, width int
	sinks        []float32
}

// keyList is where the keys of a row are: a range of positions in the window, then entries, all those before a number or some.
type keyList struct {
	slot     int32
	first, n int     // in the window: positions from first on
	entries  int     // compressed ones
	selected []int32 // which, or nil: from 0 on
}

func (a *attention) keys(e *executable, row int) keyList {
	slot, position := e.table(a.Slot)[row], int(e.table(a.Position)[row])
	first := max(0, position-a.Span+1)
	k := keyList{slot: slot, first: first, n: position - first + 1}
	switch {
	case a.Ids != 0:
		k.selected = e.ids(op.ID(a.Ids), row)
		for len(k.selected) > 0 && k.selected[0] < 0 {
			k.selected = k.selected[1:] // ascending: those that are none come first
		}
		k.entries = len(k.selected)
	case a.Ratio != 0:
		k.entries = op.Visible(position, a.Ratio)
	}
	return k
}

// decode decodes keys [from, from+n) of a row, in runs that lie side by side.
func (a *attention) decode(e *executable, to []float32, k keyList, from, n int) {
	for end := from + n; from < end; {
		state, entry, run := a.Window, k.first+from, k.n-from
		if run <= 0 {
			state, entry, run = a.Compressed, from-k.n, k.n+k.entries-from
			if k.selected != nil {
				entry, run = int(k.selected[entry]), 1
			}
		}
		b := &e.Buffers[state]
		around := max(b.Ring, b.PerPage) // one of them: where a run ends
		run = min(run, end-from, around-entry%around)
		e.device.kernel.DecodeRows(b.Row, to, e.entries(op.ID(state), k.slot, entry, run*e.rowBytes[state]), run)
		to, from = to[run*a.width:], from+run
	}
}

// run is softmax attention of some heads of a row: all scores, then the weights, then the sum.
func (a *attention) run(e *executable, s *scratch, row, head, n int) {
	k := a.keys(e, row)
	count := k.n + k.entries
	h := &s.heads
	*h = kernel.Heads{Heads: n, Width: a.width, Stride: count, Scale: float32(a.Scale)}
	q := e.f32(op.ID(a.Q), row)[head*a.width:][:n*a.width]
	y := e.f32(op.ID(a.Y), row)[head*a.width:][:n*a.width]
	scores := s.scores[:n*count]
	if e.device.fast {
		a.runFast(e, s, row, head, k)
		return
	}
	if count <= keptKeys && !s.holds(a, row) {
		a.decode(e, s.keys, k, 0, count)
	}
	for from := 0; from < count; from += keyBlock {
		block := min(keyBlock, count-from)
		e.device.kernel.Scores(h, scores[from:], q, a.block(e, s, k, from, block), block)
	}
	for i := range n {
		e.device.kernel.Softmax(scores[i*count:][:count], a.sinks[head+i])
	}
	clear(y)
	for from := 0; from < count; from += keyBlock {
		block := min(keyBlock, count-from)
		e.device.kernel.Weigh(h, y, scores[from:], a.block(e, s, k, from, block), block)
	}
}

// block returns decoded keys of a row: those that the worker has kept, or else it decodes them.
func (a *attention) block(e *executable, s *scratch, k keyList, from, n int) []float32 {
	if k.n+k.entries <= keptKeys {
		return s.keys[from*a.width:]
	}
	a.decode(e, s.keys, k, from, n)
	return s.keys
}

// runFast is run with queries and weights rounded to bfloat16, as keys of fast numerics are anyway. s.heads is set.
func (a *attention) runFast(e *executable, s *scratch, row, head int, k keyList) {
	h, count := &s.heads, k.n+k.entries
	n := h.Heads
	y := e.f32(op.ID(a.Y), row)[head*a.width:][:n*a.width]
	scores, q, weights := s.scores[:n*count], s.halfQueries[:n*a.width], s.halfWeights[:n*count]
	e.device.kernel.ToBF16(q, e.f32(op.ID(a.Q), row)[head*a.width:][:n*a.width])
	if count <= keptKeys && !s.holds(a, row) {
		a.decode(e, s.keys, k, 0, count)
		e.device.kernel.ToBF16(s.halfKeys, s.keys[:count*a.width])
	}
	for from := 0; from < count; from += keyBlock {
		block := min(keyBlock, count-from)
		e.device.kernel.FastScores(h, scores[from:], q, a.halfBlock(e, s, k, from, block), block)
	}
	for i := range n {
		e.device.kernel.Softmax(scores[i*count:][:count], a.sinks[head+i])
	}
	e.device.kernel.ToBF16(weights, scores)
	clear(y)
	for from := 0; from < count; from += keyBlock {
		block := min(keyBlock, count-from)
		e.device.kernel.FastWeigh(h, y, weights[from:], a.halfBlock(e, s, k, from, block), block)
	}
}

// halfBlock is block in bfloat16.
func (a *attention) halfBlock(e *executable, s *scratch, k keyList, from, n int) []uint16 {
	if k.n+k.entries <= keptKeys {
		return s.halfKeys[from*a.width:]
	}
	a.decode(e, s.keys, k, from, n)
	e.device.kernel.ToBF16(s.halfKeys, s.keys[:n*a.width])
	return s.halfKeys
}
