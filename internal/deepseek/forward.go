package deepseek

import (
	"fmt"
	"slices"

	"baleen/internal/op"
)

// Forward records the pass from tokens to logits. Its IO are the logits of the rows that want them, [logits, vocabulary],
// and for what drafts the streams behind the last layer, or behind each layer that feeds a block drafter, [rows, n*d].
func (m *Model) Forward(caps op.Caps) *op.Program {
	b := op.NewBuilder("forward", caps)
	r := m.record(b)
	streams := r.embed()
	for i := range m.Weights.Layers {
		var out op.ID
		if m.shows(i) {
			out = b.IO(streamsName(i), op.Rows, m.Config.Streams*m.Config.Hidden)
		}
		streams = r.at(layerName(i)).block(streams, &m.Weights.Layers[i], m.Config.Ratios[i], out)
	}
	r.head(streams, m.Weights.HCHead, m.Weights.Norm, LogitsName)
	return b.Program()
}

// Names of IO.
const (
	LogitsName      = "logits"
	DraftLogitsName = "mtp_logits"
	ConfidenceName  = "mtp_confidence"
)

// StreamsName is the name of the streams behind the last layer, in Forward and in Draft.
func (m *Model) StreamsName() string { return streamsName(m.Config.Layers - 1) }

func layerName(i int) string { return fmt.Sprintf("layers.%d", i) }

func streamsName(i int) string { return layerName(i) + ".out" }

// shows tells whether the streams behind a layer are an IO.
func (m *Model) shows(i int) bool {
	return i == m.Config.Layers-1 || m.Weights.Drafter != nil && slices.Contains(m.Config.DSpark.Targets, i)
}

// embed makes the streams of every row: n equal copies of the token's vector.
func (r recorder) embed() op.In {
	y := r.b.Temp("embed", op.Rows, r.Config.Streams*r.Config.Hidden)
	r.b.Add(op.Embed{Token: op.Token, W: r.weight(r.Weights.Embed), Y: op.Out(y), Copies: r.Config.Streams})
	return op.In(y)
}

// block records one layer: attention and experts, each between a collapse of the streams and their expansion (model spec
// 4). There is no other residual connection. What it gives goes into the activation out, or where that is none into one of its
// own.
func (r recorder) block(streams op.In, w *Layer, ratio int, out op.ID) op.In {
	width := r.Config.Streams * r.Config.Hidden

	x, site := r.collapse("hc_attn", streams, w.HCAttn)
	a := r.at("attn").attention(r.rmsnorm("attn.in", x, w.AttnNorm), &w.Attn, ratio)
	streams = r.expand(r.b.Temp("attn.streams", op.Rows, width), a, site)

	x, site = r.collapse("hc_ffn", streams, w.HCFFN)
	m := r.at("ffn").moe(r.rmsnorm("ffn.in", x, w.FFNNorm), &w.FFN)
	if out == 0 {
		out = r.b.Temp("out", op.Rows, width)
	}
	return r.expand(out, m, site)
}
