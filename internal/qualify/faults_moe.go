//go:build faults

package qualify

import (
	"math"
	"strings"

	"baleen/internal/op"
	"baleen/internal/quant"
)

func bf(x float32) float32 { return quant.BF16(quant.ToBF16(x)) }

// inBF16 rounds an activation.
func inBF16(x []float32) {
	for i := range x {
		x[i] = bf(x[i])
	}
}

// routerFaults are those of the choice and weights of experts.
func routerFaults() []fault {
	affinity := func(f func(g float32) float32) func(s *site) {
		return func(s *site) {
			o := s.op.(op.SqrtSoftplus)
			g := s.floats(op.ID(o.X))
			s.edit(op.ID(o.Y), func(y []float32) {
				for i := range y {
					y[i] = f(g[i])
				}
			})
		}
	}
	tokens := func(change func(x []int32)) func(s *site) {
		return func(s *site) { s.retable(s.op.(op.Lookup).Token, change) }
	}
	return []fault{
		{name: "router-logits-bf16", about: "B09", at: func(s *site) bool {
			o, ok := s.op.(op.Linear)
			return ok && strings.HasSuffix(s.e.Buffer(op.ID(o.Y)).Name, "gate.logits")
		}, after: func(s *site) { s.edit(op.ID(s.op.(op.Linear).Y), inBF16) }},
		{name: "routing-weights-bf16", about: "1.1", at: is[op.RouteWeights], after: func(s *site) { s.edit(op.ID(s.op.(op.RouteWeights).W), inBF16) }},
		{name: "softplus-naive", about: "B08: log(1+exp) in float32", at: is[op.SqrtSoftplus], after: affinity(func(g float32) float32 {
			e := float32(math.Exp(float64(g)))
			return float32(math.Sqrt(float64(float32(math.Log(float64(1 + e))))))
		})},
		{name: "sigmoid-affinity", about: "B14", at: is[op.SqrtSoftplus], after: affinity(func(g float32) float32 { return float32(sigmoid(float64(g))) })},
		{name: "route-floor", about: "B08: weights of a row with small affinities vanish", at: is[op.RouteWeights], after: func(s *site) {
			o := s.op.(op.RouteWeights)
			a, ids, k := s.floats(op.ID(o.A)), s.ids(op.ID(o.Ids)), s.cols(op.ID(o.Ids))
			s.edit(op.ID(o.W), func(w []float32) {
				for i := range w {
					if a[i/k*s.cols(op.ID(o.A))+int(ids[i])] < 1e-12 {
						w[i] = 0
					}
				}
			})
		}},
		{name: "route-scale-twice", about: "B10", patch: func(_ *op.Program, o op.Op) op.Op {
			if r, ok := o.(op.RouteWeights); ok {
				r.Scale *= r.Scale
				return r
			}
			return o
		}},
		{name: "bias-in-weights", about: "1.1: weights from biased scores", patch: func(p *op.Program, o op.Op) op.Op {
			r, ok := o.(op.RouteWeights)
			if biased := p.Lookup(p.Buffer(op.ID(r.A)).Name + "_biased"); ok && biased != 0 {
				r.A = op.In(biased)
				return r
			}
			return o
		}},
		{name: "bias-dropped", about: "B16", at: is[op.AddBias], after: func(s *site) {
			o := s.op.(op.AddBias)
			s.set(op.ID(o.Y), s.floats(op.ID(o.X)))
		}},
		{name: "bias-of-one-expert", about: "B16: the last expert has no bias", at: is[op.AddBias], after: func(s *site) {
			o := s.op.(op.AddBias)
			x, n := s.floats(op.ID(o.X)), s.cols(op.ID(o.X))
			s.edit(op.ID(o.Y), func(y []float32) {
				for i := n - 1; i < len(y); i += n {
					y[i] = x[i]
				}
			})
		}},
		{name: "hash-of-token-0", about: "B15: in runs of one row", at: is[op.Lookup], before: tokens(func(x []int32) {
			if len(x) == 1 {
				x[0] = 0
			}
		})},
		{name: "hash-of-previous-token", about: "1.1", at: is[op.Lookup], before: tokens(func(x []int32) {
			for i := len(x) - 1; i > 0; i-- {
				x[i] = x[i-1]
			}
		})},
	}
}

// expertFaults are those between the choice of experts and their sum.
func expertFaults() []fault {
	return []fault{
		{name: "no-clamp-shared", about: "B12", patch: limits(func(o op.SwiGLU) float64 { return map[bool]float64{true: 0, false: o.Limit}[o.W == 0] }, nil)},
		{name: "no-clamp-routed", about: "B13", patch: limits(func(o op.SwiGLU) float64 { return map[bool]float64{true: o.Limit, false: 0}[o.W == 0] }, func(o *op.Experts) { o.Limit = 0 })},
		{name: "clamp-symmetric", about: "1.1: the gate is clamped below, too", unfused: true, at: is[op.SwiGLU], before: func(s *site) {
			o := s.op.(op.SwiGLU)
			s.edit(op.ID(o.G), func(g []float32) {
				for i := range g {
					if o.Limit > 0 && g[i] < -float32(o.Limit) {
						g[i] = -float32(o.Limit)
					}
				}
			})
		}},
		{name: "hidden-not-quantised", about: "an activation that experts meet", unfused: true, patch: func(p *op.Program, o op.Op) op.Op {
			if q, ok := o.(op.Quantise); ok && strings.HasSuffix(p.Buffer(op.ID(q.X)).Name, "hidden") && op.ID(q.X) == op.ID(q.Y) {
				return nil
			}
			return o
		}},
		{name: "routing-weight-twice", about: "issue 3", unfused: true, at: is[op.SwiGLU], after: func(s *site) {
			o := s.op.(op.SwiGLU)
			if o.W == 0 {
				return
			}
			w, slots, cols := s.floats(op.ID(o.W)), s.cols(op.ID(o.W)), s.cols(op.ID(o.H))
			s.edit(op.ID(o.H), func(h []float32) {
				for i := range h {
					h[i] *= w[i/cols*slots+i%cols/(cols/slots)]
				}
			})
		}},
		{name: "weight-of-first-slot", about: "B19: all slots have the weight of the first", unfused: true, at: is[op.SwiGLU], before: func(s *site) {
			if o := s.op.(op.SwiGLU); o.W != 0 {
				slots := s.cols(op.ID(o.W))
				s.edit(op.ID(o.W), func(w []float32) {
					for i := range w {
						w[i] = w[i/slots*slots]
					}
				})
			}
		}},
		{name: "shared-twice", about: "B21: in runs of at most 8 rows", unfused: true, at: is[op.Combine], after: func(s *site) {
			o := s.op.(op.Combine)
			shared := s.floats(op.ID(o.Shared))
			s.edit(op.ID(o.Y), func(y []float32) {
				for i := range y {
					if s.rows() <= 8 {
						y[i] += shared[i]
					}
				}
			})
		}},
		{name: "wide-reduce", about: "B19: the last slot is lost beyond column 6144", unfused: true, at: is[op.Combine], after: func(s *site) {
			o := s.op.(op.Combine)
			x, k, d := s.floats(op.ID(o.X)), s.cols(op.ID(o.Ids)), s.cols(op.ID(o.Y))
			s.edit(op.ID(o.Y), func(y []float32) {
				for i := range y {
					if i%d >= 6144 {
						y[i] -= x[(i/d*k+k-1)*d+i%d]
					}
				}
			})
		}},
		{name: "expert-of-other-row", about: "B17: among more than 64 rows the last has the expert of the one before", unfused: true, at: is[op.ExpertLinear], before: func(s *site) {
			o := s.op.(op.ExpertLinear)
			ids, k := s.ids(op.ID(o.Ids)), s.cols(op.ID(o.Ids))
			s.kept = append([]int32(nil), ids...)
			if n := len(ids); n > 64*k {
				copy(ids[n-k:], ids[n-2*k:n-k])
				s.setIDs(op.ID(o.Ids), ids)
			}
		}, after: func(s *site) { s.setIDs(op.ID(s.op.(op.ExpertLinear).Ids), s.kept.([]int32)) }},
		{name: "slots-share-input", about: "the last slot's down product meets the input of the first", unfused: true, at: is[op.ExpertLinear], before: func(s *site) {
			o := s.op.(op.ExpertLinear)
			cols, k := s.cols(op.ID(o.X)), s.cols(op.ID(o.W))
			if cols == k {
				return
			}
			s.edit(op.ID(o.X), func(x []float32) {
				for row := 0; row < len(x); row += cols {
					copy(x[row+cols-k:][:k], x[row:row+k])
				}
			})
		}},
		{name: "silu-fast-exp", about: "3.3: the sigmoid has 12 bits", unfused: true, at: is[op.SwiGLU], after: func(s *site) {
			s.edit(op.ID(s.op.(op.SwiGLU).H), func(h []float32) {
				for i := range h {
					h[i] = math.Float32frombits(math.Float32bits(h[i]) &^ 0x7ff)
				}
			})
		}},
	}
}

// limits changes the limits of gates.
func limits(limit func(o op.SwiGLU) float64, routed func(o *op.Experts)) func(*op.Program, op.Op) op.Op {
	return func(_ *op.Program, o op.Op) op.Op {
		switch o := o.(type) {
		case op.SwiGLU:
			o.Limit = limit(o)
			return o
		case op.Experts:
			if routed != nil {
				routed(&o)
			}
			return o
		}
		return o
	}
}
