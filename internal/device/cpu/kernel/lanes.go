package kernel

import (
	"math"
	"unsafe"
)

// The kernels over rows are methods of Set. Each has an oracle in plain Go, which is the Generic tier, and code that is
// equal to it to the last bit in other tiers. Sums over a row go into 16 lanes, element i into lane i mod 16, ascending;
// then join adds the lanes up.

// args is what code of a tier is called with; which operand is what stands at the code, in csrc.
type args struct {
	p [6]unsafe.Pointer
	n [6]int
	f [4]float32
	d [2]float64
}

// code names what a tier may have code for.
type code uint8

const (
	codeSquares code = iota
	codeNorm
	codeAdd
	codeSwiGLU
	codeSoftplus
	codeCollapse
	codeExpand
	codeSinkhorn
	codeCombine
	codeRoPE
	codeHadamard
	codePool
	codeSoftmax
	codeToBF16
	codeFakeE4M3
	codeQuantiseE4M3
	codeFakeE2M1
	codeEncodeE4M3
	codeEncodeE2M1
	codeDecodeE4M3
	codeDecodeE2M1
	codeScores
	codeWeigh
	codeRelevance
	codeFastScores
	codeFastWeigh
	codeOffer
	codeIndexQuery
	codeIndex
)

func at[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// join adds up lanes, the upper half to the lower, until there is one.
func join[T float32 | float64](lanes *[16]T) T {
	for half := 8; half > 0; half /= 2 {
		for i := range half {
			lanes[i] += lanes[i+half]
		}
	}
	return lanes[0]
}

// greater and less return b where one of both is NaN, or both are zero.
func greater(a, b float32) float32 {
	if a > b {
		return a
	}
	return b
}

func less(a, b float32) float32 {
	if a < b {
		return a
	}
	return b
}

// exp returns e^x to 1 ulp. The argument is taken apart into n*ln 2 + r, where ln 2 has two parts.
func exp(x float32) float32 {
	const round = 0x1.8p23
	x = less(89, greater(-104, x)) // beyond, the result is infinite or zero
	if x != x {
		return x
	}
	n := fma(x, 0x1.715476p0, round) - round
	r := fma(n, -0x1.62ep-1, x)
	r = fma(n, -0x1.0bfbe8p-15, r)
	p := float32(0.001395047716294113)
	for _, c := range [...]float32{0.008368882203161834, 0.041666206025477166, 0.16666518899150992, 0.5000000095105278} {
		p = fma(p, r, c)
	}
	p = 1 + fma(float32(r*r), p, r)
	half := int(n) >> 1
	return float32(p*pow2(half)) * pow2(int(n)-half) // only the second product can round
}

// pow2 returns 2^n for a normal number.
func pow2(n int) float32 { return math.Float32frombits(uint32(n+127) << 23) }

// sigmoid returns 1/(1+e^-x), from e^-|x|, so that both ends keep their precision.
func sigmoid(x float32) float32 {
	e := exp(math.Float32frombits(math.Float32bits(x) | 1<<31))
	if x < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

// sqrtSoftplus returns sqrt(log(1+e^x)) to 2 ulp: max(x, 0) + log1p(e^-|x|) below the root, where log1p(e) is
// 2*atanh(e/(2+e)). Above 20 it is sqrt(x), below -20 e^(x/2).
func sqrtSoftplus(x float32) float32 {
	switch {
	case x < -20:
		return exp(x * 0.5)
	case x > 20:
		return float32(math.Sqrt(float64(x)))
	}
	e := exp(math.Float32frombits(math.Float32bits(x) | 1<<31))
	s := e / (2 + e)
	z := s * s
	p := float32(0.1215044445511483)
	for _, c := range [...]float32{0.10713835499338752, 0.1430844173419622, 0.19999438898905206, 0.333333378106197} {
		p = fma(p, z, c)
	}
	twice := s + s
	log1p := fma(float32(twice*z), p, twice)
	return float32(math.Sqrt(float64(greater(0, x) + log1p)))
}
