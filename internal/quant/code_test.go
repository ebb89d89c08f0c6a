package quant

import (
	"math"
	"math/rand/v2"
	"testing"
)

var (
	inf = float32(math.Inf(1))
	nan = float32(math.NaN())
)

// nearest is the rounding of the spec, word for word: clamp, then of all codes 0..last the one whose value is nearest to
// |x|, the even one of two.
func nearest(x float64, last int, value func(code int) float64) int {
	x = min(math.Abs(x), value(last))
	best, bestDist := 0, math.Inf(1)
	for code := 0; code <= last; code++ {
		dist := math.Abs(x - value(code))
		if dist < bestDist || dist == bestDist && code%2 == 0 {
			best, bestDist = code, dist
		}
	}
	return best
}

// probes returns every value, every midpoint between neighbours, what lies one ulp to either side of these, and some
// numbers from everywhere, all with both signs.
func probes(last int, value func(code int) float64) []float32 {
	var xs []float32
	around := func(v float64) {
		x := float32(v)
		for _, x := range []float32{x, math.Nextafter32(x, inf), math.Nextafter32(x, -inf)} {
			xs = append(xs, x, -x)
		}
	}
	for code := 0; code <= last; code++ {
		around(value(code))
		if code < last {
			around((value(code) + value(code+1)) / 2)
		}
	}
	around(value(last) * 1.04) // the midpoint to a code that does not exist
	xs = append(xs, math.MaxFloat32, -math.MaxFloat32, inf, -inf, 1e-45, -1e-45, 1e-40)
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		x := math.Float32frombits(random.Uint32())
		if x == x {
			xs = append(xs, x, float32(random.NormFloat64()*float64(value(last))/4))
		}
	}
	return xs
}

func TestE4M3(t *testing.T) {
	value := func(code int) float64 { // sign and magnitude from their bits
		mant := float64(code & 7)
		if code>>3 == 0 {
			return mant / 512
		}
		return (1 + mant/8) * math.Pow(2, float64(code>>3)-7)
	}
	for code := range 256 {
		got := E4M3(byte(code))
		switch {
		case code&0x7f == 0x7f:
			if got == got {
				t.Errorf("code %#x is %v, want NaN", code, got)
			}
			continue
		case float64(got) != math.Copysign(value(code&0x7f), 0.5-float64(code>>7)):
			t.Errorf("code %#x is %v", code, got)
		}
		if back := ToE4M3(got); back != byte(code) {
			t.Errorf("code %#x = %v comes back as %#x", code, got, back)
		}
	}
	for _, x := range probes(0x7e, value) {
		want := byte(nearest(float64(x), 0x7e, value)) | byte(math.Float32bits(x)>>24)&0x80
		if got := ToE4M3(x); got != want {
			t.Fatalf("ToE4M3(%v) = %#x, want %#x", x, got, want)
		}
	}
	for _, x := range []float32{nan, -nan, math.Float32frombits(0x7f800001), math.Float32frombits(0xffffffff)} {
		if got := ToE4M3(x); got != 0x7f {
			t.Errorf("NaN %#x gives %#x, want 0x7f", math.Float32bits(x), got)
		}
	}
}

func TestE2M1(t *testing.T) {
	magnitudes := []float64{0, 0.5, 1, 1.5, 2, 3, 4, 6}
	value := func(code int) float64 { return magnitudes[code] }
	for code := range 256 { // the high nibble belongs to a neighbour
		want := float32(math.Copysign(magnitudes[code&7], 0.5-float64(code>>3&1)))
		got := E2M1(byte(code))
		if got != want || math.Signbit(float64(got)) != (got < 0) {
			t.Errorf("code %#x is %v, want %v", code, got, want)
		}
		if back := ToE2M1(got); code&15 != 8 && back != byte(code&15) || code&15 == 8 && back != 0 {
			t.Errorf("code %#x = %v comes back as %d", code, got, back)
		}
	}
	for _, x := range probes(7, value) {
		want := byte(nearest(float64(x), 7, value))
		if x < 0 && want != 0 {
			want |= 8
		}
		if got := ToE2M1(x); got != want {
			t.Fatalf("ToE2M1(%v) = %d, want %d", x, got, want)
		}
	}
}

// A peer's kernel sent ties up instead of to the even code; random numbers never showed it.
func TestE2M1Midpoints(t *testing.T) {
	for x, want := range map[float32]float32{0.25: 0, 0.75: 1, 1.25: 1, 1.75: 2, 2.5: 2, 3.5: 4, 5: 4} {
		for _, sign := range []float32{1, -1} {
			if got := E2M1(ToE2M1(sign * x)); got != sign*want {
				t.Errorf("%v rounds to %v, want %v", sign*x, got, sign*want)
			}
		}
	}
}

func TestE8M0(t *testing.T) {
	for code := range 255 {
		got := E8M0(byte(code))
		if float64(got) != math.Ldexp(1, code-127) {
			t.Errorf("code %d is %v", code, got)
		}
		if back, ok := ToE8M0(got); !ok || back != byte(code) {
			t.Errorf("code %d = %v comes back as %d, %v", code, got, back, ok)
		}
		for _, x := range []float32{-got, math.Nextafter32(got, inf), math.Nextafter32(got, 0)} {
			if back, ok := ToE8M0(x); ok {
				t.Errorf("ToE8M0(%v) = %d, want none", x, back)
			}
		}
	}
	if got := E8M0(255); got == got {
		t.Errorf("code 255 is %v, want NaN", got)
	}
	for _, x := range []float32{0, inf, -inf, nan, 1e-45, 0x1p-128, 3} {
		if back, ok := ToE8M0(x); ok {
			t.Errorf("ToE8M0(%v) = %d, want none", x, back)
		}
	}
}

func TestBF16(t *testing.T) {
	for code := range 1 << 16 {
		u := uint16(code)
		x := BF16(u)
		if math.Float32bits(x) != uint32(code)<<16 {
			t.Fatalf("code %#x is %v", code, x)
		}
		if back := ToBF16(x); x == x && back != u || x != x && !isNaN16(back) {
			t.Fatalf("code %#x = %v comes back as %#x", code, x, back)
		}
		if u&0x7fff < 0x7f80 {
			checkBF16Between(t, u)
		}
	}
	for _, bits := range []uint32{0x7f800001, 0x7fffffff, 0xff800001, 0xffffffff} { // mantissas that rounding would carry away or cut off
		if u := ToBF16(math.Float32frombits(bits)); !isNaN16(u) || uint32(u>>15) != bits>>31 {
			t.Errorf("NaN %#x gives %#x", bits, u)
		}
	}
}

func isNaN16(u uint16) bool { return u&0x7fff > 0x7f80 }

// checkBF16Between tries the midpoint between u and the next larger magnitude, and its two neighbours. The code after
// the largest finite one is infinity, which counts as 2^128 when rounding.
func checkBF16Between(t *testing.T, u uint16) {
	value := func(u uint16) float64 {
		exp, mant := int(u>>7&0xff), float64(u&0x7f)
		if exp == 0 {
			return math.Ldexp(mant, -133)
		}
		return math.Ldexp(128+mant, exp-134)
	}
	mid := (value(u) + value(u+1)) / 2
	x := float32(mid)
	if float64(x) != mid {
		t.Fatalf("midpoint after %#x is not a float32", u)
	}
	for _, x := range []float32{math.Nextafter32(x, 0), x, math.Nextafter32(x, inf)} {
		below, above := float64(x)-value(u), value(u+1)-float64(x)
		want := u
		if above < below || above == below && u%2 == 1 {
			want++
		}
		if u&0x8000 != 0 {
			x = -x
		}
		if got := ToBF16(x); got != want {
			t.Fatalf("ToBF16(%v) = %#x, want %#x", x, got, want)
		}
	}
}
