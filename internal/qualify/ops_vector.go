package qualify

import (
	"fmt"
	"math"
	"math/rand/v2"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// norms are normalisations, rotations and transforms.
func norms(seed uint64) (list []*scene) {
	for _, width := range []int{64, 100, 128, 512, 1024, 4096} {
		for _, parts := range []int{1, 4} {
			for _, weighted := range []bool{true, false} {
				list = append(list, rmsNorm(seed, width, parts, weighted))
			}
		}
	}
	for _, base := range []float64{10000, 160000} {
		for _, inverse := range []bool{false, true} {
			list = append(list, rope(seed, 128, 64, 1, base, inverse), rope(seed, 64, 64, 4, base, inverse), rope(seed, 512, 64, 2, base, inverse))
		}
	}
	for _, width := range []int{2, 64, 128, 256} {
		list = append(list, hadamard(seed, width))
	}
	return list
}

func rmsNorm(seed uint64, width, parts int, weighted bool) *scene {
	most := min(257, max(9, 1<<15/(parts*width)))
	s := newScene(seed, "rmsnorm", describe(parts, "x", width, "weighted:", weighted), flat(most))
	o := op.RMSNorm{X: s.in("x", parts*width), Y: s.out("y", parts*width), Width: width, Eps: 1e-6}
	if weighted {
		o.W = s.weight("w", formats[parts%2], 1, 1, width, drawCodes(anyCode, nearOne))
	}
	s.Add(o)
	n := parts * width
	for _, m := range []int{9, 1, 2, most} {
		s.sequence(m).floats("x", normal(s.rng, m*n))
	}
	// next to the epsilon, under it, nothing at all, one element far above the others, as large as squares allow
	s.sequence(2).floats("x", scaled(normal(s.rng, 2*n), 1e-3))
	s.sequence(2).floats("x", scaled(normal(s.rng, 2*n), 1e-25))
	s.sequence(1).floats("x", make([]float32, n))
	spike := normal(s.rng, n)
	spike[n-1] = 0x1p40
	s.sequence(1).floats("x", spike)
	s.sequence(1).floats("x", scaled(normal(s.rng, n), 0x1p50))
	return s
}

// frequencies are those of a rotary embedding without stretching.
func frequencies(base float64, rotating int) []float32 {
	f := make([]float32, rotating/2)
	for i := range f {
		f[i] = float32(math.Pow(base, -2*float64(i)/float64(rotating)))
	}
	return f
}

// farPositions are where rows stand in the scenes of positions: the beginning, the edges of windows and pages, and where
// angles, positions in bfloat16 or float16 and byte offsets go wrong.
var farPositions = []int{0, 1, 2, 3, 63, 127, 128, 129, 255, 257, 511, 513, 1023, 2047, 2049, 4095, 4097, 16383, 16385, 32767, 32769, 65535, 65537, 131071, 262143, 524287, 1<<20 - 130, 1<<20 - 2, 1 << 20, 1<<24 - 2}

func rope(seed uint64, width, rotating, parts int, base float64, inverse bool) *scene {
	caps := op.Caps{Rows: 129, Slots: 1, Pages: 4, Context: 1 << 24}
	s := newScene(seed, "rope", describe(parts, "x", width, "rotating", rotating, "base", base, "inverse:", inverse), caps)
	x := s.in("x", parts*width)
	s.Add(op.RoPE{X: op.InOut(x), Position: op.Position, Freq: s.Const("freq", frequencies(base, rotating)), Width: width, Inverse: inverse})
	for i, position := range farPositions {
		m := []int{2, 1, 2}[i%3]
		if position == 0 {
			m = 129
		}
		r := s.at(position, m)
		r.floats("x", normal(s.rng, m*parts*width))
	}
	s.at(5, 3).floats("x", scattered(s.rng, 3*parts*width, -100, 100))
	return s
}

// at adds a run of rows that begin at a position. Its pages repeat: the scene does not look into them.
func (s *scene) at(position, n int) *round {
	pages := make([]int32, (position+n)/op.PageSize+1)
	for i := range pages {
		pages[i] = int32(i % s.Program().Caps.Pages)
	}
	return s.round(sequenceRows(0, position, n), [][]int32{pages})
}

func hadamard(seed uint64, width int) *scene {
	const parts = 3
	s := newScene(seed, "hadamard", fmt.Sprint(parts, " x ", width), flat(33))
	x := s.in("x", parts*width)
	s.Add(op.Hadamard{X: op.InOut(x), Width: width})
	for _, m := range []int{33, 1, 2} {
		s.sequence(m).floats("x", normal(s.rng, m*parts*width))
		s.sequence(m).floats("x", scattered(s.rng, m*parts*width, -20, 20))
	}
	hot := make([]float32, 3*parts*width)
	for i := range 3 {
		hot[i*parts*width+i*width/3] = 1
	}
	s.sequence(3).floats("x", hot)
	return s
}

// hypers are the ops of hyper-connections.
func hypers(seed uint64) (list []*scene) {
	for _, d := range []int{64, 1024} {
		for _, spread := range []float64{1, 8, 20} {
			list = append(list, hcSplit(seed, 4, d, spread, true), hcSplit(seed, 4, d, spread, false))
		}
	}
	list = append(list, hcSplit(seed, 2, 96, 5, true), hcSplit(seed, 4, 4096, 3, true))
	for _, d := range []int{64, 1000, 4096} {
		list = append(list, hcCollapse(seed, d), hcExpand(seed, d))
	}
	return list
}

// hcSplit needs logits far apart: only then does the matrix converge so slowly that number and order of the iterations
// show.
func hcSplit(seed uint64, n, d int, spread float64, full bool) *scene {
	most := 513
	if d > 64 {
		most = 9
	}
	width, scales := n, []float32{1.25}
	if full {
		width, scales = 2*n+n*n, []float32{1.25, 0.75, 1.5}
	}
	s := newScene(seed, "hcsplit", describe(n, "x", d, "spread", spread, "full:", full), flat(most))
	base := make([]float32, width)
	for i := range base {
		base[i] = float32((s.rng.Float64()*2 - 1) * spread / 2)
	}
	o := op.HCSplit{X: s.in("x", n*d), M: s.in("m", width), Base: s.vector("base", base), Scale: s.vector("scale", scales),
		Pre: s.out("pre", n), Streams: n, Iters: 20, NormEps: 1e-6, Eps: 1e-6}
	if full {
		o.Post, o.Comb = s.out("post", n), s.out("comb", n*n)
	}
	s.Add(o)
	for _, m := range []int{1, 2, 3, 17, 256, 257, 512, 513} {
		m = min(m, most)
		r := s.sequence(m)
		x := normal(s.rng, m*n*d)
		for row := range m { // every row has a norm of its own
			scaled(x[row*n*d:][:n*d], float32(math.Exp2(float64(row%7)-3)))
		}
		logits := make([]float32, m*width)
		for i := range logits {
			logits[i] = float32((s.rng.Float64()*2 - 1) * spread / 2 * math.Exp2(float64(i/width%7)-3))
		}
		r.floats("x", x)
		r.floats("m", logits)
	}
	r := s.sequence(2) // streams of zeros
	r.floats("x", make([]float32, 2*n*d))
	r.floats("m", make([]float32, 2*width))
	return s
}

func hcCollapse(seed uint64, d int) *scene {
	const n = 4
	s := newScene(seed, "hccollapse", fmt.Sprint(n, " x ", d), flat(max(7, min(65, 1<<16/d))))
	s.Add(op.HCCollapse{X: s.in("x", n*d), Pre: s.in("pre", n), Y: s.out("y", d)})
	for i, m := range []int{1, 2, 65, 7} {
		m = min(m, s.Program().Caps.Rows)
		r := s.sequence(m)
		r.exact = i%2 == 0
		r.floats("x", normal(s.rng, m*n*d))
		r.floats("pre", scattered(s.rng, m*n, -6, 0))
		if r.exact {
			r.floats("x", integers(s.rng, m*n*d, 1000))
			r.floats("pre", integers(s.rng, m*n, 8))
		}
	}
	return s
}

func hcExpand(seed uint64, d int) *scene {
	const n = 4
	s := newScene(seed, "hcexpand", fmt.Sprint(n, " x ", d), flat(max(7, min(65, 1<<16/d))))
	s.Add(op.HCExpand{A: s.in("a", d), X: s.in("x", n*d), Post: s.in("post", n), Comb: s.in("comb", n*n), Y: s.out("y", n*d)})
	for i, m := range []int{1, 2, 65, 7} {
		m = min(m, s.Program().Caps.Rows)
		r := s.sequence(m)
		r.exact = i%2 == 0
		fill := func(name string, n int) {
			if r.exact {
				r.floats(name, integers(s.rng, n, 100))
			} else {
				r.floats(name, normal(s.rng, n))
			}
		}
		fill("a", m*d)
		fill("x", m*n*d)
		fill("post", m*n)
		fill("comb", m*n*n)
	}
	return s
}

// quantisers meet every border of their grids.
func quantisers(seed uint64) (list []*scene) {
	for _, c := range []struct {
		kind                   quant.Kind
		width, channels, group int
		parts                  int
		inPlace                bool
	}{
		{quant.KindE4M3, 512, 512, 128, 1, false}, {quant.KindE4M3, 128, 128, 128, 3, false}, {quant.KindE4M3, 448, 448, 32, 1, false},
		{quant.KindE4M3, 512, 448, 64, 1, true}, {quant.KindE4M3, 128, 64, 64, 2, true}, {quant.KindE4M3, 100, 90, 64, 2, true},
		{quant.KindE4M3, 200, 200, 128, 1, false}, {quant.KindE2M1, 128, 128, 32, 4, true}, {quant.KindE2M1, 100, 70, 32, 2, false},
		{quant.KindBF16, 256, 256, 256, 1, false}, {quant.KindBF16, 96, 64, 96, 2, true},
	} {
		s := newScene(seed, "quantise", describe(c.kind, c.parts, "x", c.width, "first", c.channels, "per", c.group, "in place:", c.inPlace), flat(129))
		n := c.parts * c.width
		x := s.in("x", n)
		y := op.Out(x)
		if !c.inPlace {
			y = s.out("y", n)
		}
		s.Add(op.Quantise{X: x, Y: y, Kind: c.kind, Width: c.width, Channels: c.channels, Group: c.group})
		for _, m := range []int{1, 2, 129} {
			s.sequence(m).floats("x", normal(s.rng, m*n))
		}
		s.sequence(9).floats("x", scattered(s.rng, 9*n, -30, 20))
		s.sequence(9).floats("x", scattered(s.rng, 9*n, -140, -100))
		s.sequence(65).floats("x", borders(s.rng, c.kind, 65*n, c.group))
		s.sequence(2).floats("x", make([]float32, 2*n))
		s.sequence(9).floats("x", apart(s.rng, 9*n, c.group))
		s.sequence(2).floats("x", scaled(normal(s.rng, 2*n), 1e-5))
		list = append(list, s)
	}
	return list
}

// apart draws groups of all sizes, those about the least scale among them.
func apart(rng *rand.Rand, n, group int) []float32 {
	x := normal(rng, n)
	for at := 0; at < n; at += group {
		scaled(x[at:min(at+group, n)], float32(math.Exp2(rng.Float64()*44-36)))
	}
	return x
}

// borders draws values at, and one step beside, every code and every midpoint of codes, in groups whose largest is at, or
// one step beside, a power of two times the largest code.
func borders(rng *rand.Rand, kind quant.Kind, n, group int) []float32 {
	value, last, most := quant.E4M3, 0x7e, float32(448)
	switch kind {
	case quant.KindE2M1:
		value, last, most = quant.E2M1, 7, 6
	case quant.KindBF16:
		value, last = func(c byte) float32 { return 1 + float32(c)/128 }, 127
	}
	beside := func(v float32) float32 {
		return math.Float32frombits(math.Float32bits(v) + uint32(rng.IntN(3)) - 1)
	}
	x := make([]float32, n)
	for at := 0; at < n; at += group {
		scale := float32(math.Ldexp(1, int(rng.IntN(17))-8))
		for j := at; j < min(at+group, n); j++ {
			code := int(rng.IntN(last))
			v := value(byte(code))
			if rng.IntN(2) == 0 {
				v = (v + value(byte(code+1))) / 2
			}
			if v != 0 {
				v = beside(v)
			}
			x[j] = float32(math.Copysign(float64(v*scale), rng.Float64()-0.5))
		}
		x[at+int(rng.IntN(min(group, n-at)))] = beside(most * scale)
	}
	return x
}
