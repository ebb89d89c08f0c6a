package deepseek

import (
	"baleen/internal/op"
	"baleen/internal/quant"
)

// overlapRatio is the ratio whose windows overlap: an entry also pools the window before it, through channels of its own. It
// is the ratio that has an indexer, too.
const overlapRatio = 4

// compressKV records the making of a layer's compressed keys and values, and returns where they lie.
func (r recorder) compressKV(x *input, w *Compressor, ratio int) op.In {
	c := r.at("compressor")
	rows, windows := c.compress(x, w, ratio)
	c.quantiseKV(rows)
	return c.append(rows, windows, r.kvRow(), ratio)
}

// compress records one compressor: it remembers values and scores of every token, and pools, norms and rotates the
// windows that the run completes (model spec 7). A rotation's position is that of a window's first token.
func (r recorder) compress(x *input, w *Compressor, ratio int) (op.In, op.Windows) {
	windows := r.b.Windows(ratio)
	overlap := ratio == overlapRatio
	behind := ratio - 1 // tokens before a chunk that its first window may need
	if overlap {
		behind += ratio
	}
	row := quant.Row{Width: w.Wkv.Rows, Tail: quant.KindF32}
	values, scores := r.ring("values", row, behind), r.ring("scores", row, behind)
	for _, side := range []struct {
		name string
		w    *Weight
		s    op.ID
	}{{"wkv", w.Wkv, values}, {"wgate", w.Wgate, scores}} {
		y := r.linear(side.name, x, side.w)
		r.b.Add(op.Store{X: y, Slot: op.Slot, Entry: op.Position, S: op.InOut(side.s), Divide: 1})
	}
	pooled := r.b.Temp("pooled", windows.Dim, w.Norm.Cols)
	r.b.Add(op.Pool{
		U: op.In(values), Z: op.In(scores), APE: r.weight(w.APE), Slot: windows.Slot, Start: windows.Start,
		Y: op.Out(pooled), Ratio: ratio, Overlap: overlap,
	})
	rows := r.rmsnorm("rows", op.In(pooled), w.Norm)
	r.rope(rows, windows.Start, ratio, w.Norm.Cols, false)
	return rows, windows
}

// append stores completed rows in the pages of their sequences.
func (r recorder) append(rows op.In, windows op.Windows, row quant.Row, ratio int) op.In {
	s := r.b.Pages(r.prefix+"pages", row, op.PageSize/ratio)
	r.b.Add(op.Store{X: rows, Slot: windows.Slot, Entry: windows.Start, S: op.InOut(s), Divide: ratio})
	return op.In(s)
}
