package qualify

import (
	"fmt"
	"math"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// nans put a NaN or an infinity into one row. The run must fail, or the NaN must stay to be seen; the next run is as good
// as ever.
func nans(seed uint64) (list []*scene) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	const n = 128
	add := func(name, what string, bad float32, width int, record func(s *scene, x op.In)) {
		s := newScene(seed, name, describe(what, "with", bad, "negative:", math.Signbit(float64(bad))), flat(9))
		record(s, s.in("x", width))
		for _, at := range []int{0, 4*width + 17, 9*width - 1} {
			clean := normal(s.rng, 9*width)
			s.sequence(9).floats("x", clean)
			damaged := append([]float32(nil), clean...)
			damaged[at] = bad
			r := s.sequence(9)
			r.refuse = true
			r.floats("x", damaged)
		}
		list = append(list, s)
	}
	for _, bad := range []float32{nan, -nan, inf, -inf} {
		add("quantise", "E4M3", bad, n, func(s *scene, x op.In) {
			s.Add(op.Quantise{X: x, Y: s.out("y", n), Kind: quant.KindE4M3, Width: n, Channels: n, Group: 32})
		})
		add("quantise", "E2M1", bad, n, func(s *scene, x op.In) {
			s.Add(op.Quantise{X: x, Y: s.out("y", n), Kind: quant.KindE2M1, Width: n, Channels: n, Group: 32})
		})
	}
	for _, ascending := range []bool{true, false} {
		add("topk", fmt.Sprint("ascending ", ascending), nan, 40, func(s *scene, x op.In) {
			y := s.Temp("sum", op.Rows, 40)
			s.Add(op.AddBias{X: x, Bias: s.vector("bias", make([]float32, 40)), Y: op.Out(y)})
			s.Add(op.TopK{X: op.In(y), Ids: s.idsOut("ids", 6), Ascending: ascending})
		})
	}
	for _, f := range formats {
		add("linear", f.String(), nan, n, func(s *scene, x op.In) {
			s.Add(op.Linear{X: x, W: s.weight("w", f, 1, 40, n, drawCodes(anyCode, nearOne)), Y: s.out("y", 40), Groups: 1})
		})
	}
	add("rmsnorm", "rows", nan, n, func(s *scene, x op.In) { s.Add(op.RMSNorm{X: x, Y: s.out("y", n), Width: n, Eps: 1e-6}) })
	add("sqrtsoftplus", "rows", nan, n, func(s *scene, x op.In) { s.Add(op.SqrtSoftplus{X: x, Y: s.out("y", n)}) })
	add("hadamard", "rows", nan, n, func(s *scene, x op.In) {
		y := s.out("y", n)
		s.Add(op.RMSNorm{X: x, Y: y, Width: n, Eps: 1e-6})
		s.Add(op.Hadamard{X: op.InOut(y), Width: n})
	})
	for _, f := range formats[:5] {
		list = append(list, damagedWeight(seed, f))
	}
	return append(list, inexact(seed), damagedMemory(seed))
}

// damagedWeight has a NaN for a number, in the last row of a product.
func damagedWeight(seed uint64, f quant.Format) *scene {
	const n, k = 40, 128
	s := newScene(seed, "linear", describe(f, "a NaN in a weight"), flat(9))
	s.addLinear(f, n, k, 0, drawCodes(anyCode, nearOne))
	s.parts["w"][0].set((n-1)*k+k/2, float32(math.NaN()))
	for _, m := range []int{1, 9} {
		r := s.sequence(m)
		r.refuse = true
		r.floats("x", normal(s.rng, m*k))
	}
	return s
}

// inexact stores rows that their packing cannot hold.
func inexact(seed uint64) *scene {
	row := kvRows[0]
	s := newScene(seed, "store", "numbers that a row cannot hold", flat(9))
	ring := s.Ring("ring", row, 40)
	s.Add(op.Store{X: s.in("x", row.Width), Slot: op.Slot, Entry: op.Position, S: op.InOut(ring), Divide: 1})
	for _, bad := range []float32{1.0 / 3, float32(math.NaN())} {
		r := s.sequence(3)
		r.refuse = true
		x := s.packable(row, 3, 0)
		x[row.Width+5] = bad
		r.floats("x", x)
		s.stored("ring", row, s.sequence(3))
	}
	return s
}

// damagedMemory has a NaN in the last row that is attended to.
func damagedMemory(seed uint64) *scene {
	row := kvRows[1]
	s := newScene(seed, "attend", "a memory with a NaN", flat(9))
	s.Add(op.Attend{Q: s.in("q", 2*row.Width), Slot: op.Slot, Position: op.Position, Window: op.In(s.Ring("window", row, 20)),
		Sink: s.vector("sink", []float32{1, -3}), Y: s.out("y", 2*row.Width), Span: 8, Scale: 0.1})
	for _, bad := range []bool{false, true, false} {
		r := s.sequence(9)
		r.refuse = bad
		r.data["window"] = s.memory("window", 0, s.any)
		r.floats("q", normal(s.rng, 9*2*row.Width))
		if bad {
			copy(r.data["window"][9*row.Bytes()-4:], poison[:])
		}
	}
	return s
}
