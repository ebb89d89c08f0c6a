package engine

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// logitsAfter are what a model says after some tokens: a function of them alone. With few likely tokens, guesses stand often.
func logitsAfter(tokens []int32, vocab int, model uint64) []float32 {
	seed := model
	for _, id := range tokens[max(0, len(tokens)-3):] {
		seed = mix(seed ^ uint64(id+1))
	}
	r := rand.New(rand.NewPCG(seed, 9))
	logits := make([]float32, vocab)
	for i := range logits {
		logits[i] = float32(r.NormFloat64() * 2)
	}
	logits[r.IntN(vocab)] += 6
	return logits
}

// Every answer is the same with guesses as without, with any settings, whatever is guessed: each token, its log-probabilities,
// and where it ends. Guesses are right ones, wrong ones, those of a drafter, or none.
func TestGuessesChangeNoAnswer(t *testing.T) {
	const vocab, length = 70, 40
	stood, tried := 0, 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 33))
		set := randomSampling(r, vocab)
		end := int32(r.IntN(vocab))
		ends := func(token int32) bool { return token == end }
		constraint := func() Constraint {
			if seed%3 != 0 {
				return nil
			}
			r := rand.New(rand.NewPCG(seed, 34))
			c := &onlyThese{}
			for range length {
				c.places = append(c.places, []int32{int32(r.IntN(vocab)), int32(r.IntN(vocab)), end})
			}
			return c
		}
		w := newWorkspace(vocab)
		var want []Item
		plain, tokens := newSampler(set, constraint(), []int32{1, 2, 3}), []int32{1, 2, 3}
		for i := range length {
			item, err := plain.next(logitsAfter(tokens, vocab, seed), length-i, w)
			if err != nil {
				t.Fatal(err)
			}
			want, tokens = append(want, item), append(tokens, item.Token)
			if ends(item.Token) {
				break
			}
		}

		var got []Item
		s, soFar := newSampler(set, constraint(), []int32{1, 2, 3}), []int32{1, 2, 3}
		for len(got) < length && (len(got) == 0 || !ends(got[len(got)-1].Token)) {
			left := length - len(got)
			guesses := drawGuesses(r, &s, soFar, vocab, min(r.IntN(6), left-1), seed, w)
			guesses = untilEnd(guesses, ends)
			items := s.follow(guesses, func(i int) ([]float32, error) {
				return logitsAfter(slices.Concat(soFar, guesses[:i]), vocab, seed), nil
			}, left, ends, w)
			tried, stood = tried+len(guesses), stood+len(items)-1
			for _, item := range items {
				soFar = append(soFar, item.Token)
			}
			got = append(got, items...)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d, %+v: with guesses\n%+v\nwithout\n%+v", seed, set, got, want)
		}
	}
	t.Logf("%d of %d guesses stood", stood, tried)
	if stood < tried/10 || stood > tried*9/10 {
		t.Errorf("%d of %d guesses stood: the test is to see both", stood, tried)
	}
}

// drawGuesses makes guesses by the model itself, by a drafter that differs a little, or by chance.
func drawGuesses(r *rand.Rand, s *sampler, soFar []int32, vocab, n int, model uint64, w *workspace) (guesses []int32) {
	kind := r.IntN(3)
	for i := range n {
		logits := logitsAfter(slices.Concat(soFar, guesses), vocab, model)
		switch kind {
		case 0:
			guesses = append(guesses, int32(r.IntN(vocab)))
			continue
		case 1:
			for k := range logits {
				logits[k] += float32(r.NormFloat64() / 2)
			}
		}
		guesses = append(guesses, s.guess(logits, i, w))
	}
	return guesses
}

// A drafter that says what the model says guesses what it will choose, at any temperature.
func TestGuessDrawsAlike(t *testing.T) {
	const vocab = 70
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 35))
		set := randomSampling(r, vocab)
		set.RepetitionPenalty, set.PresencePenalty, set.FrequencyPenalty = 1, 0, 0
		s, w, tokens := newSampler(set, nil, []int32{4}), newWorkspace(vocab), []int32{4}
		guesses := drawGuessesOf(&s, tokens, vocab, 5, seed, w)
		for i, guess := range guesses {
			item, err := s.next(logitsAfter(tokens, vocab, seed), 10, w)
			if err != nil || item.Token != guess {
				t.Fatalf("seed %d, place %d: %d, %v: guessed %d", seed, i, item.Token, err, guess)
			}
			tokens = append(tokens, item.Token)
		}
	}
}

func drawGuessesOf(s *sampler, soFar []int32, vocab, n int, model uint64, w *workspace) (guesses []int32) {
	for i := range n {
		guesses = append(guesses, s.guess(logitsAfter(slices.Concat(soFar, guesses), vocab, model), i, w))
	}
	return guesses
}

// An error ends the tokens, behind those that stand.
func TestFollowErrors(t *testing.T) {
	w, broken, never := newWorkspace(3), errors.New("broken"), func(int32) bool { return false }
	rows := [][]float32{{0, 1, 0}, {0, 0, 1}, {float32(math.NaN()), 0, 0}}
	row := func(i int) ([]float32, error) {
		if i == len(rows) {
			return nil, broken
		}
		return rows[i], nil
	}
	s := newSampler(Sampling{TopP: 1}, nil, nil)
	items := s.follow([]int32{1, 2, 0}, row, 10, never, w)
	if len(items) != 3 || items[0].Token != 1 || items[1].Token != 2 || items[2].Err == nil {
		t.Errorf("NaN: %+v", items)
	}
	rows = rows[:1]
	s = newSampler(Sampling{TopP: 1}, nil, nil)
	if items := s.follow([]int32{1, 2}, row, 10, never, w); len(items) != 2 || !errors.Is(items[1].Err, broken) {
		t.Errorf("a failed read: %+v", items)
	}
}

// Acceptance comes near to what guesses do, and hopes again where it is not asked.
func TestAcceptance(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 36))
	shares := []float64{0.9, 0.5, 0.1}
	a, mean := newAcceptance(3), make([]float64, 3)
	const steps = 20000
	for range steps {
		stood := 0
		for stood < 3 && r.Float64() < shares[stood] {
			stood++
		}
		a.observe(3, stood)
		for i, v := range a {
			mean[i] += v / steps
		}
	}
	for i, want := range shares {
		if math.Abs(mean[i]-want) > 0.05 {
			t.Errorf("place %d: %.3f, not %.3f", i, mean[i], want)
		}
	}
	got, want := a.chances(), 1.0
	for i, v := range a {
		if want *= v; math.Abs(got[i]-want) > 1e-12 {
			t.Errorf("chance %d: %v, not %v", i, got[i], want)
		}
	}
	before := a[2]
	for range 200 {
		a.observe(2, 2)
	}
	if a[2] <= before || a[2] > hopes {
		t.Errorf("not asked for 200 steps: %v after %v", a[2], before)
	}
}

func TestSure(t *testing.T) {
	a := acceptance{1, 1, 0.25}
	got := a.sure([]float32{0, float32(math.Inf(1)), float32(math.Inf(1)), 3})
	for i, want := range []float64{math.Sqrt(0.5), math.Sqrt(0.5), math.Sqrt(0.5) / 2} {
		if math.Abs(got[i]-want) > 1e-9 {
			t.Errorf("%d: %v, not %v", i, got[i], want)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d chances of 3 places", len(got))
	}
	if got := a.sure([]float32{float32(math.NaN())}); got[0] != 0 {
		t.Errorf("a score that is no number: %v", got[0])
	}
}

// Pace finds the line that times lie on, follows a change, and takes rows for free while all runs are alike.
func TestPace(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 37))
	var p pace
	if run, row := p.costs(); run != 0 || row != 0 {
		t.Errorf("of nothing: %v, %v", run, row)
	}
	for range 10 {
		p.observe(1, 0.1)
	}
	if run, row := p.costs(); math.Abs(run-0.1) > 1e-9 || row != 0 {
		t.Errorf("all alike: %v, %v", run, row)
	}
	for _, want := range [][2]float64{{0.1, 0.02}, {0.3, 0.2}} {
		for range 1000 {
			rows := 1 + r.IntN(8)
			p.observe(rows, (want[0]+want[1]*float64(rows))*(1+0.02*r.NormFloat64()))
		}
		run, row := p.costs()
		if math.Abs(run-want[0]) > 0.1*(want[0]+want[1]) || math.Abs(row-want[1]) > 0.1*want[1] {
			t.Errorf("%v, %v of %v", run, row, want)
		}
	}
}

// Drafting that does not pay costs a trial now and then; drafting that pays goes on, whatever happened before. A machine that
// changes its mind is followed.
func TestProfit(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 48))
	for _, c := range []struct {
		drafting, stands float64 // seconds of the drafter, per guess too; share of guesses that stand
		rests            bool
	}{{0.2, 0, true}, {0.05, 0.9, false}, {0.9, 0.9, true}, {0.01, 0.9, false}} {
		var p profit
		resting, plain, spent := 0, 0.0, 0.0
		const runs = 40000
		for i := range runs {
			rows, got, drafting := 2, 2, 0.0
			if p.rests() {
				resting++
			} else if drafting = c.drafting; i%8 > 0 { // two sequences, a guess for each
				rows = 4
				for range 2 {
					if r.Float64() < c.stands {
						got++
					}
				}
			}
			seconds := (1 + 0.1*float64(rows)) * (0.8 + 0.4*r.Float64())
			p.observe(2, rows, got, seconds, seconds+drafting)
			spent, plain = spent+seconds+drafting, plain+1.2*float64(got)/2
		}
		if share := float64(resting) / runs; share > 0.95 != c.rests || share < 0.05 == c.rests {
			t.Errorf("%+v: rests %.3f of the time", c, share)
		}
		if spent > 1.02*plain {
			t.Errorf("%+v: %.0f seconds for what takes %.0f without", c, spent, plain)
		}
	}
}

// worth finds what looking at all lengths finds.
func TestWorth(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 38))
	for range 2000 {
		chances := make([][]float64, 1+r.IntN(3))
		for i := range chances {
			p := 1.0
			for range r.IntN(5) {
				p *= r.Float64()
				chances[i] = append(chances[i], p)
			}
		}
		run, row, most := r.Float64(), r.Float64()*0.3, r.IntN(8)
		rate := func(lengths []int) float64 {
			tokens, rows := 0.0, 0
			for i, n := range lengths {
				tokens, rows = tokens+1, rows+1+n
				for _, p := range chances[i][:n] {
					tokens += p
				}
			}
			return tokens / (run + row*float64(rows))
		}
		best := 0.0
		var look func(lengths []int, rest int)
		look = func(lengths []int, rest int) {
			if i := len(lengths); i < len(chances) {
				for n := 0; n <= min(len(chances[i]), rest); n++ {
					look(append(slices.Clone(lengths), n), rest-n)
				}
				return
			}
			best = max(best, rate(lengths))
		}
		look(nil, most)
		got := worth(chances, run, row, most)
		sum := 0
		for _, n := range got {
			sum += n
		}
		if sum > most || math.Abs(rate(got)-best) > 1e-9*best {
			t.Fatalf("%v, run %v, row %v, most %d: %v gives %v, best is %v", chances, run, row, most, got, rate(got), best)
		}
	}
	if got := worth([][]float64{{0.9, 0.8}}, 0, 0, 5); got[0] != 0 {
		t.Errorf("nothing is known, and %v are guessed", got)
	}
	if got := worth([][]float64{{0.9, 0.8}}, 0.1, 0, 5); got[0] != 2 {
		t.Errorf("rows are free, and %v are guessed", got)
	}
}
