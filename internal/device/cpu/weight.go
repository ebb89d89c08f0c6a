package cpu

import (
	"encoding/binary"
	"fmt"

	"baleen/internal/device"
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// weight is a matrix, or one for each expert.
type weight struct {
	op.Buffer
	use
	parts []device.Source

	arena   *arena    // panels of all parts; nil unless use.panels, or if experts come and go
	panel   int       // bytes of one
	perPart int       // panels of a part
	perTask int       // panels that a task takes
	borders []int     // by node: its first panel of a part; at the end perPart
	mixture mixture   // if use.comes
	values  []float32 // a vector or small table, decoded; nil unless it is used so
}

// mixture is what a cache must know of a weight of experts.
type mixture struct {
	slot   []int64 // by node: bytes of its share of an expert's three matrices
	chosen int     // experts of a token
	leads  bool    // of the three weights it is the first
}

// groupRows is how many output rows a group has.
func (w *weight) groupRows() int { return w.Rows / w.groups }

// partBytes is what the panels of a part take.
func (w *weight) partBytes() int64 { return int64(w.perPart) * int64(w.panel) }

// shareBytes is what a node has of a part.
func (w *weight) shareBytes(node int) int { return (w.borders[node+1] - w.borders[node]) * w.panel }

// stretches lays all parts out, node by node.
func (w *weight) stretches() []stretch {
	list := make([]stretch, len(w.borders)-1)
	for k := range list {
		list[k] = stretch{w.Parts * w.borders[k] * w.panel, w.shareBytes(k)}
	}
	return list
}

// find tells where in an arena a panel of a part lies, and how many lie there side by side, it and those that follow it.
func (w *weight) find(a *arena, part, panel int) (at, n int) {
	k := 0
	for panel >= w.borders[k+1] {
		k++
	}
	s := a.stretches[k]
	return s.first + part*s.step + (panel-w.borders[k])*w.panel, w.borders[k+1] - panel
}

// newWeight lays a weight out for the workers there are. Panels have no memory yet.
func newWeight(p *op.Program, id op.ID, t *topology) (*weight, error) {
	w := &weight{Buffer: p.Buffer(id), use: usage(p, id)}
	switch {
	case w.panels:
		if err := kernel.Check(w.Format); err != nil {
			return nil, fmt.Errorf("weight %s: %w", w.Name, err)
		}
		w.divide(t)
		w.mixture = mixtureOf(p, op.In(id), t)
	case !w.rows:
		w.values = make([]float32, w.Rows*w.Cols)
	}
	return w, nil
}

// divide divides a part into panels, tasks and shares of nodes: whole tasks, the same in all steps that use the weight.
func (w *weight) divide(t *topology) {
	inGroup := (w.groupRows() + kernel.Lanes - 1) / kernel.Lanes
	w.panel, w.perPart = kernel.PanelBytes(w.Format, w.Cols), w.groups*inGroup
	w.perTask = blockRows / kernel.Lanes
	if w.Parts == 1 {
		w.perTask = max(1, min(taskBytes/w.panel, w.perPart/(4*t.workers()))) // at least four tasks for each worker
	}
	tasks := (inGroup + w.perTask - 1) / w.perTask
	for k := range t.nodes {
		first, _ := t.share(k, tasks*w.groups)
		w.borders = append(w.borders, first/tasks*inGroup+first%tasks*w.perTask)
	}
	w.borders = append(w.borders, w.perPart)
}

// mixtureOf looks for the mixture that a weight belongs to.
func mixtureOf(p *op.Program, id op.In, t *topology) (m mixture) {
	for _, o := range p.Ops {
		if o, ok := o.(op.Experts); ok && (o.W1 == id || o.W2 == id || o.W3 == id) {
			m.chosen, m.leads = p.Buffer(op.ID(o.Ids)).Cols, o.W1 == id
			m.slot = make([]int64, len(t.nodes))
			for _, id := range []op.In{o.W1, o.W2, o.W3} {
				w := weight{Buffer: p.Buffer(op.ID(id)), use: use{groups: 1}}
				w.divide(t)
				for k := range m.slot {
					m.slot[k] += int64(w.shareBytes(k))
				}
			}
		}
	}
	return m
}

// upload reads a weight from its sources and lays it out. Tables that are looked up by token stay where they are.
func (w *weight) upload(d *Device, parts []device.Source) error {
	data, scale := w.Format.Size(w.Rows, w.Cols)
	if len(parts) != w.Parts {
		return fmt.Errorf("cannot upload: weight %s: %d sources for %d parts: give one for each", w.Name, len(parts), w.Parts)
	}
	for _, part := range parts {
		if part.Data.Length != data || part.Scale.Length != scale {
			return fmt.Errorf("cannot upload: %s: %d and %d bytes for %v[%d,%d]: it takes %d and %d",
				part.Name, part.Data.Length, part.Scale.Length, w.Format, w.Rows, w.Cols, data, scale)
		}
	}
	w.parts = parts
	switch {
	case w.arena != nil:
		return w.load(d.readers)
	case !w.panels && !w.rows:
		return w.decode()
	}
	return nil
}

// decode reads a vector or small table.
func (w *weight) decode() error {
	size, scaleSize := w.Format.Size(w.Rows, w.Cols)
	data, scale := make([]byte, size), make([]byte, scaleSize)
	from := w.parts[0]
	err := from.Data.Read(data, 0)
	if err == nil {
		err = from.Scale.Read(scale, 0)
	}
	if err == nil {
		err = w.Format.CheckScale(scale)
	}
	if err != nil {
		return fmt.Errorf("cannot read a weight: %s: %w", from.Name, err)
	}
	for row := range w.Rows {
		w.Format.DecodeRow(w.values[row*w.Cols:][:w.Cols], data, scale, row, w.Cols)
	}
	return nil
}

// extent tells where rows [first, first+n) of a part lie, and the scales that belong to them. First is at the beginning of a
// block of scales, or within one and n does not leave it.
func (w *weight) extent(first, n int) (at, size, scaleAt, scaleSize int64) {
	at, _ = w.Format.Size(first, w.Cols)
	_, scaleAt = w.Format.Size(first-first%max(w.Format.BlockRows, 1), w.Cols)
	size, scaleSize = w.Format.Size(n, w.Cols)
	return at, size, scaleAt, scaleSize
}

// packRows divides how many output rows are read and repacked at a time: a multiple of every block of scales.
const packRows = 128

// pieceRows is how many rows of a group are read and repacked at a time.
func (w *weight) pieceRows() int {
	size, _ := w.Format.Size(packRows, w.Cols)
	return packRows * max(1, int(pieceBytes/max(size, 1)))
}

// pieces is how many pieces a part has.
func (w *weight) pieces() int {
	return w.groups * ((w.groupRows() + w.pieceRows() - 1) / w.pieceRows())
}

// load reads all parts and repacks them.
func (w *weight) load(r *readers) error {
	finished := make(chan struct{})
	o := &order{done: func() { close(finished) }}
	o.left.Store(int32(w.Parts * w.pieces()))
	for part := range w.Parts {
		r.add(w, part, w.arena, part, o)
	}
	<-finished
	if err := o.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// checkPiece tells whether n rows from one on can be packed: scales of a block must not lie in two groups.
func (w *weight) checkPiece(row, n int) error {
	if height := w.Format.BlockRows; height > 1 && row%height != 0 && row/height != (row+n-1)/height {
		return fmt.Errorf("cannot pack: %s: blocks of %d rows do not lie in groups of %d: use the ref device", w.Name, height, w.groupRows())
	}
	return nil
}

// scalesOf cuts the scales of rows [i, i+n) out of those of a piece.
func (w *weight) scalesOf(scale []byte, i, n int) []byte {
	if len(scale) == 0 {
		return nil
	}
	_, perBlockRow := w.Format.Size(1, w.Cols)
	if w.Format.BlockRows == 1 {
		return scale[int64(i)*perBlockRow:][:int64(n)*perBlockRow]
	}
	return scale[int64(i/w.Format.BlockRows)*perBlockRow:][:perBlockRow]
}

// row reads one row of a table from where it lies, into memory of the worker.
func (w *weight) row(s *scratch, row int) ([]byte, error) {
	size, _ := w.Format.Size(1, w.Cols)
	data := s.bytes[:size]
	if err := w.parts[0].Data.Read(data, int64(row)*size); err != nil {
		return nil, fmt.Errorf("cannot read a weight: %s: %w", w.parts[0].Name, err)
	}
	return data, nil
}

// lookUp reads one row of numbers. They have no scales: an Embed checks that.
func (w *weight) lookUp(s *scratch, to []float32, row int) error {
	data, err := w.row(s, row)
	if err == nil {
		w.Format.DecodeRow(to, data, nil, 0, w.Cols)
	}
	return err
}

// lookUpIDs reads one row of a table of integers. What does not fit is -1, which nobody takes for an index.
func (w *weight) lookUpIDs(s *scratch, to []int32, row int) error {
	data, err := w.row(s, row)
	if err != nil {
		return err
	}
	for i := range to {
		if w.Format.Kind == quant.KindI32 {
			to[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
			continue
		}
		wide := int64(binary.LittleEndian.Uint64(data[8*i:]))
		to[i] = int32(wide)
		if int64(to[i]) != wide {
			to[i] = -1
		}
	}
	return nil
}
