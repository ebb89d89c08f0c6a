package quant

import (
	"math"
	"slices"
)

// grid is how a group of channels is quantised: codes of one kind times one power of two.
type grid struct {
	floor   float32 // the largest magnitude counts as at least this
	inverse float32 // 1/largest code, rounded: the official code multiplies, so we do
	encode  func(float32) byte
	decode  func(byte) float32
}

var (
	gridE4M3 = grid{floor: 1e-4, inverse: 1.0 / maxE4M3, encode: ToE4M3, decode: E4M3}
	gridE2M1 = grid{floor: maxE2M1 * 0x1p-126, inverse: 1.0 / maxE2M1, encode: ToE2M1, decode: E2M1}
)

// scale returns the power of two that the codes of group x are multiplied with, and false if x holds a NaN or an
// infinity, for which there is none.
func (g grid) scale(x []float32) (float32, bool) {
	amax := math.Float32bits(g.floor)
	for _, v := range x {
		amax = max(amax, math.Float32bits(v)&^signBit) // as integers, magnitudes sort: finite, infinite, NaN
	}
	if amax >= infBits {
		return 0, false
	}
	return PowerOfTwoCeil(math.Float32frombits(amax) * g.inverse), true
}

// fake rounds every group of x to the grid.
func (g grid) fake(x []float32, group int) {
	for part := range slices.Chunk(x, group) {
		scale, finite := g.scale(part)
		for i, v := range part {
			if finite {
				part[i] = g.decode(g.encode(v/scale)) * scale
			} else {
				part[i] = float32(math.NaN())
			}
		}
	}
}

// PowerOfTwoCeil returns the smallest power of two, at least 2^-126, that is not below v (model spec 3.2). It works on
// bits: a logarithm would be off by one somewhere. Above 2^127 it is +Inf; for v that is not positive it is NaN.
func PowerOfTwoCeil(v float32) float32 {
	if !(v > 0) {
		return float32(math.NaN())
	}
	const mantissa = 1<<mantBits - 1
	return math.Float32frombits((math.Float32bits(v) + mantissa) &^ mantissa)
}

// FakeE4M3 rounds x in place to what E4M3 codes with one power-of-two scale for every group of consecutive channels
// can hold (model spec 3.3); the last group may be shorter. A group with a NaN or an infinity becomes NaN throughout:
// it must not look like numbers.
func FakeE4M3(x []float32, group int) { gridE4M3.fake(x, group) }

// FakeE2M1 does the same with E2M1 codes (model spec 3.4).
func FakeE2M1(x []float32, group int) { gridE2M1.fake(x, group) }
