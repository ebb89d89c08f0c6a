package quant

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var rows = []Row{
	{512, KindF32, 0, 0, KindF32},
	{512, KindE4M3, 64, 448, KindF32},
	{512, KindE4M3, 64, 448, KindBF16},
	{128, KindE2M1, 32, 128, KindF32},
	{100, KindE4M3, 64, 90, KindF32},  // the last group is partial
	{100, KindE2M1, 32, 77, KindBF16}, // and ends in half a byte
	{1, KindE2M1, 32, 1, KindF32},
	{7, KindE4M3, 1, 7, KindF32},
	{3, KindF32, 0, 0, KindBF16},
}

func TestRowBytes(t *testing.T) {
	for i, want := range []int{2048, 711, 583, 68, 90 + 2 + 40, 39 + 3 + 46, 2, 14, 6} {
		if got := rows[i].Bytes(); got != want {
			t.Errorf("%v: %d bytes, want %d", rows[i], got, want)
		}
	}
}

// What the fake quantisers leave, a row holds to the last bit, also where rounding halved the largest value of a group,
// so that the scale found again is half of the first.
func TestRowIsLossless(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	halved := map[Kind]int{}
	for range 3000 {
		for _, r := range rows {
			x := randomRow(random, r.Width)
			switch random.IntN(4) {
			case 0: // around the edge that rounds down to half the range: 4.. of 6 and 232.. of 448 are near
				for i := range x {
					x[i] = float32(math.Ldexp(1+random.Float64()/8, random.IntN(3)-8))
					if r.Kind == KindE2M1 {
						x[i] *= 1.5
					} else {
						x[i] *= 1.75
					}
				}
			case 1: // around the floors
				for i := range x {
					x[i] = float32(random.NormFloat64() * 1e-4)
					if r.Kind == KindE2M1 {
						x[i] = float32(random.NormFloat64() * 0x1p-126)
					}
				}
			}
			halved[r.Kind] += round(r, x)
			checkRoundTrip(t, r, x)
		}
	}
	if halved[KindE4M3] == 0 || halved[KindE2M1] == 0 {
		t.Errorf("groups whose scale was halved: %v, want some of each", halved)
	}
}

// round makes x storable and returns how many groups now ask for another scale than before.
func round(r Row, x []float32) (halved int) {
	quantised, g := x[:r.Quantised], gridE4M3
	if r.Kind == KindE2M1 {
		g = gridE2M1
	}
	for start := 0; start < r.Quantised; start += r.Group {
		group := quantised[start:min(start+r.Group, r.Quantised)]
		before, _ := g.scale(group)
		g.fake(group, r.Group)
		if after, _ := g.scale(group); after != before {
			halved++
		}
	}
	if r.Tail == KindBF16 {
		for i := r.Quantised; i < len(x); i++ {
			x[i] = BF16(ToBF16(x[i]))
		}
	}
	return halved
}

func checkRoundTrip(t *testing.T, r Row, x []float32) {
	t.Helper()
	packed := slices.Repeat([]byte{0xa5}, r.Bytes()+8) // old bytes must not show through, the last 8 are a neighbour's
	if err := r.Encode(packed, x); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	if tail := packed[r.Bytes():]; !slices.Equal(tail, slices.Repeat([]byte{0xa5}, 8)) {
		t.Fatalf("%v: wrote behind the row: %x", r, tail)
	}
	got := slices.Repeat([]float32{nan}, r.Width)
	r.Decode(got, packed)
	for i := range x {
		if math.Float32bits(got[i]) != math.Float32bits(x[i]) {
			t.Fatalf("%v: channel %d is %v, was %v", r, i, got[i], x[i])
		}
	}
}

// Every grid point at every scale, not just those that random rows meet.
func TestRowEveryCode(t *testing.T) {
	for exp := -22; exp <= 119; exp++ { // the floor of 1e-4 gives 2^-22; 448 * 2^119 is the largest
		x := make([]float32, 256)
		for code := range x {
			x[code] = E4M3(byte(code)) * float32(math.Ldexp(1, exp))
		}
		x[0x7f], x[0xff] = 0, 0
		checkRoundTrip(t, Row{256, KindE4M3, 256, 256, KindF32}, x)
	}
	for exp := -126; exp <= 125; exp++ {
		x := make([]float32, 16)
		for code := range x {
			x[code] = E2M1(byte(code)) * float32(math.Ldexp(1, exp))
		}
		checkRoundTrip(t, Row{16, KindE2M1, 16, 16, KindF32}, x)
	}
}

func TestRowLayout(t *testing.T) {
	r := Row{8, KindE2M1, 4, 6, KindBF16}
	packed := make([]byte, r.Bytes())
	if err := r.Encode(packed, []float32{6, -0.5, 1, 0, 32, -48, 1, -2}); err != nil {
		t.Fatal(err)
	}
	// channel 0 in the low nibble; scales 1 and 8; bfloat16 little-endian
	if got, want := fmt.Sprintf("%x", packed), "97"+"02"+"f6"+"7f82"+"803f"+"00c0"; got != want {
		t.Errorf("packed %s, want %s", got, want)
	}
}

func TestRowRefuses(t *testing.T) {
	kv, index := Row{8, KindE4M3, 4, 6, KindF32}, Row{8, KindE2M1, 4, 6, KindBF16}
	for _, c := range []struct {
		r       Row
		channel int
		value   float32
	}{
		{kv, 1, nan}, {kv, 5, inf}, {kv, 7, nan}, {kv, 0, 1.0625}, {kv, 4, 1e-9},
		{index, 2, nan}, {index, 4, -inf}, {index, 1, 5}, {index, 3, 0.25}, {index, 7, nan},
	} {
		x := []float32{6, 1, 0.5, 1, 6, -6, 2, 3}
		if err := c.r.Encode(make([]byte, c.r.Bytes()), x); err != nil {
			t.Fatal(err)
		}
		x[c.channel] = c.value
		err := c.r.Encode(make([]byte, c.r.Bytes()), x)
		if want := fmt.Sprintf("channel %d is %v:", c.channel, c.value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v with %v: %v, want %q", c.r, c.value, err, want)
		}
	}
	// a bfloat16 tail is rounded, ties to even
	rounded, packed := make([]float32, 8), make([]byte, index.Bytes())
	if err := index.Encode(packed, []float32{6, 1, 0.5, 1, 6, -6, 1.00390625, 3.0000002}); err != nil {
		t.Error(err)
	}
	if index.Decode(rounded, packed); rounded[6] != 1 || rounded[7] != 3 {
		t.Errorf("a tail is rounded to %v", rounded[6:])
	}
	if err := kv.Encode(make([]byte, kv.Bytes()-1), make([]float32, 8)); err == nil {
		t.Error("a short destination is no error")
	}
	if err := kv.Encode(make([]byte, kv.Bytes()), make([]float32, 7)); err == nil {
		t.Error("a short row is no error")
	}
}

func BenchmarkRow(b *testing.B) {
	r := rows[1]
	x := randomRow(rand.New(rand.NewPCG(1, 1)), r.Width)
	round(r, x)
	packed := make([]byte, r.Bytes())
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if err := r.Encode(packed, x); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			r.Decode(x, packed)
		}
	})
}

func TestRowString(t *testing.T) {
	for want, row := range map[string]Row{
		"448 fp8 per 64, 64 f32": {512, KindE4M3, 64, 448, KindF32},
		"128 fp4 per 32":         {128, KindE2M1, 32, 128, KindF32},
		"512 f32":                {Width: 512},
	} {
		if got := row.String(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
