package plan

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"baleen/internal/kv"
	"baleen/internal/op"
)

// serviceTime is a step of a fleet that serves 300 requests a second with room to spare: about 14 ms with 800 sequences, and 25 ms
// with 3,700 where there are 2,000 tokens in and 500 out.
func serviceTime(decode, prompts load) time.Duration {
	return 10*time.Millisecond + time.Duration(decode.rows)*2*time.Microsecond + time.Duration(prompts.rows)*500*time.Nanosecond
}

func hourOf(in, out, pages int) (traffic, replica) {
	return traffic{rate: 300, in: in, out: out, seed: 1}, replica{
		caps:     op.Caps{Rows: 1 << 15, Slots: 8192, Pages: pages, Context: 1 << 17},
		limits:   kv.Limits{Page: 1 << 20, Checkpoint: 4 << 20, Memory: 4 << 30},
		replicas: 1,
		step:     serviceTime,
	}
}

// BenchmarkHour simulates an hour at 300 requests a second, whatever it takes.
func BenchmarkHour(b *testing.B) {
	for _, c := range []struct {
		name           string
		in, out, pages int
	}{{"1000-200", 1000, 200, 1 << 15}, {"2000-500", 2000, 500, 1 << 17}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				t, r := hourOf(c.in, c.out, c.pages)
				p, err := simulate(b.Context(), t, r, 1e12)
				if err != nil || p.Saturated {
					b.Fatalf("%+v, %v", p, err)
				}
				b.ReportMetric(float64(p.Requests), "requests")
				b.Logf("%+v", p)
			}
		})
	}
}

// counter is a machine that serves one request at a time in a second, as a batch of its own.
func counter() replica {
	return replica{
		caps: op.Caps{Rows: 64, Slots: 1, Pages: 4, Context: 512}, replicas: 1,
		step: func(decode, prompts load) time.Duration { return time.Second },
	}
}

// runTest runs a simulation and returns it.
func runTest(t *testing.T, a traffic, r replica, work float64) *queue {
	t.Helper()
	if err := a.check(&r); err != nil {
		t.Fatal(err)
	}
	q := newQueue(&a, &r, work)
	if err := q.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return q
}

func average(list []float64) float64 {
	sum := 0.0
	for _, x := range list {
		sum += x
	}
	return sum / float64(len(list))
}

func near(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if !(math.Abs(got-want) <= share*want) {
		t.Errorf("%s: %.4g, expected %.4g within %g", what, got, want, share)
	}
}

// Random arrivals at a counter with constant service: the mean wait is that of Pollaczek and Khinchine, rho/(2(1-rho)) services, and
// the counter is busy for the share rho of the time. 90 % of requests at rho = 1/2 wait no longer than the distribution of the
// M/D/1 queue says (Erlang).
func TestSimulatedCounter(t *testing.T) {
	for _, rho := range []float64{0.2, 0.5, 0.8} {
		r := counter()
		q := newQueue(&traffic{rate: rho, in: 20, out: 1, seed: 3}, &r, 1e12)
		q.span = 400_000 * time.Second
		if err := q.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("mean seconds at load %g", rho), average(q.first)/1000, 1+rho/(2*(1-rho)), 0.03)
		p := q.percentiles()
		near(t, "busy", p.Busy, rho, 0.01)
		near(t, "batch", p.Batch, 1, 0)
		near(t, "output", p.Output, rho, 0.01)
		if rho == 0.5 {
			near(t, "p90", p.TTFT90/1000, 1+erlangQuantile(rho, 0.9), 0.03)
		}
		if p.Saturated || p.Requests != len(q.first) || len(q.each) != 0 {
			t.Errorf("%+v, %d TPOT of one token", p, len(q.each))
		}
	}
}

// erlangQuantile is the wait, in services, that a share of the requests of an M/D/1 queue do not exceed: P(W <= x) =
// (1-rho) sum over k <= x of e^(rho(x-k)) (-rho(x-k))^k / k!.
func erlangQuantile(rho, share float64) float64 {
	for x := 0.0; ; x += 0.001 {
		sum, factorial := 0.0, 1.0
		for k := 0; float64(k) <= x; k++ {
			if k > 0 {
				factorial *= float64(k)
			}
			y := rho * (x - float64(k))
			sum += math.Exp(y) * math.Pow(-y, float64(k)) / factorial
		}
		if (1-rho)*sum >= share {
			return x
		}
	}
}

// Little's law: the sequences that are in batches, counted by the hand that runs them, are the rate times the time that a request
// is there, without what it waits for the end of the batch that runs when it comes: in the mean, E[S^2]/2E[S] where one does.
func TestLittlesLaw(t *testing.T) {
	var inBatches, squares, total float64
	r := replica{
		caps: op.Caps{Rows: 512, Slots: 64, Pages: 1000, Context: 2000}, replicas: 1,
		step: func(decode, prompts load) time.Duration {
			s := 0.02 + 0.0005*(decode.rows+prompts.rows)
			inBatches += s * (decode.sequences + prompts.sequences)
			squares += s * s
			total += s
			return time.Duration(s * float64(time.Second))
		},
	}
	const rate, out = 4.0, 50
	a := traffic{rate: rate, in: 200, out: out, seed: 4}
	q := newQueue(&a, &r, 3e6)
	inBatches, squares, total = 0, 0, 0 // the window asks for no steps, but might
	if err := q.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	there := average(q.first)/1000 + (out-1)*average(q.each)/1000
	seconds := q.now.Seconds()
	residual := squares / 2 / total * (total / seconds)
	near(t, "sequences in batches", inBatches/seconds, rate*(there-residual), 0.03)
	if len(q.first) < 5000 {
		t.Errorf("only %d requests", len(q.first))
	}
}

// No batch is larger than the machine, whatever comes; and it is full when there is enough to do.
func TestSimulatedCapacity(t *testing.T) {
	rows, sequences, tokens := 0.0, 0.0, 0.0
	r := replica{
		caps: op.Caps{Rows: 40, Slots: 12, Pages: 30, Context: 900}, replicas: 1,
		limits: kv.Limits{Page: 1, Checkpoint: 1, Memory: 5},
		step: func(decode, prompts load) time.Duration {
			rows = max(rows, decode.rows+prompts.rows)
			sequences = max(sequences, decode.sequences+prompts.sequences)
			tokens = max(tokens, decode.rows*float64(decode.contexts[0]))
			return time.Millisecond
		},
	}
	for _, a := range []traffic{
		{concurrency: 30, in: 150, out: 100, sigma: 1, cached: 0.4, seed: 5},
		{rate: 80, in: 150, out: 100, sigma: 1, cached: 0.4, seed: 6},
	} {
		q := newQueue(&a, &r, 6e5)
		rows, sequences, tokens = 0, 0, 0 // what the window asked for does not count
		if err := q.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if q.refused == 0 || len(q.first) < 500 {
			t.Errorf("%d refused, though lengths vary much; %d answered", q.refused, len(q.first))
		}
		if rows != 40 || sequences != 12 || tokens > 30*kv.PageSize || tokens < 15*kv.PageSize {
			t.Errorf("at most %v rows of 40, %v sequences of 12, %v tokens in 30 pages", rows, sequences, tokens)
		}
	}
}

// The same seed gives the same result to the last bit, another does not; and two replicas at twice the rate are one.
func TestSimulationIsReproducible(t *testing.T) {
	r := replica{
		caps: op.Caps{Rows: 100, Slots: 20, Pages: 100, Context: 900}, replicas: 1,
		limits: kv.Limits{Page: 1000, Checkpoint: 1000, Memory: 20_000}, moves: 1e6,
		step: func(decode, prompts load) time.Duration {
			return time.Millisecond + time.Duration(decode.rows+prompts.rows)*10*time.Microsecond
		},
	}
	for _, a := range []traffic{{rate: 20, in: 100, out: 30, sigma: 0.5, cached: 0.5, seed: 7}, {concurrency: 10, in: 100, out: 30, sigma: 0.5, seed: 7}} {
		simulated := func(change func(a *traffic, r *replica)) Percentiles {
			a, r := a, r
			change(&a, &r)
			p, err := simulate(t.Context(), a, r, 2e5)
			if err != nil {
				t.Fatal(err)
			}
			return *p
		}
		one := simulated(func(*traffic, *replica) {})
		if again := simulated(func(*traffic, *replica) {}); again != one || one.Requests < 500 || one.Saturated {
			t.Errorf("%+v, again %+v", one, again)
		}
		if other := simulated(func(a *traffic, _ *replica) { a.seed++ }); other.TTFT50 == one.TTFT50 {
			t.Errorf("another seed: %+v", other)
		}
		two := simulated(func(a *traffic, r *replica) { a.rate, a.concurrency, r.replicas = 2*a.rate, 2*a.concurrency, 2 })
		if want := one; two.Scaled != 2 || two.Output != 2*want.Output || two.TTFT99 != want.TTFT99 || two.TPOT50 != want.TPOT50 {
			t.Errorf("two replicas %+v, one %+v", two, one)
		}
	}
}

// A service that cannot keep up is found out, and soon; one that just can is not.
func TestSaturation(t *testing.T) {
	for _, c := range []struct {
		rho       float64
		saturated bool
	}{{0.5, false}, {0.9, false}, {0.97, false}, {1.1, true}, {1.5, true}, {10, true}} {
		for seed := range uint64(8) {
			r := counter()
			r.step = func(decode, prompts load) time.Duration { return time.Second / 10 }
			q := runTest(t, traffic{rate: 10 * c.rho, in: 20, out: 1, seed: seed}, r, 2e6)
			if q.saturated != c.saturated {
				t.Errorf("load %g, seed %d: saturated %v after %v: %v wait", c.rho, seed, q.saturated, q.now, q.waits)
			}
			if q.saturated && len(q.asked) > 25_000 {
				t.Errorf("load %g: found after %d requests", c.rho, len(q.asked))
			}
		}
	}
}

// The share of a prompt that its conversation began with is found, up to whole pages, where there is room, and not where there is none.
func TestSimulatedCache(t *testing.T) {
	for _, c := range []struct {
		pages    int
		low, top float64
	}{{2000, 0.49, 0.512}, {12, 0, 0.2}} {
		r := replica{
			caps: op.Caps{Rows: 2000, Slots: 1, Pages: c.pages, Context: 1200}, replicas: 1,
			limits: kv.Limits{Page: 1, Checkpoint: 1, Memory: 1 << 30},
			step:   func(decode, prompts load) time.Duration { return 10 * time.Millisecond },
		}
		q := runTest(t, traffic{rate: 1, in: 1000, out: 10, cached: 0.6, seed: 8}, r, 1e6) // 600 tokens: 512 in whole pages
		if share := float64(q.known) / float64(q.prompt); share < c.low || share > c.top || q.texts < 50 {
			t.Errorf("%d pages: %.3f of the prompts known of %d conversations, expected %g to %g", c.pages, share, q.texts, c.low, c.top)
		}
	}
}

// What is moved between batches takes its time: the checkpoint at 256 in a prompt of 257, before the second token.
func TestMovesTakeTime(t *testing.T) {
	r := counter()
	r.limits = kv.Limits{Page: 1, Checkpoint: 1000, Memory: 1 << 30}
	r.caps.Rows = 300
	a := traffic{rate: 0.01, in: 257, out: 2, seed: 9}
	near(t, "without", average(runTest(t, a, r, 1e6).each), 1000, 0)
	r.moves = 10_000
	near(t, "with", average(runTest(t, a, r, 1e6).each), 1100, 0)
}

// What is simulated: an hour, more for few requests, less for too much work, but some answers.
func TestWindow(t *testing.T) {
	r := counter()
	for _, c := range []struct {
		traffic traffic
		work    float64
		want    float64 // seconds
	}{
		{traffic{rate: 2, in: 100, out: 1}, 1e12, 3600},
		{traffic{rate: 0.1, in: 100, out: 1}, 1e12, 20_000},
		{traffic{rate: 1e-9, in: 100, out: 100}, 1e12, 30 * 24 * 3600},
		{traffic{rate: 0.5, in: 100, out: 1}, 1e4, 1e4 / 0.5 / 53},
		{traffic{rate: 0.5, in: 100, out: 9}, 100, 4 * 9}, // a second for each token
		{traffic{concurrency: 1, in: 100, out: 100}, 1e12, 2000 * 100},
	} {
		c.traffic.seed = 1
		span, _ := c.traffic.window(&r, c.work)
		if got := span.Seconds(); math.Abs(got-c.want) > 1e-6*c.want {
			t.Errorf("%+v with work %g: %v s, expected %v", c.traffic, c.work, got, c.want)
		}
	}
}

// A cancelled simulation ends with the next batch.
func TestSimulationCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	after := 0
	r := counter()
	q := newQueue(&traffic{rate: 0.5, in: 20, out: 3, seed: 1}, &r, 1e12)
	r.step = func(decode, prompts load) time.Duration {
		if ctx.Err() != nil {
			after++
		}
		if decode.rows > 0 {
			cancel()
		}
		return time.Second
	}
	err := q.run(ctx)
	if !errors.Is(err, context.Canceled) || after > 0 {
		t.Errorf("%v, %d batches after it", err, after)
	}
}

func TestBadTraffic(t *testing.T) {
	for _, c := range []struct {
		traffic traffic
		want    string
	}{
		{traffic{rate: -1, in: 1, out: 1}, "bad rate"},
		{traffic{rate: math.NaN(), in: 1, out: 1}, "bad rate"},
		{traffic{rate: math.Inf(1), in: 1, out: 1}, "bad rate"},
		{traffic{in: 1, out: 1}, "bad concurrency"},
		{traffic{rate: 1, in: 0, out: 1}, "bad number of tokens"},
		{traffic{rate: 1, in: 1, out: 0}, "bad number of tokens"},
		{traffic{rate: 1, in: 1, out: 1, cached: 1.1}, "bad share"},
		{traffic{rate: 1, in: 1, out: 1, sigma: math.NaN()}, "bad sigma"},
		{traffic{rate: 1, in: 512, out: 1}, "bad prompt"},
	} {
		if _, err := simulate(t.Context(), c.traffic, counter(), 1e6); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.traffic, err)
		}
	}
	r := counter()
	r.caps.Slots = 0
	if _, err := simulate(t.Context(), traffic{rate: 1, in: 1, out: 1}, r, 1e6); err == nil || !strings.HasPrefix(err.Error(), "bad capacity") {
		t.Error(err)
	}
	r = counter()
	r.step = func(decode, prompts load) time.Duration { return 0 }
	if _, err := simulate(t.Context(), traffic{rate: 1, in: 1, out: 1}, r, 1e6); err == nil || !strings.HasPrefix(err.Error(), "impossible step") {
		t.Error(err)
	}
}

// However little is simulated: a service whose answers take longer than what the work would pay for is not taken for saturated.
func TestShortSpan(t *testing.T) {
	r := replica{
		caps: op.Caps{Rows: 2000, Slots: 500, Pages: 4000, Context: 2000}, replicas: 1,
		step: func(decode, prompts load) time.Duration { return 10 * time.Millisecond },
	}
	for seed := range uint64(3) {
		q := runTest(t, traffic{rate: 50, in: 100, out: 500, seed: seed}, r, 100)
		if q.saturated || len(q.first) < 500 || q.percentiles().TPOT99 != 10 {
			t.Errorf("seed %d: %+v", seed, q.percentiles())
		}
	}
}

// Far more than can be served is found out before it fills the memory.
func TestFlood(t *testing.T) {
	for _, rate := range []float64{1e3, 1e6, 1e9} {
		q := runTest(t, traffic{rate: rate, in: 100, out: 100, seed: 1}, counter(), 2e6)
		if !q.saturated || len(q.asked) > 20_000 {
			t.Errorf("rate %g: saturated %v after %d requests", rate, q.saturated, len(q.asked))
		}
	}
}
