package deepseek

import "baleen/internal/op"

// draftStreams is the IO from Draft to DraftNext and from that to itself: the block's streams of the rows that wanted logits.
const draftStreams = "mtp_streams"

// WithoutDrafter returns the model without what drafts: no program runs it, and its weights are not counted.
func (m *Model) WithoutDrafter() *Model {
	without, w := *m, *m.Weights
	w.MTP, w.Drafter = nil, nil
	w.all, w.drafts = w.all[:len(w.all)-w.drafts:len(w.all)-w.drafts], 0
	without.Weights = &w
	return &without
}

// Draft records the multi-token prediction block (model spec 10), or returns nil where the checkpoint has none. Row i has the
// streams of position i, read from the IO that Forward writes, and the token of position i+1; its logits predict the
// token of position i+2. The block is a layer of its own, with a window and no compression.
//
// Alignment, and whether the embedding at position 0 counts as zeros, is UNCONFIRMED; the latter is Quirks.MTPZeroFirst.
func (m *Model) Draft(caps op.Caps) *op.Program {
	w := m.Weights.MTP
	if w == nil {
		return nil
	}
	b := op.NewBuilder("draft", caps)
	width := m.Config.Streams * m.Config.Hidden
	streams := op.In(b.IO(m.StreamsName(), op.Rows, width))

	r := m.record(b).at("mtp.0")
	y := r.block(r.fuse(streams, w), &w.Layer, 0, 0)
	wanted := r.wanted(b.IO(draftStreams, op.Logits, width), y)
	r.headThrough(r.b.Temp("hc_head_x", op.Logits, m.Config.Hidden), wanted, w.HCHead, w.Norm, DraftLogitsName)
	return b.Program()
}

// DraftNext records how a draft goes on, or returns nil where the checkpoint has no such block: the block feeds on its own
// streams. Its rows are those that wanted logits in the Draft or DraftNext before, in that order, each with the token drafted
// from them and a position further. Where all rows want logits again, it may be run again.
func (m *Model) DraftNext(caps op.Caps) *op.Program {
	w := m.Weights.MTP
	if w == nil {
		return nil
	}
	b := op.NewBuilder("draft.next", caps)
	streams := b.IO(draftStreams, op.Rows, m.Config.Streams*m.Config.Hidden)
	r := m.record(b).at("mtp.0")
	y := r.block(r.fuse(op.In(streams), w), &w.Layer, 0, streams)
	r.head(y, w.HCHead, w.Norm, DraftLogitsName)
	return b.Program()
}

// fuse makes the block's streams: Y_j = e_proj e + h_proj X_j, both normed before.
func (r recorder) fuse(streams op.In, w *MTP) op.In {
	var zeroFirst op.In
	if r.Quirks.MTPZeroFirst {
		zeroFirst = op.Position
	}
	token := r.b.Temp("embed", op.Rows, r.Config.Hidden)
	r.b.Add(op.Embed{Token: op.Token, W: r.weight(r.Weights.Embed), Y: op.Out(token), Copies: 1, ZeroFirst: zeroFirst})
	e := r.linear("e_proj", r.input(r.rmsnorm("e", op.In(token), w.ENorm)), w.EProj)

	h := r.input(r.rmsnorm("h", streams, w.HNorm))
	h.width = r.Config.Hidden // every stream is a row of its own
	y := r.b.Temp("in", op.Rows, r.Config.Streams*r.Config.Hidden)
	r.b.Add(op.Add{A: e, B: r.linear("h_proj", h, w.HProj), Y: op.Out(y)})
	return op.In(y)
}
