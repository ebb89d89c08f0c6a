package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// reference is steps 4 to 6 of model spec 5, written down once more.
func (h *HC) reference(m []float32, rho float32) (pre, post, comb []float64) {
	n := h.Streams
	mixed := func(i, kind int) float64 {
		return float64(m[i])*float64(rho)*float64(h.Scale[kind]) + float64(h.Base[i])
	}
	for j := range n {
		pre = append(pre, 1/(1+math.Exp(-mixed(j, 0)))+h.Eps)
		post = append(post, 2/(1+math.Exp(-mixed(n+j, 1))))
		sum := 0.0
		for k := range n {
			comb = append(comb, math.Exp(mixed(2*n+j*n+k, 2)))
			sum += comb[j*n+k]
		}
		for k := range n {
			comb[j*n+k] = comb[j*n+k]/sum + h.Eps
		}
	}
	columns := func() {
		for k := range n {
			sum := h.Eps
			for j := range n {
				sum += comb[j*n+k]
			}
			for j := range n {
				comb[j*n+k] /= sum
			}
		}
	}
	columns()
	for range h.Iters - 1 {
		for j := range n {
			sum := h.Eps
			for k := range n {
				sum += comb[j*n+k]
			}
			for k := range n {
				comb[j*n+k] /= sum
			}
		}
		columns()
	}
	return pre, post, comb
}

func TestSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 3, 4, 5, 9} {
		for range 20 {
			h := &HC{Base: fill(r, 2*n+n*n, inputs["plain"]), Scale: fill(r, 3, inputs["plain"]), Streams: n, Iters: 20, Eps: 1e-6}
			m := fill(r, 2*n+n*n, inputs["plain"])
			pre, post, comb := make([]float32, n), make([]float32, n), make([]float32, n*n)
			For(Generic).HCSplit(h, pre, post, comb, m, 0.7)
			wantPre, wantPost, wantComb := h.reference(m, 0.7)
			for i, want := range append(append(wantPre, wantPost...), wantComb...) {
				if got := append(append(pre[:n:n], post...), comb...)[i]; ulps(got, want) > 0.51 {
					t.Fatalf("%d streams: number %d is %v, want %v", n, i, got, want)
				}
			}
			head := make([]float32, n)
			final := &HC{Base: h.Base[:n], Scale: h.Scale[:1], Streams: n, Eps: h.Eps}
			for _, tier := range Tiers() {
				For(tier).HCSplit(final, head, nil, nil, m[:n], 0.7)
				sameBits(t, "the final head", head, pre)
				again := make([]float32, n*n)
				For(tier).HCSplit(h, head, make([]float32, n), again, m, 0.7)
				sameBits(t, tier.String(), again, comb)
			}
		}
	}
}

// A damaged weight must not look like numbers.
func TestSplitKeepsNaN(t *testing.T) {
	h := &HC{Base: make([]float32, 24), Scale: []float32{1, 1, 1}, Streams: 4, Iters: 20, Eps: 1e-6}
	for i := range 24 {
		m := make([]float32, 24)
		m[i] = float32(math.NaN())
		pre, post, comb := make([]float32, 4), make([]float32, 4), make([]float32, 16)
		for _, tier := range Tiers() {
			For(tier).HCSplit(h, pre, post, comb, m, 1)
			found := false
			for _, v := range append(append(pre, post...), comb...) {
				found = found || v != v
			}
			if !found {
				t.Errorf("%v: NaN in number %d is gone", tier, i)
			}
		}
	}
}
