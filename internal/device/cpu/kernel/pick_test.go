package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// largest is op.TopK written down with a sort.
func largest(ids []int32, x []float32, ascending bool) {
	var order []int32
	for i, v := range x {
		if v > float32(math.Inf(-1)) {
			order = append(order, int32(i))
		}
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		switch {
		case x[a] > x[b]:
			return -1
		case x[a] < x[b]:
			return 1
		}
		return 0
	})
	order = order[:min(len(order), len(ids))]
	for len(order) < len(ids) {
		order = append(order, -1)
	}
	if ascending {
		slices.Sort(order)
	}
	copy(ids, order)
}

// rankings are orders that are hard on a selection.
var rankings = map[string]func(r *rand.Rand, i, n int) float32{
	"random":     func(r *rand.Rand, _, _ int) float32 { return float32(r.NormFloat64()) },
	"ascending":  func(_ *rand.Rand, i, _ int) float32 { return float32(i) - 100 },
	"descending": func(_ *rand.Rand, i, n int) float32 { return float32(n - i) },
	"equal":      func(*rand.Rand, int, int) float32 { return -2 },
	"few":        func(r *rand.Rand, _, _ int) float32 { return float32(r.IntN(3)) - 1 },
	"zeros":      func(r *rand.Rand, _, _ int) float32 { return float32(math.Copysign(0, float64(r.IntN(2))-0.5)) },
	"infinite":   func(r *rand.Rand, _, _ int) float32 { return float32(math.Inf(r.IntN(2)*2 - 1)) },
	"odd":        func(r *rand.Rand, _, _ int) float32 { return inputs["odd"](r) },
}

func TestTopK(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tier := range Tiers() {
		s, m := For(tier), newMemory(t)
		p := NewPicks(512)
		for name, number := range rankings {
			for _, n := range []int{0, 1, 5, 15, 16, 17, 33, 256, 600, 3000, 20000} {
				for _, k := range []int{0, 1, 6, 8, 64, 512} {
					m.reset()
					x := typed[float32](m, n)
					for i := range x {
						x[i] = number(r, i, n)
					}
					got, want := typed[int32](m, k), make([]int32, k)
					for _, ascending := range []bool{false, true} {
						largest(want, x, ascending)
						if !s.TopK(got, x, ascending, p) {
							t.Fatalf("%v, %s: a NaN was seen", tier, name)
						}
						if !slices.Equal(got, want) {
							t.Fatalf("%v, %s: %d of %d: %v, want %v", tier, name, k, n, got, want)
						}
					}
				}
			}
		}
	}
}

func TestTopKFailsOnNaN(t *testing.T) {
	for _, tier := range Tiers() {
		for n := 1; n < 70; n++ {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(math.Inf(1)) // so that nothing else gets into the buffer any more
				if i == n-1 {
					x[i] = float32(math.NaN())
				}
			}
			if For(tier).TopK(make([]int32, 2), x, true, NewPicks(2)) {
				t.Fatalf("%v: NaN at %d was not seen", tier, n-1)
			}
		}
	}
}

// Parts that are collected apart come to the same as the whole.
func TestPicksMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := For(Tiers()[len(Tiers())-1])
	for name, number := range rankings {
		x := make([]float32, 9000)
		for i := range x {
			x[i] = number(r, i, len(x))
		}
		got, want := make([]int32, 100), make([]int32, 100)
		largest(want, x, true)
		all := NewPicks(100)
		all.Reset(100)
		for first := 0; first < len(x); first += 2500 {
			part := NewPicks(100)
			part.Reset(100)
			end := min(first+2500, len(x))
			middle := (first + end) / 2
			s.Offer(part, x[first:middle], first)
			s.Offer(part, x[middle:end], middle)
			all.Merge(part)
		}
		if all.Take(got, true); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
