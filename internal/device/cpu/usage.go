package cpu

import (
	"baleen/internal/op"
	"baleen/internal/quant"
)

// use is how the ops of a program read a weight, and so how the weight is kept.
type use struct {
	panels bool // products: repacked, 16 output rows interleaved
	comes  bool // by mixtures of experts alone: its parts may come from disk when they are chosen
	rows   bool // single rows by token: read from where it lies when they are wanted
	groups int  // of a grouped product: panels do not cross groups
}

// usage looks at all ops of a program.
func usage(p *op.Program, id op.ID) use {
	u := use{groups: 1}
	others := false
	for _, o := range p.Ops {
		switch o := o.(type) {
		case op.Linear:
			if op.ID(o.W) == id {
				u.panels, u.groups, others = true, o.Groups, true
			}
		case op.ExpertLinear:
			others = others || op.ID(o.W) == id
			u.panels = u.panels || others
		case op.Experts:
			u.comes = u.comes || op.ID(o.W1) == id || op.ID(o.W2) == id || op.ID(o.W3) == id
		case op.Embed:
			u.rows = u.rows || op.ID(o.W) == id
		case op.Lookup:
			u.rows = u.rows || op.ID(o.W) == id
		}
	}
	kind := p.Buffer(id).Format.Kind
	u.rows = u.rows || kind == quant.KindI64 || kind == quant.KindI32 // also where nobody reads it
	u.panels = u.panels || u.comes
	u.comes = u.comes && !others
	return u
}
