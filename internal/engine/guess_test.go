package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/device/cpu"
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/op"
)

func newCPU(t testing.TB, threads int) device.Device {
	t.Helper()
	tiers := kernel.Tiers()
	d, err := cpu.New(cpu.Options{Tier: tiers[len(tiers)-1], Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func demoModel(t testing.TB) *deepseek.Model {
	t.Helper()
	m, err := deepseek.Load(demoFiles(t), deepseek.Reference, deepseek.Quirks{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSpeculation: with any drafter, answers are those of a model without one, bit for bit: trained, random, all-knowing and always
// wrong; in one run after the other or in company, with little room and with much. How many guesses stand is what the
// drafter says.
func TestSpeculation(t *testing.T) {
	list := asks(tokenizerOf(t))
	list = append(list, talks(tokenizerOf(t))[:9]...)
	want := alone(t, list)
	var texts [][]int32
	for i, r := range list {
		texts = append(texts, slices.Concat(r.prompt, tokens(want[i])))
	}
	for _, c := range []struct {
		name        string
		change      func(*Engine)
		random      bool
		least, most float64 // share of first guesses that stand
	}{
		{name: "trained", least: 0.5, most: 0.9},
		{name: "random", random: true, most: 0.05},
		{name: "oracle", change: func(e *Engine) { e.machine.drafter = &oracle{e, texts} }, least: 0.9, most: 1},
		{name: "wrong", change: func(e *Engine) { e.machine.drafter = &oracle{e, nil} }, most: 0.05},
	} {
		for _, caps := range []op.Caps{
			{Rows: 64, Slots: 1, Pages: 5, Context: 512}, {Rows: 33, Slots: 4, Pages: 6, Context: 512}, {Rows: 10, Slots: 3, Pages: 40, Context: 512},
		} {
			t.Run(fmt.Sprintf("%s %+v", c.name, caps), func(t *testing.T) {
				model := demoModel(t)
				if c.random {
					randomise(model.Weights, "mtp.", 3)
				}
				e := newEngine(placeModel(t, model, newCPU(t, 1), caps), tokenizerOf(t), Options{})
				e.clock = steady()
				if c.change != nil {
					c.change(e)
				}
				e.begin()
				defer e.Close()
				var streams []*Stream
				for _, r := range list {
					streams = append(streams, submit(t, e, r))
				}
				for i, s := range streams {
					if got := collect(t, s); !reflect.DeepEqual(got, want[i]) {
						t.Errorf("request %d: %v, without guesses %v", i, tokens(got), tokens(want[i]))
					}
				}
				n := e.Stats()
				t.Logf("by place %v of %v guesses stood; %d tokens of answers in %d batches", n.Accepted, n.Drafted, n.Answer, n.Batches)
				if share := float64(n.Accepted[0]) / float64(n.Drafted[0]); n.Drafted[0] < 50 || share < c.least || share > c.most {
					t.Errorf("%v of %v guesses stood", n.Accepted, n.Drafted)
				}
			})
		}
	}
}

// TestDSparkSpeculation does so for a model with a DSpark drafter, over histories: with checkpoints and pages that go to disk and come
// back, requests put back and cancelled, and a clock that makes no sense.
func TestDSparkSpeculation(t *testing.T) {
	list := dsparkAsks()
	plain := dsparkModel(t).WithoutDrafter()
	var want [][]Item
	m := placeModel(t, plain, newCPU(t, 1), op.Caps{Rows: 64, Slots: 1, Pages: 4, Context: 512})
	for _, r := range list {
		e := Start(m, tokenizerOf(t), Options{})
		want = append(want, collect(t, submit(t, e, r)))
		e.Close()
	}
	var machines []*Machine
	for i, caps := range []op.Caps{
		{Rows: 64, Slots: 4, Pages: 30, Context: 512}, {Rows: 11, Slots: 3, Pages: 9, Context: 512}, {Rows: 130, Slots: 6, Pages: 4, Context: 480}, {Rows: 4, Slots: 2, Pages: 5, Context: 512},
	} {
		machines = append(machines, placeModel(t, dsparkModel(t), newCPU(t, 1+i%2), caps))
	}
	if !machines[0].Drafts() || machines[3].Drafts() {
		t.Fatal("a block of 5 fits into runs of 64 rows, and not into 4")
	}
	root, r := t.TempDir(), rand.New(rand.NewPCG(43, 44))
	histories := 30
	if *full {
		histories = 600
	}
	var drafted, accepted, read, written, cancelled uint64
	for i := range histories {
		m := machines[r.IntN(len(machines))]
		o := drawOptions(t, r, m, root)
		clock := steady()
		if r.IntN(3) == 0 {
			clock = jittery(rand.New(rand.NewPCG(r.Uint64(), 45)))
		}
		h := history{r, startTimed(m, tokenizerOf(t), o, clock), list, want, r.IntN(3) == 0}
		ok := t.Run(fmt.Sprint(i), h.run)
		h.engine.Close()
		n := h.engine.Stats()
		drafted, accepted = drafted+n.Drafted.Sum(), accepted+n.Accepted.Sum()
		read, written, cancelled = read+n.Read, written+n.Written, cancelled+n.Cancelled
		if !ok || n.Refused+n.Unwritten > 0 {
			t.Fatalf("history %d on %+v with %+v: %+v", i, m.Caps, o, n)
		}
	}
	t.Logf("%d of %d guesses stood; %d files read, %d written, %d cancelled", accepted, drafted, read, written, cancelled)
	if accepted < 100 || drafted < 5*accepted/4 || min(written, cancelled) < 3 {
		t.Error("too little happened")
	}
}

// TestSpeculationIsExact: the second token of an answer, which is a guess that stood or what came instead, has the distribution that
// the model's own logits say, as its first has. The probabilities are those of a plain machine, by the definition of softmax.
func TestSpeculationIsExact(t *testing.T) {
	prompt := append([]int32{0}, tokenizerOf(t).Encode("One day, a girl named Sue went to the")...)
	plain := placePlain(t, op.Caps{Rows: 64, Slots: 1, Pages: 1, Context: 128}, 1)
	vocab := plain.Model.Config.Vocab
	after := func(ids []int32) []float64 {
		rows := scoreRows(ids, 0)
		logits, p, sum := make([]float32, vocab), make([]float64, vocab), 0.0
		if err := plain.Forward(rows, [][]int32{{0}}); err != nil {
			t.Fatal(err)
		}
		if err := plain.Logits(len(ids)-1, logits); err != nil {
			t.Fatal(err)
		}
		for i, x := range logits {
			p[i] = math.Exp(float64(x))
			sum += p[i]
		}
		for i := range p {
			p[i] /= sum
		}
		return p
	}
	const draws = 2500
	e := startTimed(place(t, op.Caps{Rows: 64, Slots: 1, Pages: 2, Context: 128}, deepseek.Reference, "cpu"), tokenizerOf(t), Options{}, steady())
	defer e.Close()
	counts := map[[2]int32]float64{}
	for seed := range uint64(draws) {
		s := submit(t, e, ask{prompt, Limits{MaxTokens: 3, Sampling: Sampling{Temperature: 1, TopP: 1, Seed: seed}}})
		items := collect(t, s)
		counts[[2]int32{items[0].Token, items[1].Token}]++
	}
	n := e.Stats()
	if n.Drafted[0] < draws/2 || n.Accepted[0] < draws/10 || n.Accepted[0] > n.Drafted[0]*9/10 {
		t.Fatalf("%v of %v guesses stood: both is to happen", n.Accepted, n.Drafted)
	}
	chi, cells, rest, restSeen := 0.0, 0, float64(draws), float64(draws)
	for first, p := range after(prompt) {
		if p*draws < 5 {
			continue
		}
		for second, q := range after(append(slices.Clone(prompt), int32(first))) {
			expected, seen := p*q*draws, counts[[2]int32{int32(first), int32(second)}]
			if expected < 5 {
				continue
			}
			chi += (seen - expected) * (seen - expected) / expected
			cells, rest, restSeen = cells+1, rest-expected, restSeen-seen
		}
	}
	chi += (restSeen - rest) * (restSeen - rest) / rest
	deviation := (chi - float64(cells)) / math.Sqrt(2*float64(cells))
	t.Logf("chi-square %.1f with %d degrees of freedom: %.1f standard deviations; %v of %v guesses stood", chi, cells, deviation, n.Accepted, n.Drafted)
	if cells < 10 || deviation > 4 {
		t.Errorf("chi-square %.1f with %d degrees of freedom", chi, cells)
	}
}

// BenchmarkSpeculation is one stream of the demo model with and without its drafter: tokens per second, guesses that were
// verified for each token, and the share that stood.
func BenchmarkSpeculation(b *testing.B) {
	tokenizer := tokenizerOf(b)
	prompt := tokenizer.EncodeSpecial("<｜begin▁of▁sentence｜><｜User｜>Tell me a story about Mia and the kite.<｜Assistant｜></think>")
	for _, temperature := range []float64{0, 0.7} {
		for _, on := range []bool{true, false} {
			b.Run(fmt.Sprintf("temperature=%v/on=%v", temperature, on), func(b *testing.B) {
				m := demoModel(b)
				if !on {
					m = m.WithoutDrafter()
				}
				machine, err := Place(b.Context(), m, newCPU(b, 0), op.Caps{Rows: 64, Slots: 1, Pages: 16, Context: 2048}, false, nil)
				if err != nil {
					b.Fatal(err)
				}
				defer machine.Close()
				e := Start(machine, tokenizer, Options{})
				defer e.Close()
				n := 0
				for b.Loop() {
					s, err := e.Submit(prompt, Limits{StopIDs: []int32{1}, Sampling: Sampling{Temperature: temperature, TopP: 0.95, Seed: uint64(n)}})
					if err != nil {
						b.Fatal(err)
					}
					for _, ok := s.Next(b.Context()); ok; _, ok = s.Next(b.Context()) {
						n++
					}
				}
				stats := e.Stats()
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "tokens/s")
				b.ReportMetric(float64(stats.Drafted.Sum())/float64(n), "guesses/token")
				b.ReportMetric(float64(stats.Accepted.Sum())/float64(max(stats.Drafted.Sum(), 1)), "accepted")
			})
		}
	}
}
