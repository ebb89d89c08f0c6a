package plan

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"baleen/internal/deepseek"
	"baleen/internal/kv"
	"baleen/internal/op"
)

// version is that of the JSON forms of Plan and Backtested.
const version = 1

// Model returns the shape of a model: a release's by its name, or that of a config.json.
func Model(name string, config []byte) (*Shape, error) {
	if config == nil {
		if s := costOnly(name); s != nil {
			return s, nil
		}
		data, ok := deepseek.ReleasedConfig(name)
		if !ok {
			return nil, fmt.Errorf("unknown model: %q: give v4-flash, v4-pro, v4-flash-0731, v4-pro-0813, v4.1-flash, v3, v3.2, or a config.json", name)
		}
		config = data
	}
	c, err := deepseek.ParseConfig(config)
	if err != nil && bytes.Contains(bytes.ToLower(config), []byte("v41")) {
		return nil, fmt.Errorf("another architecture: %s: V4.1 is planned by its release's shape: give the name v4.1-flash", name)
	}
	if err != nil {
		return nil, err
	}
	return shapeOf(name, c), nil
}

// most that a request may ask for: a thousand times what exists.
const (
	mostTokens      = longest
	mostConcurrency = 10_000_000
	mostRate        = 1e6
	mostDrafts      = 16
)

// ask checks a request and fills in what it leaves open.
func (q *Request) ask() (a ask, err error) {
	a = ask{in: q.In, out: q.Out, context: q.Context, cached: q.Cached, spec: q.Spec}
	if a.context == 0 {
		a.context = min(a.in+a.out/2, longest)
	}
	switch {
	case a.in < 1 || a.out < 1 || a.in+a.out > mostTokens || a.context < 1 || a.context > mostTokens:
		err = fmt.Errorf("bad number of tokens: request: in %d, out %d, context %d: give 1 to %d together", q.In, q.Out, q.Context, mostTokens)
	case q.Concurrency < 0 || q.Concurrency > mostConcurrency:
		err = fmt.Errorf("bad concurrency: request: %d: give 1 to %d", q.Concurrency, mostConcurrency)
	case !(q.Rate >= 0 && q.Rate <= mostRate):
		err = fmt.Errorf("bad rate: request: %v: give requests a second, at most %v", q.Rate, mostRate)
	case !(q.Cached >= 0 && q.Cached < 1):
		err = fmt.Errorf("bad share of cached tokens: request: %v: give 0 to less than 1", q.Cached)
	case q.Spec.Drafts < 0 || q.Spec.Drafts > mostDrafts || !(q.Spec.Accept >= 0 && q.Spec.Accept <= float64(q.Spec.Drafts)):
		err = fmt.Errorf("bad speculation: request: %d drafts, %v accepted: give at most %d, and no more accepted than drafted", q.Spec.Drafts, q.Spec.Accept, mostDrafts)
	case q.Spec.Drafts > 0 && len(q.Model.drafts) == 0:
		err = fmt.Errorf("no drafter: request: %s has none: leave --spec out", q.Model.Name)
	}
	return a, err
}

// Make plans a request. An error is about the request; where nothing fits, the plan says so, and what would.
func Make(ctx context.Context, q Request) (*Plan, error) {
	a, err := q.ask()
	if err != nil {
		return nil, err
	}
	f, err := fittedFactors()
	if err != nil {
		return nil, err
	}
	m := &maker{q: &q, ask: a, f: f, concurrency: math.Max(1, float64(q.Concurrency))}
	best, err := m.best(ctx)
	if err != nil {
		return nil, err
	}
	p := m.head(best)
	if !p.Fits {
		return p, m.wouldFit(ctx, p, best)
	}
	m.times(p, best)
	m.money(p, best)
	m.curve(p, best)
	m.honest(p, best)
	if q.Rate > 0 && !m.slow { // else the queue grows without end
		p.Percentiles, err = m.simulated(ctx, best)
	}
	return p, err
}

// maker makes a plan.
type maker struct {
	q           *Request
	ask         ask
	f           *calibration
	concurrency float64 // as asked for, or what the rate comes to
	fits        bool
	slow        bool // it fits, but does not serve the rate
}

// best finds the best deployment; with a rate, at the least concurrency that serves it.
func (m *maker) best(ctx context.Context) (finding, error) {
	for {
		q := *m.q
		q.Concurrency = int(m.concurrency)
		list, fits, err := search(ctx, &q, m.ask, &m.f.values)
		if err != nil {
			return finding{}, err
		}
		served := fits && list[0].service.requests >= m.q.Rate
		if m.q.Rate == 0 || served || !fits && m.concurrency == 1 {
			m.fits = fits
			return list[0], nil
		}
		if !fits || m.concurrency > mostConcurrency/2 {
			m.slow = true
			m.concurrency = math.Max(1, math.Floor(m.concurrency/1.5))
			q.Concurrency = int(m.concurrency)
			list, m.fits, err = search(ctx, &q, m.ask, &m.f.values)
			return list[0], err
		}
		m.concurrency = math.Ceil(m.concurrency * 1.5)
	}
}

// head says what is planned, and whether it fits.
func (m *maker) head(best finding) *Plan {
	q, d := m.q, best.d
	p := &Plan{
		Version: version, Model: q.Model.Name, On: q.Machine.String(), Fits: m.fits, Layout: d.String(), Spec: q.Spec,
		In: q.In, Out: q.Out, Context: m.ask.context, Concurrency: int(m.concurrency), Rate: q.Rate,
		Memory: best.memory.chip, Host: best.memory.host, Capacity: best.memory.room,
		Assumed: []string{}, Extrapolate: []string{}, Sources: []string{},
	}
	if p.Memory = append(p.Memory, Part{"free", best.memory.free}); best.memory.free < -1 {
		p.Memory[len(p.Memory)-1] = Part{"missing", -best.memory.free}
	}
	for _, pool := range q.Machine.Pools {
		p.Chips += pool.Count
		if c := pool.Chip; c.Source != "" {
			p.Sources = append(p.Sources, strings.TrimSuffix(c.Name+": "+c.Source+"; "+c.Notes, "; "))
		}
	}
	p.Most = int(d.decode.most(q.In+q.Out, q.Spec) * d.replicas)
	return p
}

// wouldFit says what is missing, and how many of the same chips would hold it.
func (m *maker) wouldFit(ctx context.Context, p *Plan, near finding) error {
	p.Why = fmt.Sprintf("%.1f GB are missing on each of %d x %s, at best (%s)", -near.memory.free/1e9, near.d.chips(), near.d.decode.chip.Name, p.Layout)
	if near.memory.free >= -1 {
		p.Why = fmt.Sprintf("%.1f GB are missing in the memory of %g x %s (%s)", -near.memory.hostFree()/1e9, near.d.decode.sockets, near.d.decode.host.Name, p.Layout)
	}
	q := *m.q
	q.Machine.Pools = append([]Pool(nil), q.Machine.Pools...)
	q.Concurrency, q.Layout = int(m.concurrency), nil
	for i := range q.Machine.Pools {
		pool := &q.Machine.Pools[i]
		if pool.Chip != near.d.decode.chip {
			continue
		}
		for range 10 {
			pool.Count *= 2
			_, fits, err := search(ctx, &q, m.ask, &m.f.values)
			if err != nil {
				return err
			}
			if fits {
				p.Why += fmt.Sprintf("; %d of them would hold it", pool.Count)
				return nil
			}
		}
	}
	p.Why += "; add host memory (+ N x EPYC ...) or a disk (+ SSD 7GB/s) for the experts"
	return nil
}

// times fills in how long things take.
func (m *maker) times(p *Plan, best finding) {
	s, r := best.service, best.d.decode
	decode, prompt := r.class("decode", m.concurrency), best.d.prompt.class("prefill", 1)
	p.TPOT = m.f.estimate(1000*s.token, decode)
	p.TTFT = m.f.estimate(1000*s.first, prompt)
	p.Output = m.f.inverse(s.output, decode)
	p.Prefill = m.f.inverse(s.prefill, prompt)
	p.Time = s.parts
	p.Limited = s.step.largest()
	if s.first > s.token*float64(m.ask.out) {
		p.Limited = "prefill: " + s.read.largest()
	}
	if m.slow {
		p.Why = fmt.Sprintf("it serves %.3g requests a second of the %.3g asked for", s.requests, m.q.Rate)
	}
}

// A machine that is bought is paid in this many hours, and power costs this much.
const (
	lifeHours   = 3 * 365 * 24
	usdPerKWh   = 0.10
	moneySource = "machines without a rental price cost their price over three years of hours, and 0.10 USD per kWh of their watts"
)

// money fills in what it costs.
func (m *maker) money(p *Plan, best finding) {
	whole := true
	for _, pool := range m.q.Machine.Pools {
		c, n := pool.Chip, float64(pool.Count)
		p.Watts += n * c.Watts
		p.Price += n * c.Price
		switch {
		case c.Rental > 0:
			p.Hourly += n * c.Rental
		case c.Price > 0:
			p.Hourly += n * (c.Price/lifeHours + c.Watts/1000*usdPerKWh)
			p.assume(moneySource)
		default:
			whole = false
			p.assume("no price of " + c.Name + " is known: it is left out")
		}
	}
	if p.Hourly == 0 || !whole {
		return
	}
	decode, prompt := best.d.decode.class("decode", m.concurrency), best.d.prompt.class("prefill", 1)
	p.PerOutput = m.f.estimate(1e6*p.Hourly/3600/best.service.output, decode)
	p.PerInput = m.f.estimate(1e6*p.Hourly/3600/best.service.prefill, prompt)
}

func (p *Plan) assume(s string) {
	for _, known := range p.Assumed {
		if known == s {
			return
		}
	}
	p.Assumed = append(p.Assumed, s)
}

// slowest is the time of a token in seconds beyond which nobody is served.
const slowest = 2

// curve is latency against concurrency, in the layout that was chosen.
func (m *maker) curve(p *Plan, best finding) {
	for c := 1.0; c <= 4*math.Max(float64(p.Most), 1) && c <= 1<<16; c *= 2 {
		s := best.d.serve(m.ask, c)
		if c > 1 && c > m.concurrency && s.token > slowest {
			return
		}
		class := best.d.decode.class("decode", c)
		point := Point{
			Concurrency: int(c), TPOT: m.f.estimate(1000*s.token, class), Output: m.f.inverse(s.output, class),
			TTFT: m.f.estimate(1000*s.first, best.d.prompt.class("prefill", 1)), Fits: int(c) <= p.Most,
		}
		if p.PerOutput.Value > 0 {
			point.Dollars = 1e6 * p.Hourly / 3600 / s.output
		}
		p.Curve = append(p.Curve, point)
		if int(c) > p.Most {
			return
		}
	}
}

// honest says what was assumed, and where the plan lies outside of what was measured.
func (m *maker) honest(p *Plan, best finding) {
	for _, pool := range m.q.Machine.Pools {
		for _, s := range pool.Chip.Assumed {
			p.assume(s)
		}
		if c := pool.Chip; c.Class == processor && !c.Measured {
			p.assume(fmt.Sprintf("%s with %s of memory, the most it takes or as in the table; its price is without memory", c.Name, bytesText(c.Memory)))
		}
	}
	r := best.d.decode
	if r.held != formats["fp4+fp8"] {
		p.assume(fmt.Sprintf("%s has no units for FP8 or FP4: it holds the weights as %s", r.chip.Name, r.held.name))
	}
	for _, s := range m.q.Model.notes {
		p.assume(s)
	}
	if m.concurrency > 1 {
		p.assume("requests come and go as in a server, which costs more than a steady batch")
	}
	p.Extrapolate = append(p.Extrapolate, m.f.beyond(r, m.ask.context, m.concurrency)...)
}

// simulationWork is how many steps of sequences are simulated, at most: less than a second's worth.
const simulationWork = 1e6

// simulated runs arrivals against the plan. Where prompts are read elsewhere, that is a queue of its own: its answers are of one token, and
// those of the other begin at once.
func (m *maker) simulated(ctx context.Context, best finding) (*Percentiles, error) {
	d, a := best.d, m.ask
	t := traffic{rate: m.q.Rate, in: a.in, out: max(1, int(float64(a.out)/a.spec.tokensPerStep())), cached: a.cached, seed: 1}
	makes := m.replica(d.decode, d.replicas)
	if !d.split() {
		p, err := simulate(ctx, t, makes, simulationWork)
		return perToken(p, a.spec), err
	}
	reads := m.replica(d.prompt, d.readers)
	makes.step = withoutPrompts(makes.step)
	p, err := simulate(ctx, t, makes, simulationWork)
	if err != nil {
		return nil, err
	}
	t.out = 1
	first, err := simulate(ctx, t, reads, simulationWork)
	if err != nil {
		return nil, err
	}
	p.TTFT50, p.TTFT90, p.TTFT99 = p.TTFT50+first.TTFT50, p.TTFT90+first.TTFT90, p.TTFT99+first.TTFT99
	p.Saturated = p.Saturated || first.Saturated
	return perToken(p, a.spec), nil
}

// perToken turns what was simulated by steps into tokens: a step makes several where drafts are accepted.
func perToken(p *Percentiles, s Spec) *Percentiles {
	if p == nil {
		return nil
	}
	n := s.tokensPerStep()
	p.TPOT50, p.TPOT90, p.TPOT99, p.Output = p.TPOT50/n, p.TPOT90/n, p.TPOT99/n, p.Output*n
	return p
}

func withoutPrompts(step func(decode, prompts load) time.Duration) func(decode, prompts load) time.Duration {
	return func(decode, prompts load) time.Duration {
		prompts.rows, prompts.sequences, prompts.logits = 0, 0, 0
		return max(step(decode, prompts), time.Microsecond)
	}
}

// replica is a rig as the simulation sees it.
func (m *maker) replica(r *rig, replicas float64) replica {
	tokens := m.ask.in + m.ask.out
	slots := int(math.Min(r.most(tokens, m.ask.spec), 4*m.concurrency/replicas+16)) // more would wait for ever
	pages := slots * kv.PagesFor(tokens+1)
	return replica{
		caps:     op.Caps{Rows: max(promptChunk*r.layout.DP, slots), Slots: slots, Pages: pages, Context: longest},
		limits:   kv.Limits{Page: int64(r.shape.state.PerToken * op.PageSize), Checkpoint: r.shape.state.Slot, Memory: 4 * int64(slots) * r.shape.state.Slot},
		replicas: max(1, int(replicas)),
		step:     m.steps(r),
	}
}

// steps is the time of a run, from a table of a few sizes.
func (m *maker) steps(r *rig) func(decode, prompts load) time.Duration {
	slower := m.f.values.slower(m.concurrency)
	decode := newCurve(func(n float64) float64 {
		return slower * r.decode(n, m.ask.context, m.ask.spec).total()
	})
	prompt := newCurve(func(tokens float64) float64 {
		return slower * r.readPrompts(1, int(math.Max(1, tokens))).total()
	})
	return func(d, p load) time.Duration {
		seconds := 0.0
		if d.sequences > 0 {
			seconds += decode.at(d.sequences)
		}
		if p.rows > 0 {
			seconds += prompt.at(p.rows)
		}
		return time.Duration(seconds * float64(time.Second))
	}
}

// curve is a function of a size by straight lines between sizes a quarter apart, each worked out when it is needed.
type curve struct {
	of    func(size float64) float64
	known map[int]float64
}

func newCurve(of func(float64) float64) *curve { return &curve{of, map[int]float64{}} }

const curveStep = 1.25

func (c *curve) at(size float64) float64 {
	place := math.Log(math.Max(size, 1)) / math.Log(curveStep)
	i := int(place)
	low, high := math.Pow(curveStep, float64(i)), math.Pow(curveStep, float64(i+1))
	return c.node(i) + (c.node(i+1)-c.node(i))*(size-low)/(high-low)
}

func (c *curve) node(i int) float64 {
	y, ok := c.known[i]
	if !ok {
		y = c.of(math.Pow(curveStep, float64(i)))
		c.known[i] = y
	}
	return y
}
