package quant

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// Kind is the type of one stored number.
type Kind uint8

const (
	KindF32  Kind = iota // IEEE single, little-endian
	KindBF16             // bfloat16, little-endian
	KindE4M3             // one byte
	KindE2M1             // four bits; the low nibble holds the even column
	KindI32              // integer tables, little-endian; they have no rows of floats
	KindI64
)

var kinds = [...]struct {
	name string
	bits int
}{
	KindF32: {"f32", 32}, KindBF16: {"bf16", 16}, KindE4M3: {"fp8", 8}, KindE2M1: {"fp4", 4},
	KindI32: {"i32", 32}, KindI64: {"i64", 64},
}

func (k Kind) String() string { return kinds[k].name }

// bytes returns how many bytes n numbers in a row take.
func (k Kind) bytes(n int) int { return ceilDiv(n*kinds[k].bits, 8) }

// Format is how a matrix [rows, cols] is stored: rows one after the other, each starting on a byte, and beside them
// (elsewhere) one scale for every block of BlockRows x BlockCols numbers, row-major. Edge blocks may be partial. Scales
// are E8M0, or float32 where ScaleF32. Both block sizes are zero where there are no scales.
//
// FP8 of a V4 checkpoint is {KindE4M3, 128, 128, false}, FP4 {KindE2M1, 1, 32, false}.
type Format struct {
	Kind                 Kind
	BlockRows, BlockCols int
	ScaleF32             bool
}

// String names the format: "f32", "bf16", "fp8[128x128]", "fp4[1x32]", "fp8[128x128 f32]".
func (f Format) String() string {
	if !f.scaled() {
		return f.Kind.String()
	}
	suffix := ""
	if f.ScaleF32 {
		suffix = " f32"
	}
	return fmt.Sprintf("%v[%dx%d%s]", f.Kind, f.BlockRows, f.BlockCols, suffix)
}

func (f Format) scaled() bool { return f.BlockRows != 0 }

// Size returns how many bytes the numbers and the scales of a [rows, cols] matrix take.
func (f Format) Size(rows, cols int) (data, scale int64) {
	data = int64(rows) * int64(f.Kind.bytes(cols))
	if f.scaled() {
		blocks := int64(ceilDiv(rows, f.BlockRows)) * int64(ceilDiv(cols, f.BlockCols))
		scale = blocks * int64(f.scaleBytes())
	}
	return data, scale
}

func (f Format) scaleBytes() int {
	if f.ScaleF32 {
		return 4
	}
	return 1
}

// DecodeRow writes one row of a [rows, cols] matrix to dst[:cols]. data and scale are those of the whole matrix, in the
// sizes that Size gives. With E8M0 scales the result is exact, short of an overflow; with float32 scales it is the
// product rounded once. Integer kinds panic.
func (f Format) DecodeRow(dst []float32, data, scale []byte, row, cols int) {
	size := f.Kind.bytes(cols)
	dst, data = dst[:cols], data[row*size:][:size]
	f.Kind.decode(dst, data)
	if !f.scaled() {
		return
	}
	first := row / f.BlockRows * ceilDiv(cols, f.BlockCols)
	for start := 0; start < cols; start += f.BlockCols {
		s := f.scaleAt(scale, first+start/f.BlockCols)
		block := dst[start:min(start+f.BlockCols, cols)]
		for i := range block {
			block[i] *= s
		}
	}
}

// decode writes len(dst) numbers to dst.
func (k Kind) decode(dst []float32, data []byte) {
	switch k {
	case KindF32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	case KindBF16:
		for i := range dst {
			dst[i] = BF16(binary.LittleEndian.Uint16(data[2*i:]))
		}
	case KindE4M3:
		for i := range dst {
			dst[i] = E4M3(data[i])
		}
	case KindE2M1:
		for i := range dst {
			dst[i] = E2M1(data[i/2] >> (i % 2 * 4))
		}
	default:
		panic("quant: " + k.String() + " is a table of integers, not numbers to decode")
	}
}

func (f Format) scaleAt(scale []byte, i int) float32 {
	if f.ScaleF32 {
		return math.Float32frombits(binary.LittleEndian.Uint32(scale[4*i:]))
	}
	return E8M0(scale[i])
}

// CheckScale returns an error naming the first scale that no matrix may have: a NaN, an infinity, or one that is not
// positive.
func (f Format) CheckScale(scale []byte) error {
	if !f.scaled() && len(scale) != 0 {
		return fmt.Errorf("scales for a format without: %d bytes for %v: bind the matrix with its block size", len(scale), f)
	}
	if len(scale)%f.scaleBytes() != 0 {
		return fmt.Errorf("scales cut short: %d bytes for %v: each takes %d, read the whole tensor", len(scale), f, f.scaleBytes())
	}
	if !f.ScaleF32 { // all codes of E8M0 but one are positive and finite
		if i := bytes.IndexByte(scale, nanE8M0); i >= 0 {
			return f.badScale(scale, i)
		}
		return nil
	}
	for i := range len(scale) / f.scaleBytes() {
		if s := f.scaleAt(scale, i); !(s > 0 && s <= math.MaxFloat32) {
			return f.badScale(scale, i)
		}
	}
	return nil
}

func (f Format) badScale(scale []byte, i int) error {
	return fmt.Errorf("bad scale: scale %d of %v is %v: a scale is positive and finite, so the file is damaged; fetch it again", i, f, f.scaleAt(scale, i))
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
