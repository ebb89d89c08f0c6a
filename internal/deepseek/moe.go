package deepseek

import (
	"baleen/internal/op"
	"baleen/internal/quant"
)

// moe records a layer's mixture of experts over x, the normed input of the sublayer (model spec 9). It returns its output.
func (r recorder) moe(x op.In, w *MoE) op.In {
	in := r.input(x)
	ids, weights := r.at("gate").route(in, w)

	shared := r.at("shared").sharedExpert(in, w)
	y := r.b.Temp("out", op.Rows, r.Config.Hidden)
	experts := op.Experts{
		X: r.rounded(in, r.meeting(w.W1)), Ids: ids, W: weights, Shared: shared, W1: r.weight(w.W1), W2: r.weight(w.W2), W3: r.weight(w.W3),
		Y: op.Out(y), Limit: r.Config.SwigluLimit,
	}
	if r.meeting(w.W2) == quant.KindE4M3 {
		experts.Group = r.Config.actGroup()
	}
	r.b.Add(experts)
	return op.In(y)
}

// route chooses the experts of every row and weighs them. The bias takes part in the choice, not in the weights.
//
// Tie rule: as for the indexer, the higher biased score, then the lower expert.
func (r recorder) route(x *input, w *MoE) (ids, weights op.In) {
	k := r.Config.ActiveExperts
	logits := r.product("logits", x, w.Gate, quant.KindF32) // never rounded: a near choice would flip
	scores := r.like("scores", logits)
	r.b.Add(op.SqrtSoftplus{X: logits, Y: op.Out(scores)})

	chosen := r.b.Ids("indices", op.Rows, k)
	if w.Table != nil {
		r.b.Add(op.Lookup{Token: op.Token, W: r.weight(w.Table), Ids: op.Out(chosen)})
	} else {
		biased := r.like("scores_biased", logits)
		r.b.Add(op.AddBias{X: op.In(scores), Bias: r.weight(w.Bias), Y: op.Out(biased)})
		r.b.Add(op.TopK{X: op.In(biased), Ids: op.Out(chosen)})
	}

	y := r.b.Temp("weights", op.Rows, k)
	r.b.Add(op.RouteWeights{A: op.In(scores), Ids: op.In(chosen), W: op.Out(y), Scale: r.Config.RouteScale})
	return op.In(chosen), op.In(y)
}

// sharedExpert records the expert that every token goes through.
func (r recorder) sharedExpert(in *input, w *MoE) op.In {
	limit := r.Config.SwigluLimit
	if r.Quirks.UnclampedShared {
		limit = 0
	}
	g, u := r.linear("w1", in, w.Shared.W1), r.linear("w3", in, w.Shared.W3)
	h := r.like("hidden", g)
	r.b.Add(op.SwiGLU{G: g, U: u, H: op.Out(h), Limit: limit})
	return r.linear("w2", r.input(op.In(h)), w.Shared.W2)
}
