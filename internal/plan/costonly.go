package plan

import (
	"strings"

	"baleen/internal/deepseek"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// costOnly returns the shape of a model that is recorded for its cost alone, or nil.
func costOnly(name string) *Shape {
	switch strings.ToLower(name) {
	case "v3", "r1", "v3.1":
		return mlaShape(name, false)
	case "v3.2":
		return mlaShape(name, true)
	case "v4.1-flash":
		return v41Shape(name)
	}
	return nil
}

// mlaShape is V3's, or with the indexer V3.2's.
func mlaShape(name string, sparse bool) *Shape {
	p := mlaProgram(sparse, false)
	s := &Shape{
		Name: name, hidden: mlaHidden, drafter: "MTP",
		forward: cut(p, mlaLayers), prefill: cut(mlaProgram(sparse, true), mlaLayers),
		state: new(deepseek.Model).StateSize(p),
		notes: []string{name + " is known for its cost alone: baleen does not run it"},
	}
	s.size.count(p)
	draft := mlaDraft(sparse)
	s.drafts = []stage{cut(draft, 1)}
	s.drafts[0].each, s.drafts[0].rows = true, 1
	for _, b := range draft.Buffers {
		if b.Space == op.Weight && strings.HasPrefix(b.Name, "mtp.") {
			s.size.draft += float64(draft.Bytes(b))
		}
	}
	return s
}

// v41Shape is V4.1-Flash's.
func v41Shape(name string) *Shape {
	v := deepseek.RecordV41(recordCaps)
	block := v.Config.DSpark.BlockSize
	s := &Shape{
		Name: name, hidden: v.Config.Hidden, drafter: "DSpark",
		forward: cut(v.Forward, v.Config.Layers), prefill: cut(v.Forward, v.Config.Layers),
		state: new(deepseek.Model).StateSize(v.Forward),
		drafts: []stage{
			{pieces: cut(v.DraftContext, 1).pieces, layers: 1},
			{pieces: cut(v.DraftBlock, 3).pieces, layers: v.Config.DSpark.Stages, rows: block},
			{pieces: cut(v.DraftChain, 1).pieces, layers: 1, each: true, rows: 1},
		},
		notes: []string{
			name + " is known for its cost alone: baleen does not run it",
			"prompts run all 40 layers, as in the released code; what runs layers 0 to 20 only (19.7) needs half the time",
		},
	}
	s.size.count(v.Forward)
	s.size.table, s.size.rest[quant.KindI32] = s.size.rest[quant.KindI32], 0 // Engram's are the only tables of that kind
	seen := map[string]bool{}
	for _, p := range []*op.Program{v.DraftContext, v.DraftBlock, v.DraftChain} {
		for _, b := range p.Buffers {
			if b.Space == op.Weight && strings.HasPrefix(b.Name, "mtp.") && !seen[b.Name] {
				seen[b.Name] = true
				s.size.draft += float64(p.Bytes(b))
			}
		}
	}
	return s
}
