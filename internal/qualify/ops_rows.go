package qualify

import (
	"fmt"
	"math"

	"baleen/internal/op"
)

// rows are the ops that move or add rows.
func rows(seed uint64) []*scene {
	list := []*scene{gather(seed), embed(seed, 300, 160, 1, false), embed(seed, 300, 160, 4, true), embed(seed, 300, 96, 4, false), embed(seed, 70001, 32, 4, false)}
	for _, parts := range []int{1, 4} {
		s := newScene(seed, "add", fmt.Sprint("to ", parts, " parts"), flat(33))
		s.Add(op.Add{A: s.in("a", 96), B: s.in("b", 96*parts), Y: s.out("y", 96*parts)})
		for _, m := range []int{33, 1, 2} {
			r := s.sequence(m)
			r.floats("a", scattered(s.rng, 96*m, -30, 30))
			r.floats("b", scattered(s.rng, 96*parts*m, -30, 30))
		}
		list = append(list, s)
	}
	for _, parts := range []int{1, 2, 3, 4} {
		list = append(list, mean(seed, parts, 96))
	}
	return append(list, mean(seed, 4, 4096), join(seed, 100, 60), join(seed, 33, 1), join(seed, 1, 33), join(seed, 8192, 4096))
}

// mean is of parts side by side: of whole numbers, of which two or four have a mean that is exact, and of any.
func mean(seed uint64, parts, d int) *scene {
	s := newScene(seed, "mean", describe("of", parts, "parts of", d), flat(min(257, 1<<17/d)))
	s.Add(op.Mean{X: s.in("x", parts*d), Y: s.out("y", d)})
	for i, m := range []int{257, 1, 2, 7, 17, 33} {
		m = min(m, s.Program().Caps.Rows)
		whole := s.sequence(m)
		whole.exact = parts&(parts-1) == 0
		whole.floats("x", integers(s.rng, m*parts*d, 1000))
		s.sequence(m).floats("x", scattered(s.rng, m*parts*d, -30, float64(20*i)))
	}
	return s
}

// join puts rows of any numbers side by side.
func join(seed uint64, a, b int) *scene {
	s := newScene(seed, "join", describe(a, "and", b), flat(min(257, 1<<18/(a+b))))
	s.Add(op.Join{A: s.in("a", a), B: s.in("b", b), Y: s.out("y", a+b)})
	for _, m := range []int{257, 1, 2, 3, 8, 9, 17, 33} {
		m = min(m, s.Program().Caps.Rows)
		r := s.sequence(m)
		r.floats("a", scattered(s.rng, m*a, -140, 120))
		r.floats("b", scattered(s.rng, m*b, -140, 120))
	}
	return s
}

func gather(seed uint64) *scene {
	s := newScene(seed, "gather", "wanted rows", flat(512))
	s.Add(op.Gather{X: s.in("x", 100), Row: op.LogitRow, Y: op.Out(s.IO("y", op.Logits, 100))})
	for i, m := range counts {
		r := s.sequence(m)
		r.floats("x", scattered(s.rng, 100*m, -140, 120))
		if i%2 == 1 {
			r.floats("x", repeated(s.rng, 100*m, 0, float32(math.Copysign(0, -1)), 0x1p-149, -0x1p-127, math.MaxFloat32, float32(math.Inf(-1))))
		}
	}
	return s
}

func embed(seed uint64, vocabulary, d, copies int, zeroFirst bool) *scene {
	s := newScene(seed, "embed", describe(vocabulary, "x", d, copies, "copies, zero first:", zeroFirst), op.Caps{Rows: 512, Slots: 2, Pages: 8, Context: 512})
	o := op.Embed{Token: op.Token, W: s.weight("w", formats[min(1, copies/4)], 1, vocabulary, d, drawCodes(anyCode, nearOne)), Y: s.out("y", copies*d), Copies: copies}
	if zeroFirst {
		o.ZeroFirst = op.Position
	}
	s.Add(o)
	for _, m := range counts {
		rows := append(sequenceRows(1, 0, m/2), sequenceRows(0, m%3, m-m/2)...)
		for i := range rows {
			rows[i].Token = int32(s.rng.IntN(vocabulary))
		}
		rows[0].Token, rows[len(rows)-1].Token = 0, int32(vocabulary-1)
		s.round(rows, twoTables())
	}
	return s
}

// twoTables are pages of two slots in no order.
func twoTables() [][]int32 { return [][]int32{{7, 2, 4, 0}, {1, 6, 3, 5}} }
