package kernel

import (
	"encoding/binary"
	"math"
	"unsafe"

	"baleen/internal/quant"
)

const (
	// int8Group is a group of columns in a row of 8 bits: 128 codes, 4 halved float32 scales, 4 int32 sums.
	int8Group  = int8Sums + 16
	int8Scales = group
	int8Sums   = int8Scales + 16

	int8Max    = 127
	int8Least  = 0x1p-100 // blocks whose largest magnitude is less are zeros
	nibbleBias = 12       // what makes twice an E2M1 number unsigned
)

// int8Row is the argument of Set.Int8Row: see csrc/dotint8_avx512vnni.c.
type int8Row struct {
	to   unsafe.Pointer
	x    unsafe.Pointer // float32
	cols int
}

// Int8Bytes returns the size of a row that Set.Int8Row writes, a multiple of 32.
func Int8Bytes(cols int) int { return groupsOf(cols) * int8Group }

// int8Order is where each of 8 columns stands: as the low, then as the high nibbles of a dword of FP4 come.
var int8Order = [8]int{0, 2, 4, 6, 1, 3, 5, 7}

// genericInt8 sets the oracles.
func (s *Set) genericInt8() {
	s.Int8Row = genericInt8Row
	s.FP4Int8 = (*Dot).genericInt8
}

// genericInt8Row is the specification of Set.Int8Row. Blocks of 32 columns have the scale max|x|/127 and codes of x times
// 127/max|x|, to nearest even; a block with a NaN or an infinity gets a NaN for a scale, one below 2^-100 zeros. Behind the
// codes stand the halved scales and -12 times the sum of each block's codes.
func genericInt8Row(to []byte, x []float32) {
	to = to[:Int8Bytes(len(x))]
	clear(to)
	for c := 0; c < len(x); c += block {
		g := to[c/group*int8Group:][:int8Group]
		b := c % group / block
		part := x[c:min(c+block, len(x))]
		scale, sum := int8Block(g[b*block:][:block], part)
		binary.LittleEndian.PutUint32(g[int8Scales+4*b:], math.Float32bits(scale*0.5))
		binary.LittleEndian.PutUint32(g[int8Sums+4*b:], uint32(-nibbleBias*sum))
	}
}

// int8Block writes the codes of a block and returns its scale and their sum.
func int8Block(to []byte, x []float32) (scale float32, sum int32) {
	largest := uint32(0)
	for _, v := range x {
		largest = max(largest, math.Float32bits(v)&0x7fffffff)
	}
	top := math.Float32frombits(largest)
	switch {
	case largest >= 0xff<<23:
		return float32(math.NaN()), 0
	case top < int8Least:
		return 0, 0
	}
	inverse := int8Max / top
	for i, v := range x {
		q := int32(math.RoundToEven(float64(float32(v * inverse))))
		to[i/8*8+int8Order[i%8]] = byte(q)
		sum += q
	}
	return top / int8Max, sum
}

// genericInt8 is the specification of Set.FP4Int8: the sum of a block is exact; acc = fma(sum of 2w*q, scale of the weights *
// half the scale of the activations, acc), blocks ascending.
func (d *Dot) genericInt8() {
	if d.N == 0 {
		return
	}
	var (
		bytes = panelBytes(quant.KindE2M1, groupsOf(d.Cols))
		y     = unsafe.Slice((*float32)(d.Y), (d.N-1)*d.YStride+d.Rows)
		x     = unsafe.Slice((*byte)(d.X), (d.N-1)*d.XStride+Int8Bytes(d.Cols))
		w     [Lanes][block]float32
		scale [Lanes]float32
	)
	for first := 0; first < d.Rows; first += Lanes {
		panel := unsafe.Slice((*byte)(unsafe.Add(d.Panel, first/Lanes*bytes)), bytes)
		for t := range d.N {
			clear(y[t*d.YStride+first:][:min(Lanes, d.Rows-first)])
		}
		for col := 0; col < d.Cols; col += block {
			unpack(&w, &scale, quant.KindE2M1, panel, col)
			for t := range d.N {
				g := x[t*d.XStride+col/group*int8Group:][:int8Group]
				half := f32At(g[int8Scales:], col%group/block)
				for r := range min(Lanes, d.Rows-first) {
					acc := &y[t*d.YStride+first+r]
					*acc = fma(float32(int8Sum(&w[r], g[col%group:])), float32(scale[r]*half), *acc)
				}
			}
		}
	}
}

// int8Sum is the sum of 2w*q over a block.
func int8Sum(w *[block]float32, codes []byte) (sum int32) {
	for i, v := range w {
		sum += int32(2*v) * int32(int8(codes[i/8*8+int8Order[i%8]]))
	}
	return sum
}
