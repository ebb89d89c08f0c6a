package deepseek

import (
	"fmt"

	"baleen/internal/op"
)

// Shared is the folder of -shared.
var Shared = shared

// Alone records a part of the model by itself. Its input is an IO of the name that the goldens give it: the attention or
// ffn of a block, called "layers.3.attn" or "mtp.0.ffn", a whole "layers.3", or "mtp.0", which is only what comes before its
// block.
func (m *Model) Alone(part string, caps op.Caps) *op.Program {
	b := op.NewBuilder(part, caps)
	r := m.record(b)
	c := m.Config
	if part == "mtp.0" {
		r.at(part).fuse(op.In(b.IO("mtp.0.hidden", op.Rows, c.Streams*c.Hidden)), m.Weights.MTP)
		return b.Program()
	}
	block, ratio, sublayer := &m.Weights.MTP.Layer, 0, "mtp.0"
	for i := range m.Weights.Layers {
		if name := fmt.Sprint("layers.", i); len(part) >= len(name) && part[:len(name)] == name {
			block, ratio, sublayer = &m.Weights.Layers[i], c.Ratios[i], name
		}
	}
	at := r.at(sublayer)
	switch part {
	case sublayer + ".attn":
		at.at("attn").attention(op.In(b.IO(part+".in", op.Rows, c.Hidden)), &block.Attn, ratio)
	case sublayer + ".ffn":
		at.at("ffn").moe(op.In(b.IO(part+".in", op.Rows, c.Hidden)), &block.FFN)
	case sublayer:
		at.block(op.In(b.IO(part+".in", op.Rows, c.Streams*c.Hidden)), block, ratio, 0)
	default:
		panic("no such part: " + part)
	}
	return b.Program()
}
