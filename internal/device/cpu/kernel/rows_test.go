package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"baleen/internal/quant"
)

// memory is operands that end where the next page is not accessible.
type memory struct {
	t       testing.TB
	regions [][]byte
	used    int
}

func newMemory(t testing.TB) *memory { return &memory{t: t} }

const regionBytes = 1 << 20

// bytes returns the end of a region of its own, until reset.
func (m *memory) bytes(n int) []byte {
	if m.used == len(m.regions) {
		m.regions = append(m.regions, guarded(m.t, regionBytes))
	}
	r := m.regions[m.used]
	m.used++
	return r[len(r)-n:]
}

func (m *memory) reset() { m.used = 0 }

func typed[T any](m *memory, n int) []T {
	var zero T
	b := m.bytes(n * int(unsafe.Sizeof(zero)))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), n)
}

func (m *memory) copied(x []float32) []float32 {
	y := typed[float32](m, len(x))
	copy(y, x)
	return y
}

// inputs are what numbers a kernel may meet.
var inputs = map[string]func(*rand.Rand) float32{
	"plain": func(r *rand.Rand) float32 { return float32(r.NormFloat64()) },
	"wide":  func(r *rand.Rand) float32 { return float32(math.Ldexp(r.NormFloat64(), r.IntN(60)-30)) },
	"odd": func(r *rand.Rand) float32 {
		odd := []float32{0, float32(math.Copysign(0, -1)), 1e-45, -1e-45, 0x1p-127, math.MaxFloat32, -math.MaxFloat32, 1, -1, 88.7, -88.8, 20, -20, 20.5, -20.5, 104, -104}
		return odd[r.IntN(len(odd))]
	},
	"infinite": func(r *rand.Rand) float32 {
		odd := []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 0, 1, -2, 3}
		return odd[r.IntN(len(odd))]
	},
	"ties": func(r *rand.Rand) float32 { // halfway between two numbers of fewer bits, or just beside
		dropped := []int{16, 20, 22}[r.IntN(3)]
		kept := uint32(0x3f800000+r.IntN(0x1000000)-0x800000) >> dropped
		return math.Float32frombits((kept<<1|1)<<(dropped-1) + uint32(r.IntN(3)) - 1 | r.Uint32()&(1<<31))
	},
	"bits": func(r *rand.Rand) float32 { return math.Float32frombits(r.Uint32()) },
}

func fill(r *rand.Rand, n int, one func(*rand.Rand) float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = one(r)
	}
	return x
}

// sameBits compares numbers; a NaN is like another.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s: number %d is %v (%#x), want %v (%#x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// operation runs a kernel on operands of about n numbers and returns all that it wrote.
type operation struct {
	name string
	run  func(s *Set, m *memory, n int, next func(n int) []float32) []float32
}

func words(u []uint16) []float32 {
	x := make([]float32, len(u))
	for i, v := range u {
		x[i] = quant.BF16(v)
	}
	return x
}

func flag01(ok bool) float32 {
	if ok {
		return 1
	}
	return 0
}

var operations = []operation{
	{"RMSNorm", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		y := typed[float32](m, n)
		s.RMSNorm(y, m.copied(next(n)), m.copied(next(n)), 1e-6)
		return y
	}},
	{"RMSNorm without weight, in place", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		y := m.copied(next(n))
		s.RMSNorm(y, y, nil, 1e-6)
		return append(y, s.RowScale(y, 1e-6))
	}},
	{"Add", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		y := typed[float32](m, n)
		s.Add(y, m.copied(next(n)), m.copied(next(n)))
		return y
	}},
	{"SwiGLU", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		y, g, u := typed[float32](m, n), m.copied(next(n)), m.copied(next(n))
		s.SwiGLU(y, g, u, next(1)[0], 7)
		s.SwiGLU(u, g, u, 1, 0)
		return append(slices.Clone(y), u...)
	}},
	{"SqrtSoftplus", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		y := typed[float32](m, n)
		s.SqrtSoftplus(y, m.copied(next(n)))
		return y
	}},
	{"HCCollapse", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		streams := 1 + n%5
		y := typed[float32](m, n)
		s.HCCollapse(y, m.copied(next(n*streams)), m.copied(next(streams)), n)
		return y
	}},
	{"HCExpand", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		streams := 1 + n%5
		y := typed[float32](m, n*streams)
		s.HCExpand(y, m.copied(next(n)), m.copied(next(n*streams)), m.copied(next(streams)), m.copied(next(streams*streams)), n)
		return y
	}},
	{"Combine", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		slots := 1 + n%9
		order := typed[int32](m, slots)
		for i := range order {
			order[i] = int32((i*7 + 3) % slots)
		}
		y := typed[float32](m, n)
		s.Combine(y, m.copied(next(n*slots)), m.copied(next(n)), order, n)
		return y
	}},
	{"RoPE", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		var all []float32
		for _, half := range []int{8, 32, n} {
			x := m.copied(next(3 * (2*half + n)))
			cos, sin := m.copied(next(half)), m.copied(next(half))
			s.RoPE(x, 2*half+n, cos, sin, n%2 == 0)
			all = append(all, x...)
		}
		return all
	}},
	{"Hadamard", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		x, y := m.copied(next(128*(1+n%3))), m.copied(next(64))
		s.Hadamard(x, 128)
		s.Hadamard(y, 32)
		return append(slices.Clone(x), y...)
	}},
	{"Pool", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		y := typed[float32](m, n)
		tokens := 1 + n%9
		s.Pool(y, m.copied(next(n*tokens)), m.copied(next(n*tokens)))
		return y
	}},
	{"ToBF16", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		y := typed[uint16](m, n)
		s.ToBF16(y, m.copied(next(n)))
		return words(y)
	}},
	{"FakeE4M3", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		x := m.copied(next(n))
		ok := s.FakeE4M3(x, 1+n*5%37)
		return append(slices.Clone(x), flag01(ok))
	}},
	{"FakeE2M1", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		x := m.copied(next(n))
		ok := s.FakeE2M1(x, 1+n*5%37)
		return append(slices.Clone(x), flag01(ok))
	}},
	{"QuantiseE4M3", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		y := typed[uint16](m, n)
		ok := s.QuantiseE4M3(y, m.copied(next(n)), 1+n*5%37)
		return append(words(y), flag01(ok))
	}},
	{"Softmax", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		x := m.copied(next(n))
		s.Softmax(x, next(1)[0])
		return x
	}},
	{"Scores and Weigh", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		keys := 1 + n*7%71
		h := &Heads{Heads: 1 + n%7, Width: n, Stride: keys, Scale: 0.25}
		q, k := m.copied(next(h.Heads*n)), m.copied(next(keys*n))
		scores, y := typed[float32](m, h.Heads*keys), m.copied(next(h.Heads*n))
		s.Scores(h, scores, q, k, keys)
		s.Weigh(h, y, scores, k, keys)
		return append(slices.Clone(scores), y...)
	}},
	{"WideIndexScores", func(s *Set, m *memory, n int, next func(int) []float32) []float32 {
		keys := 1 + n*7%71
		h := &Heads{Heads: 1 + n%7, Width: n, Scale: 0.25}
		scores, scratch := typed[float32](m, keys), typed[float32](m, 64*h.Heads)
		s.WideIndexScores(h, scores, m.copied(next(h.Heads*n)), m.copied(next(h.Heads)), m.copied(next(keys*n)), scratch)
		return scores
	}},
}

// Every tier does what plain Go does, to the last bit, whatever the numbers and the length, and touches nothing else.
func TestTiersEqualPlainGo(t *testing.T) {
	generic := For(Generic)
	for _, tier := range Tiers()[1:] {
		s := For(tier)
		for _, o := range operations {
			t.Run(tier.String()+"/"+o.name, func(t *testing.T) {
				m := newMemory(t)
				for name, one := range inputs {
					for i := range 74 {
						n := i + 1
						if i >= 70 {
							n = []int{127, 128, 129, 500}[i-70]
						}
						run := func(s *Set) []float32 {
							m.reset()
							r := rand.New(rand.NewPCG(uint64(n), 5))
							return slices.Clone(o.run(s, m, n, func(n int) []float32 { return fill(r, n, one) }))
						}
						want := run(generic)
						sameBits(t, fmt.Sprintf("%s numbers, length %d", name, n), run(s), want)
					}
				}
			})
		}
	}
}

func FuzzTiersEqualPlainGo(f *testing.F) {
	f.Add(uint8(0), uint8(33), []byte("some numbers of four bytes each."))
	f.Fuzz(func(t *testing.T, which, n uint8, data []byte) {
		if len(data) < 4 {
			return
		}
		o, m := operations[int(which)%len(operations)], newMemory(t)
		var want []float32
		for _, tier := range Tiers() {
			m.reset()
			used := 0
			got := slices.Clone(o.run(For(tier), m, 1+int(n)%100, func(n int) []float32 {
				x := make([]float32, n)
				for i := range x {
					if used+4 > len(data) {
						used = (used + 1) % 4 // other numbers from the same bytes
					}
					if used+4 > len(data) {
						used = 0
					}
					x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[used:]))
					used += 4
				}
				return x
			}))
			if want == nil {
				want = got
			}
			sameBits(t, o.name+" "+tier.String(), got, want)
		}
	})
}

// ulps is how far a result is from the right one in units of its last place.
func ulps(got float32, want float64) float64 {
	if math.IsInf(want, 0) || math.Abs(want) > math.MaxFloat32 {
		if math.IsInf(float64(got), 0) {
			return 0
		}
	}
	near := math.Abs(float64(float32(want)))
	unit := math.Max(math.Ldexp(1, math.Ilogb(math.Max(near, 0x1p-126))-23), 0x1p-149)
	return math.Abs(float64(got)-want) / unit
}

func TestFunctionsAreAccurate(t *testing.T) {
	sigma := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	for _, c := range []struct {
		name  string
		f     func(float32) float32
		want  func(float64) float64
		bound float64
	}{
		{"exp", exp, math.Exp, 1.05},
		{"sigmoid", sigmoid, sigma, 2.3},
		{"sqrtSoftplus", sqrtSoftplus, func(x float64) float64 {
			if x <= 20 {
				x = math.Log1p(math.Exp(x))
			}
			return math.Sqrt(x)
		}, 1.8},
	} {
		worst, where := 0.0, float32(0)
		check := func(x float32) {
			if u := ulps(c.f(x), c.want(float64(x))); u > worst {
				worst, where = u, x
			}
		}
		for x := float32(-110); x < 100; x += 0.00037 {
			check(x)
		}
		for b := uint32(0); b < 0x43000000; b += 4099 {
			check(math.Float32frombits(b))
			check(math.Float32frombits(b | 1<<31))
		}
		t.Logf("%s: %.3f ulp at %v", c.name, worst, where)
		if worst > c.bound {
			t.Errorf("%s is %.3f ulp off at %v, want at most %v", c.name, worst, where, c.bound)
		}
	}
}

// What a row comes to in float64, as the specification executor has it.
func TestRowsAgainstFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := For(Tiers()[len(Tiers())-1])
	x, w := fill(r, 28672, inputs["wide"]), fill(r, 28672, inputs["plain"])
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	rho := 1 / math.Sqrt(sum/float64(len(x))+1e-6)
	if got := s.RowScale(x, 1e-6); ulps(got, rho) > 0.501 {
		t.Errorf("RowScale is %v, want %v", got, rho)
	}
	y := make([]float32, len(x))
	s.RMSNorm(y, x, w, 1e-6)
	for i := range y {
		if want := float64(x[i]) * rho * float64(w[i]); ulps(y[i], want) > 0.5001 {
			t.Fatalf("RMSNorm: number %d is %v, want %v", i, y[i], want)
		}
	}
	g, u := fill(r, 3000, inputs["plain"]), fill(r, 3000, inputs["plain"])
	h := make([]float32, len(g))
	s.SwiGLU(h, g, u, 0.3, 1)
	for i := range h {
		gate, up := math.Min(float64(g[i]), 1), math.Max(-1, math.Min(float64(u[i]), 1))
		if want := gate / (1 + math.Exp(-gate)) * up * float64(float32(0.3)); ulps(h[i], want) > 5 {
			t.Fatalf("SwiGLU: number %d is %v, want %v", i, h[i], want)
		}
	}
}

// Sums over streams, slots and tokens, as their ops have them.
func TestSumsAgainstFloat64(t *testing.T) {
	const n, d, tokens = 4, 40, 9
	r := rand.New(rand.NewPCG(1, 2))
	x, a, pre, post, comb := fill(r, n*d, inputs["plain"]), fill(r, d, inputs["plain"]), fill(r, n, inputs["plain"]), fill(r, n, inputs["plain"]), fill(r, n*n, inputs["plain"])
	values, scores := fill(r, tokens*d, inputs["plain"]), fill(r, tokens*d, inputs["plain"])
	order := []int32{2, 0, 3, 1}
	s := For(Tiers()[len(Tiers())-1])
	collapsed, expanded, combined, pooled := make([]float32, d), make([]float32, n*d), make([]float32, d), make([]float32, d)
	s.HCCollapse(collapsed, x, pre, d)
	s.HCExpand(expanded, a, x, post, comb, d)
	s.Combine(combined, x, a, order, d)
	s.Pool(pooled, values, scores)
	near := func(what string, got float32, want float64) {
		if math.Abs(float64(got)-want) > 2e-6 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	for c := range d {
		collapse, combine := 0.0, float64(a[c])
		for j := range n {
			collapse += float64(pre[j]) * float64(x[j*d+c])
			combine += float64(x[j*d+c])
			expand := float64(post[j]) * float64(a[c])
			for k := range n {
				expand += float64(comb[k*n+j]) * float64(x[k*d+c])
			}
			near("expanded", expanded[j*d+c], expand)
		}
		near("collapsed", collapsed[c], collapse)
		near("combined", combined[c], combine)
		above, sum := 0.0, 0.0
		for i := range tokens {
			p := math.Exp(float64(scores[i*d+c]))
			sum += p
			above += p * float64(values[i*d+c])
		}
		near("pooled", pooled[c], above/sum)
	}
	if s.Combine(combined, x, a, nil, d); !slices.Equal(combined, a) {
		t.Error("no slot is not the shared expert alone")
	}
}

// The Walsh-Hadamard matrix has (-1)^popcount(i&j) at i, j, and is its own inverse but for the factor.
func TestHadamard(t *testing.T) {
	for _, tier := range Tiers() {
		for _, width := range []int{1, 2, 16, 128, 512} {
			x := make([]float32, width)
			for i := range x {
				clear(x)
				x[i] = 1
				For(tier).Hadamard(x, width)
				for j, v := range x {
					want := 1 / math.Sqrt(float64(width))
					for b := i & j; b > 0; b &= b - 1 {
						want = -want
					}
					if v != float32(want) {
						t.Fatalf("%v: [%d,%d] of %d is %v, want %v", tier, i, j, width, v, want)
					}
				}
			}
		}
	}
}

func TestRoPETurnsPairsAndBack(t *testing.T) {
	const width, n = 96, 64
	for _, tier := range Tiers() {
		s := For(tier)
		freq, cos, sin := make([]float32, n/2), make([]float32, n/2), make([]float32, n/2)
		for i := range freq {
			freq[i] = float32(math.Pow(10000, -float64(i)/float64(len(freq))))
		}
		const position = 1<<24 - 3
		SinCos(cos, sin, freq, position)
		x := fill(rand.New(rand.NewPCG(1, 1)), 5*width, inputs["plain"])
		was := slices.Clone(x)
		s.RoPE(x, width, cos, sin, false)
		for i := range x {
			c := i%width - (width - n)
			if c < 0 {
				if x[i] != was[i] {
					t.Fatalf("%v: channel %d was turned", tier, i%width)
				}
				continue
			}
			angle := float64(float32(position) * freq[c/2])
			a, b := float64(was[i]), float64(was[i^1])
			want := a*math.Cos(angle) - b*math.Sin(angle)
			if c%2 == 1 {
				want = b*math.Sin(angle) + a*math.Cos(angle)
			}
			if math.Abs(float64(x[i])-want) > 3e-7*(math.Abs(a)+math.Abs(b)) {
				t.Fatalf("%v: channel %d is %v, want %v", tier, c, x[i], want)
			}
		}
		s.RoPE(x, width, cos, sin, true)
		for i := range x {
			if math.Abs(float64(x[i]-was[i])) > 1e-5 {
				t.Fatalf("%v: number %d came back as %v, was %v", tier, i, x[i], was[i])
			}
		}
	}
}

func TestSlotOrderAndRouteWeights(t *testing.T) {
	ids := []int32{7, 3, 7, 0, 5}
	order := make([]int32, len(ids))
	SlotOrder(order, ids)
	if want := []int32{3, 1, 4, 0, 2}; !slices.Equal(order, want) {
		t.Errorf("order of %v is %v, want %v", ids, order, want)
	}
	a, w := []float32{0, 1, 2, 3, 4, 5, 6, 7}, make([]float32, len(ids))
	if !RouteWeights(w, a, ids, 2.5) {
		t.Fatal("refused")
	}
	sameBits(t, "route weights", w, []float32{17.5 / 22, 7.5 / 22, 17.5 / 22, 0, 12.5 / 22})
	for _, bad := range []int32{-1, 8} {
		if RouteWeights(w, a, []int32{1, bad}, 1) {
			t.Errorf("took the id %d", bad)
		}
	}
}
