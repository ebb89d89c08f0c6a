package deepseek

import (
	"fmt"

	"baleen/internal/op"
)

// Forward records the pass from tokens to logits. Its IO are the logits of the rows that want them, [logits, vocabulary],
// and the streams behind the last layer, [rows, n*d], for Draft.
func (m *Model) Forward(caps op.Caps) *op.Program {
	b := op.NewBuilder("forward", caps)
	r := m.record(b)
	streams := r.embed()
	for i := range m.Weights.Layers {
		streams = r.at(fmt.Sprintf("layers.%d", i)).block(streams, &m.Weights.Layers[i], m.Config.Ratios[i], i == m.Config.Layers-1)
	}
	r.head(streams, m.Weights.HCHead, m.Weights.Norm, LogitsName)
	return b.Program()
}

// Names of IO.
const (
	LogitsName      = "logits"
	DraftLogitsName = "mtp_logits"
)

// StreamsName is the name of the streams behind the last layer, in Forward and in Draft.
func (m *Model) StreamsName() string { return fmt.Sprintf("layers.%d.out", m.Config.Layers-1) }

// embed makes the streams of every row: n equal copies of the token's vector.
func (r recorder) embed() op.In {
	y := r.b.Temp("embed", op.Rows, r.Config.Streams*r.Config.Hidden)
	r.b.Add(op.Embed{Token: op.Token, W: r.weight(r.Weights.Embed), Y: op.Out(y), Copies: r.Config.Streams})
	return op.In(y)
}

// block records one layer: attention and experts, each between a collapse of the streams and their expansion (model spec
// 4). There is no other residual connection. The last block's streams are an IO.
func (r recorder) block(streams op.In, w *Layer, ratio int, last bool) op.In {
	width := r.Config.Streams * r.Config.Hidden

	x, site := r.collapse("hc_attn", streams, w.HCAttn)
	a := r.at("attn").attention(r.rmsnorm("attn.in", x, w.AttnNorm), &w.Attn, ratio)
	streams = r.expand(r.b.Temp("attn.streams", op.Rows, width), a, site)

	x, site = r.collapse("hc_ffn", streams, w.HCFFN)
	m := r.at("ffn").moe(r.rmsnorm("ffn.in", x, w.FFNNorm), &w.FFN)
	if last {
		return r.expand(r.b.IO(r.StreamsName(), op.Rows, width), m, site)
	}
	return r.expand(r.b.Temp("out", op.Rows, width), m, site)
}
