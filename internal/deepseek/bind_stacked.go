package deepseek

import (
	"fmt"
	"strings"

	"baleen/internal/checkpoint"
)

// place is where the matrices of a layer's experts lie in one tensor [E, rows, cols]: those of w1 and w3 may share it,
// w1 above w3 (formats spec 1.8).
type place struct {
	name        string
	first, rows int // of an expert's rows in the tensor, those of this weight begin at first
}

// stacked finds the tensor that holds all experts of a weight.
func (b *binder) stacked(w *Weight) (place, bool) {
	if _, ok := b.byName[w.Name]; ok {
		return place{w.Name, 0, w.Rows}, true
	}
	first := 0
	switch {
	case strings.HasSuffix(w.Name, ".w1.weight"):
	case strings.HasSuffix(w.Name, ".w3.weight"):
		first = w.Rows
	default:
		return place{}, false
	}
	name := w.Name[:len(w.Name)-len("w1.weight")] + "w13.weight"
	_, ok := b.byName[name]
	return place{name, first, 2 * w.Rows}, ok
}

func (b *binder) bindStacked(w *Weight, p place) error {
	whole := *w
	whole.Rows = p.rows
	t, _ := b.take(p.name)
	if err := b.checkData(&whole, t, false, stack(w.Parts, whole.shape(t.DType))); err != nil {
		return err
	}
	if rows := whole.Format.BlockRows; rows > 0 && p.first%rows != 0 {
		return bindFault("blocks across matrices", t.File(), t.Name, fmt.Sprintf("%d rows of each matrix in blocks of %d", w.Rows, rows), "whole blocks", notStoredSo)
	}
	if whole.Format.BlockRows == 0 {
		w.Format, w.Data = whole.Format, p.parts(w.Parts, p.first, whole.shape(t.DType)[0], w.shape(t.DType)[0], t)
		return nil
	}
	s, ok := b.take(scaleOf(p.name))
	if !ok {
		return b.missing(scaleOf(p.name))
	}
	if err := checkScale(&whole, s, false, stack(w.Parts, whole.scaleShape())); err != nil {
		return err
	}
	w.Format = whole.Format
	w.Data = p.parts(w.Parts, p.first, whole.shape(t.DType)[0], w.shape(t.DType)[0], t)
	w.Scale = p.parts(w.Parts, p.first/w.Format.BlockRows, whole.scaleShape()[0], w.scaleShape()[0], s)
	return nil
}

func stack(parts int, shape []int64) []int64 { return append([]int64{int64(parts)}, shape...) }

// parts cuts a stacked tensor into one span for each expert.
func (place) parts(parts, first int, whole, rows int64, t checkpoint.Tensor) []Span {
	all := wholeSpan(t)
	row := all.Length / int64(parts) / whole
	spans := make([]Span, parts)
	for i := range spans {
		spans[i] = all
		spans[i].Offset += (int64(i)*whole + int64(first)) * row
		spans[i].Length = rows * row
	}
	return spans
}
