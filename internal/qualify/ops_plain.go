package qualify

import (
	"fmt"
	"math"
	"math/bits"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// plain is an op whose rows stand for themselves and may be of any width.
type plain struct {
	name string
	// record records it over n numbers a row; what it returns fills a run of m rows.
	record func(s *scene, n int) (fill func(r *round, m int))
}

// anyFloats lets a run have any numbers in an input of so many columns.
func (s *scene) anyFloats(name string, cols int) func(r *round, m int) {
	return func(r *round, m int) { r.floats(name, normal(s.rng, m*cols)) }
}

func together(fills ...func(r *round, m int)) func(r *round, m int) {
	return func(r *round, m int) {
		for _, fill := range fills {
			fill(r, m)
		}
	}
}

// plains are all of them.
func plains() []plain {
	list := append(plainSums(), plainRows()...)
	for _, q := range []op.Quantise{{Kind: quant.KindE4M3, Group: 32}, {Kind: quant.KindE2M1, Group: 32}, {Kind: quant.KindBF16, Group: 1}} {
		list = append(list, plain{"quantise " + q.Kind.String(), func(s *scene, n int) func(*round, int) {
			q := q
			q.X, q.Y, q.Width, q.Channels = s.in("x", n), s.out("y", n), n, n
			s.Add(q)
			return func(r *round, m int) { r.floats("x", scattered(s.rng, m*n, -12, 12)) }
		}})
	}
	return append(list, plain{"topk", func(s *scene, n int) func(*round, int) {
		s.Add(op.TopK{X: s.in("x", n), Ids: s.idsOut("ids", 5), Ascending: true})
		return func(r *round, m int) { r.floats("x", integers(s.rng, m*n, 6)) }
	}})
}

// plainSums are those that add or multiply rows of numbers.
func plainSums() []plain {
	return []plain{
		{"add", func(s *scene, n int) func(*round, int) {
			s.Add(op.Add{A: s.in("a", n), B: s.in("b", 3*n), Y: s.out("y", 3*n)})
			return together(s.anyFloats("a", n), s.anyFloats("b", 3*n))
		}},
		{"addbias", func(s *scene, n int) func(*round, int) {
			s.Add(op.AddBias{X: s.in("x", n), Bias: s.vector("bias", normal(s.rng, n)), Y: s.out("y", n)})
			return s.anyFloats("x", n)
		}},
		{"mean", func(s *scene, n int) func(*round, int) {
			s.Add(op.Mean{X: s.in("x", 3*n), Y: s.out("y", n)})
			return s.anyFloats("x", 3*n)
		}},
		{"combine", func(s *scene, n int) func(*round, int) {
			x, ids := s.in("x", 3*n), s.idsIn("ids", 3)
			s.Add(op.Combine{X: x, Ids: ids, Shared: s.in("shared", n), Y: s.out("y", n)})
			choose := func(r *round, m int) { r.ids("ids", s.choose(m, 9, 3)) }
			return together(s.anyFloats("x", 3*n), s.anyFloats("shared", n), choose)
		}},
		{"hccollapse", func(s *scene, n int) func(*round, int) {
			s.Add(op.HCCollapse{X: s.in("x", 4*n), Pre: s.in("pre", 4), Y: s.out("y", n)})
			return together(s.anyFloats("x", 4*n), s.anyFloats("pre", 4))
		}},
		{"hcexpand", func(s *scene, n int) func(*round, int) {
			s.Add(op.HCExpand{A: s.in("a", n), X: s.in("x", 4*n), Post: s.in("post", 4), Comb: s.in("comb", 16), Y: s.out("y", 4*n)})
			return together(s.anyFloats("a", n), s.anyFloats("x", 4*n), s.anyFloats("post", 4), s.anyFloats("comb", 16))
		}},
		{"hcsplit", func(s *scene, n int) func(*round, int) {
			s.Add(op.HCSplit{X: s.in("x", 4*n), M: s.in("m", 24), Base: s.vector("base", normal(s.rng, 24)), Scale: s.vector("scale", []float32{1, 0.5, 2}),
				Pre: s.out("pre", 4), Post: s.out("post", 4), Comb: s.out("comb", 16), Streams: 4, Iters: 20, NormEps: 1e-6, Eps: 1e-6})
			return together(s.anyFloats("x", 4*n), s.anyFloats("m", 24))
		}},
		{"hadamard", func(s *scene, n int) func(*round, int) {
			width := 1 << (bits.Len(uint(n)) - 1) // a power of two
			x := s.in("x", 3*width)
			s.Add(op.Hadamard{X: op.InOut(x), Width: width})
			return s.anyFloats("x", 3*width)
		}},
	}
}

// plainRows are those that look at a row's numbers one by one, or copy them.
func plainRows() []plain {
	return []plain{
		{"join", func(s *scene, n int) func(*round, int) {
			s.Add(op.Join{A: s.in("a", n), B: s.in("b", n+1), Y: s.out("y", 2*n+1)})
			return together(s.anyFloats("a", n), s.anyFloats("b", n+1))
		}},
		{"rmsnorm", func(s *scene, n int) func(*round, int) {
			s.Add(op.RMSNorm{X: s.in("x", 2*n), W: s.weight("w", formats[1], 1, 1, n, drawCodes(anyCode, nearOne)), Y: s.out("y", 2*n), Width: n, Eps: 1e-6})
			return s.anyFloats("x", 2*n)
		}},
		{"rope", func(s *scene, n int) func(*round, int) {
			rotating, width := (n+1)/2*2, (n+1)/2*2+n%3
			x := s.in("x", 2*width)
			s.Add(op.RoPE{X: op.InOut(x), Position: op.Position, Freq: s.Const("freq", frequencies(10000, rotating)), Width: width})
			return s.anyFloats("x", 2*width)
		}},
		{"sqrtsoftplus", func(s *scene, n int) func(*round, int) {
			s.Add(op.SqrtSoftplus{X: s.in("x", n), Y: s.out("y", n)})
			return func(r *round, m int) { r.floats("x", scaled(normal(s.rng, m*n), 8)) }
		}},
		{"routeweights", func(s *scene, n int) func(*round, int) {
			a, ids := s.in("a", n+3), s.idsIn("ids", 3)
			s.Add(op.RouteWeights{A: a, Ids: ids, W: s.out("w", 3), Scale: 2.5})
			return func(r *round, m int) {
				x := normal(s.rng, m*(n+3))
				for i := range x {
					x[i] = x[i]*x[i] + 0x1p-20
				}
				r.floats("a", x)
				r.ids("ids", s.choose(m, n+3, 3))
			}
		}},
		{"swiglu", func(s *scene, n int) func(*round, int) {
			s.Add(op.SwiGLU{G: s.in("g", 2*n), U: s.in("u", 2*n), W: s.in("w", 2), H: s.out("h", 2*n), Limit: 2})
			return together(s.anyFloats("g", 2*n), s.anyFloats("u", 2*n), s.anyFloats("w", 2))
		}},
		{"swiglu without limit", func(s *scene, n int) func(*round, int) {
			s.Add(op.SwiGLU{G: s.in("g", n), U: s.in("u", n), H: s.out("h", n)})
			return together(s.anyFloats("g", n), s.anyFloats("u", n))
		}},
	}
}

// everySize runs plain ops with every number of rows, and with widths that leave every remainder.
func everySize(seed uint64) (list []*scene) {
	for _, p := range plains() {
		s := newScene(seed, p.name, "every number of rows", flat(2049))
		fill := p.record(s, 24)
		for _, m := range append([]int{2049, 1025, 31, 5}, counts...) {
			fill(s.sequence(m), m)
		}
		list = append(list, s)
		for _, n := range []int{1, 3, 7, 17, 33, 65, 100, 191} {
			s := newScene(seed, p.name, fmt.Sprint("width ", n), flat(9))
			fill := p.record(s, n)
			for _, m := range []int{3, 1, 9} {
				fill(s.sequence(m), m)
			}
			list = append(list, s)
		}
	}
	return append(list, wideRows(seed)...)
}

// wideRows are as wide as those of large models, and wider than the widest of their tiles.
func wideRows(seed uint64) (list []*scene) {
	for _, p := range plains() {
		n := map[string]int{"hadamard": 8192, "topk": 10000, "rope": 4096, "hcsplit": 7168}[p.name]
		if n == 0 {
			n = 7168 + 1024
		}
		s := newScene(seed, p.name, fmt.Sprint("width ", n), flat(2))
		fill := p.record(s, n)
		for m := range 2 {
			fill(s.sequence(m+1), m+1)
		}
		list = append(list, s)
	}
	return list
}

// nansAnywhere put a NaN into each input of each plain op that computes.
func nansAnywhere(seed uint64) (list []*scene) {
	const n, m = 40, 9
	for _, p := range plains() {
		s := newScene(seed, p.name, "a NaN anywhere", flat(m))
		fill := p.record(s, n)
		for _, operand := range op.Operands(s.last()) {
			b := s.Buffer(operand.ID)
			if !operand.Reads || b.Space != op.IO || b.Kind != quant.KindF32 || b.Name == "a" && p.name == "routeweights" {
				continue // the latter may lie at an expert that was not chosen
			}
			for _, at := range []int{0, 4*b.Cols + b.Cols/2, m*b.Cols - 1} {
				r := s.sequence(m)
				fill(r, m)
				x := toFloats(r.data[b.Name])
				x[at] = float32(math.NaN())
				r.floats(b.Name, x)
				r.refuse = true
			}
			fill(s.sequence(m), m)
		}
		list = append(list, s)
	}
	return list
}
