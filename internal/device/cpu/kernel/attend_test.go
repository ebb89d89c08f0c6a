package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"baleen/internal/quant"
)

// attention is one row of it: what Scores, Softmax and Weigh make together.
func attention(s *Set, h *Heads, q, keys, sinks []float32, n int) []float32 {
	h.Stride = n
	scores, y := make([]float32, h.Heads*n), make([]float32, h.Heads*h.Width)
	s.Scores(h, scores, q, keys, n)
	for i, sink := range sinks {
		s.Softmax(scores[i*n:][:n], sink)
	}
	s.Weigh(h, y, scores, keys, n)
	return y
}

func TestAttentionAgainstFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const heads, width, n = 5, 512, 700
	h := &Heads{Heads: heads, Width: width, Scale: 0.0442}
	q, keys, sinks := fill(r, heads*width, inputs["plain"]), fill(r, n*width, inputs["plain"]), fill(r, heads, inputs["plain"])
	for _, tier := range Tiers() {
		y := attention(For(tier), h, q, keys, sinks, n)
		for i, sink := range sinks {
			scores, most := make([]float64, n), math.Inf(-1)
			for j := range scores {
				for c := range width {
					scores[j] += float64(q[i*width+c]) * float64(keys[j*width+c])
				}
				scores[j] *= float64(h.Scale)
				most = max(most, scores[j])
			}
			sum := math.Exp(float64(sink) - most)
			for j := range scores {
				scores[j] = math.Exp(scores[j] - most)
				sum += scores[j]
			}
			for c := range width {
				want := 0.0
				for j, p := range scores {
					want += p / sum * float64(keys[j*width+c])
				}
				if math.Abs(float64(y[i*width+c])-want) > 2e-6 {
					t.Fatalf("%v: head %d, channel %d is %v, want %v", tier, i, c, y[i*width+c], want)
				}
			}
		}
	}
}

// The caller may take keys in any blocks of a multiple of 64, and heads in any groups: nothing changes.
func TestAttentionInParts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const heads, width, n = 9, 96, 300
	s := For(Tiers()[len(Tiers())-1])
	h := &Heads{Heads: heads, Width: width, Scale: 0.1}
	q, keys, sinks := fill(r, heads*width, inputs["plain"]), fill(r, n*width, inputs["plain"]), fill(r, heads, inputs["plain"])
	want := attention(s, h, q, keys, sinks, n)
	y := make([]float32, heads*width)
	for first := 0; first < heads; first += 2 {
		part := &Heads{Heads: min(2, heads-first), Width: width, Scale: 0.1, Stride: n}
		scores := make([]float32, part.Heads*n)
		for j := 0; j < n; j += 128 {
			s.Scores(part, scores[j:], q[first*width:], keys[j*width:], min(128, n-j))
		}
		for i := range part.Heads {
			s.Softmax(scores[i*n:][:n], sinks[first+i])
		}
		for j := 0; j < n; j += 128 {
			s.Weigh(part, y[first*width:], scores[j:], keys[j*width:], min(128, n-j))
		}
	}
	sameBits(t, "in parts", y, want)
}

func TestSoftmaxExtremes(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, tier := range Tiers() {
		s := For(tier)
		for _, c := range []struct {
			scores []float32
			sink   float32
			want   []float32
		}{
			{[]float32{0}, -inf, []float32{1}},
			{[]float32{0, 0}, 0, []float32{1. / 3, 1. / 3}},
			{[]float32{3e38, 0}, -inf, []float32{1, 0}},
			{[]float32{-3e38, -3e38}, -inf, []float32{0.5, 0.5}},
			{[]float32{0, -1}, 1000, []float32{0, 0}},
			{[]float32{inf, 0}, 0, []float32{float32(math.NaN()), float32(math.NaN())}},
			{[]float32{float32(math.NaN()), 0}, 0, []float32{float32(math.NaN()), float32(math.NaN())}},
		} {
			got := slices.Clone(c.scores)
			if s.Softmax(got, c.sink); c.scores[0] == inf {
				if !(got[0] != got[0]) {
					t.Errorf("%v: an infinite score gives %v", tier, got)
				}
				continue
			}
			sameBits(t, fmt.Sprint(tier, c.scores), got, c.want)
		}
	}
}

// Operands of bfloat16 with no subnormal product: the instruction and plain Go agree.
func TestFastAttentionEqualsPlainGo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	half := func(m *memory, n int) []uint16 {
		u := typed[uint16](m, n)
		for i := range u {
			u[i] = quant.ToBF16(float32(math.Ldexp(r.NormFloat64(), r.IntN(20)-10)))
		}
		return u
	}
	for _, tier := range Tiers()[1:] {
		s, generic, m := For(tier), For(Generic), newMemory(t)
		for n := 1; n <= 70; n++ {
			m.reset()
			h := &Heads{Heads: 1 + n%6, Width: 32 * (1 + n%4), Stride: n, Scale: 0.3}
			q, keys, p := half(m, h.Heads*h.Width), half(m, n*h.Width), half(m, h.Heads*n)
			var got, want [2][]float32
			for i := range got {
				got[i] = typed[float32](m, []int{h.Heads * n, h.Heads * h.Width}[i])
				clear(got[i])
				want[i] = make([]float32, len(got[i]))
			}
			s.FastScores(h, got[0], q, keys, n)
			generic.FastScores(h, want[0], q, keys, n)
			sameBits(t, fmt.Sprint(tier, " scores of ", n), got[0], want[0])
			s.FastWeigh(h, got[1], p, keys, n)
			generic.FastWeigh(h, want[1], p, keys, n)
			sameBits(t, fmt.Sprint(tier, " sums of ", n), got[1], want[1])
		}
	}
}
