package plan

import (
	"strings"

	"baleen/internal/deepseek"
	"baleen/internal/op"
)

// costOnly returns the shape of a model that is recorded for its cost alone, or nil.
func costOnly(name string) *Shape {
	switch strings.ToLower(name) {
	case "v3", "r1", "v3.1":
		return mlaShape(name, false)
	case "v3.2":
		return mlaShape(name, true)
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
