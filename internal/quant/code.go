// Package quant is the number formats of a DeepSeek-V4 checkpoint in plain Go: E4M3, E2M1, E8M0 and BF16 codes,
// the block layouts that matrices are stored in, the fake quantisers of the official inference code, and the
// packed form of a remembered row. It is exact and obvious rather than fast: kernels are tested against it.
// It knows no files, no tensor names and no devices.
//
// Sources: formats spec 1.7; model spec 2 and 3.2 to 3.4.
package quant

import "math"

const (
	signBit  = 1 << 31
	infBits  = 0xff << 23 // of a float32; larger magnitudes are NaN
	mantBits = 23

	maxE4M3 = 448
	maxE2M1 = 6
	nanE4M3 = 0x7f
	nanE8M0 = 0xff
)

var (
	e4m3 = tableE4M3()
	e2m1 = [16]float32{0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6}
)

// tableE4M3 writes down the value of every code: sign, 4 exponent bits (bias 7), 3 mantissa bits, no infinity.
func tableE4M3() (t [256]float32) {
	for code := range 128 {
		exp, mant := code>>3, code&7
		value := math.Ldexp(float64(8+mant), exp-10)
		if exp == 0 {
			value = math.Ldexp(float64(mant), -9)
		}
		if code == nanE4M3 {
			value = math.NaN()
		}
		t[code] = float32(value)
		t[code|0x80] = float32(math.Copysign(value, -1))
	}
	return t
}

// E4M3 returns the value of an E4M3FN code; 0x7f and 0xff are NaN.
func E4M3(b byte) float32 { return e4m3[b] }

// ToE4M3 returns the code nearest to x, ties to the even code. Beyond +-448, infinities included, it saturates; -0
// keeps its sign; NaN gives 0x7f.
func ToE4M3(x float32) byte {
	const (
		smallestNormal = (127 - 6) << mantBits // bits of 2^-6
		subnormalUnit  = 1 << 14               // a float32 of this size has an ulp of 2^-9, the step of the subnormals
		dropped        = mantBits - 3          // mantissa bits that E4M3 does not have
		rebias         = (127 - 7) << 3
	)
	bits := math.Float32bits(x)
	sign, mag := byte(bits>>24)&0x80, bits&^signBit
	switch {
	case mag > infBits:
		return nanE4M3
	case mag >= math.Float32bits(maxE4M3):
		return sign | 0x7e
	case mag < smallestNormal: // the addition rounds; a carry to 8 is the code of the smallest normal number
		sum := math.Float32frombits(mag) + subnormalUnit
		return sign | byte(math.Float32bits(sum)-math.Float32bits(subnormalUnit))
	}
	return sign | byte(roundEven(mag, dropped)-rebias)
}

// E2M1 returns the value of the code in the low four bits of code. Code 8, a negative zero, is 0.
func E2M1(code byte) float32 { return e2m1[code&15] }

// ToE2M1 returns the code nearest to x, ties to the even code (0.25 gives 0, 0.75 gives 1, 5 gives 4). It saturates at
// +-6. What rounds to zero is code 0, never 8. The format has no NaN: a caller that may meet one must look before (it
// gives 6 here).
func ToE2M1(x float32) byte {
	var sign byte
	if x < 0 {
		sign, x = 8, -x
	}
	switch {
	case x <= 0.25:
		return 0
	case x < 0.75:
		return sign | 1
	case x <= 1.25:
		return sign | 2
	case x < 1.75:
		return sign | 3
	case x <= 2.5:
		return sign | 4
	case x < 3.5:
		return sign | 5
	case x <= 5:
		return sign | 6
	}
	return sign | 7
}

// E8M0 returns 2^(b-127); 255 is NaN. 2^-127 is subnormal in a float32.
func E8M0(b byte) float32 {
	switch b {
	case 0:
		return math.Float32frombits(1 << (mantBits - 1))
	case nanE8M0:
		return float32(math.NaN())
	}
	return math.Float32frombits(uint32(b) << mantBits)
}

// ToE8M0 returns the code of x, and false where x is not a power of two from 2^-127 to 2^127.
func ToE8M0(x float32) (byte, bool) {
	code := math.Float32bits(x) >> mantBits
	if code >= nanE8M0 || E8M0(byte(code)) != x {
		return 0, false
	}
	return byte(code), true
}

// BF16 returns the value of a bfloat16: the upper half of a float32.
func BF16(u uint16) float32 { return math.Float32frombits(uint32(u) << 16) }

// ToBF16 rounds x to bfloat16, ties to even; a NaN stays a NaN of the same sign.
func ToBF16(x float32) uint16 {
	bits := math.Float32bits(x)
	if bits&^signBit > infBits {
		return uint16(bits>>16) | 0x40 // rounding could carry a NaN's mantissa away
	}
	return uint16(roundEven(bits, 16))
}

// roundEven drops the low n bits of a float32's bits, to nearest, ties to even; a carry moves into the exponent, where
// it belongs.
func roundEven(bits uint32, n int) uint32 {
	odd := bits >> n & 1
	return (bits + 1<<(n-1) - 1 + odd) >> n
}
