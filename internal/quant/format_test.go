package quant

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestFormatSizeAndName(t *testing.T) {
	for _, c := range []struct {
		f           Format
		rows, cols  int
		name        string
		data, scale int64
	}{
		{Format{Kind: KindF32}, 3, 5, "f32", 60, 0},
		{Format{Kind: KindBF16}, 3, 5, "bf16", 30, 0},
		{Format{Kind: KindI32}, 3, 5, "i32", 60, 0},
		{Format{Kind: KindI64}, 129280, 6, "i64", 129280 * 6 * 8, 0},
		{Format{Kind: KindE4M3}, 3, 5, "fp8", 15, 0},
		{Format{KindE4M3, 128, 128, false}, 128, 256, "fp8[128x128]", 128 * 256, 2},
		{Format{KindE4M3, 128, 128, false}, 129, 257, "fp8[128x128]", 129 * 257, 6},
		{Format{KindE4M3, 32, 32, false}, 1, 1, "fp8[32x32]", 1, 1},
		{Format{KindE4M3, 128, 128, true}, 129, 257, "fp8[128x128 f32]", 129 * 257, 24},
		{Format{KindE2M1, 1, 32, false}, 2048, 4096, "fp4[1x32]", 2048 * 2048, 2048 * 128},
		{Format{KindE2M1, 1, 32, false}, 3, 33, "fp4[1x32]", 3 * 17, 6}, // an odd row ends on a byte
		{Format{KindE4M3, 128, 128, false}, 0, 0, "fp8[128x128]", 0, 0},
		{Format{Kind: KindF32}, 1 << 20, 1 << 20, "f32", 1 << 42, 0},
	} {
		data, scale := c.f.Size(c.rows, c.cols)
		if data != c.data || scale != c.scale || c.f.String() != c.name {
			t.Errorf("%v [%d, %d]: %d + %d bytes, want %s: %d + %d", c.f, c.rows, c.cols, data, scale, c.name, c.data, c.scale)
		}
	}
}

// Each element is looked up on its own, by the formulas of formats spec 1.7.
func TestDecodeRow(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, f := range []Format{
		{Kind: KindF32}, {Kind: KindBF16}, {Kind: KindE4M3}, {Kind: KindE2M1},
		{KindE4M3, 128, 128, false}, {KindE4M3, 32, 32, false}, {KindE4M3, 3, 5, true}, {KindE4M3, 1, 32, false},
		{KindE2M1, 1, 32, false}, {KindE2M1, 2, 3, true}, {KindBF16, 4, 4, false},
	} {
		for _, size := range [][2]int{{1, 1}, {130, 70}, {5, 257}, {33, 31}} {
			checkDecode(t, random, f, size[0], size[1])
		}
	}
}

func checkDecode(t *testing.T, random *rand.Rand, f Format, rows, cols int) {
	nData, nScale := f.Size(rows, cols)
	data, scale := randomBytes(random, nData), randomBytes(random, nScale)
	for i := range scale {
		if f.ScaleF32 {
			scale[i] &= 0xbf // keeps the exponent small
		} else {
			scale[i] %= 248 // E4M3 * 2^121 does not overflow
		}
	}
	dst := make([]float32, cols)
	for row := range rows {
		f.DecodeRow(dst, data, scale, row, cols)
		for col, got := range dst {
			want := element(f, data, row, col, cols)
			if f.BlockRows > 0 {
				want *= blockScale(f, scale, row, col, cols)
			}
			if math.Float64bits(float64(got)) != math.Float64bits(float64(float32(want))) && got == got {
				t.Fatalf("%v [%d, %d] at %d, %d: %v, want %v", f, rows, cols, row, col, got, want)
			}
			if want == want && got != got {
				t.Fatalf("%v at %d, %d: NaN, want %v", f, row, col, want)
			}
		}
	}
}

func element(f Format, data []byte, row, col, cols int) float64 {
	i := row*cols + col
	switch f.Kind {
	case KindF32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])))
	case KindBF16:
		return float64(math.Float32frombits(uint32(data[2*i])<<16 | uint32(data[2*i+1])<<24))
	case KindE4M3:
		return float64(E4M3(data[i]))
	}
	b := data[row*((cols+1)/2)+col/2]
	if col%2 == 1 {
		b >>= 4
	}
	return float64(E2M1(b))
}

func blockScale(f Format, scale []byte, row, col, cols int) float64 {
	i := row/f.BlockRows*((cols+f.BlockCols-1)/f.BlockCols) + col/f.BlockCols
	if f.ScaleF32 {
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(scale[4*i:])))
	}
	return math.Ldexp(1, int(scale[i])-127)
}

func randomBytes(random *rand.Rand, n int64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// All 256 x 255 products of an E4M3 code and a scale: float32 holds them exactly, or they overflow.
func TestProductsExact(t *testing.T) {
	f := Format{KindE4M3, 1, 1, false}
	var dst [1]float32
	for code := range 256 {
		for scale := range 255 {
			f.DecodeRow(dst[:], []byte{byte(code)}, []byte{byte(scale)}, 0, 1)
			want := float64(E4M3(byte(code))) * math.Ldexp(1, scale-127)
			got := float64(dst[0])
			if got != want && want == want && !(math.IsInf(got, 0) && math.Abs(want) >= 0x1p128) {
				t.Fatalf("code %#x, scale %d: %v, want %v", code, scale, got, want)
			}
		}
	}
}

func TestDecodeRowOfIntegersPanics(t *testing.T) {
	defer func() {
		if r := recover(); r == nil || !strings.Contains(r.(string), "i64") {
			t.Errorf("recovered %v, want a panic that names i64", r)
		}
	}()
	Format{Kind: KindI64}.DecodeRow(make([]float32, 1), make([]byte, 8), nil, 0, 1)
}

func TestCheckScale(t *testing.T) {
	e8m0, single := Format{KindE4M3, 128, 128, false}, Format{KindE4M3, 128, 128, true}
	words := func(fs ...float32) (b []byte) {
		for _, f := range fs {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
		}
		return b
	}
	for _, c := range []struct {
		f     Format
		scale []byte
		want  string // part of the error, "" for none
	}{
		{e8m0, []byte{0, 1, 127, 254}, ""},
		{e8m0, nil, ""},
		{e8m0, []byte{0, 1, 255, 255}, "scale 2 of fp8[128x128] is NaN"},
		{single, words(1, 0x1p-149, math.MaxFloat32), ""},
		{single, words(1, nan), "scale 1 of fp8[128x128 f32] is NaN"},
		{single, words(inf), "scale 0 of fp8[128x128 f32] is +Inf"},
		{single, words(1, 1, 0), "scale 2 of fp8[128x128 f32] is 0"},
		{single, words(-0.5), "scale 0 of fp8[128x128 f32] is -0.5"},
		{single, make([]byte, 6), "6 bytes"},
		{Format{Kind: KindBF16}, nil, ""},
		{Format{Kind: KindBF16}, []byte{127}, "without"},
	} {
		err := c.f.CheckScale(c.scale)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %v: %v, want %q", c.f, c.scale, err, c.want)
		}
	}
}
