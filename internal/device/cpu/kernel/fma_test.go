package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// roundSum returns p + c rounded once to a float32.
func roundSum(p, c float64) float32 {
	sum := new(big.Float).SetPrec(2200)
	sum.Add(big.NewFloat(p).SetPrec(2200), big.NewFloat(c))
	v, _ := sum.Float32()
	return v
}

// Sums near the middle between two float32 are where rounding twice goes wrong.
func TestFMARoundsOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	twice := 0
	for range 200_000 {
		a := math.Float32frombits(r.Uint32()&0x807fffff | uint32(100+r.IntN(54))<<23)
		b := math.Float32frombits(r.Uint32()&0x807fff00 | uint32(100+r.IntN(54))<<23)
		c := math.Float32frombits(r.Uint32()&0x807fffff | uint32(100+r.IntN(54))<<23)
		if r.IntN(2) == 0 { // a*b is half an ulp of c, and a little
			c = math.Float32frombits(math.Float32bits(c)&^0x7f800000 | 127<<23)
			a, b = 1+0x1p-23*float32(r.IntN(3)), float32(math.Ldexp(float64(1+2*r.IntN(2)), -24))*(1-0x1p-24*float32(r.IntN(3)))
		}
		want := roundSum(float64(a)*float64(b), float64(c))
		if got := fma(a, b, c); got != want {
			t.Fatalf("%x * %x + %x is %x, want %x", a, b, c, got, want)
		}
		if float32(float64(a)*float64(b)+float64(c)) != want {
			twice++
		}
	}
	if twice == 0 {
		t.Error("no case where rounding twice is wrong: the test shows nothing")
	}
}
