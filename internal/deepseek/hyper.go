package deepseek

import "baleen/internal/op"

// site is one place where the streams become one vector and that vector's sublayer comes back into the streams.
type site struct {
	streams    op.In
	post, comb op.In
}

// collapse makes one vector of the streams (model spec 5, hc_pre). The names are "hc_attn_pre" and so on.
func (r recorder) collapse(name string, streams op.In, w HC) (op.In, site) {
	n, dim := r.Config.Streams, r.b.Buffer(op.ID(streams)).Dim
	m := r.linear(name+"_mix", r.input(streams), w.Fn)
	pre, post, comb := r.b.Temp(name+"_pre", dim, n), r.b.Temp(name+"_post", dim, n), r.b.Temp(name+"_comb", dim, n*n)
	r.b.Add(op.HCSplit{
		X: streams, M: m, Base: r.weight(w.Base), Scale: r.weight(w.Scale),
		Pre: op.Out(pre), Post: op.Out(post), Comb: op.Out(comb),
		Streams: n, Iters: r.Config.SinkhornIters, NormEps: r.Config.NormEps, Eps: r.Config.HCEps,
	})
	x := r.b.Temp(name+"_x", dim, r.Config.Hidden)
	r.b.Add(op.HCCollapse{X: streams, Pre: op.In(pre), Y: op.Out(x)})
	return op.In(x), site{streams, op.In(post), op.In(comb)}
}

// expand brings a sublayer's output back into the streams (hc_post), into the activation out.
func (r recorder) expand(out op.ID, a op.In, s site) op.In {
	r.b.Add(op.HCExpand{A: a, X: s.streams, Post: s.post, Comb: s.comb, Y: op.Out(out)})
	return op.In(out)
}

// collapseHead is the head's collapse (hc_head), into the activation out: only the weights before it exist.
func (r recorder) collapseHead(out op.ID, streams op.In, w HC) op.In {
	n, dim := r.Config.Streams, r.b.Buffer(op.ID(streams)).Dim
	m := r.linear("hc_head_mix", r.input(streams), w.Fn)
	pre := r.b.Temp("hc_head_pre", dim, n)
	r.b.Add(op.HCSplit{
		X: streams, M: m, Base: r.weight(w.Base), Scale: r.weight(w.Scale), Pre: op.Out(pre),
		Streams: n, Iters: r.Config.SinkhornIters, NormEps: r.Config.NormEps, Eps: r.Config.HCEps,
	})
	r.b.Add(op.HCCollapse{X: streams, Pre: op.In(pre), Y: op.Out(out)})
	return op.In(out)
}
