//go:build faults

package qualify

import (
	"math"
	"slices"

	"baleen/internal/op"
)

// edgeFaults are those of loops that end where they should not, and of what is left over from tiles.
func edgeFaults() []fault {
	return slices.Concat(rowEdgeFaults(), columnEdgeFaults(), tokenEdgeFaults())
}

// rowEdgeFaults happen to the last rows, or at some numbers of rows only.
func rowEdgeFaults() []fault {
	lastIsCopy := func(when func(rows int) bool) func(*site) {
		return onOutput(func(_ *site, y []float32, cols int) {
			if n := len(y) / cols; n > 1 && when(n) {
				copy(y[(n-1)*cols:], y[(n-2)*cols:(n-1)*cols])
			}
		})
	}
	return []fault{
		{name: "rows-7-of-8", about: "a remainder of seven rows is computed as one of six", at: is[op.Linear], after: lastIsCopy(func(n int) bool { return n > 8 && n%8 == 7 })},
		{name: "rows-17", about: "the row behind two tiles of 8 is lost", at: is[op.Linear], after: lastIsCopy(func(n int) bool { return n == 17 })},
		{name: "whole-tiles", about: "B17: where all tiles of 64 rows are whole the last row is lost", at: is[op.Linear], after: lastIsCopy(func(n int) bool { return n%64 == 0 })},
		{name: "row-128-wraps", about: "B49: row 128 is counted modulo 128", at: is[op.Linear], after: onOutput(func(_ *site, y []float32, cols int) {
			if len(y) > 128*cols {
				copy(y[128*cols:129*cols], y[:cols])
			}
		})},
		{name: "gather-ninth", about: "of wanted rows the ninth is the eighth", at: is[op.Gather], after: onOutput(func(_ *site, y []float32, cols int) {
			if len(y) > 8*cols {
				copy(y[8*cols:9*cols], y[7*cols:8*cols])
			}
		})},
		{name: "norm-row-rest", about: "the last of three rows beyond fours is not weighted", at: func(s *site) bool {
			o, ok := s.op.(op.RMSNorm)
			return ok && o.W != 0 && op.ID(o.X) != op.ID(o.Y)
		}, after: func(s *site) {
			o := s.op.(op.RMSNorm)
			x, cols := s.floats(op.ID(o.X)), s.cols(op.ID(o.X))
			s.edit(op.ID(o.Y), func(y []float32) {
				if n := len(y) / cols; n%4 == 3 {
					for at := (n - 1) * cols; at < len(y); at += o.Width {
						r, _ := rho(x[at:][:o.Width], o.Eps)
						for j := range o.Width {
							y[at+j] = float32(float64(x[at+j]) * r)
						}
					}
				}
			})
		}},
		{name: "quantiser-row-32", about: "of more than 32 rows the 33rd is not rounded", at: is[op.Quantise], before: keepX, after: onOutput(func(s *site, y []float32, cols int) {
			if len(y) > 32*cols {
				copy(y[32*cols:33*cols], s.kept.([]float32)[32*cols:])
			}
		})},
		{name: "collapse-odd-row", about: "B27: the last of an odd number of rows has the weights of the one before", at: is[op.HCCollapse], before: func(s *site) {
			o := s.op.(op.HCCollapse)
			n := s.cols(op.ID(o.Pre))
			s.edit(op.ID(o.Pre), func(p []float32) {
				if rows := len(p) / n; rows > 1 && rows%2 == 1 {
					copy(p[(rows-1)*n:], p[(rows-2)*n:(rows-1)*n])
				}
			})
		}},
		{name: "expand-third-row", about: "B27: the third row is expanded with the weights of the second", at: is[op.HCExpand], before: func(s *site) {
			o := s.op.(op.HCExpand)
			n := s.cols(op.ID(o.Post))
			s.edit(op.ID(o.Post), func(p []float32) {
				if len(p) > 2*n {
					copy(p[2*n:3*n], p[n:2*n])
				}
			})
		}},
		{name: "rope-last-row", about: "the last head of the last of several rows is not rotated", at: is[op.RoPE], before: keepOutput, after: onOutput(func(s *site, x []float32, cols int) {
			if w := s.op.(op.RoPE).Width; len(x) > cols {
				copy(x[len(x)-w:], s.kept.([]float32)[len(x)-w:])
			}
		})},
		{name: "add-of-first-row", about: "a narrow summand is that of the first row", at: is[op.Add], before: func(s *site) {
			o := s.op.(op.Add)
			n := s.cols(op.ID(o.A))
			if n == s.cols(op.ID(o.B)) {
				return
			}
			s.edit(op.ID(o.A), func(a []float32) {
				if len(a) > n {
					copy(a[len(a)-n:], a[:n])
				}
			})
		}},
	}
}

// columnEdgeFaults happen to the last columns, channels or parts.
func columnEdgeFaults() []fault {
	return []fault{
		{name: "column-rest", about: "B17: of columns that fill no 64 the last of the last row is its neighbour", at: is[op.Linear], after: onOutput(func(s *site, y []float32, cols int) {
			if n := len(y); n > cols && s.e.Buffer(op.ID(s.op.(op.Linear).W)).Rows%64 > 1 {
				y[n-1] = y[n-2]
			}
		})},
		{name: "k-rest", about: "inputs beyond the last whole 64 are not counted", at: is[op.Linear], before: func(s *site) {
			o := s.op.(op.Linear)
			k := s.cols(op.ID(o.W))
			s.kept = s.floats(op.ID(o.X))
			if k%64 != 0 {
				s.edit(op.ID(o.X), func(x []float32) {
					for at := k; at <= len(x); at += k {
						clear(x[at-k%64 : at])
					}
				})
			}
		}, after: func(s *site) { s.set(op.ID(s.op.(op.Linear).X), s.kept.([]float32)) }},
		{name: "head-last-columns", about: "of more than 1,000 columns the last five are those of the row before", at: is[op.Linear], after: onOutput(func(_ *site, y []float32, cols int) {
			if n := len(y); cols > 1000 && n > cols {
				copy(y[n-5:], y[n-5-cols:n-cols])
			}
		})},
		{name: "thread-slice-stale", about: "B47: in one product of 30 a thread's 16 columns are those of the run before", at: is[op.Linear], before: keepOutput, after: onOutput(func(s *site, y []float32, cols int) {
			if n := cols / 2 / 16 * 16; n > 0 && s.chance(30) {
				for at := n; at < len(y); at += cols {
					copy(y[at:at+16], s.kept.([]float32)[at:])
				}
			}
		})},
		{name: "hadamard-last-part", about: "the last of several parts is not transformed", at: is[op.Hadamard], before: keepOutput, after: onOutput(func(s *site, x []float32, cols int) {
			for at := cols; at <= len(x); at += cols {
				if w := s.op.(op.Hadamard).Width; cols > w {
					copy(x[at-w:at], s.kept.([]float32)[at-w:])
				}
			}
		})},
		{name: "copies-last", about: "of side by side copies of the last row the last is missing", at: is[op.Embed], after: onOutput(func(s *site, y []float32, cols int) {
			if n := s.op.(op.Embed).Copies; n > 1 && len(y) > cols {
				clear(y[len(y)-cols/n:])
			}
		})},
		{name: "short-group", about: "4: the last group, if it is short, is rounded with what stands behind it", at: is[op.Quantise], before: keepX, after: onOutput(func(s *site, y []float32, _ int) {
			q, x := s.op.(op.Quantise), s.kept.([]float32)
			n := q.Channels % q.Group
			if q.Kind != 0 && n == 0 || q.Channels == q.Width {
				return
			}
			for at := 0; at < len(y); at += q.Width {
				from := at + q.Channels - n
				scale := powerCeil(max(largest(x[from:][:min(q.Group, q.Width-q.Channels+n)]), 1e-4) / most(q))
				copy(y[from:][:n], x[from:])
				toCodes(q, y[from:][:n], scale)
			}
		})},
	}
}

// tokenEdgeFaults are those of experts with few or many tokens.
func tokenEdgeFaults() []fault {
	of := func(change func(s *site, y []float32, n int, tokens map[int32][]int, ids []int32)) func(*site) {
		return func(s *site) {
			o := s.op.(op.ExpertLinear)
			ids, tokens := s.ids(op.ID(o.Ids)), map[int32][]int{}
			for i, e := range ids {
				tokens[e] = append(tokens[e], i)
			}
			s.edit(op.ID(o.Y), func(y []float32) { change(s, y, len(y)/max(len(ids), 1), tokens, ids) })
		}
	}
	return []fault{
		{name: "ninth-token", about: "an expert's ninth token has the result of its eighth", unfused: true, at: is[op.ExpertLinear], after: of(func(_ *site, y []float32, n int, tokens map[int32][]int, _ []int32) {
			for _, list := range tokens {
				if len(list) > 8 {
					copy(y[list[8]*n:][:n], y[list[7]*n:][:n])
				}
			}
		})},
		{name: "lone-token", about: "in a run of more than 16 rows an expert with one token gives nothing", unfused: true, at: is[op.ExpertLinear], after: of(func(s *site, y []float32, n int, tokens map[int32][]int, _ []int32) {
			for _, list := range tokens {
				if len(list) == 1 && s.rows() > 16 {
					clear(y[list[0]*n:][:n])
				}
			}
		})},
		{name: "last-expert-none", about: "the last expert gives nothing where there is more than one row", unfused: true, at: is[op.ExpertLinear], after: of(func(s *site, y []float32, n int, _ map[int32][]int, ids []int32) {
			last := int32(s.e.Buffer(op.ID(s.op.(op.ExpertLinear).W)).Parts - 1)
			for i, e := range ids {
				if e == last && s.rows() > 1 {
					clear(y[i*n:][:n])
				}
			}
		})},
		{name: "slot-order-sum", about: "order: outputs of experts are added as they were chosen, not by id", unfused: true, at: is[op.Combine], after: func(s *site) {
			o := s.op.(op.Combine)
			x, shared, k, d := s.floats(op.ID(o.X)), s.floats(op.ID(o.Shared)), s.cols(op.ID(o.Ids)), s.cols(op.ID(o.Y))
			s.edit(op.ID(o.Y), func(y []float32) {
				for i := range y {
					var sum float32
					for slot := range k {
						sum += x[(i/d*k+slot)*d+i%d]
					}
					y[i] = sum + shared[i]
				}
			})
		}},
		{name: "swiglu-row-16", about: "of more than 16 rows the 17th has the routing weights of the one before", unfused: true, at: is[op.SwiGLU], before: func(s *site) {
			if o := s.op.(op.SwiGLU); o.W != 0 {
				n := s.cols(op.ID(o.W))
				s.edit(op.ID(o.W), func(w []float32) {
					if len(w) > 16*n {
						copy(w[16*n:17*n], w[15*n:16*n])
					}
				})
			}
		}},
		{name: "up-clamped-above-only", about: "1.1", unfused: true, at: is[op.SwiGLU], before: keepOf(func(s *site) op.ID { return op.ID(s.op.(op.SwiGLU).U) }), after: func(s *site) {
			o := s.op.(op.SwiGLU)
			up := s.kept.([]float32)
			s.edit(op.ID(o.H), func(h []float32) {
				for i := range h {
					if limit := float32(o.Limit); limit > 0 && up[i] < -limit {
						h[i] *= up[i] / -limit
					}
				}
			})
		}},
		{name: "nan-clamped", about: "B18: the smaller of NaN and the limit is the limit", unfused: true, at: is[op.SwiGLU], before: func(s *site) {
			o := s.op.(op.SwiGLU)
			s.edit(op.ID(o.G), func(g []float32) {
				for i := range g {
					if g[i] != g[i] && o.Limit > 0 {
						g[i] = float32(o.Limit)
					}
				}
			})
		}},
	}
}

// output is what an op writes first.
func output(s *site) op.ID {
	for _, o := range op.Operands(s.op) {
		if o.Writes {
			return o.ID
		}
	}
	return 0
}

// onOutput changes the rows that an op has written.
func onOutput(change func(s *site, y []float32, cols int)) func(*site) {
	return func(s *site) {
		id := output(s)
		s.edit(id, func(y []float32) { change(s, y, s.cols(id)) })
	}
}

func keepOf(id func(s *site) op.ID) func(*site) {
	return func(s *site) { s.kept = s.floats(id(s)) }
}

// keepOutput remembers what is there before an op writes.
func keepOutput(s *site) { s.kept = s.floats(output(s)) }

func powerCeil(x float32) float32 {
	return float32(math.Exp2(math.Ceil(math.Log2(float64(x)))))
}
