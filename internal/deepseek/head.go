package deepseek

import "baleen/internal/op"

// head records the output of the rows whose logits are wanted (model spec 4): their streams become one, are normed, and
// meet the head, which the official code does not quantise for. The logits are an IO.
func (r recorder) head(streams op.In, hc HC, norm *Weight, logits string) {
	wanted := r.wanted(r.b.Temp("head.streams", op.Logits, r.b.Buffer(op.ID(streams)).Cols), streams)
	r.headThrough(r.b.Temp("hc_head_x", op.Logits, r.Config.Hidden), wanted, hc, norm, logits)
}

// headThrough is head behind the choice of rows, with the one stream before the norm in the activation hidden.
func (r recorder) headThrough(hidden op.ID, wanted op.In, hc HC, norm *Weight, logits string) {
	y := r.rmsnorm("head.in", r.collapseHead(hidden, wanted, hc), norm)
	out := r.b.IO(logits, op.Logits, r.Config.Vocab)
	w := r.Weights.Head
	r.b.Add(op.Linear{X: r.rounded(r.input(y), r.meeting(w)), W: r.weight(w), Y: op.Out(out), Groups: 1})
}

// wanted picks the rows whose logits are wanted, into the activation out.
func (r recorder) wanted(out op.ID, x op.In) op.In {
	r.b.Add(op.Gather{X: x, Row: op.LogitRow, Y: op.Out(out)})
	return op.In(out)
}
