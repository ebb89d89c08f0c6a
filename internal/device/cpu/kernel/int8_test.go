package kernel

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"baleen/internal/quant"
)

func int8Rows(t testing.TB, s *Set, x []float32, cols int) []byte {
	n := len(x) / cols
	rows := guarded(t, n*Int8Bytes(cols))
	for i := range n {
		in := guarded(t, 4*cols)
		row := unsafe.Slice((*float32)(unsafe.Pointer(&in[0])), cols)
		copy(row, x[i*cols:])
		s.Int8Row(rows[i*Int8Bytes(cols):][:Int8Bytes(cols)], row)
	}
	return rows
}

func (p *product) runInt8(t testing.TB, s *Set, rows []byte) []float32 {
	panels := p.pack(t)
	out := guarded(t, 4*p.n*p.rows)
	y := unsafe.Slice((*float32)(unsafe.Pointer(&out[0])), p.n*p.rows)
	s.FP4Int8(&Dot{
		Panel: unsafe.Pointer(&panels[0]), X: unsafe.Pointer(&rows[0]), Y: unsafe.Pointer(&y[0]),
		Cols: p.cols, XStride: Int8Bytes(p.cols), YStride: p.rows, N: p.n, Rows: p.rows,
	})
	return y
}

// All tiers agree with plain Go to the last bit, and that is within half a step of 127 of the product.
func TestInt8(t *testing.T) {
	oracle, f := For(Generic), formats[5]
	for _, tier := range Tiers() {
		s := For(tier)
		r := rand.New(rand.NewPCG(9, uint64(tier)))
		for n := 1; n < 28; n++ {
			p := random(r, f, true, 1+r.IntN(33), 1+r.IntN(400), n, n%4)
			for i := range p.x { // blocks of zeros, and of what is too small
				if n%5 == 0 && i/32%3 == 0 {
					p.x[i] *= 0x1p-120
				}
			}
			want, rows := int8Rows(t, oracle, p.x, p.cols), int8Rows(t, s, p.x, p.cols)
			if !bytes.Equal(want, rows) {
				t.Fatalf("%v: %v: rows differ", tier, p)
			}
			exact, ref, got := p.runInt8(t, oracle, want), p.want(), p.runInt8(t, s, rows)
			for i, v := range got {
				if math.Float32bits(v) != math.Float32bits(exact[i]) && v == v {
					t.Fatalf("%v: %v: output %d is %v, want %v", tier, p, i, v, exact[i])
				}
				if bound := p.int8Bound(i); math.Abs(float64(v-ref[i])) > bound {
					t.Fatalf("%v: %v: output %d is %v, without rounding %v: more than %v apart", tier, p, i, v, ref[i], bound)
				}
			}
		}
	}
}

// int8Bound is the bound of Set.FP4Int8 for output i, with what float32 adds; a NaN where there is no bound.
func (p *product) int8Bound(i int) (bound float64) {
	row, t := i%p.rows, i/p.rows
	w := make([]float32, p.cols)
	p.f.DecodeRow(w, p.data, p.scale, row, p.cols)
	for start := 0; start < p.cols; start += 32 {
		largest, sum, products := 0.0, 0.0, 0.0
		for c := start; c < min(start+32, p.cols); c++ {
			x := math.Abs(float64(p.x[t*p.cols+c]))
			largest = max(largest, x)
			sum += math.Abs(float64(w[c]))
			products += math.Abs(float64(w[c])) * x
		}
		bound += largest/254*1.0001*sum + products*0x1p-18 + sum*0x1p-100
	}
	return bound
}

func TestInt8OfWhatIsNoNumber(t *testing.T) {
	for _, tier := range Tiers() {
		for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			p := random(rand.New(rand.NewPCG(1, 1)), quant.Format{Kind: quant.KindE2M1, BlockRows: 1, BlockCols: 32}, true, 16, 64, 1, 0)
			p.x[40] = v
			s := For(tier)
			for i, y := range p.runInt8(t, s, int8Rows(t, s, p.x, p.cols)) {
				if y == y {
					t.Fatalf("%v: output %d of a row with %v is %v, want NaN", tier, i, v, y)
				}
			}
		}
	}
}
