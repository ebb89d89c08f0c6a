package plan

import (
	"testing"

	"baleen/internal/op"
)

// TestMLA: V3 and V3.2 have the sizes that were published: 671 B parameters, 37 B of them met by a token, 14 B more in the block
// that drafts, and for V3.2 48,068 bytes of state for a token (model spec 12.5; scales are packed closer here).
func TestMLA(t *testing.T) {
	p := mlaProgram(false, false)
	var all, active float64
	for i, b := range p.Buffers {
		if b.Space != op.Weight || i == 0 {
			continue
		}
		n := float64(b.Parts) * float64(b.Rows) * float64(b.Cols)
		all += n
		switch {
		case b.Parts > 1:
			active += n * mlaActive / mlaRouted
		case b.Name != "embed.weight":
			active += n
		}
	}
	published(t, "parameters", all, 671e9, 0.01)
	published(t, "active parameters", active, 36.6e9, 0.02) // 37 with the embedding
	v3, v32 := shape(t, "v3"), shape(t, "v3.2")
	published(t, "state of V3", v3.state.PerToken, 61*656, 0.02)
	published(t, "state of V3.2", v32.state.PerToken, 48068, 0.03)
	var flops, attention float64
	for _, w := range v3.forward.of(load{rows: 1, sequences: 1, contexts: []int{4096}, logits: 1}) {
		if w.attend {
			attention += w.flops
		} else {
			flops += w.flops
		}
	}
	published(t, "flops", flops, 2*active, 0.01)
	published(t, "attention", attention, 61*128*4096*2*(576+512), 0.07) // values are as wide as keys here
	published(t, "drafter", v3.size.draft, 11.5e9, 0.03)
}
