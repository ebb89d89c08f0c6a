package plan

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"baleen/internal/engine"
	"baleen/internal/kv"
	"baleen/internal/op"
)

// traffic is what a service is asked for.
type traffic struct {
	rate        float64 // requests a second, at random times (Poisson); 0: each of concurrency clients asks again when it is answered
	concurrency int
	in, out     int     // tokens of a request, on average
	sigma       float64 // of the logarithm of their numbers (log-normal); 0: all are equal
	cached      float64 // share of a prompt that the conversation it belongs to began with; the rest is new
	seed        uint64
}

// replica is one of several equal groups of chips behind a fair balancer: the one that is simulated.
type replica struct {
	caps     op.Caps
	limits   kv.Limits
	replicas int     // in all
	moves    float64 // bytes/s of checkpoints and pages, which are moved between batches; 0: that costs nothing

	// step is the time of a run: of the sequences that decode, and of the prompts; either may have no rows. contexts has one
	// element, the mean over the rows. It must not keep it.
	step func(decode, prompts load) time.Duration
}

// context is how long a sequence can be.
func (r *replica) context() int { return min(r.caps.Context, r.caps.Pages*kv.PageSize) }

// What is simulated. An hour, unless that is too much work, or too few requests for percentiles.
const (
	hour       = time.Hour
	longestRun = 30 * 24 * time.Hour
	enough     = 2000             // requests
	warmUp     = 0.1              // of the span: who comes then is not measured
	afterwards = 0.5              // of the span: so long the last may wait
	answers    = 4                // of them, one after the other: the shortest span
	pause      = 60 * time.Second // from one turn of a conversation to the next, on average
	checks     = 50               // in a span, whether the queue grows
	deviations = 4                // of the number of arrivals: growth beyond is no chance
)

// requestWork is the work of simulating a request, in steps of a sequence: one for every token, and what pages cost.
func (t *traffic) requestWork() float64 {
	return float64(t.out) + 0.02*float64(t.in) + 10*float64((t.in+t.out)/kv.PageSize) + 50
}

// window is the span that is simulated, and the time of an answer, about.
//
// It is an hour, and more where that gives too few requests. Where it would be more work than allowed it is shorter: one
// second of the span costs as many steps as requests come in it, times requestWork. But it is not shorter than a few answers,
// or all would be a beginning.
func (t *traffic) window(r *replica, work float64) (span, answer time.Duration) {
	clients, one := t.balance(r)
	rate := clients / one
	if t.rate > 0 {
		rate = t.rate / float64(r.replicas)
	}
	seconds := math.Max(hour.Seconds(), enough/rate)
	seconds = math.Min(seconds, work/(rate*t.requestWork()))
	seconds = math.Min(math.Max(seconds, answers*one), longestRun.Seconds())
	return time.Duration(seconds * float64(time.Second)), time.Duration(math.Min(one, seconds) * float64(time.Second))
}

// balance is how many requests are there at once, about, and how many seconds each is: its own tokens, and the prompts of others
// meanwhile.
func (t *traffic) balance(r *replica) (clients, seconds float64) {
	fresh := math.Max(1, float64(t.in)*(1-t.cached))
	none := load{contexts: []int{1}, prompt: true}
	prompt := load{rows: fresh, sequences: 1, logits: 1, contexts: []int{t.in / 2}, prompt: true}
	times := func() (token, first float64) {
		l := load{rows: clients, sequences: clients, logits: clients, contexts: []int{t.in + t.out/2}}
		return r.step(l, none).Seconds(), r.step(l, prompt).Seconds()
	}
	more := float64(t.out - 1)
	if t.rate == 0 {
		clients = t.clients(r)
		token, first := times()
		return clients, math.Max(first+more*token+clients*math.Max(first-token, 0), 1e-9)
	}
	rate := t.rate / float64(r.replicas)
	clients = 1
	for range 20 { // more requests are slower, and slower ones are more
		token, first := times()
		reading := math.Min(math.Max(rate*(first-token), 0), 0.9) // share of the time
		seconds = math.Max(first+more*token/(1-reading), 1e-9)
		clients = math.Max(1, math.Min(rate*seconds, float64(r.caps.Slots)))
	}
	return clients, seconds
}

func (t *traffic) clients(r *replica) float64 {
	return math.Max(1, math.Round(float64(t.concurrency)/float64(r.replicas)))
}

func (t *traffic) check(r *replica) error {
	bad := func(what string, found any, mend string) error {
		return fmt.Errorf("bad %s: simulation: found %v: %s", what, found, mend)
	}
	switch {
	case !(t.rate >= 0 && t.rate <= 1e9):
		return bad("rate", t.rate, "give requests a second, at most 1e9")
	case t.rate == 0 && t.concurrency < 1:
		return bad("concurrency", t.concurrency, "give 1 or more, or a rate")
	case t.in < 1 || t.out < 1:
		return bad("number of tokens", [2]int{t.in, t.out}, "give at least one of prompt and of answer")
	case !(t.cached >= 0 && t.cached <= 1):
		return bad("share of remembered tokens", t.cached, "give 0 to 1")
	case !(t.sigma >= 0 && t.sigma <= 3):
		return bad("sigma of lengths", t.sigma, "give 0, which is equal lengths, to 3")
	case t.in >= r.context():
		return bad("prompt", t.in, "memory for state holds less: give it more, or a shorter prompt")
	case min(r.caps.Rows, r.caps.Slots, r.replicas) < 1:
		return bad("capacity", r.caps, "give at least one row, slot and replica")
	}
	return nil
}

// queue is a simulation under way.
type queue struct {
	traffic *traffic
	replica *replica
	sim     *engine.Simulation
	random  *rand.Rand
	span    time.Duration
	answer  time.Duration // how long one takes, about
	now     time.Duration
	next    time.Duration // arrival
	texts   int           // conversations that are going on

	asked       []asked // every request
	open        int     // requests that were measured and have not ended
	waits       []int   // who waited at each check
	arrivals    []int   // so far at each check
	refused     int
	first, each []float64 // milliseconds: to the first token, and to each further one

	ran           time.Duration // of the time that is measured: in batches
	batches       int
	sequences     int
	tokens        int
	known, prompt int // tokens of prompts of those who ended: remembered, and in all
	saturated     bool
	decode, fill  load
}

// asked is a request.
type asked struct {
	at             time.Duration
	prompt, answer int32
}

// simulate lets requests come to a replica and returns how it went. It needs at most about so much work: steps of a sequence.
// The same arguments give the same result, bit for bit.
//
// A TTFT is the time from a request's arrival to its first token, a TPOT that from the first to the last by the tokens after
// the first. The percentiles are over requests that came after the first tenth of the span. Requests go on coming until all of those are
// answered.
//
// A service is saturated if the number that wait has grown in the later half of some time by more than four standard
// deviations of the number that came in it, or if the last that are measured are not answered half a span after it, and the
// time of four answers.
func simulate(ctx context.Context, t traffic, r replica, work float64) (*Percentiles, error) {
	if err := t.check(&r); err != nil {
		return nil, err
	}
	q := newQueue(&t, &r, work)
	if err := q.run(ctx); err != nil {
		return nil, err
	}
	return q.percentiles(), nil
}

func newQueue(t *traffic, r *replica, work float64) *queue {
	q := &queue{traffic: t, replica: r, sim: engine.NewSimulation(r.caps, r.limits), random: rand.New(rand.NewPCG(t.seed, 5)), now: 1}
	q.span, q.answer = t.window(r, work)
	q.decode.contexts, q.fill.contexts, q.fill.prompt = make([]int, 1), make([]int, 1), true
	if t.rate > 0 {
		q.texts = int(t.rate / float64(r.replicas) * min(pause, q.warm()/5).Seconds())
		q.arrive()
	} else {
		q.texts = int(t.clients(r))
		q.next = math.MaxInt64
	}
	return q
}

// warm is when measuring begins.
func (q *queue) warm() time.Duration { return time.Duration(warmUp * float64(q.span)) }

// arrive draws the time of the next arrival.
func (q *queue) arrive() {
	gap := q.random.ExpFloat64() / q.traffic.rate * float64(q.replica.replicas)
	q.next = max(q.next, 1) + time.Duration(gap*float64(time.Second))
}

// length draws a number of tokens.
func (q *queue) length(mean int) int {
	sigma := q.traffic.sigma
	if sigma == 0 {
		return mean
	}
	return max(1, int(math.Round(float64(mean)*math.Exp(sigma*q.random.NormFloat64()-sigma*sigma/2))))
}

// submit lets a request come.
func (q *queue) submit(at time.Duration, text, prompt, answer int) {
	if at >= q.warm() && at < q.span {
		q.open++
	}
	q.asked = append(q.asked, asked{at, clamp(prompt), clamp(answer)})
	q.sim.Submit(at, uint64(text), int(q.traffic.cached*float64(prompt)), prompt, answer)
}

func clamp(tokens int) int32 { return int32(min(tokens, math.MaxInt32)) }

// come submits a request of some conversation.
func (q *queue) come(at time.Duration) {
	text := 0
	if q.traffic.cached > 0 {
		text = q.random.IntN(max(1, q.texts))
	}
	q.submit(at, text, q.length(q.traffic.in), q.length(q.traffic.out))
}

// run is the loop: what comes while a batch runs, then the next batch.
func (q *queue) run(ctx context.Context) error {
	if q.traffic.rate == 0 {
		for client := range q.texts { // the first answers are cut, so that not all end together
			q.submit(q.now, client, q.length(q.traffic.in), 1+q.random.IntN(q.length(q.traffic.out)))
		}
		q.tick()
	}
	end := q.span + time.Duration(afterwards*float64(q.span)) + answers*q.answer
	for !q.saturated && (q.now < q.span || q.open > 0) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if q.now > end {
			q.saturated = true
			break
		}
		q.check()
		if q.sim.Decoding+q.sim.Prompts == 0 {
			q.now = q.next
			q.come(q.now)
			q.arrive()
			q.tick()
			continue
		}
		step := q.step()
		if step <= 0 {
			return fmt.Errorf("impossible step: simulation: %v for %d rows: give a time above 0", step, q.sim.Decoding+q.sim.PromptRows)
		}
		for q.now += step; q.next <= q.now && !q.saturated; q.arrive() {
			q.come(q.next)
			q.check()
		}
		q.tick()
	}
	return nil
}

// step is the time of the batch that runs, and of the moves before it.
func (q *queue) step() time.Duration {
	s := q.sim
	q.decode.rows, q.decode.sequences, q.decode.logits = float64(s.Decoding), float64(s.Decoding), float64(s.Decoding)
	q.decode.contexts[0] = mean(s.Context, s.Decoding)
	q.fill.rows, q.fill.sequences, q.fill.logits = float64(s.PromptRows), float64(s.Prompts), float64(s.First)
	q.fill.contexts[0] = mean(s.PromptContext, s.PromptRows)
	step := q.replica.step(q.decode, q.fill)
	if q.replica.moves > 0 {
		step += time.Duration(float64(s.Moved) / q.replica.moves * float64(time.Second))
	}
	if q.now >= q.warm() && q.now < q.span {
		q.ran += min(step, q.span-q.now)
		q.batches++
		q.sequences += s.Decoding + s.Prompts
		q.tokens += s.Decoding + s.First
	}
	return step
}

func mean(sum, n int) int { return sum / max(n, 1) }

// tick ends a batch and takes what it brought.
func (q *queue) tick() {
	q.sim.Tick(q.now)
	again := false
	for request, f := range q.sim.Ended {
		q.end(q.asked[request], f)
		if q.traffic.rate == 0 && f.Err == nil {
			q.come(q.now)
			again = true
		}
	}
	if again && q.sim.Decoding+q.sim.Prompts == 0 {
		q.sim.Tick(q.now)
	}
}

// end counts an answer.
func (q *queue) end(r asked, f *engine.Finish) {
	if r.at < q.warm() || r.at >= q.span {
		return
	}
	q.open--
	if f.Err != nil {
		q.refused++
		return
	}
	q.known += f.Cached
	q.prompt += int(r.prompt)
	q.first = append(q.first, milliseconds(f.First-r.at))
	if f.Reason == engine.AtContext {
		r.answer = int32(q.replica.context()) - r.prompt
	}
	if r.answer > 1 {
		q.each = append(q.each, milliseconds(f.Ended-f.First)/float64(r.answer-1))
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// check notes how many wait, and judges whether that grows without bound.
func (q *queue) check() {
	seen := 0
	if n := len(q.arrivals); n > 0 {
		seen = q.arrivals[n-1]
	}
	crowd := q.sim.Waiting() > q.replica.caps.Slots && len(q.asked)-seen >= enough // too many to wait for the time
	if !crowd && q.now < q.span/checks*time.Duration(len(q.waits)+1) || q.traffic.rate == 0 {
		return
	}
	q.waits, q.arrivals = append(q.waits, q.sim.Waiting()), append(q.arrivals, len(q.asked))
	last, half := len(q.waits)-1, len(q.waits)/2
	grown, came := q.waits[last]-q.waits[half], q.arrivals[last]-q.arrivals[half]
	q.saturated = float64(grown) > deviations*math.Sqrt(float64(came)) && came > 0
}

// percentiles sums a simulation up.
func (q *queue) percentiles() *Percentiles {
	end := min(q.now, q.span)
	seconds := math.Max((end - q.warm()).Seconds(), 1e-9)
	slices.Sort(q.first)
	slices.Sort(q.each)
	return &Percentiles{
		Requests: len(q.first), Refused: q.refused,
		TTFT50: percentile(q.first, 50), TTFT90: percentile(q.first, 90), TTFT99: percentile(q.first, 99),
		TPOT50: percentile(q.each, 50), TPOT90: percentile(q.each, 90), TPOT99: percentile(q.each, 99),
		Busy:       q.ran.Seconds() / seconds,
		Batch:      float64(q.sequences) / math.Max(1, float64(q.batches)),
		Output:     float64(q.tokens) / seconds * float64(q.replica.replicas),
		Scaled:     q.replica.replicas,
		Saturated:  q.saturated,
		Simulation: end.Seconds(),
	}
}

// percentile is the smallest of sorted numbers that p per cent are no greater than; 0 of none.
func percentile(sorted []float64, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}
