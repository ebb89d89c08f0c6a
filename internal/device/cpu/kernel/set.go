package kernel

import "baleen/internal/quant"

// kinds is the length of a table by quant.Kind: F32, BF16, E4M3 and E2M1 are weights.
const kinds = 4

// Set is the kernels of a tier. Every field but the peaks is set: a tier inherits what it does not replace.
type Set struct {
	Tier Tier

	// Pack is the function of that name, as quick as the tier can.
	Pack func(panel []byte, f quant.Format, data, scale []byte, rows, cols int)

	// Products with a matrix of panels, by quant.Kind of the matrix. The activations are bfloat16 numbers (exact E4M3
	// codes times a power of two, for instance) or float32.
	BF16, F32 [kinds]func(*Dot)

	// Products of FP4 with activations rounded to 8 bits. Int8Row writes a row of float32 to Int8Bytes(len(x)) bytes; X of
	// FP4Int8 is such rows, XStride bytes apart. An output is off by at most max|x|/254 * sum|w| of each block of 32
	// columns, and the rounding of its sum of blocks; a NaN or an infinity makes it NaN.
	Int8Row func(to []byte, x []float32)
	FP4Int8 func(*Dot)

	// Loops that use one part of a core alone: the limits that kernels are measured against. Read reads every byte once, in
	// order, of a multiple of 256. The peaks are bursts of less than a millisecond on registers and return how many
	// operations they did, a multiply-add being two: VDPBF16PS, VPDPBUSD, float32. These, of all fields, are nil where the
	// tier has no such instruction.
	Read                        func(data []byte)
	PeakBF16, PeakVNNI, PeakFMA func() int64
}

// For returns the kernels of a tier, which Tiers must list.
func For(tier Tier) *Set {
	s := &Set{Tier: tier, Pack: Pack, Read: readWords}
	s.genericDots()
	s.genericInt8()
	s.machine(tier)
	return s
}
