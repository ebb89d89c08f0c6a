package cpu

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"

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

	arena   []byte    // panels of all parts, in order; nil unless use.panels
	panel   int       // bytes of one
	perPart int       // panels of a part
	values  []float32 // a vector or small table, decoded; nil unless it is used so
}

// groupRows is how many output rows a group has.
func (w *weight) groupRows() int { return w.Rows / w.groups }

// panelsOf returns the panels of a group of a part, and how many they are.
func (w *weight) panelsOf(part, group int) (first unsafe.Pointer, n int) {
	n = w.perPart / w.groups
	return unsafe.Pointer(&w.arena[(part*w.perPart+group*n)*w.panel]), n
}

func newWeight(p *op.Program, id op.ID) (*weight, error) {
	w := &weight{Buffer: p.Buffer(id), use: usage(p, id)}
	switch {
	case w.panels:
		if err := kernel.Check(w.Format); err != nil {
			return nil, fmt.Errorf("weight %s: %w", w.Name, err)
		}
		w.panel = kernel.PanelBytes(w.Format, w.Cols)
		w.perPart = w.groups * ((w.groupRows() + kernel.Lanes - 1) / kernel.Lanes)
		arena, err := allocate(int64(w.Parts) * int64(w.perPart) * int64(w.panel))
		if err != nil {
			return nil, fmt.Errorf("weight %s: %w", w.Name, err)
		}
		w.arena = arena
	case !w.rows:
		w.values = make([]float32, w.Rows*w.Cols)
	}
	return w, nil
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
	case w.panels:
		return w.pack(d)
	case !w.rows:
		return w.decode()
	}
	return nil
}

// decode reads a vector or small table.
func (w *weight) decode() error {
	data, scale, err := w.read(0, 0, w.Rows)
	if err != nil {
		return err
	}
	for row := range w.Rows {
		w.Format.DecodeRow(w.values[row*w.Cols:][:w.Cols], data, scale, row, w.Cols)
	}
	return nil
}

// read reads rows [first, first+n) of a part, and the scales that belong to them. First is at the beginning of a block of
// scales, or within one and n does not leave it.
func (w *weight) read(part, first, n int) (data, scale []byte, err error) {
	before, _ := w.Format.Size(first, w.Cols)
	size, _ := w.Format.Size(n, w.Cols)
	height := max(w.Format.BlockRows, 1)
	_, scaleBefore := w.Format.Size(first/height*height, w.Cols)
	_, scaleSize := w.Format.Size(n, w.Cols)
	data, scale = make([]byte, size), make([]byte, scaleSize)
	from := w.parts[part]
	if err = from.Data.Read(data, before); err == nil {
		err = from.Scale.Read(scale, scaleBefore)
	}
	if err == nil {
		err = w.Format.CheckScale(scale)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read a weight: %s: %w", from.Name, err)
	}
	return data, scale, nil
}

// packRows is how many output rows are read and repacked at a time: a multiple of every block of scales.
const packRows = 128

// pack reads all parts in pieces and repacks them, on all workers.
func (w *weight) pack(d *Device) error {
	rows := w.groupRows()
	pieces := (rows + packRows - 1) / packRows
	var failed atomic.Pointer[error]
	d.team.each(w.Parts*w.groups*pieces, func(task int) {
		part, group, piece := task/pieces/w.groups, task/pieces%w.groups, task%pieces
		if failed.Load() != nil {
			return
		}
		if err := w.packPiece(d.kernel, part, group, piece*packRows); err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// packPiece packs the rows of a group from first on.
func (w *weight) packPiece(k *kernel.Set, part, group, first int) error {
	n := min(packRows, w.groupRows()-first)
	row := group*w.groupRows() + first
	if height := w.Format.BlockRows; height > 1 && (row%height != 0 && row/height != (row+n-1)/height) {
		return fmt.Errorf("cannot pack: %s: blocks of %d rows do not lie in groups of %d: use the ref device", w.parts[part].Name, height, w.groupRows())
	}
	data, scale, err := w.read(part, row, n)
	if err != nil {
		return err
	}
	perRow, _ := w.Format.Size(1, w.Cols)
	base := (part*w.perPart + group*(w.perPart/w.groups) + first/kernel.Lanes) * w.panel
	for i := 0; i < n; i += kernel.Lanes {
		rows := min(kernel.Lanes, n-i)
		k.Pack(w.arena[base+i/kernel.Lanes*w.panel:][:w.panel], w.Format, data[int64(i)*perRow:][:int64(rows)*perRow], w.scalesOf(scale, i, rows), rows, w.Cols)
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
