package deepseek

import (
	"math"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// indexGroup is how many channels of an index vector share a scale.
const indexGroup = 32

// selectEntries records the lightning indexer (model spec 8) and returns which compressed entries each token attends to: the
// IndexTopK with the highest scores among the visible ones, ascending.
//
// Tie rule: the higher score, then the lower index; -0 equals +0. Scores of exactly 0 are common (every head's relu may
// be shut), and torch.topk leaves the choice among them open, so a reference may choose others.
func (r recorder) selectEntries(x, u *input, w *Indexer, ratio int) op.In {
	c := r.Config
	at := r.at("compressor")
	rows, windows := at.compress(x, &w.Compressor, ratio)
	at.rotateAndQuantise(rows)
	keys := at.append(rows, windows, r.indexRow(), ratio)

	q := r.linear("wq_b", u, w.WqB)
	r.rope(q, op.Position, ratio, c.IndexDim, false)
	r.rotateAndQuantise(q)
	weights := r.linear("weights", x, w.WeightsProj)

	ids := r.b.Ids("topk_sorted", op.Rows, c.IndexTopK)
	r.b.Add(op.Select{
		Q: q, W: weights, Slot: op.Slot, Position: op.Position, Keys: keys, Ids: op.Out(ids), Ratio: ratio,
		Scale: 1 / math.Sqrt(float64(c.IndexDim)*float64(c.IndexHeads)),
	})
	return op.In(ids)
}

// rotateAndQuantise spreads outliers over the channels of an index vector and rounds it to FP4.
func (r recorder) rotateAndQuantise(x op.In) {
	d := r.Config.IndexDim
	r.b.Add(op.Hadamard{X: op.InOut(x), Width: d})
	if r.Numerics != Wide {
		r.b.Add(op.Quantise{X: x, Y: op.Out(x), Kind: quant.KindE2M1, Width: d, Channels: d, Group: indexGroup})
	}
}
