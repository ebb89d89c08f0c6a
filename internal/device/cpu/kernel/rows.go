package kernel

import (
	"math"
	"unsafe"

	"baleen/internal/quant"
)

// RowScale returns 1/sqrt(mean(x^2) + eps). The sum is of float64.
func (s *Set) RowScale(x []float32, eps float64) float32 { return float32(s.scaleOf(x, eps)) }

func (s *Set) scaleOf(x []float32, eps float64) float64 {
	a := args{p: [6]unsafe.Pointer{at(x)}, n: [6]int{len(x)}}
	if !s.run(codeSquares, &a) {
		a.d[0] = squares(x)
	}
	return 1 / math.Sqrt(a.d[0]/float64(len(x))+eps)
}

func squares(x []float32) float64 {
	var lanes [16]float64
	for i, v := range x {
		lanes[i%16] += float64(v) * float64(v) // exact in float64
	}
	return join(&lanes)
}

// RMSNorm is y = x / sqrt(mean(x^2) + eps) * w in float64, rounded once. w may be nil; y may be x.
func (s *Set) RMSNorm(y, x, w []float32, eps float64) {
	x = x[:len(y)]
	if w != nil {
		w = w[:len(y)]
	}
	rho := s.scaleOf(x, eps)
	a := args{p: [6]unsafe.Pointer{at(y), at(x), at(w)}, n: [6]int{len(y)}, d: [2]float64{rho}}
	if s.run(codeNorm, &a) {
		return
	}
	for i := range y {
		v := float64(x[i]) * rho
		if w != nil {
			v *= float64(w[i])
		}
		y[i] = float32(v)
	}
}

// Add is y = a + b, of equal widths: also a bias. y may be either.
func (s *Set) Add(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	g := args{p: [6]unsafe.Pointer{at(y), at(a), at(b)}, n: [6]int{len(y)}}
	if s.run(codeAdd, &g) {
		return
	}
	for i := range y {
		y[i] = a[i] + b[i]
	}
}

// SwiGLU is h = silu(min(g, limit)) * clamp(u, -limit, limit) * weight, where limit 0 clamps nothing; to 5 ulp. h may be g
// or u.
func (s *Set) SwiGLU(h, g, u []float32, weight, limit float32) {
	g, u = g[:len(h)], u[:len(h)]
	if limit == 0 {
		limit = float32(math.Inf(1))
	}
	a := args{p: [6]unsafe.Pointer{at(h), at(g), at(u)}, n: [6]int{len(h)}, f: [4]float32{limit, weight}}
	if s.run(codeSwiGLU, &a) {
		return
	}
	for i := range h {
		gate, up := less(limit, g[i]), greater(-limit, less(limit, u[i]))
		h[i] = float32(float32(float32(gate*sigmoid(gate))*up) * weight)
	}
}

// SqrtSoftplus is y = sqrt(log(1 + e^x)), to 2 ulp. y may be x.
func (s *Set) SqrtSoftplus(y, x []float32) {
	x = x[:len(y)]
	a := args{p: [6]unsafe.Pointer{at(y), at(x)}, n: [6]int{len(y)}}
	if s.run(codeSoftplus, &a) {
		return
	}
	for i, v := range x {
		y[i] = sqrtSoftplus(v)
	}
}

// RouteWeights is w[s] = a[ids[s]] / sum_s a[ids[s]] * scale. It returns false for an id that is no index of a.
func RouteWeights(w, a []float32, ids []int32, scale float64) bool {
	sum := 0.0
	for _, e := range ids {
		if e < 0 || int(e) >= len(a) {
			return false
		}
		sum += float64(a[e])
	}
	for s, e := range ids {
		w[s] = float32(float64(a[e]) / sum * scale)
	}
	return true
}

// SlotOrder writes to order the slots of ids by ascending id; equal ids keep their order.
func SlotOrder(order, ids []int32) {
	for s, e := range ids {
		i := s
		for ; i > 0 && ids[order[i-1]] > e; i-- {
			order[i] = order[i-1]
		}
		order[i] = int32(s)
	}
}

// Combine is y = the sum of the slots of x in an order, then shared: float32 sums one after the other. Slot s is
// x[s*stride:][:len(y)], so that a part of the columns can be made.
func (s *Set) Combine(y, x, shared []float32, order []int32, stride int) {
	shared = shared[:len(y)]
	if len(order) == 0 {
		copy(y, shared)
		return
	}
	for _, slot := range order {
		_ = x[int(slot)*stride:][:len(y)]
	}
	a := args{p: [6]unsafe.Pointer{at(y), at(x), at(shared), at(order)}, n: [6]int{len(y), len(order), stride}}
	if s.run(codeCombine, &a) {
		return
	}
	for c := range y {
		sum := x[int(order[0])*stride+c]
		for _, slot := range order[1:] {
			sum += x[int(slot)*stride+c]
		}
		y[c] = sum + shared[c]
	}
}

// SinCos writes cosine and sine of float32(position) * freq[i], rounded to float32 before.
func SinCos(cos, sin, freq []float32, position int32) {
	for i, f := range freq {
		angle := float32(position) * f
		s, c := math.Sincos(float64(angle))
		cos[i], sin[i] = float32(c), float32(s)
	}
}

// RoPE rotates the last 2*len(cos) numbers of each part of width numbers in place, adjacent pairs by the angles that
// SinCos has made, or back:
//
//	a = fma(a, cos, -(b*sin)), b = fma(b, cos, a*sin)
func (s *Set) RoPE(x []float32, width int, cos, sin []float32, inverse bool) {
	n, sign := 2*len(cos), float32(1)
	if n == 0 || len(x) < width {
		return
	}
	if inverse {
		sign = -1
	}
	sin = sin[:len(cos)]
	first := x[width-n:]
	if n%16 == 0 && len(x)%width == 0 {
		a := args{p: [6]unsafe.Pointer{at(first), at(cos), at(sin)}, n: [6]int{len(x) / width, width, n}, f: [4]float32{sign}}
		if s.run(codeRoPE, &a) {
			return
		}
	}
	for start := 0; start+width <= len(x); start += width {
		part := x[start+width-n:][:n]
		for i, c := range cos {
			a, b, t := part[2*i], part[2*i+1], sin[i]*sign
			part[2*i] = fma(a, c, float32(b*-t))
			part[2*i+1] = fma(b, c, float32(a*t))
		}
	}
}

// Hadamard multiplies each part of width numbers, a power of two, with the Walsh-Hadamard matrix in natural order times
// width^-0.5, in place: butterflies of float64, pairs first, rounded once.
func (s *Set) Hadamard(x []float32, width int) {
	scale := 1 / math.Sqrt(float64(width))
	if width == 128 && len(x)%width == 0 {
		a := args{p: [6]unsafe.Pointer{at(x)}, n: [6]int{len(x) / width}, d: [2]float64{scale}}
		if s.run(codeHadamard, &a) {
			return
		}
	}
	for start := 0; start+width <= len(x); start += width {
		hadamard(x[start:][:width], scale)
	}
}

// hadamard transforms blocks that fit into its memory, and of wider parts such blocks of columns.
func hadamard(x []float32, scale float64) {
	var fixed [256]float64
	y := fixed[:]
	if len(x) > len(y) {
		y = make([]float64, len(x)) // no model has such a width
	}
	y = y[:len(x)]
	for i, v := range x {
		y[i] = float64(v)
	}
	for half := 1; half < len(y); half *= 2 {
		for i := range y {
			if i&half == 0 {
				a, b := y[i], y[i+half]
				y[i], y[i+half] = a+b, a-b
			}
		}
	}
	for i, v := range y {
		x[i] = float32(v * scale)
	}
}

// Pool is y[j] = sum_t softmax_t(scores[t][j]) * values[t][j] of at least one token, rows of len(y) one after the other:
//
//	above = fma(exp(score - largest), value, above); sum += exp(score - largest); y = above / sum
//
// with tokens ascending. What overflows is infinite or NaN.
func (s *Set) Pool(y, values, scores []float32) {
	n := len(y)
	tokens := len(scores) / max(n, 1)
	if tokens == 0 {
		return
	}
	values, scores = values[:tokens*n], scores[:tokens*n]
	a := args{p: [6]unsafe.Pointer{at(y), at(values), at(scores)}, n: [6]int{n, tokens, n}}
	if s.run(codePool, &a) {
		return
	}
	for j := range y {
		most := scores[j]
		for t := 1; t < tokens; t++ {
			most = greater(most, scores[t*n+j])
		}
		var sum, above float32
		for t := range tokens {
			p := exp(scores[t*n+j] - most)
			sum += p
			above = fma(p, values[t*n+j], above)
		}
		y[j] = above / sum
	}
}

// ToBF16 rounds x to bfloat16, ties to even; a NaN stays one.
func (s *Set) ToBF16(dst []uint16, x []float32) {
	dst = dst[:len(x)]
	a := args{p: [6]unsafe.Pointer{at(dst), at(x)}, n: [6]int{len(x)}}
	if s.run(codeToBF16, &a) {
		return
	}
	for i, v := range x {
		dst[i] = quant.ToBF16(v)
	}
}
