package deepseek

import "baleen/internal/op"

// head records the output of the rows whose logits are wanted (model spec 4): their streams become one, are normed, and
// meet the head, which the official code does not quantise for. The logits are an IO.
func (r recorder) head(streams op.In, hc HC, norm *Weight, logits string) {
	wanted := r.b.Temp("head.streams", op.Logits, r.b.Buffer(op.ID(streams)).Cols)
	r.b.Add(op.Gather{X: streams, Row: op.LogitRow, Y: op.Out(wanted)})
	y := r.rmsnorm("head.in", r.collapseHead(op.In(wanted), hc), norm)
	out := r.b.IO(logits, op.Logits, r.Config.Vocab)
	w := r.Weights.Head
	r.b.Add(op.Linear{X: r.rounded(r.input(y), r.meeting(w)), W: r.weight(w), Y: op.Out(out), Groups: 1})
}
