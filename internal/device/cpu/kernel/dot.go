package kernel

import (
	"math"
	"unsafe"

	"baleen/internal/quant"
)

// Dot is the product of a matrix and N rows of activations: Y[t][row] = W[row] . X[t]. Strides are in elements.
//
// An output is summed in one order, whatever the tier, N, or the place of the row: columns in blocks of 32; within a block
// one chain from 0 over pairs of columns, the odd one first,
//
//	b = fma(x[2i+1], w[2i+1], b); b = fma(x[2i], w[2i], b)
//
// where w are codes without their scale; then acc = fma(b, scale, acc), blocks ascending (scale 1 where there is none).
// The results of all tiers are equal to the last bit as long as no product or partial sum is subnormal: those may count
// as zero, and so may an E8M0 scale of 2^-127. (With scales in 2^-60..2^60 there are none worth the name.)
//
// A weight is decoded once for at most 12 rows, so N from 1 to 12 costs one pass over the panels; larger N is best a multiple
// of 12 and so small that the activations stay in the L2 cache while panels pass (48 rows of 4096). Rows should not lie a
// multiple of 4096 bytes apart, or all of a tile share a few lines of the L1 cache: it takes a third of the speed. A call
// should do less than about 20 million multiply-adds, or it holds its thread for more than 200 µs.
type Dot struct {
	Panel unsafe.Pointer // ceil(Rows/16) panels of PanelBytes each; fastest on a multiple of 64
	X     unsafe.Pointer // [N][XStride] bfloat16 or float32
	Y     unsafe.Pointer // [N][YStride] float32

	Cols, XStride, YStride int
	N                      int
	Rows                   int // outputs; nothing is written beyond

	tables unsafe.Pointer // constants of a kernel, which sets it
}

// genericDots sets the oracles.
func (s *Set) genericDots() {
	for _, k := range []quant.Kind{quant.KindF32, quant.KindBF16, quant.KindE4M3, quant.KindE2M1} {
		s.BF16[k] = func(d *Dot) { d.generic(k, false) }
		s.F32[k] = func(d *Dot) { d.generic(k, true) }
	}
}

// load reads activations, which are float32 if wide.
func (d *Dot) load(dst []float32, at int, wide bool) {
	if wide {
		copy(dst, unsafe.Slice((*float32)(d.X), at+len(dst))[at:])
		return
	}
	for i, u := range unsafe.Slice((*uint16)(d.X), at+len(dst))[at:] {
		dst[i] = quant.BF16(u)
	}
}

// generic is the specification of Set.BF16 and Set.F32, a block at a time.
func (d *Dot) generic(k quant.Kind, wide bool) {
	if d.N == 0 {
		return
	}
	var (
		bytes = panelBytes(k, groupsOf(d.Cols))
		y     = unsafe.Slice((*float32)(d.Y), (d.N-1)*d.YStride+d.Rows)
		w     [Lanes][block]float32
		scale [Lanes]float32
		x     [block]float32
	)
	for first := 0; first < d.Rows; first += Lanes {
		rows := min(Lanes, d.Rows-first)
		panel := unsafe.Slice((*byte)(unsafe.Add(d.Panel, first/Lanes*bytes)), bytes)
		for t := range d.N {
			clear(y[t*d.YStride+first:][:rows])
		}
		for col := 0; col < d.Cols; col += block {
			unpack(&w, &scale, k, panel, col)
			width := min(block, d.Cols-col)
			clear(x[width:])
			for t := range d.N {
				d.load(x[:width], t*d.XStride+col, wide)
				b := chains(&x, &w)
				for r := range rows {
					acc := &y[t*d.YStride+first+r]
					*acc = fma(b[r], scale[r], *acc)
				}
			}
		}
	}
}

// chains sums the products of a block. The rows take turns: a processor has several of them under way.
func chains(x *[block]float32, w *[Lanes][block]float32) (b [Lanes]float32) {
	for i := 0; i < block; i += 2 {
		first, second := float64(x[i+1]), float64(x[i])
		for r := range Lanes {
			p := first * float64(w[r][i+1])
			s := p + float64(b[r]) // this is fma, which the compiler would call
			v := float32(s)
			if between(s) {
				v = oddly(p, float64(b[r]))
			}
			p = second * float64(w[r][i])
			s = p + float64(v)
			b[r] = float32(s)
			if between(s) {
				b[r] = oddly(p, float64(v))
			}
		}
	}
	return b
}

// fma returns a*b + c rounded once. The product is exact in a float64; rounding their sum there first does harm only where it comes
// to lie between two float32.
func fma(a, b, c float32) float32 {
	p := float64(a) * float64(b)
	if s := p + float64(c); !between(s) {
		return float32(s)
	}
	return oddly(p, float64(c))
}

// between tells whether a sum may lie in the middle of two float32: of subnormal ones, that is anywhere.
func between(s float64) bool {
	bits := math.Float64bits(s)
	return bits&(1<<29-1) == 1<<28 || bits<<1>>53 <= 1023-126
}

// oddly adds, and rounds the sum to odd before it rounds it to a float32.
//
//go:noinline
func oddly(p, q float64) float32 {
	s := p + q
	t := s - p
	e := (p - (s - t)) + (q - t)
	if e > 0 || e < 0 { // not where something is infinite or NaN
		bits := math.Float64bits(s)
		switch {
		case bits&1 != 0:
		case (e > 0) == (s > 0):
			bits++
		default:
			bits--
		}
		s = math.Float64frombits(bits)
	}
	return float32(s)
}

// unpack reads a block of a panel: codes and scales of 16 rows and 32 columns.
func unpack(w *[Lanes][block]float32, scale *[Lanes]float32, k quant.Kind, panel []byte, col int) {
	data := panel[numbersAt(k, col/group):]
	for r := range Lanes {
		scale[r] = 1
		switch k {
		case quant.KindE4M3:
			scale[r] = f32At(panel[scaleAt(k, col/block):], 0)
		case quant.KindE2M1:
			scale[r] = quant.E8M0(panel[scaleAt(k, col/block)+r])
		}
	}
	for c := range block {
		readColumn(w, k, data[place(k, col%group+c):], c)
	}
}

// readColumn reads a column of a block, from where it stands on.
func readColumn(w *[Lanes][block]float32, k quant.Kind, data []byte, c int) {
	switch k {
	case quant.KindF32:
		for r := range Lanes {
			w[r][c] = f32At(data, c%2*Lanes+r)
		}
	case quant.KindBF16:
		for r := range Lanes {
			i := 4*r + c%2*2
			w[r][c] = quant.BF16(uint16(data[i]) | uint16(data[i+1])<<8)
		}
	case quant.KindE4M3:
		for r := range Lanes {
			w[r][c] = quant.E4M3(data[r/4*16+c%4/2*8+r%4*2+c%2])
		}
	case quant.KindE2M1: // nibble i/2 of the low half or the high half
		i := c % 8
		for r := range Lanes {
			w[r][c] = quant.E2M1(data[4*r+i%2*2+i/4] >> (i / 2 % 2 * 4))
		}
	}
}

func f32At(b []byte, i int) float32 {
	b = b[4*i:]
	return math.Float32frombits(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
}
