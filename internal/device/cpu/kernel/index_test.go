package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"baleen/internal/quant"
)

// onGrid returns rows of n numbers that FP4 holds, and the same packed.
func onGrid(t *testing.T, r *rand.Rand, m *memory, rows int, spread int) ([]float32, []byte) {
	x := fill(r, rows*indexWidth, inputs["plain"])
	packed := m.bytes(rows * indexBytes)
	for i := range rows {
		row := x[i*indexWidth:][:indexWidth]
		for b := 0; b < indexWidth; b += 32 {
			scale := math.Ldexp(1, r.IntN(2*spread+1)-spread)
			for c := range row[b:][:32] {
				row[b+c] *= float32(scale)
			}
		}
		quant.FakeE2M1(row, 32)
		if err := indexRow.Encode(packed[i*indexBytes:], row); err != nil {
			t.Fatal(err)
		}
	}
	return x, packed
}

func TestIndexScores(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tier := range Tiers() {
		s, generic, m := For(tier), For(Generic), newMemory(t)
		for n := 1; n <= 70; n++ {
			m.reset()
			heads := []int{1, 3, 4, 7, 64}[n%5]
			q, _ := onGrid(t, r, m, heads, n%60)
			keys, packed := onGrid(t, r, m, n, n%60)
			w := fill(r, heads, inputs["plain"])
			got, want := typed[float32](m, n), make([]float32, n)
			query, other := NewIndexQuery(heads), NewIndexQuery(heads)
			if !s.SetIndexQuery(query, m.copied(q), w) || !generic.SetIndexQuery(other, q, w) {
				t.Fatal("numbers of the grid are refused")
			}
			s.IndexScores(got, query, packed, 0.37)
			generic.IndexScores(want, other, packed, 0.37)
			sameBits(t, fmt.Sprintf("%v: %d heads, %d keys", tier, heads, n), got, want)
			for k := range n {
				sum, size := 0.0, 0.0
				for h, weight := range w {
					d := 0.0
					for c := range indexWidth {
						d += float64(q[h*indexWidth+c]) * float64(keys[k*indexWidth+c])
					}
					sum += float64(weight) * max(0, d) * float64(float32(0.37))
					size += math.Abs(float64(weight)) * math.Abs(d)
				}
				if d := math.Abs(float64(got[k]) - sum); d > 4e-6*size+1e-6*math.Abs(sum) {
					t.Fatalf("%v: key %d is %v, want %v", tier, k, got[k], sum)
				}
			}
		}
	}
}

// Keys of any bytes, with scales that are no numbers or subnormal.
func TestIndexScoresOfAnyBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tier := range Tiers()[1:] {
		s, generic, m := For(tier), For(Generic), newMemory(t)
		for n := 1; n <= 70; n++ {
			m.reset()
			packed := m.bytes(n * indexBytes)
			for i := range packed {
				packed[i] = byte(r.Uint32())
			}
			q, _ := onGrid(t, r, m, 8, 100)
			w := fill(r, 8, inputs["odd"])
			query := NewIndexQuery(8)
			s.SetIndexQuery(query, q, w)
			got, want := typed[float32](m, n), make([]float32, n)
			s.IndexScores(got, query, packed, 1)
			generic.IndexScores(want, query, packed, 1)
			sameBits(t, tier.String(), got, want)
		}
	}
}

func TestIndexQueryRefusesOtherNumbers(t *testing.T) {
	for _, tier := range Tiers() {
		for i := range 2 * indexWidth {
			for _, bad := range []float32{1.01, float32(math.NaN()), float32(math.Inf(1))} {
				q := make([]float32, 2*indexWidth)
				for j := range q {
					q[j] = 1
				}
				q[i] = bad
				if For(tier).SetIndexQuery(NewIndexQuery(2), q, []float32{1, 1}) {
					t.Fatalf("%v: %v at %d is taken", tier, bad, i)
				}
			}
		}
	}
}
