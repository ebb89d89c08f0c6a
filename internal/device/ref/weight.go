package ref

import (
	"encoding/binary"
	"fmt"

	"baleen/internal/device"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// blockBytes is about how much of a weight is in memory at a time.
const blockBytes = 1 << 20

// weight is a matrix, or one for each expert, that stays where it is.
type weight struct {
	op.Buffer
	parts []device.Source
}

func (w *weight) upload(parts []device.Source) error {
	if len(parts) != w.Parts {
		return fmt.Errorf("cannot upload: weight %s: %d sources for %d parts: give one for each", w.Name, len(parts), w.Parts)
	}
	data, scale := w.Format.Size(w.Rows, w.Cols)
	for _, part := range parts {
		if part.Data.Length != data || part.Scale.Length != scale {
			return fmt.Errorf("cannot upload: %s: %d and %d bytes for %v[%d,%d]: it takes %d and %d",
				part.Name, part.Data.Length, part.Scale.Length, w.Format, w.Rows, w.Cols, data, scale)
		}
		if err := w.checkScales(part); err != nil {
			return fmt.Errorf("%s: %w", part.Name, err)
		}
	}
	w.parts = parts
	return nil
}

// checkScales reads all scales of a part: one that is no number would spoil what it touches only when that is used.
func (w *weight) checkScales(part device.Source) error {
	scales := make([]byte, part.Scale.Length)
	if err := part.Scale.Read(scales, 0); err != nil {
		return err
	}
	return w.Format.CheckScale(scales)
}

// each decodes the rows of a part one after the other. The visitor must not keep x.
func (w *weight) each(part int, visit func(row int, x []float32)) error {
	x := make([]float32, w.Cols)
	height := w.blockRows()
	for first := 0; first < w.Rows; first += height {
		n := min(height, w.Rows-first)
		data, scale, err := w.block(part, first, n)
		if err != nil {
			return err
		}
		for i := range n {
			w.Format.DecodeRow(x, data, scale, i, w.Cols)
			visit(first+i, x)
		}
	}
	return nil
}

// blockRows is how many rows to read at a time: whole blocks of scales.
func (w *weight) blockRows() int {
	row, _ := w.Format.Size(1, w.Cols)
	height := max(w.Format.BlockRows, 1)
	return max(int(blockBytes/row)/height, 1) * height
}

// block reads rows [first, first+n) of a part and their scales; first is at the beginning of a block of scales.
func (w *weight) block(part, first, n int) (data, scale []byte, err error) {
	before, scaleBefore := w.Format.Size(first, w.Cols)
	size, scaleSize := w.Format.Size(n, w.Cols)
	data, scale = make([]byte, size), make([]byte, scaleSize)
	from := w.parts[part]
	if err = from.Data.Read(data, before); err == nil {
		err = from.Scale.Read(scale, scaleBefore)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read a weight: %s: %w", from.Name, err)
	}
	return data, scale, nil
}

// all decodes a small weight whole: a norm, a bias, a table of positions.
func (w *weight) all() ([]float32, error) {
	all := make([]float32, 0, w.Rows*w.Cols)
	err := w.each(0, func(_ int, x []float32) { all = append(all, x...) })
	return all, err
}

// row decodes one row of a weight without scales.
func (w *weight) row(row int) ([]float32, error) {
	data, scale, err := w.block(0, row, 1)
	if err != nil {
		return nil, err
	}
	x := make([]float32, w.Cols)
	w.Format.DecodeRow(x, data, scale, 0, w.Cols)
	return x, nil
}

// integers reads one row of a table of integers. What does not fit is -1, which nobody takes for an index.
func (w *weight) integers(row int) ([]int32, error) {
	data, _, err := w.block(0, row, 1)
	if err != nil {
		return nil, err
	}
	x := make([]int32, w.Cols)
	for i := range x {
		if w.Format.Kind == quant.KindI32 {
			x[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
			continue
		}
		wide := int64(binary.LittleEndian.Uint64(data[8*i:]))
		x[i] = int32(wide)
		if int64(x[i]) != wide {
			x[i] = -1
		}
	}
	return x, nil
}
