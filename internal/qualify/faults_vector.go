//go:build faults

package qualify

import (
	"math"
	"slices"
	"strings"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// normFaults are those of normalisations and transforms.
func normFaults() []fault {
	return []fault{
		{name: "norm-eps", about: "3.3: 1e-5 for 1e-6", patch: func(_ *op.Program, o op.Op) op.Op {
			if n, ok := o.(op.RMSNorm); ok {
				n.Eps *= 10
				return n
			}
			return o
		}},
		{name: "norm-of-previous-row", about: "B27: among two or more rows each has the norm of the one before", at: is[op.RMSNorm], after: func(s *site) {
			o := s.op.(op.RMSNorm)
			x, cols := s.view().floats(o.X), s.cols(op.ID(o.X))
			s.edit(op.ID(o.Y), func(y []float32) {
				for i := len(y)/cols - 1; i > 0; i-- {
					mine, _ := rho(x[i*cols:][:o.Width], o.Eps)
					other, _ := rho(x[(i-1)*cols:][:o.Width], o.Eps)
					for j := range o.Width {
						y[i*cols+j] *= float32(other / mine)
					}
				}
			})
		}},
		{name: "norm-tail", about: "B26: the last 16 numbers are not counted", at: is[op.RMSNorm], after: func(s *site) {
			o := s.op.(op.RMSNorm)
			x := s.view().floats(o.X)
			s.edit(op.ID(o.Y), func(y []float32) {
				for at := 0; at < len(y); at += o.Width {
					all, part := product(x[at:][:o.Width], x[at:][:o.Width]), product(x[at:][:max(16, o.Width-16)], x[at:][:max(16, o.Width-16)])
					for j := range o.Width {
						y[at+j] *= float32(math.Sqrt((all/float64(o.Width) + o.Eps) / (part/float64(o.Width) + o.Eps)))
					}
				}
			})
		}},
		{name: "rsqrt-estimate", about: "3.3: 1/sqrt to 14 bits", at: is[op.RMSNorm], after: func(s *site) {
			s.edit(op.ID(s.op.(op.RMSNorm).Y), func(y []float32) {
				for i := range y {
					y[i] *= 1 + 0x1p-15
				}
			})
		}},
		{name: "hadamard-dropped", about: "B06", patch: func(_ *op.Program, o op.Op) op.Op {
			if _, ok := o.(op.Hadamard); ok {
				return nil
			}
			return o
		}},
		{name: "hadamard-on-queries-only", about: "B06", patch: func(p *op.Program, o op.Op) op.Op {
			if h, ok := o.(op.Hadamard); ok && p.Dims[p.Buffer(op.ID(h.X)).Dim].Ratio > 0 {
				return nil
			}
			return o
		}},
	}
}

// rotaryFaults are those of the rotary embedding.
func rotaryFaults() []fault {
	named := func(name string, change func(values []float32)) func(b *op.Buffer) {
		return func(b *op.Buffer) {
			if strings.HasPrefix(b.Name, name) {
				change(b.Values)
			}
		}
	}
	plain := func(base float64) func(values []float32) {
		return func(values []float32) { copy(values, frequencies(base, 2*len(values))) }
	}
	positions := func(change func(p int32) int32) func(s *site) {
		return func(s *site) {
			s.retable(s.op.(op.RoPE).Position, func(x []int32) {
				for i := range x {
					x[i] = change(x[i])
				}
			})
		}
	}
	return []fault{
		{name: "yarn-nowhere", about: "B22", constant: named("rope.compressed", plain(160000))},
		{name: "one-theta", about: "B22", constant: named("rope.compressed", plain(10000))},
		{name: "yarn-everywhere", about: "B22", constant: named("rope.plain", func(values []float32) {
			for i := range values {
				if i > len(values)/2 {
					values[i] /= 4
				}
			}
		})},
		{name: "frequencies-bf16", about: "B34", constant: named("", inBF16)},
		{name: "rotation-tables-bf16", about: "B34: cosine and sine", at: is[op.RoPE], after: func(s *site) {
			s.edit(op.ID(s.op.(op.RoPE).X), func(x []float32) {
				for i := range x {
					if i%64 > 48 {
						x[i] += x[i] * 0x1p-9 * float32(i%2*2-1)
					}
				}
			})
		}},
		{name: "positions-bf16", about: "B34", at: is[op.RoPE], before: positions(func(p int32) int32 { return int32(bf(float32(p))) })},
		{name: "positions-16-bit", about: "B34", at: is[op.RoPE], before: positions(func(p int32) int32 { return p & 0xffff })},
		{name: "unrotated-output", about: "1.1: no inverse rotation", patch: func(_ *op.Program, o op.Op) op.Op {
			if r, ok := o.(op.RoPE); ok && r.Inverse {
				return nil
			}
			return o
		}},
		{name: "rotate-half", about: "1.1: pairs are halves apart", at: is[op.RoPE], before: interleave(false), after: interleave(true)},
		{name: "draft-position", about: "10: the draft block stands one position ahead", at: func(s *site) bool {
			return is[op.RoPE](s) && strings.HasPrefix(s.e.Buffer(op.ID(s.op.(op.RoPE).X)).Name, "mtp.")
		}, before: positions(func(p int32) int32 { return p + 1 })},
		{name: "metadata-frozen", about: "B46: a run has the positions of the first run of as many rows", at: is[op.RoPE], before: func(s *site) {
			s.retable(s.op.(op.RoPE).Position, func(x []int32) {
				key := [2]any{s.e, len(x)}
				if first, ok := s.f.memory[key].([]int32); ok {
					copy(x, first)
				}
				s.f.memory[key] = slices.Clone(x)
			})
		}},
	}
}

// interleave moves the rotating channels from pairs beside each other to halves, or back.
func interleave(back bool) func(s *site) {
	return func(s *site) {
		o := s.op.(op.RoPE)
		n := len(s.e.Buffer(op.ID(o.Freq)).Values)
		s.edit(op.ID(o.X), func(x []float32) {
			for at := o.Width - 2*n; at < len(x); at += o.Width {
				old := slices.Clone(x[at:][:2*n])
				for i := range n {
					if back {
						x[at+i], x[at+n+i] = old[2*i], old[2*i+1]
					} else {
						x[at+2*i], x[at+2*i+1] = old[i], old[n+i]
					}
				}
			}
		})
	}
}

// hyperFaults are those of hyper-connections.
func hyperFaults() []fault {
	iterations := func(n int) func(*op.Program, op.Op) op.Op {
		return func(_ *op.Program, o op.Op) op.Op {
			if h, ok := o.(op.HCSplit); ok {
				h.Iters += n
				return h
			}
			return o
		}
	}
	return []fault{
		{name: "sinkhorn-10", about: "B24", patch: iterations(-10)},
		{name: "sinkhorn-19", about: "B24", patch: iterations(-1)},
		{name: "sinkhorn-without-eps", about: "B24: the matrix alone", at: full, after: func(s *site) {
			o := s.op.(op.HCSplit)
			c := s.combLogits(o)
			for at := 0; at < len(c); at += o.Streams * o.Streams {
				balance(c[at:][:o.Streams*o.Streams], o.Streams, o.Iters)
			}
			y := make([]float32, len(c))
			for i, v := range c {
				y[i] = float32(v)
			}
			s.set(op.ID(o.Comb), y)
		}},
		{name: "hc-norm-eps", about: "3.3: 1e-5 for 1e-6", patch: func(_ *op.Program, o op.Op) op.Op {
			if h, ok := o.(op.HCSplit); ok {
				h.NormEps *= 10
				return h
			}
			return o
		}},
		{name: "sinkhorn-row-last", about: "B24: the last step is over rows", at: full, after: func(s *site) {
			o := s.op.(op.HCSplit)
			n := o.Streams
			s.edit(op.ID(o.Comb), func(c []float32) {
				for row := 0; row < len(c); row += n {
					sum := float32(o.Eps)
					for _, v := range c[row:][:n] {
						sum += v
					}
					scaled(c[row:][:n], 1/sum)
				}
			})
		}},
		{name: "post-without-2", about: "B24", at: full, after: func(s *site) {
			s.edit(op.ID(s.op.(op.HCSplit).Post), func(x []float32) { scaled(x, 0.5) })
		}},
		{name: "pre-without-eps", about: "B24", at: is[op.HCSplit], after: func(s *site) {
			s.edit(op.ID(s.op.(op.HCSplit).Pre), func(x []float32) {
				for i := range x {
					x[i] -= 1e-6
				}
			})
		}},
		{name: "comb-transposed", about: "B24", at: is[op.HCExpand], before: func(s *site) {
			o := s.op.(op.HCExpand)
			n := s.cols(op.ID(o.Post))
			s.edit(op.ID(o.Comb), func(c []float32) {
				for at := 0; at < len(c); at += n * n {
					for j := range n {
						for k := range j {
							c[at+j*n+k], c[at+k*n+j] = c[at+k*n+j], c[at+j*n+k]
						}
					}
				}
			})
		}},
		{name: "rho-of-previous-row", about: "B27", at: is[op.HCSplit], before: rhoFault(func(rho []float64, i int) float64 { return rho[max(i-1, 0)] })},
		{name: "rho-misses-a-part", about: "B26: with 256 rows or more, in the last of them", at: is[op.HCSplit], before: rhoFault(func(rho []float64, i int) float64 {
			if len(rho) >= 256 && i == len(rho)-1 {
				return rho[i] * math.Sqrt(16.0/15)
			}
			return rho[i]
		})},
		{name: "every-second-token", about: "B25: columns of every second token are balanced over two rows", at: full, after: func(s *site) {
			o := s.op.(op.HCSplit)
			n := o.Streams * o.Streams
			s.edit(op.ID(o.Comb), func(c []float32) {
				for at := n; at+n <= len(c); at += 2 * n {
					scaled(c[at:][:n/2], 1.01)
				}
			})
		}},
		{name: "streams-swapped", about: "B24: the last two streams change places in the collapse", at: is[op.HCCollapse], before: func(s *site) {
			o := s.op.(op.HCCollapse)
			n := s.cols(op.ID(o.Pre))
			s.edit(op.ID(o.Pre), func(p []float32) {
				for at := 0; at < len(p); at += n {
					p[at+n-1], p[at+n-2] = p[at+n-2], p[at+n-1]
				}
			})
		}},
	}
}

// combLogits are what the matrices of all rows are made of.
func (s *site) combLogits(o op.HCSplit) (c []float64) {
	v := s.view()
	x, m, base, scale := v.floats(o.X), v.floats(o.M), v.numbers(o.Base, 0), v.numbers(o.Scale, 0)
	wide, cols := v.cols(op.ID(o.X)), v.cols(op.ID(o.M))
	for i := range s.rows() {
		r, _ := rho(x[i*wide:][:wide], o.NormEps)
		for k := 2 * o.Streams; k < cols; k++ {
			c = append(c, float64(m[i*cols+k])*r*float64(scale[2])+float64(base[k]))
		}
	}
	return c
}

// balance makes a matrix nearly doubly stochastic, without epsilons.
func balance(c []float64, n, iters int) {
	for row := range slices.Chunk(c, n) {
		most := slices.Max(row)
		for i := range row {
			row[i] = math.Exp(row[i] - most)
		}
	}
	for step := range 2 * iters {
		for line := range n {
			each := func(i int) int { return map[bool]int{true: line*n + i, false: i*n + line}[step%2 == 0] }
			sum := 0.0
			for i := range n {
				sum += c[each(i)]
			}
			for i := range n {
				c[each(i)] /= sum
			}
		}
	}
}

func full(s *site) bool {
	o, ok := s.op.(op.HCSplit)
	return ok && o.Comb != 0
}

// rhoFault gives rows another norm.
func rhoFault(other func(rho []float64, i int) float64) func(s *site) {
	return func(s *site) {
		o := s.op.(op.HCSplit)
		x, wide, cols := s.floats(op.ID(o.X)), s.cols(op.ID(o.X)), s.cols(op.ID(o.M))
		var all []float64
		for row := range slices.Chunk(x, wide) {
			r, _ := rho(row, o.NormEps)
			all = append(all, r)
		}
		s.edit(op.ID(o.M), func(m []float32) {
			for i := range all {
				scaled(m[i*cols:][:cols], float32(other(all, i)/all[i]))
			}
		})
	}
}

// quantiserFaults are those of rounding to codes.
func quantiserFaults() []fault {
	patch := func(change func(q op.Quantise) op.Op) func(*op.Program, op.Op) op.Op {
		return func(_ *op.Program, o op.Op) op.Op {
			if q, ok := o.(op.Quantise); ok {
				return change(q)
			}
			return o
		}
	}
	return []fault{
		{name: "scale-floor", about: "1.1: the scale is rounded down", at: is[op.Quantise], before: keepX, after: requantise(func(q op.Quantise, x []float32) {
			amax := largest(x)
			scale := quant.PowerOfTwoCeil(max(amax, 1e-4)/most(q)) / 2
			if amax > most(q)*scale*1.9 {
				toCodes(q, x, scale)
			}
		})},
		{name: "scale-of-first-quantiser-group", about: "1.1", at: is[op.Quantise], before: keepX, after: func(s *site) {
			q := s.op.(op.Quantise)
			x := s.kept.([]float32)
			s.edit(op.ID(q.Y), func(y []float32) {
				for at := 0; at < len(y) && q.Channels > q.Group; at += q.Width {
					copy(y[at+q.Group:][:q.Channels-q.Group], x[at+q.Group:])
					toCodes(q, y[at+q.Group:][:q.Channels-q.Group], quant.PowerOfTwoCeil(max(largest(x[at:][:q.Group]), 1e-4)/most(q)))
				}
			})
		}},
		{name: "fp4-ties-up", about: "B04", at: is[op.Quantise], before: keepX, after: requantise(func(q op.Quantise, x []float32) {
			if q.Kind != quant.KindE2M1 {
				return
			}
			scale := quant.PowerOfTwoCeil(max(largest(x), 6*0x1p-126) / 6)
			for i, v := range x {
				if a := float32(math.Abs(float64(v))) / scale; a == 0.25 || a == 1.25 || a == 2.5 || a == 5 {
					x[i] = math.Nextafter32(a, 10) * scale * float32(math.Copysign(1, float64(v)))
				}
			}
		})},
		{name: "quantiser-without-floor", about: "4: below 1e-4 a group has a finer grid", at: is[op.Quantise], before: keepX, after: requantise(func(q op.Quantise, x []float32) {
			if amax := largest(x); q.Kind == quant.KindE4M3 && amax < 1e-4 && amax > 0x1p-100 {
				toCodes(q, x, quant.PowerOfTwoCeil(amax/448))
			}
		})},
		{name: "quantiser-truncates", about: "B04: E4M3 codes are cut, not rounded", at: is[op.Quantise], before: keepX, after: requantise(func(q op.Quantise, x []float32) {
			if q.Kind == quant.KindE4M3 {
				for i, v := range x {
					x[i] = math.Float32frombits(math.Float32bits(v) &^ (1<<20 - 1))
				}
			}
		})},
		{name: "activation-not-quantised", about: "1.1", at: func(s *site) bool {
			q, ok := s.op.(op.Quantise)
			return ok && op.ID(q.X) != op.ID(q.Y)
		}, after: func(s *site) {
			q := s.op.(op.Quantise)
			s.set(op.ID(q.Y), s.floats(op.ID(q.X)))
		}},
		{name: "kv-tail-quantised", about: "B07: rotating channels are rounded, too", patch: patch(func(q op.Quantise) op.Op {
			if q.Channels < q.Width {
				q.Channels = q.Width
			}
			return q
		})},
		{name: "group-twice-as-wide", about: "B07", patch: patch(func(q op.Quantise) op.Op {
			if q.Channels > q.Group {
				q.Group *= 2
			}
			return q
		})},
		{name: "infinity-saturates", about: "B18: NaN and infinity become the largest code", at: is[op.Quantise], before: func(s *site) {
			s.edit(op.ID(s.op.(op.Quantise).X), func(x []float32) {
				for i := range x {
					if x[i]-x[i] != 0 {
						x[i] = 448
					}
				}
			})
		}},
	}
}

func keepX(s *site) { s.kept = s.floats(op.ID(s.op.(op.Quantise).X)) }

func largest(x []float32) (m float32) {
	for _, v := range x {
		m = max(m, float32(math.Abs(float64(v))))
	}
	return m
}

func most(q op.Quantise) float32 {
	if q.Kind == quant.KindE2M1 {
		return 6
	}
	return 448
}

// toCodes rounds to codes times a scale.
func toCodes(q op.Quantise, x []float32, scale float32) {
	for i, v := range x {
		if q.Kind == quant.KindE2M1 {
			x[i] = quant.E2M1(quant.ToE2M1(v/scale)) * scale
		} else {
			x[i] = quant.E4M3(quant.ToE4M3(v/scale)) * scale
		}
	}
}

// requantise changes each group before it is rounded as it should be: what is on the grid already stays there.
func requantise(change func(q op.Quantise, x []float32)) func(s *site) {
	return func(s *site) {
		q := s.op.(op.Quantise)
		x := s.kept.([]float32)
		s.edit(op.ID(q.Y), func(y []float32) {
			for at := 0; at < len(y); at += q.Width {
				for c := 0; c < q.Channels; c += q.Group {
					n := min(q.Group, q.Channels-c)
					part := slices.Clone(x[at+c:][:n])
					if change(q, part); slices.Equal(part, x[at+c:][:n]) {
						continue
					}
					if q.Kind == quant.KindE2M1 {
						quant.FakeE2M1(part, n)
					}
					copy(y[at+c:][:n], part)
				}
			}
		})
	}
}
