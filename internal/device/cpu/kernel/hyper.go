package kernel

import (
	"math"
	"unsafe"
)

// HC is what a hyper-connection site has for all rows: see op.HCSplit. Base is 2n + n*n wide and Scale 3, or n and 1 for
// the final head.
type HC struct {
	Base, Scale    []float32
	Streams, Iters int
	Eps            float64
}

// HCSplit makes the mixing weights of a row from its projection m, which is multiplied with rho first (1 if it was before).
// post and comb are nil for the final head. All of it is float64.
func (s *Set) HCSplit(h *HC, pre, post, comb, m []float32, rho float32) {
	n := h.Streams
	for j := range n {
		pre[j] = float32(1/(1+math.Exp(-h.mixed(m, rho, j, 0))) + h.Eps)
	}
	if comb == nil {
		return
	}
	for j := range n {
		post[j] = float32(2 / (1 + math.Exp(-h.mixed(m, rho, n+j, 1))))
	}
	var fixed [64]float64
	c := fixed[:]
	if n*n > len(c) {
		c = make([]float64, n*n) // no model has so many streams
	}
	c = c[:n*n]
	for i := range c {
		c[i] = h.mixed(m, rho, 2*n+i, 2)
	}
	if n == 4 {
		s.sinkhorn4(h, (*[16]float64)(c))
	} else {
		h.sinkhorn(c)
	}
	for i, v := range c {
		comb[i] = float32(v)
	}
}

func (h *HC) mixed(m []float32, rho float32, i, kind int) float64 {
	return float64(m[i])*float64(rho)*float64(h.Scale[kind]) + float64(h.Base[i])
}

// sinkhorn is Sinkhorn's iteration as op.HCSplit has it.
func (h *HC) sinkhorn(c []float64) {
	n := h.Streams
	for j := range n {
		h.softmax(c[j*n:][:n])
	}
	h.divide(c, n, 1)
	for range h.Iters - 1 {
		h.divide(c, 1, n)
		h.divide(c, n, 1)
	}
}

// softmax leaves Eps added.
func (h *HC) softmax(x []float64) {
	most, sum := math.Inf(-1), 0.0
	for _, v := range x {
		most = max(most, v) // NaN stays NaN
	}
	for i, v := range x {
		x[i] = math.Exp(v - most)
		sum += x[i]
	}
	for i := range x {
		x[i] = x[i]/sum + h.Eps
	}
}

// divide divides each line by its sum plus Eps: one division for a line, which last longest. Elements of a line are step
// apart, lines themselves apart.
func (h *HC) divide(c []float64, step, apart int) {
	for line := range h.Streams {
		sum := h.Eps
		for i := range h.Streams {
			sum += c[line*apart+i*step]
		}
		share := 1 / sum
		for i := range h.Streams {
			c[line*apart+i*step] *= share
		}
	}
}

// sinkhorn4 is sinkhorn of four streams.
func (s *Set) sinkhorn4(h *HC, c *[16]float64) {
	if s.Tier == Generic {
		h.sinkhorn(c[:])
		return
	}
	for j := range 4 {
		h.softmax(c[4*j:][:4])
	}
	a := args{p: [6]unsafe.Pointer{unsafe.Pointer(c)}, n: [6]int{max(1, 2*h.Iters-1)}, d: [2]float64{h.Eps}}
	s.run(codeSinkhorn, &a)
}

// HCCollapse is y = sum_j pre[j] * x_j, of streams stride apart: x_j is x[j*stride:][:len(y)], so that a part of the columns
// can be made. A chain of fma with j ascending, of which the first is a product.
func (s *Set) HCCollapse(y, x, pre []float32, stride int) {
	x = x[:(len(pre)-1)*stride+len(y)]
	a := args{p: [6]unsafe.Pointer{at(y), at(x), at(pre)}, n: [6]int{len(y), len(pre), stride}}
	if s.run(codeCollapse, &a) {
		return
	}
	for c := range y {
		sum := pre[0] * x[c]
		for j := 1; j < len(pre); j++ {
			sum = fma(pre[j], x[j*stride+c], sum)
		}
		y[c] = sum
	}
}

// HCExpand is y_k = post[k] * a + sum_j comb[j,k] * x_j: a chain of fma with j ascending that begins with the product of a.
// Streams of x and y are stride apart, and len(a) columns of each are made. y must not overlap x or a.
func (s *Set) HCExpand(y, a, x, post, comb []float32, stride int) {
	n := len(post)
	all := (n-1)*stride + len(a)
	y, x, comb = y[:all], x[:all], comb[:n*n]
	g := args{p: [6]unsafe.Pointer{at(y), at(a), at(x), at(post), at(comb)}, n: [6]int{len(a), n, stride}}
	if s.run(codeExpand, &g) {
		return
	}
	for c, v := range a {
		for k := range n {
			sum := post[k] * v
			for j := range n {
				sum = fma(comb[j*n+k], x[j*stride+c], sum)
			}
			y[k*stride+c] = sum
		}
	}
}
