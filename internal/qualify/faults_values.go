//go:build faults

package qualify

import (
	"cmp"
	"math"
	"slices"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// valueFaults are those of numbers at the ends of their ranges, and of ids and positions that are large.
func valueFaults() []fault {
	return slices.Concat(readFaults(), roundingFaults(), functionFaults(), scoreFaults())
}

// readFaults are those of scales and of what is looked up.
func readFaults() []fault {
	scales := func(from, to byte) func(*faulty, op.Buffer, []matrix) {
		return func(_ *faulty, _ op.Buffer, parts []matrix) {
			for _, m := range parts {
				for i, c := range m.scale {
					if c == from && m.format.BlockRows != 0 && !m.format.ScaleF32 {
						m.scale[i] = to
					}
				}
			}
		}
	}
	return []fault{
		{name: "largest-scale", about: "1.2: 2^127 is read as 2^126", upload: scales(254, 253)},
		{name: "smallest-scale", about: "1.2: 2^-127, which is no normal number, is read as 2^-126", upload: scales(0, 1)},
		{name: "scale-of-other-expert", about: "B48: the last expert has the scales of the first", upload: func(_ *faulty, _ op.Buffer, parts []matrix) {
			if n := len(parts); n > 1 {
				copy(parts[n-1].scale, parts[0].scale)
			}
		}},
		{name: "token-16-bit", about: "ids of tokens have 16 bits", at: looksUp, before: func(s *site) {
			s.retable(tokenOf(s), func(x []int32) {
				for i := range x {
					x[i] &= 0xffff
				}
			})
		}},
		{name: "last-token", about: "the last token of the vocabulary is the one before", at: is[op.Embed], before: func(s *site) {
			last := int32(s.e.Buffer(op.ID(s.op.(op.Embed).W)).Rows - 1)
			s.retable(tokenOf(s), func(x []int32) {
				for i := range x {
					x[i] = min(x[i], last-1)
				}
			})
		}},
		{name: "zero-first-lost", about: "10: the embedding at position 0 is not zeros", patch: func(_ *op.Program, o op.Op) op.Op {
			if e, ok := o.(op.Embed); ok {
				e.ZeroFirst = 0
				return e
			}
			return o
		}},
	}
}

// roundingFaults are those of roundings and of copies.
func roundingFaults() []fault {
	return []fault{
		{name: "sign-of-zero", about: "the quantiser makes +0 of -0", at: is[op.Quantise], after: onOutput(func(_ *site, y []float32, _ int) {
			for i := range y {
				if y[i] == 0 {
					y[i] = 0
				}
			}
		})},
		{name: "subnormal-not-copied", about: "1.2: wanted rows are copied with small numbers taken for zero", at: is[op.Gather], after: onOutput(func(_ *site, y []float32, _ int) {
			for i, v := range y {
				if math.Abs(float64(v)) < 0x1p-126 {
					y[i] = 0
				}
			}
		})},
		{name: "scale-at-power", about: "1.1: a largest value that is the end of a grid gets the next grid", at: is[op.Quantise], before: keepX, after: requantise(func(q op.Quantise, x []float32) {
			if amax := largest(x); q.Kind != quant.KindBF16 && amax > 1e-4 {
				if scale := quant.PowerOfTwoCeil(amax / most(q)); scale*most(q) == amax {
					toCodes(q, x, 2*scale)
				}
			}
		})},
		{name: "bf16-activation-cut", about: "B04: bfloat16 is cut, not rounded", at: func(s *site) bool {
			q, ok := s.op.(op.Quantise)
			return ok && q.Kind == quant.KindBF16
		}, before: keepX, after: onOutput(func(s *site, y []float32, _ int) {
			for i, v := range s.kept.([]float32) {
				y[i] = math.Float32frombits(math.Float32bits(v) &^ 0xffff)
			}
		})},
		{name: "tail-cut", about: "B04: the bfloat16 tail of a stored row is cut, not rounded", at: func(s *site) bool {
			o, ok := s.op.(op.Store)
			return ok && s.e.Buffer(op.ID(o.S)).Row.Tail == quant.KindBF16
		}, before: func(s *site) {
			o := s.op.(op.Store)
			row := s.e.Buffer(op.ID(o.S)).Row
			s.edit(op.ID(o.X), func(x []float32) {
				for i := range x {
					if i%row.Width >= row.Quantised {
						x[i] = math.Float32frombits(math.Float32bits(x[i]) &^ 0xffff)
					}
				}
			})
		}},
	}
}

// functionFaults are those of functions and of their arguments.
func functionFaults() []fault {
	affinity := func(f func(g, y float32) float32) func(s *site) {
		return func(s *site) {
			o := s.op.(op.SqrtSoftplus)
			g := s.floats(op.ID(o.X))
			s.edit(op.ID(o.Y), func(y []float32) {
				for i := range y {
					y[i] = f(g[i], y[i])
				}
			})
		}
	}
	return []fault{
		{name: "route-eps", about: "B08: 1e-20 is added to the sum of affinities", at: is[op.RouteWeights], after: func(s *site) {
			o := s.op.(op.RouteWeights)
			a, ids, k, n := s.floats(op.ID(o.A)), s.ids(op.ID(o.Ids)), s.cols(op.ID(o.Ids)), s.cols(op.ID(o.A))
			s.edit(op.ID(o.W), func(w []float32) {
				for row := range len(w) / k {
					sum := 0.0
					for _, e := range ids[row*k:][:k] {
						sum += float64(a[row*n+int(e)])
					}
					scaled(w[row*k:][:k], float32(sum/(sum+1e-20)))
				}
			})
		}},
		{name: "softplus-early", about: "B08: above 8 the softplus is its argument", at: is[op.SqrtSoftplus], after: affinity(func(g, y float32) float32 {
			if g > 8 {
				return float32(math.Sqrt(float64(g)))
			}
			return y
		})},
		{name: "angle-not-rounded", about: "B34: angles are float64", at: is[op.RoPE], before: keepOutput, after: rotateAgain(func(p int32, f float32) float64 { return float64(p) * float64(f) })},
		{name: "angle-reduced", about: "B34: turns are taken off an angle in float32", at: is[op.RoPE], before: keepOutput, after: rotateAgain(func(p int32, f float32) float64 {
			t := float32(p) * f
			turns := float32(math.Round(float64(t) / (2 * math.Pi)))
			return float64(t - float32(turns*float32(2*math.Pi)))
		})},
		{name: "comb-clipped", about: "B24: what the matrix is made of is kept within 20", at: full, before: func(s *site) {
			o := s.op.(op.HCSplit)
			v := s.view()
			x, base, scale, cols := s.floats(op.ID(o.X)), v.numbers(o.Base, 0), v.numbers(o.Scale, 0), s.cols(op.ID(o.M))
			s.edit(op.ID(o.M), func(m []float32) {
				for i := range m {
					c, wide := i%cols, s.cols(op.ID(o.X))
					if c < 2*o.Streams {
						continue
					}
					r, _ := rho(x[i/cols*wide:][:wide], o.NormEps)
					if l := float64(m[i])*r*float64(scale[2]) + float64(base[c]); math.Abs(l) > 20 {
						m[i] = float32((math.Copysign(20, l) - float64(base[c])) / r / float64(scale[2]))
					}
				}
			})
		}},
	}
}

// scoreFaults are those of scores, of softmax and of choices.
func scoreFaults() []fault {
	return []fault{
		{name: "sink-clipped", about: "3.4: a sink counts for at most e^20 of the largest key", at: is[op.Attend], after: attendAgain(attendFault{sink: func(sink, most float64) float64 { return min(sink, most+20) }})},
		{name: "max-in-last-block", about: "3.4: blocks before are not scaled down where the largest score comes in the last", at: is[op.Attend], after: attendAgain(attendFault{scores: func(x []float64) {
			last := (len(x) - 1) / 64 * 64
			before, most := math.Inf(-1), math.Inf(-1)
			for i, v := range x {
				if i < last {
					before = max(before, v)
				}
				most = max(most, v)
			}
			for i := 0; i < last && most > before; i++ {
				x[i] += most - before
			}
		}})},
		{name: "index-weights-positive", about: "B32: heads with a weight below zero are not counted", unfused: true, at: is[op.IndexScore], before: func(s *site) {
			s.edit(op.ID(s.op.(op.IndexScore).W), func(w []float32) {
				for i := range w {
					w[i] = max(w[i], 0)
				}
			})
		}},
		{name: "nan-not-selected", about: "B18: NaN is taken for the smallest score", unfused: true, at: is[op.TopK], before: func(s *site) {
			s.edit(op.ID(s.op.(op.TopK).X), func(x []float32) {
				for i := range x {
					if x[i] != x[i] {
						x[i] = float32(math.Inf(-1))
					}
				}
			})
		}},
		{name: "ties-across-tiles", about: "B36: of equal scores in two tiles of 256 the later wins", unfused: true, at: is[op.TopK], after: chooseAgain(func(x []float32, a, b int32) int {
			return cmp.Or(cmp.Compare(x[b], x[a]), cmp.Compare(b/256, a/256), cmp.Compare(a, b))
		}, nil)},
		{name: "as-many-as-wanted", about: "where there are exactly as many as wanted one is left out", unfused: true, at: is[op.TopK], after: chooseAgain(byScore, func(_ []float32, n, k int) int {
			if n == k {
				return k - 1
			}
			return k
		})},
		{name: "none-behind", about: "B35: places that are left are the last ones", unfused: true, at: func(s *site) bool { o, ok := s.op.(op.TopK); return ok && o.Ascending }, after: func(s *site) {
			id := output(s)
			ids, k := s.ids(id), s.cols(id)
			for at := 0; at < len(ids); at += k {
				for i := range k { // -1 came first
					if ids[at] == -1 && i < k-1 {
						copy(ids[at:at+k-1], ids[at+1:at+k])
						ids[at+k-1] = -1
					}
				}
			}
			s.setIDs(id, ids)
		}},
	}
}

func looksUp(s *site) bool { return is[op.Embed](s) || is[op.Lookup](s) }

func tokenOf(s *site) op.In {
	if o, ok := s.op.(op.Lookup); ok {
		return o.Token
	}
	return s.op.(op.Embed).Token
}

// rotateAgain rotates with other angles.
func rotateAgain(angle func(position int32, frequency float32) float64) func(s *site) {
	return func(s *site) {
		o := s.op.(op.RoPE)
		freq, positions, cols := s.e.Buffer(op.ID(o.Freq)).Values, s.args.Tables[o.Position], s.cols(op.ID(o.X))
		x := s.kept.([]float32)
		for at := 0; at < len(x); at += o.Width {
			for i, f := range freq {
				pair := x[at+o.Width-2*len(freq)+2*i:][:2]
				sin, cos := math.Sincos(angle(positions[at/cols], f))
				if o.Inverse {
					sin = -sin
				}
				a, b := float64(pair[0]), float64(pair[1])
				pair[0], pair[1] = float32(a*cos-b*sin), float32(a*sin+b*cos)
			}
		}
		s.set(op.ID(o.X), x)
	}
}
