package quant

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestPowerOfTwoCeil(t *testing.T) {
	for exp := 1; exp < 255; exp++ {
		for _, mant := range []uint32{0, 1, 2, 1 << 22, 1<<23 - 1} {
			v := math.Float32frombits(uint32(exp)<<23 | mant)
			fraction, e := math.Frexp(float64(v)) // v = fraction * 2^e, fraction in [0.5, 1)
			if fraction == 0.5 {
				e--
			}
			want := float32(math.Ldexp(1, e)) // 2^128 becomes +Inf
			if got := PowerOfTwoCeil(v); got != want {
				t.Errorf("PowerOfTwoCeil(%v) = %v, want %v", v, got, want)
			}
		}
	}
	for _, v := range []float32{1e-45, 0x1p-127, 0x1.8p-127} {
		if got := PowerOfTwoCeil(v); got != 0x1p-126 {
			t.Errorf("PowerOfTwoCeil(%v) = %v, want 2^-126", v, got)
		}
	}
	for _, v := range []float32{0, -1, -inf, nan} {
		if got := PowerOfTwoCeil(v); got == got {
			t.Errorf("PowerOfTwoCeil(%v) = %v, want NaN", v, got)
		}
	}
}

// The scale is amax times a rounded constant, not amax divided: at exact multiples it must still not be off by one.
func TestScaleAtExactMultiples(t *testing.T) {
	for exp := -100; exp <= 100; exp++ {
		unit := float32(math.Ldexp(1, exp))
		for _, c := range []struct {
			g       grid
			largest float32
		}{{gridE4M3, 448}, {gridE2M1, 6}} {
			full := c.largest * unit
			if full < c.g.floor {
				continue
			}
			if got, _ := c.g.scale([]float32{0, -full}); got != unit {
				t.Errorf("amax %v: scale %v, want %v", full, got, unit)
			}
		}
	}
}

func TestFakeFloors(t *testing.T) {
	x := []float32{1e-4, -9e-5, 1e-6, 0} // s = 2^-22 for all that is at most 1e-4
	FakeE4M3(x, 4)
	want := []float32{416 * 0x1p-22, -384 * 0x1p-22, 4 * 0x1p-22, 0}
	if !slices.Equal(x, want) {
		t.Errorf("E4M3 near its floor: %v, want %v", x, want)
	}
	x = []float32{0x1p-126, 0x1p-127, 0x1.1p-128, 0x1p-128, 0x1p-149, 0} // s = 2^-126: step 2^-127, a tie at 2^-128
	FakeE2M1(x, 6)
	want = []float32{0x1p-126, 0x1p-127, 0x1p-127, 0, 0, 0}
	if !slices.Equal(x, want) {
		t.Errorf("E2M1 near its floor: %v, want %v", x, want)
	}
}

// Midpoints of FP4 after scaling, in a group with its own amax and beside one that must not matter.
func TestFakeE2M1Midpoints(t *testing.T) {
	x := []float32{6, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 600, -0.25, 100}
	for i := range x {
		x[i] *= 0x1p-10
	}
	FakeE2M1(x, 8)
	want := []float32{6, 0, 1, 1, 2, 2, 4, 4, 512, 0, 128} // s of the last three is 128: 4.69 -> 4, 0.78 -> 1
	for i := range x {
		if x[i] != want[i]*0x1p-10 {
			t.Errorf("channel %d: %v, want %v", i, x[i]*0x1p10, want[i])
		}
	}
}

func TestFakeNaN(t *testing.T) {
	for _, bad := range []float32{nan, -nan, inf, -inf, math.Float32frombits(0x7f800001)} {
		for name, fake := range map[string]func([]float32, int){"FakeE4M3": FakeE4M3, "FakeE2M1": FakeE2M1} {
			x := []float32{1, 2, 3, 0, bad, 6, 7} // groups of 3: the middle one is lost, the last one has one channel
			fake(x, 3)
			for i, v := range x {
				if isNaN, want := v != v, i/3 == 1; isNaN != want {
					t.Errorf("%s with %v: channel %d is %v", name, bad, i, v)
				}
			}
		}
	}
}

// Every value must be code times scale for the scale of the spec, computed here in float64, and be no farther from the
// original than any other code.
func TestFakeAgainstDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		x := randomRow(random, 1+random.IntN(70))
		for _, c := range []struct {
			fake           func([]float32, int)
			value          func(int) float64
			codes          int
			floor, largest float64
		}{
			{FakeE4M3, func(c int) float64 { return float64(E4M3(byte(c))) }, 0x7e, float64(float32(1e-4)), 448},
			{FakeE2M1, func(c int) float64 { return float64(E2M1(byte(c))) }, 7, 6 * 0x1p-126, 6},
		} {
			got := slices.Clone(x)
			c.fake(got, 32)
			for i, v := range x {
				group := x[i/32*32 : min(i/32*32+32, len(x))]
				amax := c.floor
				for _, v := range group {
					amax = max(amax, math.Abs(float64(v)))
				}
				s := math.Exp2(math.Ceil(math.Log2(amax / c.largest)))
				want := math.Copysign(c.value(nearest(float64(v)/s, c.codes, c.value))*s, float64(v))
				if float64(got[i]) != want {
					t.Fatalf("%v in a group with largest %v: got %v, want %v", v, amax, got[i], want)
				}
			}
		}
	}
}

// randomRow draws rows of every size and spread, with zeros and negative zeros, and never near an overflow.
func randomRow(random *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	centre, spread := random.Float64()*200-140, random.Float64()*20
	for i := range x {
		x[i] = float32(random.NormFloat64() * math.Exp2(min(centre+spread*random.NormFloat64(), 110)))
		if random.IntN(8) == 0 {
			x[i] *= 0
		}
	}
	return x
}
