//go:build faults

package qualify

import (
	"strings"

	"baleen/internal/op"
)

// draftFaults are those of what drafts, and of the ops that only block drafters have.
func draftFaults() []fault {
	in := func(program string, kind func(*site) bool) func(*site) bool {
		return func(s *site) bool { return s.e.Name == program && kind(s) }
	}
	return []fault{
		{name: "mean-last-part", about: "of parts side by side the last counts for nothing and the one before twice", at: is[op.Mean], before: func(s *site) {
			o := s.op.(op.Mean)
			d, wide := s.cols(op.ID(o.Y)), s.cols(op.ID(o.X))
			s.kept = s.floats(op.ID(o.X))
			if wide > d {
				s.edit(op.ID(o.X), func(x []float32) {
					for at := wide; at <= len(x); at += wide {
						copy(x[at-d:at], x[at-2*d:at-d])
					}
				})
			}
		}, after: func(s *site) { s.set(op.ID(s.op.(op.Mean).X), s.kept.([]float32)) }},
		{name: "mean-in-bf16", about: "1.2: means are rounded to bfloat16", at: is[op.Mean], after: onOutput(func(_ *site, y []float32, _ int) { inBF16(y) })},
		{name: "join-row-before", about: "B27: the second part of the last of several rows is that of the one before", at: is[op.Join], after: onOutput(func(s *site, y []float32, cols int) {
			if a, n := s.cols(op.ID(s.op.(op.Join).A)), len(y); n > cols {
				copy(y[n-cols+a:], y[n-2*cols+a:n-cols])
			}
		})},
		{name: "join-tail", about: "of a first part that fills no four the last number is lost", at: is[op.Join], after: onOutput(func(s *site, y []float32, cols int) {
			a := s.cols(op.ID(s.op.(op.Join).A))
			for at := a - 1; a%4 != 0 && at < len(y); at += cols {
				y[at] = 0
			}
		})},
		{name: "block-causal", about: "11: rows of a block do not see those behind them", patch: func(p *op.Program, o op.Op) op.Op {
			if a, ok := o.(op.Attend); ok && a.Position == op.In(p.Lookup("last")) && a.Position != 0 {
				a.Position = op.Position
				return a
			}
			return o
		}},
		{name: "context-stage-lost", about: "11: the second stage does not see the last of several rows", at: in("draft.context", func(s *site) bool {
			return is[op.Store](s) && strings.HasPrefix(s.e.Buffer(output(s)).Name, "mtp.1.")
		}), before: func(s *site) { s.kept = s.bytes(output(s)) }, after: func(s *site) {
			o, b, old := s.op.(op.Store), s.e.Buffer(output(s)), s.kept.([]byte)
			if i := s.rows() - 1; i > 0 {
				now, n := s.bytes(output(s)), b.Row.Bytes()
				at := placeOf(b, nil, s.args.Tables[o.Slot][i], int(s.args.Tables[o.Entry][i])) * n
				copy(now[at:at+n], old[at:])
				s.setBytes(output(s), now)
			}
		}},
		{name: "chain-token-before", about: "11: the chain corrects with the token of the row before", at: in("draft.chain", is[op.Embed]), before: func(s *site) {
			s.retable(tokenOf(s), func(x []int32) {
				for i := len(x) - 1; i > 0; i-- {
					x[i] = x[i-1]
				}
			})
		}},
		{name: "next-position", about: "10: a further draft stands where the first did", at: in("draft.next", is[op.RoPE]), before: func(s *site) {
			s.retable(s.op.(op.RoPE).Position, func(x []int32) {
				for i := range x {
					x[i]--
				}
			})
		}},
		{name: "next-streams-of-first", about: "10: a further draft feeds each stream of the block with the first", at: in("draft.next", func(s *site) bool {
			n, ok := s.op.(op.RMSNorm)
			return ok && s.e.Buffer(op.ID(n.X)).Space == op.IO
		}), before: func(s *site) {
			o := s.op.(op.RMSNorm)
			s.edit(op.ID(o.X), func(x []float32) {
				for at := 0; at < len(x); at += s.cols(op.ID(o.X)) {
					copy(x[at+o.Width:][:o.Width], x[at:][:o.Width])
				}
			})
		}},
	}
}
