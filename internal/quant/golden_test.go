package quant

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"
)

// golden is testdata/quant_units.safetensors: tables and quantisation steps by another hand, after the definitions in
// the official kernels (the goldens' README, quant-units).
type golden struct {
	t       *testing.T
	data    []byte
	tensors map[string]struct {
		Shape   []int
		Offsets [2]int `json:"data_offsets"`
	}
}

func openGolden(t *testing.T) golden {
	file, err := os.ReadFile("testdata/quant_units.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(file)
	g := golden{t: t, data: file[8+n:]}
	if err := json.Unmarshal(file[8:8+n], &g.tensors); err != nil {
		t.Fatal(err)
	}
	return g
}

// bytes returns a tensor's bytes and its shape.
func (g golden) bytes(name string) ([]byte, []int) {
	tensor, ok := g.tensors[name]
	if !ok {
		g.t.Fatalf("no golden %q", name)
	}
	return g.data[tensor.Offsets[0]:tensor.Offsets[1]], tensor.Shape
}

func (g golden) floats(name string) []float32 {
	b, _ := g.bytes(name)
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}

// equal compares as numbers, so that 0 is -0: the goldens keep a sign that E2M1 drops. NaN is NaN.
func (g golden) equal(name string, got []float32) {
	g.t.Helper()
	want := g.floats(name)
	if len(got) != len(want) {
		g.t.Fatalf("%s: %d numbers, want %d", name, len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] && (got[i] == got[i] || want[i] == want[i]) {
			g.t.Fatalf("%s[%d] = %v, want %v", name, i, got[i], want[i])
		}
	}
}

func TestGoldenTables(t *testing.T) {
	g := openGolden(t)
	table := func(first, last int, value func(byte) float32) (x []float32) {
		for code := first; code <= last; code++ {
			x = append(x, value(byte(code)))
		}
		return x
	}
	g.equal("table.e4m3", table(0, 255, E4M3))
	g.equal("table.e2m1", table(0, 15, E2M1))
	g.equal("table.ue8m0_1_to_254", table(1, 254, E8M0))
}

func TestGoldenActivations(t *testing.T) {
	g := openGolden(t)
	for name, fake := range map[string]func(x []float32){
		"act.fp8_block128": func(x []float32) { FakeE4M3(x, 128) },
		"act.fp8_block64":  func(x []float32) { FakeE4M3(x, 64) },
		"act.fp4_block32":  func(x []float32) { FakeE2M1(x, 32) },
	} {
		x := g.floats("act.x")
		_, shape := g.bytes("act.x")
		for row := range shape[0] {
			fake(x[row*shape[1]:][:shape[1]])
		}
		g.equal(name, x)
	}
}

var goldenFormats = map[string]Format{
	"fp8": {KindE4M3, 128, 128, false},
	"fp4": {KindE2M1, 1, 32, false},
}

// matrix decodes NAME and NAME_scale.
func (g golden) matrix(name string, f Format) (w []float32, rows, cols int) {
	data, shape := g.bytes(name)
	scale, _ := g.bytes(name + "_scale")
	rows, cols = shape[0], shape[1]
	if f.Kind == KindE2M1 {
		cols *= 2
	}
	wantData, wantScale := f.Size(rows, cols)
	if int64(len(data)) != wantData || int64(len(scale)) != wantScale {
		g.t.Fatalf("%s: %d + %d bytes, want %d + %d", name, len(data), len(scale), wantData, wantScale)
	}
	if err := f.CheckScale(scale); err != nil {
		g.t.Fatal(err)
	}
	w = make([]float32, rows*cols)
	for row := range rows {
		f.DecodeRow(w[row*cols:], data, scale, row, cols)
	}
	return w, rows, cols
}

func TestGoldenWeights(t *testing.T) {
	g := openGolden(t)
	for name, f := range goldenFormats {
		w, _, _ := g.matrix("weight."+name, f)
		g.equal("weight."+name+"_dequantised", w)
	}
}

func TestGoldenLinear(t *testing.T) {
	g := openGolden(t)
	for name, f := range goldenFormats {
		w, rows, cols := g.matrix("linear."+name, f)
		for suffix, quantise := range map[string]bool{"_plain": false, "_actquant": true} {
			x, want := g.floats("linear.x"), g.floats("linear.y_"+name+suffix)
			for i := range len(x) / cols {
				row := x[i*cols:][:cols]
				if quantise {
					FakeE4M3(row, 128)
				}
				for j := range rows {
					if got := dot(row, w[j*cols:]); math.Abs(got-float64(want[i*rows+j])) > 1e-4 {
						t.Fatalf("y_%s%s[%d, %d] = %v, want %v", name, suffix, i, j, got, want[i*rows+j])
					}
				}
			}
		}
	}
}

func dot(x, w []float32) (sum float64) {
	for k := range x {
		sum += float64(x[k]) * float64(w[k])
	}
	return sum
}
