package bench

import (
	"baleen/internal/deepseek"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// Groups that ms_by names: two of deepseek.PartOf's, and what is no op.
const (
	experts  = "experts"
	head     = "head"
	sampling = "sample"
	waiting  = "wait" // of the time of a pass, what no op took
)

// part is where in the model an op belongs.
type part struct {
	layer int // or -1
	group string
}

func partsOf(p *op.Program) []part {
	parts := make([]part, len(p.Ops))
	for i, o := range p.Ops {
		parts[i].layer, parts[i].group = deepseek.PartOf(p, o)
	}
	return parts
}

// Groups names for each op of a program the group that its time is reported under.
func Groups(p *op.Program) []string {
	groups := make([]string, len(p.Ops))
	for i, part := range partsOf(p) {
		groups[i] = part.group
	}
	return groups
}

// work is what an op must read and compute.
type work struct {
	weights  [quant.KindI64 + 1]int64
	kv       int64
	products int64 // floating-point operations of products of activations with weights
	all      int64 // these, attention and index scores
}

func (w work) bytes() int64 {
	n := w.kv
	for _, kind := range w.weights {
		n += kind
	}
	return n
}

// over divides the work of a run by its units.
func (w work) over(units int) work {
	n := int64(units)
	for kind := range w.weights {
		w.weights[kind] /= n
	}
	w.kv, w.products, w.all = w.kv/n, w.products/n, w.all/n
	return w
}

func (w *work) add(v work) {
	for kind := range w.weights {
		w.weights[kind] += v.weights[kind]
	}
	w.kv, w.products, w.all = w.kv+v.kv, w.products+v.products, w.all+v.all
}

// workOf is each op's work in a unit. Experts count as often as they are expected to be read where tokens
// spread evenly. A chunk's rows share what they remember: of it only what the last one reads is counted.
func workOf(p *op.Program, m *measured) []work {
	list := make([]work, len(p.Ops))
	one := *p
	for i, o := range p.Ops {
		one.Ops = p.Ops[i : i+1]
		attends := attends(o)
		for _, load := range m.loads {
			cost := one.Cost(load)
			w := work{weights: cost.Weights, kv: cost.KV + cost.Pooled, all: cost.Flops}
			if m.phase == "prefill" {
				w.kv = one.Cost(op.Load{Contexts: load.Contexts[len(load.Contexts)-1:], Logits: load.Logits}).KV
			}
			if !attends {
				w.products = cost.Flops
			}
			list[i].add(w)
		}
		list[i] = list[i].over(m.units)
	}
	return list
}

// attends tells whether an op computes with what is remembered, not with weights.
func attends(o op.Op) bool {
	switch o.(type) {
	case op.Attend, op.IndexScore, op.Select:
		return true
	}
	return false
}

// sum adds up the work of the parts that are wanted.
func sum(list []work, parts []part, wanted func(part) bool) (total work) {
	for i, w := range list {
		if wanted(parts[i]) {
			total.add(w)
		}
	}
	return total
}

func everywhere(part) bool { return true }
func inLayers(p part) bool { return p.layer >= 0 }
func inHead(p part) bool   { return p.group == head }

func inExperts(p part) bool { return p.group == experts }
