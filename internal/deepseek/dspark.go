package deepseek

import (
	"fmt"

	"baleen/internal/op"
)

// The drafter of 0731 and 0813 (model spec 11) is three programs. With p the last position that Forward has run and whose
// token stands, and the anchor the token at p+1, which nobody has run yet:
//
//   - DraftContext turns what Forward left at its target layers into keys and values of the drafter's stages;
//   - DraftBlock guesses at the B tokens after the anchor at once, each from all that is known and from the others' places;
//   - DraftChain, run for one row of the block after the other, corrects each guess by the token drawn before it.
//
// The stages' windows are all that a sequence remembers for them. They are addressed by position as Forward's are: the rows of a
// block lie behind the context, at positions that the context of tokens which stand writes again, and so does the next
// block. To roll back is not to move the length, here too.
//
// It is detected by the dspark keys of config.json together with its weights. All else was seen in the released code or in
// audits that quote it. UNCONFIRMED are the threshold that the hosted service puts on the confidence (none is built in: who verifies
// decides), and that the stages of Pro have as many experts as its layers (others are refused by their shapes).

// Names of IO between DraftBlock and DraftChain.
const (
	draftHidden = "mtp_hidden"
	draftBase   = "mtp_base_logits"
)

// DraftContext records what the drafter takes from a run of the main model, or returns nil where the checkpoint has no block
// drafter. Its rows are those of the last Forward, whose IO it reads: the streams behind the target layers. For each position
// it writes a row of every stage's window; it has no results. Rows whose tokens do not stand do no harm.
func (m *Model) DraftContext(caps op.Caps) *op.Program {
	w := m.Weights.Drafter
	if w == nil {
		return nil
	}
	b, r := m.recordBlock("draft.context", caps, caps.Rows)
	first := r.at(stageName(0))
	f := first.linear("main_proj", r.input(first.features()), w.MainProj)
	in := r.input(first.rmsnorm("context", f, w.MainNorm))
	for i := range w.Stages {
		r.at(stageName(i)).at("attn").storeKV(in, &w.Stages[i].Attn, 0)
	}
	return b.Program()
}

// features joins the means of the streams behind the target layers.
func (r recorder) features() op.In {
	c := r.Config
	var all op.In
	for i, layer := range c.DSpark.Targets {
		mean := r.b.Temp(fmt.Sprintf("feature.%d", i), op.Rows, c.Hidden)
		r.b.Add(op.Mean{X: op.In(r.b.IO(streamsName(layer), op.Rows, c.Streams*c.Hidden)), Y: op.Out(mean)})
		if i == 0 {
			all = op.In(mean)
			continue
		}
		joined := r.b.Temp(fmt.Sprintf("features.%d", i), op.Rows, (i+1)*c.Hidden)
		r.b.Add(op.Join{A: all, B: op.In(mean), Y: op.Out(joined)})
		all = op.In(joined)
	}
	return all
}

// DraftBlock records the guesses, or returns nil where the checkpoint has no block drafter. A sequence has exactly BlockSize
// rows, at positions p+1 and after: the first has the anchor as its token, the others DSpark.NoiseToken. Every row sees the
// window's last rows up to p, which DraftContext has written, and all rows of the block. The logits of row i, before the token
// at its place is known, are for position p+2+i; where only the first few are wanted, the rest is not made.
//
// The capacities are those of DraftContext but for rows, which are at most as many: logits of a few blocks, not of a whole
// prefill, need memory.
func (m *Model) DraftBlock(caps op.Caps, rows int) *op.Program {
	w := m.Weights.Drafter
	if w == nil {
		return nil
	}
	b, r := m.recordBlock("draft.block", caps, rows)
	streams := r.embed()
	for i := range w.Stages {
		streams = r.at(stageName(i)).block(streams, &w.Stages[i], 0, 0)
	}
	last := r.at(stageName(len(w.Stages) - 1))
	wanted := last.wanted(last.b.Temp("head.streams", op.Logits, m.Config.Streams*m.Config.Hidden), streams)
	last.headThrough(b.IO(draftHidden, op.Logits, m.Config.Hidden), wanted, w.HCHead, w.Norm, draftBase)
	return b.Program()
}

// DraftChain records the serial part of a block, or returns nil where the checkpoint has no block drafter. Its rows are those
// whose logits DraftBlock was asked for, in that order, with the tokens drawn so far in their places: row i has the anchor for i = 0
// and else what was drawn from row i-1. For rows that want them it gives the logits of the next token, and how sure the
// drafter is that the main model will accept a draft there given that it accepts those before, [logits, 1]: a score whose sigmoid is
// the probability. The capacities are those of DraftBlock.
func (m *Model) DraftChain(caps op.Caps, rows int) *op.Program {
	w, c := m.Weights.Drafter, m.Config
	if w == nil {
		return nil
	}
	b, r := m.recordBlock("draft.chain", caps, rows)
	r = r.at(stageName(len(w.Stages) - 1))
	base, hidden := b.IO(draftBase, op.Rows, c.Vocab), b.IO(draftHidden, op.Rows, c.Hidden)

	token := r.b.Temp("markov", op.Rows, c.DSpark.MarkovRank)
	r.b.Add(op.Embed{Token: op.Token, W: r.weight(w.MarkovIn), Y: op.Out(token), Copies: 1})
	before := r.wanted(r.b.Temp("markov.in", op.Logits, c.DSpark.MarkovRank), op.In(token))
	shift := r.linear("markov.out", r.input(before), w.MarkovOut)
	logits := b.IO(DraftLogitsName, op.Logits, c.Vocab)
	r.b.Add(op.Add{A: shift, B: r.wanted(r.b.Temp("base", op.Logits, c.Vocab), op.In(base)), Y: op.Out(logits)})

	x := r.wanted(r.b.Temp("hidden", op.Logits, c.Hidden), op.In(hidden))
	known := r.b.Temp("confidence.in", op.Logits, c.Hidden+c.DSpark.MarkovRank)
	r.b.Add(op.Join{A: x, B: before, Y: op.Out(known)})
	score := b.IO(ConfidenceName, op.Logits, 1) // in float32 always: it is never quantised for
	r.b.Add(op.Linear{X: op.In(known), W: r.weight(w.Confidence), Y: op.Out(score), Groups: 1})
	return b.Program()
}

// recordBlock begins a program of the drafter with rows of its own beside a Forward of these capacities.
func (m *Model) recordBlock(name string, caps op.Caps, rows int) (*op.Builder, recorder) {
	chunk := caps.Rows
	caps.Rows = rows
	b := op.NewBuilder(name, caps)
	r := m.record(b)
	r.ahead, r.chunk = m.Config.DSpark.BlockSize, chunk
	return b, r
}

func stageName(i int) string { return fmt.Sprintf("mtp.%d", i) }
