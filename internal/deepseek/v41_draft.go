package deepseek

import "baleen/internal/op"

// v41DraftContext is DraftContext; the features are what enters the target layers (19.8).
func (m *Model) v41DraftContext(caps op.Caps) *op.Program {
	b, r := m.recordBlock("draft.context", caps, caps.Rows)
	first := r.at(stageName(0))
	l := &layout{m.Config, m.Weights, first.prefix}
	d := m.Config.Hidden
	projected := first.linear("main_proj", r.input(first.features()), l.projection("main_proj", d, len(m.Config.DSpark.Targets)*d))
	in := r.input(first.rmsnorm("context", projected, l.norm("main_norm.weight", d)))
	for i := range m.Weights.Layers {
		r.at(stageName(i)).at("attn").v41StoreKV(in, &m.Weights.Layers[i].Attn, 0)
	}
	return b.Program()
}

// v41DraftBlock is DraftBlock, of one block.
func (m *Model) v41DraftBlock(caps op.Caps) *op.Program {
	b, r := m.recordBlock("draft.block", caps, m.Config.DSpark.BlockSize)
	f := r.v41Start()
	for i := range m.Weights.Layers {
		f = r.at(stageName(i)).v41Block(f, &m.Weights.Layers[i], -1)
	}
	last := r.at(stageName(len(m.Weights.Layers) - 1))
	wanted := last.wanted(last.b.Temp("head.streams", op.Logits, m.Config.Streams*m.Config.Hidden), f.streams)
	pre := last.wanted(last.b.Temp("head.pre", op.Logits, m.Config.Streams), f.pre)
	norm := (&layout{m.Config, m.Weights, last.prefix}).norm("norm.weight", m.Config.Hidden)
	last.v41Head(wanted, pre, norm, draftBase)
	return b.Program()
}

// v41DraftChain is DraftChain.
func (m *Model) v41DraftChain(caps op.Caps) *op.Program {
	c := m.Config
	b, r := m.recordBlock("draft.chain", caps, c.DSpark.BlockSize)
	r = r.at(stageName(c.DSpark.Stages - 1))
	l := &layout{c, m.Weights, r.prefix}
	token := r.b.Temp("markov", op.Rows, c.DSpark.MarkovRank)
	r.b.Add(op.Embed{Token: op.Token, W: r.weight(l.plain("markov_head.embed.weight", c.Vocab, c.DSpark.MarkovRank)), Y: op.Out(token), Copies: 1})
	before := r.wanted(r.b.Temp("markov.in", op.Logits, c.DSpark.MarkovRank), op.In(token))
	shift := r.linear("markov.out", r.input(before), l.plain("markov_head.head.weight", c.Vocab, c.DSpark.MarkovRank))
	base := b.IO(draftBase, op.Rows, c.Vocab)
	r.b.Add(op.Add{A: shift, B: r.wanted(r.b.Temp("base", op.Logits, c.Vocab), op.In(base)), Y: op.Out(b.IO(DraftLogitsName, op.Logits, c.Vocab))})

	x := r.wanted(r.b.Temp("hidden", op.Logits, c.Hidden), op.In(b.IO(draftHidden, op.Rows, c.Hidden)))
	known := r.b.Temp("confidence.in", op.Logits, c.Hidden+c.DSpark.MarkovRank)
	r.b.Add(op.Join{A: x, B: before, Y: op.Out(known)})
	score := l.plain("confidence_head.proj.weight", 1, c.Hidden+c.DSpark.MarkovRank)
	r.b.Add(op.Linear{X: op.In(known), W: r.weight(score), Y: op.Out(b.IO(ConfidenceName, op.Logits, 1)), Groups: 1})
	return b.Program()
}
