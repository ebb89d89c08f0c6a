package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"baleen/internal/quant"
)

var formats = []quant.Format{
	{Kind: quant.KindF32},
	{Kind: quant.KindBF16},
	{Kind: quant.KindE4M3, BlockRows: 128, BlockCols: 128},
	{Kind: quant.KindE4M3, BlockRows: 32, BlockCols: 32},
	{Kind: quant.KindE4M3, BlockRows: 128, BlockCols: 128, ScaleF32: true},
	{Kind: quant.KindE2M1, BlockRows: 1, BlockCols: 32},
}

// product is a matrix as a checkpoint stores it, activations, and what a kernel gets of them.
type product struct {
	f           quant.Format
	data, scale []byte
	wide        bool      // activations are float32
	x           []float32 // [n][cols]
	rows, cols  int
	n           int
}

// want is the sum as Dot describes it, from the bytes of the checkpoint.
func (p *product) want() []float32 {
	y := make([]float32, p.n*p.rows)
	w := make([]float32, (p.cols+1)/2*2)
	bare := quant.Format{Kind: p.f.Kind}
	scales := 0
	if p.f.BlockRows != 0 {
		scales = (p.cols + p.f.BlockCols - 1) / p.f.BlockCols
	}
	for row := range p.rows {
		bare.DecodeRow(w, p.data, nil, row, p.cols)
		for t := range p.n {
			x := make([]float32, len(w))
			copy(x, p.x[t*p.cols:][:p.cols])
			acc := float32(0)
			for start := 0; start < len(w); start += 32 {
				b := float32(0)
				for i := start; i < min(start+32, len(w)); i += 2 {
					b = fma(x[i+1], w[i+1], b)
					b = fma(x[i], w[i], b)
				}
				s := float32(1)
				if scales != 0 {
					i := row/p.f.BlockRows*scales + start/p.f.BlockCols
					if p.f.ScaleF32 {
						s = math.Float32frombits(binary.LittleEndian.Uint32(p.scale[4*i:]))
					} else {
						s = quant.E8M0(p.scale[i])
					}
				}
				acc = fma(b, s, acc)
			}
			y[t*p.rows+row] = acc
		}
	}
	return y
}

// pack makes all panels, in memory that ends at a page without access.
func (p *product) pack(t testing.TB) []byte {
	size := PanelBytes(p.f, p.cols)
	count := (p.rows + Lanes - 1) / Lanes
	panels := guarded(t, count*size)
	rowBytes, _ := p.f.Size(1, p.cols)
	perRow := 0
	if p.f.BlockRows != 0 {
		perRow = len(p.scale) / ((p.rows + p.f.BlockRows - 1) / p.f.BlockRows)
	}
	for i := range count {
		first, rows := i*Lanes, min(Lanes, p.rows-i*Lanes)
		var scale []byte
		switch p.f.BlockRows {
		case 0:
		case 1:
			scale = p.scale[first*perRow:][:rows*perRow]
		default:
			scale = p.scale[first/p.f.BlockRows*perRow:][:perRow]
		}
		Pack(panels[i*size:][:size], p.f, p.data[first*int(rowBytes):][:rows*int(rowBytes)], scale, rows, p.cols)
	}
	return panels
}

// activations returns x in the kernel's type, at the end of accessible memory, with gap elements between rows.
func (p *product) activations(t testing.TB, gap int) unsafe.Pointer {
	size := 2
	if p.wide {
		size = 4
	}
	stride := p.cols + gap
	bytes := guarded(t, max((p.n*stride-gap)*size, 1))
	for i := range p.n * p.cols {
		at := (i/p.cols*stride + i%p.cols) * size
		if p.wide {
			binary.LittleEndian.PutUint32(bytes[at:], math.Float32bits(p.x[i]))
		} else {
			binary.LittleEndian.PutUint16(bytes[at:], quant.ToBF16(p.x[i]))
		}
	}
	return unsafe.Pointer(unsafe.SliceData(bytes))
}

// run multiplies and also checks that nothing outside the outputs is written.
func (p *product) run(t testing.TB, s *Set, gap int) []float32 {
	t.Helper()
	const canary = 0x7fabcdef // a NaN that no sum gives
	stride := p.rows + gap
	bytes := guarded(t, 4*max(p.n*stride-gap, 1))
	y := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(bytes))), len(bytes)/4)
	for i := range y {
		y[i] = math.Float32frombits(canary)
	}
	panels := p.pack(t)
	d := Dot{
		Panel: unsafe.Pointer(unsafe.SliceData(panels)), X: p.activations(t, gap), Y: unsafe.Pointer(unsafe.SliceData(bytes)),
		Cols: p.cols, XStride: p.cols + gap, YStride: stride, N: p.n, Rows: p.rows,
	}
	if p.wide {
		s.F32[p.f.Kind](&d)
	} else {
		s.BF16[p.f.Kind](&d)
	}
	var got []float32
	for i, v := range y {
		switch inside := i%stride < p.rows && p.n > 0; {
		case inside:
			got = append(got, v)
		case math.Float32bits(v) != canary:
			t.Fatalf("%v %v: wrote %v at %d, outside of the outputs", s.Tier, p, v, i)
		}
	}
	return got
}

func (p *product) String() string {
	return fmt.Sprintf("%v[%d,%d] x %d rows (float32 %v)", p.f, p.rows, p.cols, p.n, p.wide)
}

func (p *product) check(t *testing.T, s *Set, gap int) {
	t.Helper()
	want, got := p.want(), p.run(t, s, gap)
	for i, w := range want {
		if g := got[i]; math.Float32bits(g) != math.Float32bits(w) && !(g != g && w != w) {
			t.Fatalf("%v: %v: output %d of row %d is %v (%08x), want %v (%08x)", s.Tier, p, i%p.rows, i/p.rows,
				g, math.Float32bits(g), w, math.Float32bits(w))
		}
	}
}

// random draws a product; kind of numbers: 0 ordinary, 1 extreme, 2 with NaN and infinities, 3 many zeros.
func random(r *rand.Rand, f quant.Format, wide bool, rows, cols, n, numbers int) *product {
	p := &product{f: f, wide: wide, rows: rows, cols: cols, n: n}
	data, scale := f.Size(rows, cols)
	p.data, p.scale = make([]byte, data), make([]byte, scale)
	p.fillWeights(r, numbers)
	p.x = make([]float32, n*cols)
	for i := range p.x {
		v := r.NormFloat64()
		switch numbers {
		case 1:
			v = math.Ldexp(v, r.IntN(40)-20)
		case 3:
			v *= float64(r.IntN(3) - 1)
		}
		p.x[i] = float32(v)
		if numbers == 2 && r.IntN(200) == 0 {
			p.x[i] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[r.IntN(3)]
		}
		if !wide {
			p.x[i] = quant.BF16(quant.ToBF16(p.x[i]))
		}
	}
	return p
}

func (p *product) fillWeights(r *rand.Rand, numbers int) {
	for i := range p.data {
		p.data[i] = byte(r.Uint32())
		if p.f.Kind == quant.KindE4M3 && numbers != 2 && p.data[i]&0x7f == 0x7f {
			p.data[i] ^= 1
		}
	}
	for i := range len(p.data) / 4 {
		if p.f.Kind == quant.KindF32 {
			binary.LittleEndian.PutUint32(p.data[4*i:], math.Float32bits(float32(r.NormFloat64())))
		}
	}
	for i := range len(p.data) / 2 {
		if p.f.Kind == quant.KindBF16 {
			binary.LittleEndian.PutUint16(p.data[2*i:], quant.ToBF16(float32(math.Ldexp(r.NormFloat64(), r.IntN(8)))))
		}
	}
	spread := 8
	if numbers == 1 {
		spread = 120
	}
	for i := range p.scale {
		p.scale[i] = byte(127 - spread/2 + r.IntN(spread+1))
	}
	for i := range len(p.scale) / 4 {
		if p.f.ScaleF32 {
			binary.LittleEndian.PutUint32(p.scale[4*i:], math.Float32bits(float32(math.Ldexp(1+r.Float64(), r.IntN(spread+1)-spread/2))))
		}
	}
}

func TestDotEqualsItsDescription(t *testing.T) {
	for _, tier := range Tiers() {
		s := For(tier)
		t.Run(tier.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(tier)))
			for _, f := range formats {
				for _, wide := range []bool{false, true} {
					for n := range 28 { // every remainder of a tile
						random(r, f, wide, 1+r.IntN(33), 1+r.IntN(300), n, n%4).check(t, s, r.IntN(3))
					}
					for _, cols := range []int{1, 2, 31, 32, 33, 127, 128, 129, 160, 256, 512, 1000} {
						random(r, f, wide, 16, cols, 1+r.IntN(3), 0).check(t, s, 0)
					}
				}
			}
		})
	}
}

// The order of a sum must not depend on how many rows there are or where an output lies.
func TestDotIsTheSameInAnyCompany(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, tier := range Tiers() {
		s := For(tier)
		for _, f := range formats {
			all := random(r, f, tier%2 == 0, 32, 384, 17, 1)
			together := all.run(t, s, 0)
			for i := range all.n {
				one := *all
				one.n, one.x = 1, all.x[i*all.cols:][:all.cols]
				for row, v := range one.run(t, s, 0) {
					if w := together[i*all.rows+row]; math.Float32bits(v) != math.Float32bits(w) {
						t.Fatalf("%v: %v: output %d alone is %v, among %d rows %v", tier, f, row, v, all.n, w)
					}
				}
			}
		}
	}
}

func FuzzDot(f *testing.F) {
	f.Add(uint64(1), uint8(0), uint8(16), uint16(128), uint8(1))
	f.Add(uint64(2), uint8(13), uint8(17), uint16(161), uint8(14))
	f.Fuzz(func(t *testing.T, seed uint64, what, rows uint8, cols uint16, n uint8) {
		r := rand.New(rand.NewPCG(seed, 0))
		p := random(r, formats[int(what)%len(formats)], what&64 != 0, 1+int(rows)%40, 1+int(cols)%700, int(n)%30, int(what>>4)%4)
		for _, tier := range Tiers() {
			p.check(t, For(tier), int(seed%3))
		}
	})
}

// What is called for every token must leave nothing to collect.
func TestNothingIsAllocated(t *testing.T) {
	for _, tier := range Tiers() {
		s := For(tier)
		for _, f := range formats {
			p := random(rand.New(rand.NewPCG(1, 2)), f, true, 16, 256, 2, 0)
			panel, int8s, y := make([]byte, PanelBytes(f, 256)+64), make([]byte, 2*Int8Bytes(256)), make([]float32, 2*16)
			panel = panel[-int(uintptr(unsafe.Pointer(&panel[0])))&63:]
			d := Dot{Panel: unsafe.Pointer(&panel[0]), X: unsafe.Pointer(&p.x[0]), Y: unsafe.Pointer(&y[0]), Cols: 256, XStride: 256, YStride: 16, N: 2, Rows: 16}
			i := d
			i.X, i.XStride = unsafe.Pointer(&int8s[0]), Int8Bytes(256)
			if n := testing.AllocsPerRun(3, func() {
				s.Pack(panel, f, p.data, p.scale, 16, 256)
				s.F32[f.Kind](&d)
				s.BF16[f.Kind](&d)
				s.Int8Row(int8s, p.x[:256])
				s.Read(panel[:256])
				if f.Kind == quant.KindE2M1 {
					s.FP4Int8(&i)
				}
			}); n != 0 {
				t.Errorf("%v: %v: %v allocations", tier, f, n)
			}
		}
	}
}
