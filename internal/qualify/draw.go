package qualify

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"baleen/internal/quant"
)

// draw makes the stored form of a matrix.
type draw func(rng *rand.Rand, f quant.Format, rows, cols int) matrix

// The formats of released weights, and those of V4.1 and of checkpoints whose scales are float32.
var formats = []quant.Format{
	{Kind: quant.KindF32},
	{Kind: quant.KindBF16},
	{Kind: quant.KindE4M3, BlockRows: 128, BlockCols: 128},
	{Kind: quant.KindE4M3, BlockRows: 32, BlockCols: 32},
	{Kind: quant.KindE4M3, BlockRows: 128, BlockCols: 128, ScaleF32: true},
	{Kind: quant.KindE2M1, BlockRows: 1, BlockCols: 32},
}

// drawCodes draws codes with code and the exponents of scales with exponent.
func drawCodes(code func(rng *rand.Rand, k quant.Kind) float32, exponent func(rng *rand.Rand, block int) int) draw {
	return func(rng *rand.Rand, f quant.Format, rows, cols int) matrix {
		data, scale := f.Size(rows, cols)
		m := matrix{f, rows, cols, make([]byte, data), make([]byte, scale)}
		for i := range rows * cols {
			v := code(rng, f.Kind)
			if m.set(i, v); v == 0 && f.Kind == quant.KindE2M1 && rng.IntN(2) == 0 {
				m.negate(i) // zero has two codes
			}
		}
		for i := range int(scale) {
			e := 0
			if !f.ScaleF32 || i%4 == 0 {
				e = exponent(rng, i)
			}
			switch {
			case !f.ScaleF32:
				m.scale[i] = byte(127 + e)
			case i%4 == 0:
				binary.LittleEndian.PutUint32(m.scale[i:], math.Float32bits(float32(math.Ldexp(1, e))))
			}
		}
		return m
	}
}

// set stores an unscaled number that the format can hold.
func (m *matrix) set(i int, v float32) {
	switch m.format.Kind {
	case quant.KindF32:
		binary.LittleEndian.PutUint32(m.data[4*i:], math.Float32bits(v))
	case quant.KindBF16:
		binary.LittleEndian.PutUint16(m.data[2*i:], quant.ToBF16(v))
	case quant.KindE4M3:
		m.data[i] = quant.ToE4M3(v)
	case quant.KindE2M1:
		row, col := i/m.cols, i%m.cols
		m.data[row*((m.cols+1)/2)+col/2] |= quant.ToE2M1(v) << (col % 2 * 4)
	}
}

// negate sets the sign of an FP4 code.
func (m *matrix) negate(i int) {
	row, col := i/m.cols, i%m.cols
	m.data[row*((m.cols+1)/2)+col/2] |= 8 << (col % 2 * 4)
}

// anyCode draws from all that a format has: every finite code, subnormals and both zeros among them.
func anyCode(rng *rand.Rand, k quant.Kind) float32 {
	switch k {
	case quant.KindE4M3:
		for {
			if v := quant.E4M3(byte(rng.UintN(256))); v == v {
				return v
			}
		}
	case quant.KindE2M1:
		return quant.E2M1(byte(rng.UintN(16)))
	}
	return float32(rng.NormFloat64())
}

// smallNumber draws numbers whose sums are exact: multiples of 1/2 up to 6.
func smallNumber(rng *rand.Rand, _ quant.Kind) float32 { return quant.E2M1(byte(rng.UintN(16))) }

// subnormal draws the codes of a format that have no full exponent, with some that have.
func subnormal(rng *rand.Rand, k quant.Kind) float32 {
	sign := float32(1 - 2*int(rng.UintN(2)))
	switch k {
	case quant.KindE4M3:
		return sign * quant.E4M3(byte(rng.UintN(16)))
	case quant.KindE2M1:
		return sign * quant.E2M1(byte(rng.UintN(2)))
	}
	return sign * float32(math.Ldexp(float64(1+rng.UintN(7)), -9))
}

// Exponents of scales: about 1, all over the range, and one that is far from its neighbours.
func nearOne(rng *rand.Rand, _ int) int   { return int(rng.IntN(3)) - 1 }
func farApart(rng *rand.Rand, _ int) int  { return int(rng.IntN(121)) - 60 }
func allOver(rng *rand.Rand, _ int) int   { return int(rng.IntN(221)) - 110 }
func everyFifth(_ *rand.Rand, b int) int  { return []int{0, 40, -3, 1, -2}[b%5] }
func likeModel(rng *rand.Rand, _ int) int { return -int(6 + rng.IntN(4)) }

// normal draws n numbers about as activations are: a few are large.
func normal(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
		if rng.IntN(500) == 0 {
			x[i] *= 30
		}
	}
	return x
}

// scattered draws numbers of all sizes between 2^low and 2^high.
func scattered(rng *rand.Rand, n int, low, high float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Copysign(math.Exp2(low+rng.Float64()*(high-low)), rng.Float64()-0.5))
	}
	return x
}

// signs draws n numbers of -1 and 1 in rows of cols, of which at most a number in each row is not 0.
func signs(rng *rand.Rand, n, cols, most int) []float32 {
	x := make([]float32, n)
	for row := 0; row < n; row += cols {
		if most >= cols {
			for i := range cols {
				x[row+i] = float32(1 - 2*int(rng.UintN(2)))
			}
			continue
		}
		for range most {
			x[row+int(rng.IntN(cols))] = float32(1 - 2*int(rng.UintN(2)))
		}
	}
	return x
}

// integers draws whole numbers from -most to most.
func integers(rng *rand.Rand, n, most int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.IntN(2*most+1) - most)
	}
	return x
}

// repeated draws from a few values.
func repeated(rng *rand.Rand, n int, values ...float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = values[rng.IntN(len(values))]
	}
	return x
}
