package deepseek

import (
	"math"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// attention records a layer's attention over x, the normed input of the sublayer (model spec 6). It returns its output.
func (r recorder) attention(x op.In, w *Attention, ratio int) op.In {
	c := r.Config
	in := r.input(x)

	// queries, through a low rank
	u := r.input(r.rmsnorm("u", r.linear("wq_a", in, w.WqA), w.QNorm))
	heads := r.linear("wq_b", u, w.WqB)
	q := r.like("q", heads)
	r.b.Add(op.RMSNorm{X: heads, Y: op.Out(q), Width: c.HeadDim, Eps: c.NormEps})
	r.rope(op.In(q), op.Position, ratio, c.HeadDim, false)

	window := r.storeKV(in, w, ratio)

	// what lies behind the window, compressed: all of it, or what the indexer selects
	var compressed, selected op.In
	if ratio != 0 {
		compressed = r.compressKV(in, w.Compressor, ratio)
	}
	if w.Indexer != nil {
		selected = r.at("indexer").selectEntries(in, u, w.Indexer, ratio)
	}

	upTo := op.Position
	if r.ahead > 0 {
		upTo = r.b.Last()
	}
	o := r.like("o", op.In(q))
	r.b.Add(op.Attend{
		Q: op.In(q), Slot: op.Slot, Position: upTo, Window: window, Compressed: compressed, Ids: selected,
		Sink: r.weight(w.Sink), Y: op.Out(o), Span: c.Window + r.ahead, Ratio: ratio, Scale: 1 / math.Sqrt(float64(c.HeadDim)),
	})
	r.rope(op.In(o), op.Position, ratio, c.HeadDim, true) // values carry their absolute rotation; this takes it off

	// heads to output, through a low rank for each group; the official code does not quantise what meets wo_a
	kind := quant.KindF32
	if r.Numerics == Fast {
		kind = quant.KindBF16
	}
	groups := r.b.Temp("wo_a", op.Rows, w.WoA.Rows)
	r.b.Add(op.Linear{X: r.rounded(r.input(op.In(o)), kind), W: r.weight(w.WoA), Y: op.Out(groups), Groups: c.OutputGroups})
	return r.linear("out", r.input(op.In(groups)), w.WoB)
}

// storeKV records the making of the one vector that is a position's key and its value, and returns the window of them.
func (r recorder) storeKV(in *input, w *Attention, ratio int) op.In {
	kv := r.rmsnorm("kv", r.linear("wkv", in, w.Wkv), w.KVNorm)
	r.rope(kv, op.Position, ratio, r.Config.HeadDim, false)
	r.quantiseKV(kv)
	window := r.ring("window", r.kvRow(), r.Config.Window-1+r.ahead)
	r.b.Add(op.Store{X: kv, Slot: op.Slot, Entry: op.Position, S: op.InOut(window), Divide: 1})
	return op.In(window)
}
