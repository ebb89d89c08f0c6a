package engine

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// naiveKept is the definition of the filters, by sorting everything: the tokens that are kept, with their probabilities.
func naiveKept(logits []float32, s Sampling, tokens []int32, prompt int) map[int32]float64 {
	type entry struct {
		id int32
		x  float32
		p  float64
	}
	var list []entry
	for id, raw := range logits {
		x := raw + s.LogitBias[int32(id)]
		inAll, inAnswer := slices.Contains(tokens, int32(id)), 0
		for _, t := range tokens[prompt:] {
			if t == int32(id) {
				inAnswer++
			}
		}
		v := float64(x)
		switch {
		case s.RepetitionPenalty == 0 || !inAll:
		case v > 0:
			v /= s.RepetitionPenalty
		default:
			v *= s.RepetitionPenalty
		}
		if inAnswer > 0 {
			v -= s.PresencePenalty + s.FrequencyPenalty*float64(inAnswer)
		}
		list = append(list, entry{int32(id), float32(v), 0})
	}
	slices.SortFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.x, a.x), cmp.Compare(a.id, b.id))
	})
	if s.Temperature == 0 {
		return map[int32]float64{list[0].id: 1}
	}
	normalise := func() {
		total := 0.0
		for _, e := range list {
			total += math.Exp((float64(e.x) - float64(list[0].x)) / s.Temperature)
		}
		for i := range list {
			list[i].p = math.Exp((float64(list[i].x)-float64(list[0].x))/s.Temperature) / total
		}
	}
	if s.TopK > 0 {
		list = list[:min(s.TopK, len(list))]
	}
	normalise()
	mass, n := 0.0, 0
	for n < len(list) && mass < s.TopP {
		mass += list[n].p
		n++
	}
	list = list[:n]
	normalise()
	kept := map[int32]float64{}
	total := 0.0
	for _, e := range list {
		if e.p >= s.MinP*list[0].p && e.p > 0 {
			kept[e.id] = e.p
			total += e.p
		}
	}
	for id := range kept {
		kept[id] /= total
	}
	return kept
}

func randomSampling(r *rand.Rand, vocab int) Sampling {
	s := Sampling{Temperature: []float64{0, 0.3, 1, 1.7}[r.IntN(4)], TopP: 1, Seed: r.Uint64()}
	if r.IntN(2) == 0 {
		s.TopK = r.IntN(vocab + 3)
	}
	if r.IntN(2) == 0 {
		s.TopP = 1 - r.Float64()
	}
	if r.IntN(3) == 0 {
		s.MinP = r.Float64()
	}
	if r.IntN(3) == 0 {
		s.RepetitionPenalty = 0.5 + r.Float64()*1.5
	}
	if r.IntN(3) == 0 {
		s.PresencePenalty, s.FrequencyPenalty = r.Float64()*2-1, r.Float64()*2-1
	}
	if r.IntN(3) == 0 {
		s.LogitBias = map[int32]float32{int32(r.IntN(vocab)): 3, int32(r.IntN(vocab)): float32(math.Inf(-1))}
	}
	return s
}

// randomLogits has ties, infinities and both zeros among them.
func randomLogits(r *rand.Rand, vocab int) []float32 {
	logits, grid := make([]float32, vocab), r.IntN(3)
	for i := range logits {
		x := float32(r.NormFloat64() * 4)
		switch {
		case grid == 0 && r.IntN(8) == 0:
			x = float32(math.Inf(-1))
		case grid == 1:
			x = float32(math.Round(float64(x)))
		}
		logits[i] = x
	}
	return logits
}

// The weights after the filters must be the probabilities of the naive definition, and the token one of those it keeps: for
// any combination of settings, for vocabularies where selection sorts and where it partitions.
func TestSamplerAgainstSorting(t *testing.T) {
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 3))
		vocab := 3 + r.IntN(300)
		set, prompt := randomSampling(r, vocab), make([]int32, r.IntN(6))
		for i := range prompt {
			prompt[i] = int32(r.IntN(vocab))
		}
		s, w, tokens := newSampler(set, nil, prompt), newWorkspace(vocab), slices.Clone(prompt)
		for step := range 4 {
			logits := randomLogits(r, vocab)
			logits[r.IntN(vocab)] = 1 // forbidding them all has its own test
			logits[(r.IntN(vocab-1)+1)%vocab] = 1
			it, err := s.next(logits, 1, w)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			want := naiveKept(logits, set, tokens, len(prompt))
			if _, ok := want[it.Token]; !ok {
				t.Fatalf("seed %d step %d: %+v: token %d is not kept", seed, step, set, it.Token)
			}
			if set.Temperature > 0 {
				compareWeights(t, fmt.Sprintf("seed %d step %d: %+v", seed, step, set), w.weights, want)
			}
			tokens = append(tokens, it.Token)
		}
	}
}

func compareWeights(t *testing.T, what string, weights []float64, want map[int32]float64) {
	t.Helper()
	total := 0.0
	for _, x := range weights {
		total += x
	}
	for id, x := range weights {
		if math.Abs(x/total-want[int32(id)]) > 1e-9 {
			t.Fatalf("%s: token %d has probability %v, want %v", what, id, x/total, want[int32(id)])
		}
	}
}

// Selection must cope with the orders that are bad for quickselect, at the size of the real vocabulary.
func TestCutoffOrders(t *testing.T) {
	const n = 129280
	r := rand.New(rand.NewPCG(1, 4))
	for name, value := range map[string]func(i int) float32{
		"equal":      func(int) float32 { return 1 },
		"ascending":  func(i int) float32 { return float32(i) },
		"descending": func(i int) float32 { return float32(-i) },
		"organ pipe": func(i int) float32 { return float32(min(i, n-i)) },
		"sawtooth":   func(i int) float32 { return float32(i % 17) },
		"random":     func(int) float32 { return r.Float32() },
	} {
		c := make([]candidate, n)
		for i := range c {
			c[i] = candidate{value(i), int32(i), 1}
		}
		sorted := slices.Clone(c)
		slices.SortFunc(sorted, func(a, b candidate) int { return cmp.Or(cmp.Compare(b.x, a.x), cmp.Compare(a.id, b.id)) })
		for _, k := range []int{1, 2, 50, n / 2, n - 1, n} {
			if got := cutoff(slices.Clone(c), float64(k)); got != sorted[k-1] {
				t.Errorf("%s: number %d is %+v, want %+v", name, k, got, sorted[k-1])
			}
		}
		if got := cutoff(c, n+1); got != sorted[n-1] {
			t.Errorf("%s: more than there is: %+v, want the last", name, got)
		}
	}
}

// Chi-square: 40,000 draws with a fixed seed follow the probabilities. 26 degrees of freedom exceed 62 with a
// probability of 1e-4.
func TestDistribution(t *testing.T) {
	for _, set := range []Sampling{
		{Temperature: 1, TopP: 1},
		{Temperature: 0.7, TopP: 0.9},
		{Temperature: 1.5, TopP: 1, TopK: 9},
		{Temperature: 1, TopP: 0.97, MinP: 0.05},
	} {
		r := rand.New(rand.NewPCG(7, 5))
		logits := make([]float32, 27)
		for i := range logits {
			logits[i] = float32(r.NormFloat64())
		}
		set.Seed = 11
		s, w, counts := newSampler(set, nil, nil), newWorkspace(len(logits)), make([]float64, len(logits))
		const draws = 40000
		for range draws {
			it, err := s.next(logits, 1, w)
			if err != nil {
				t.Fatal(err)
			}
			counts[it.Token]++
		}
		chi := 0.0
		for id, p := range naiveKept(logits, set, nil, 0) {
			d := counts[id] - p*draws
			chi += d * d / (p * draws)
			counts[id] = 0
		}
		if slices.Max(counts) > 0 {
			t.Errorf("%+v: tokens that are not kept were drawn", set)
		}
		if chi > 62 {
			t.Errorf("%+v: chi-square %.1f", set, chi)
		}
	}
}

// Pairs of numbers that follow each other, by place and by seed, must be independent: a counter that is mixed badly shows here.
// 99 degrees of freedom exceed 160 with a probability of 1e-4.
func TestUniform(t *testing.T) {
	for name, number := range map[string]func(i uint64) float64{
		"places":         func(i uint64) float64 { return uniform(5, i) },
		"seeds":          func(i uint64) float64 { return uniform(i, 0) },
		"both":           func(i uint64) float64 { return uniform(i/2, i%2) },
		"seeds far away": func(i uint64) float64 { return uniform(i<<40, 3) },
		"a step apart":   func(i uint64) float64 { return uniform(5+i%2*0x9e3779b97f4a7c15, i/2+1-i%2) }, // the counter's step
	} {
		const pairs = 100000
		var counts [100]float64
		for i := range uint64(pairs) {
			a, b := number(2*i), number(2*i+1)
			if a < 0 || a >= 1 {
				t.Fatalf("%s: %v", name, a)
			}
			counts[int(a*10)*10+int(b*10)]++
		}
		chi := 0.0
		for _, n := range counts {
			chi += (n - pairs/100) * (n - pairs/100) / (pairs / 100)
		}
		if chi > 160 {
			t.Errorf("%s: chi-square %.1f", name, chi)
		}
	}
}

// The first outputs of SplitMix64 from state 1234567, as its authors' C code prints them (also in the tests of other
// libraries); uniform takes its upper 53 bits after mixing the seed.
func TestMix(t *testing.T) {
	want := []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821}
	for i, w := range want {
		if got := mix(1234567 + uint64(i+1)*0x9e3779b97f4a7c15); got != w {
			t.Errorf("number %d is %d, want %d", i, got, w)
		}
	}
}

// The same seed gives the same tokens, whoever else uses the workspace meanwhile; another seed gives others.
func TestSeedAlone(t *testing.T) {
	const vocab = 200
	answer := func(seed uint64, company bool) []int32 {
		w := newWorkspace(vocab)
		set := Sampling{Temperature: 1, TopP: 0.95, TopK: 80, FrequencyPenalty: 0.5, Seed: seed}
		s, other := newSampler(set, nil, nil), newSampler(Sampling{Temperature: 2, TopP: 0.5, Seed: 99}, nil, nil)
		r, noise := rand.New(rand.NewPCG(1, 6)), rand.New(rand.NewPCG(2, 6))
		var tokens []int32
		for range 100 {
			if company {
				for range noise.IntN(3) {
					if _, err := other.next(randomLogits(noise, vocab), 1, w); err != nil {
						t.Fatal(err)
					}
				}
			}
			it, err := s.next(randomLogits(r, vocab), 1, w)
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, it.Token)
		}
		return tokens
	}
	if a, b := answer(3, false), answer(3, true); !slices.Equal(a, b) {
		t.Errorf("alone %v\nin company %v", a, b)
	}
	if a, b := answer(3, false), answer(4, false); slices.Equal(a, b) {
		t.Error("two seeds give the same answer")
	}
}

func TestGreedyTies(t *testing.T) {
	negativeZero := float32(math.Copysign(0, -1))
	inf := float32(math.Inf(-1))
	for _, c := range []struct {
		logits []float32
		want   int32
	}{
		{[]float32{1, 3, 3, 2}, 1},
		{[]float32{negativeZero, 0}, 0},
		{[]float32{0, negativeZero}, 0},
		{[]float32{inf, inf, -5}, 2},
	} {
		s := newSampler(Sampling{}, nil, nil)
		if it, err := s.next(c.logits, 1, newWorkspace(len(c.logits))); err != nil || it.Token != c.want {
			t.Errorf("%v: token %d, %v; want %d", c.logits, it.Token, err, c.want)
		}
	}
}

func TestBrokenLogits(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for want, logits := range map[string][]float32{
		"broken logits: token 1: found NaN":  {0, nan, 1},
		"broken logits: token 0: found NaN":  {nan, nan, nan},
		"broken logits: token 2: found +Inf": {0, 0, inf},
		"no token possible":                  {-inf, -inf, -inf},
	} {
		for _, temperature := range []float64{0, 1} {
			s := newSampler(Sampling{Temperature: temperature, TopP: 0.5, LogitBias: map[int32]float32{0: 5}}, nil, nil)
			if it, err := s.next(logits, 1, newWorkspace(3)); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%v: token %d, error %v; want %s", logits, it.Token, err, want)
			}
		}
	}
}

// Settings and logits at the ends of their ranges give one of the best tokens, and no NaN on the way.
func TestExtremes(t *testing.T) {
	const huge = math.MaxFloat32
	for _, set := range []Sampling{
		{Temperature: 5e-324, TopP: 1},
		{Temperature: 1e-30, TopP: 1e-300},
		{Temperature: 1, TopP: 5e-324, MinP: 1},
		{Temperature: 1e300, TopP: 1e-17, TopK: 1},
		{Temperature: 1, TopP: 1, LogitBias: map[int32]float32{1: huge}},
		{Temperature: 1, TopP: 0.5, RepetitionPenalty: 100, FrequencyPenalty: -100, PresencePenalty: 100},
		{Temperature: 1, TopP: 1 - 1e-16, RepetitionPenalty: 0.01},
	} {
		limits := Limits{Sampling: set}
		if err := limits.check(4); err != nil {
			t.Fatal(err)
		}
		s := newSampler(set, nil, []int32{1, 2})
		for range 20 {
			it, err := s.next([]float32{-huge, huge, huge, -huge}, 1, newWorkspace(4))
			if err != nil || it.Token != 1 && it.Token != 2 {
				t.Errorf("%+v: token %d, %v", set, it.Token, err)
			}
		}
	}
}

func TestLogProbs(t *testing.T) {
	inf := float32(math.Inf(-1))
	logits := []float32{1, 2, inf, 2, 0}
	total := math.Exp(1) + 2*math.Exp(2) + 1
	log := func(x float64) float64 { return x - math.Log(total) }
	// Bias, penalties and temperature change the choice, not what is told about the model.
	s := newSampler(Sampling{Temperature: 3, TopP: 1, TopK: 1, LogitBias: map[int32]float32{4: 50}, LogProbs: true, TopLogProbs: 5}, nil, nil)
	it, err := s.next(logits, 1, newWorkspace(5))
	if err != nil || it.Token != 4 || math.Abs(it.LogProb-log(0)) > 1e-12 {
		t.Errorf("%+v, %v", it, err)
	}
	want := []TopToken{{1, log(2)}, {3, log(2)}, {0, log(1)}, {4, log(0)}}
	if len(it.Top) != len(want) {
		t.Fatalf("top %v, want %v", it.Top, want)
	}
	for i := range want {
		if it.Top[i].Token != want[i].Token || math.Abs(it.Top[i].LogProb-want[i].LogProb) > 1e-12 {
			t.Errorf("top %d is %v, want %v", i, it.Top[i], want[i])
		}
	}
	_, top := logProbs(logits, 0, 2)
	if len(top) != 2 || top[0].Token != 1 || top[1].Token != 3 {
		t.Errorf("top 2: %v", top)
	}
}

func TestNoAllocation(t *testing.T) {
	const vocab = 4096
	logits := randomLogits(rand.New(rand.NewPCG(1, 7)), vocab)
	logits[0] = 1
	prompt := make([]int32, vocab)
	for i := range prompt {
		prompt[i] = int32(i)
	}
	set := Sampling{Temperature: 1, TopP: 0.9, TopK: 500, MinP: 0.01, RepetitionPenalty: 1.1, LogitBias: map[int32]float32{3: 1}, LogProbs: true}
	s, w := newSampler(set, nil, prompt), newWorkspace(vocab)
	if n := testing.AllocsPerRun(20, func() {
		if _, err := s.next(logits, 1, w); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a token", n)
	}
}

func BenchmarkSampler(b *testing.B) {
	const vocab = 129280
	r := rand.New(rand.NewPCG(1, 8))
	logits := make([]float32, vocab)
	for i := range logits {
		logits[i] = float32(r.NormFloat64()*3 - 10)
	}
	for i := range 40 {
		logits[r.IntN(vocab)] = float32(10 - i/4)
	}
	for _, c := range []struct {
		name string
		set  Sampling
	}{
		{"greedy", Sampling{}},
		{"temperature", Sampling{Temperature: 1, TopP: 1}},
		{"top_p", Sampling{Temperature: 1, TopP: 0.95}},
		{"top_p_hot", Sampling{Temperature: 3, TopP: 0.95}},
		{"top_k", Sampling{Temperature: 1, TopP: 1, TopK: 40}},
		{"all", Sampling{Temperature: 0.7, TopP: 0.9, TopK: 50, MinP: 0.05, RepetitionPenalty: 1.1, FrequencyPenalty: 0.1}},
		{"logprobs", Sampling{LogProbs: true, TopLogProbs: 20}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, w := newSampler(c.set, nil, nil), newWorkspace(vocab)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.next(logits, 1, w); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestExp: the sampler's powers of e are those of math.Exp to two units in the last place.
func TestExp(t *testing.T) {
	p := newPowers()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		x := -random.ExpFloat64() * []float64{1e-6, 1, 30, 300}[random.IntN(4)]
		got, want := p.exp(x), math.Exp(x)
		if x < -708 {
			want = 0
		}
		if math.Abs(got-want) > want*0x1p-51 {
			t.Fatalf("e^%g is %g, want %g", x, got, want)
		}
	}
	if p.exp(0) != 1 || p.exp(math.Inf(-1)) != 0 || !math.IsNaN(p.exp(math.NaN())) {
		t.Error("e^0, e^-Inf or e^NaN is wrong")
	}
}
