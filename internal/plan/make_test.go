package plan

import (
	"math"
	"strings"
	"testing"
)

func shape(t *testing.T, name string) *Shape {
	t.Helper()
	s, err := Model(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func machine(t *testing.T, text string) Machine {
	t.Helper()
	table, err := Hardware()
	if err != nil {
		t.Fatal(err)
	}
	m, err := table.Machine(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// published fails where a figure is further from what was published than allowed.
func published(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got/want-1) <= within) {
		t.Errorf("%s: %.6g, published %.6g", what, got, want)
	}
}

// TestSizes: weights and state are within a hundredth of what was published (model spec 12.5 and 16).
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		model                              string
		routed, backbone, drafter, million float64 // bytes; state of a sequence of 2^20 tokens without frontiers
		perToken, windows                  float64
	}{
		{"v4-flash", 147.17e9, 156.0e9, 3.6e9, 3.43 * gib, 3509, 3.1 * (1 << 20)},
		{"v4-pro", 822.05e9, 850.7e9, 14.0e9, 4.91 * gib, 5024, 4.3 * (1 << 20)},
		{"v4-flash-0731", 147.17e9, 156.0e9, 10.9e9, 3.43 * gib, 3509, 3.1 * (1 << 20)},
	} {
		s := shape(t, c.model)
		r := rig{shape: s, held: formats["fp4+fp8"]}
		routed, rest := r.weightBytes()
		published(t, c.model+" routed experts", routed, c.routed, 0.01)
		published(t, c.model+" backbone", routed+rest, c.backbone, 0.01)
		published(t, c.model+" drafter", s.size.draft, c.drafter, 0.01)
		published(t, c.model+" state per token", s.state.PerToken, c.perToken, 0.01)
		published(t, c.model+" windows", float64(s.state.Windows), c.windows, 0.02) // published to two digits
		published(t, c.model+" state of a million tokens", s.state.PerToken*longest, c.million, 0.01)
	}
}

// TestWork: what a token reads and computes is what the specification counts (model spec 16).
func TestWork(t *testing.T) {
	for _, c := range []struct {
		model                 string
		weights, flops, at64k float64
		kv4k, kv64k, kv1m     float64
	}{
		{"v4-flash", 11.2e9, 26.5e9, 9.1e9, 11.3e6, 38.8e6, 479e6},
		{"v4-pro", 39.7e9, 97.7e9, 22.3e9, 25.1e6, 65.1e6, 705e6},
	} {
		s := shape(t, c.model)
		for context, kv := range map[int]float64{4096: c.kv4k, 65536: c.kv64k, 1 << 20: c.kv1m} {
			var weights, flops, attention, read float64
			for _, w := range s.forward.of(load{rows: 1, sequences: 1, contexts: []int{context}, logits: 1}) {
				weights, read = weights+w.weights, read+w.kv
				if w.attend {
					attention += w.flops
				} else {
					flops += w.flops
				}
			}
			published(t, c.model+" weights read", weights, c.weights, 0.01)
			published(t, c.model+" flops", flops, c.flops, 0.01)
			published(t, c.model+" state read", read, kv, 0.01)
			if context == 65536 {
				published(t, c.model+" attention at 64k", attention, c.at64k, 0.01)
			}
		}
	}
}

// TestVerdicts: what holds V4-Pro and V4-Flash, and what does not (performance.md 3c).
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		model, on string
		fits      bool
	}{
		{"v4-pro", "8 x H20-3e", true}, {"v4-pro", "8 x B200", true}, {"v4-pro", "8 x H20 SXM 96GB", false}, {"v4-pro", "8 x H100", false}, {"v4-pro", "8 x H800", false},
		{"v4-pro", "8 x Ascend 910C 128GB", false}, {"v4-pro", "16 x Ascend 950DT", true}, {"v4-flash", "8 x Ascend 910C 128GB", true},
		{"v4-flash", "RTX 4090", false}, {"v4-flash", "2-core Zen 4 + SSD 1GB/s", true}, {"v4-pro", "2-core Zen 4 + SSD 1GB/s", false},
		{"v4-pro", "2 x EPYC 9755", true}, {"v4-flash", "8 x MI300X", true}, {"v4-pro", "8 x MI300X", true},
	} {
		p, err := Make(t.Context(), Request{Model: shape(t, c.model), Machine: machine(t, c.on), In: 8192, Out: 1024})
		if err != nil {
			t.Errorf("%s on %s: %v", c.model, c.on, err)
			continue
		}
		if p.Fits != c.fits || !p.Fits && !strings.Contains(p.Why, "missing") {
			t.Errorf("%s on %s: fits %v, %s", c.model, c.on, p.Fits, p.Why)
		}
	}
}

// TestPlans: more of a good thing is no worse, and a plan's parts add up.
func TestPlans(t *testing.T) {
	ask := func(on string, concurrency int) *Plan {
		t.Helper()
		p, err := Make(t.Context(), Request{Model: shape(t, "v4-flash"), Machine: machine(t, on), In: 2048, Out: 512, Concurrency: concurrency})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	few, many := ask("8 x B200", 8), ask("16 x B200", 8)
	if many.Output.Value < few.Output.Value {
		t.Errorf("16 chips make %.0f tokens a second, 8 make %.0f", many.Output.Value, few.Output.Value)
	}
	for i, point := range few.Curve[1:] {
		before := few.Curve[i]
		if point.TPOT.Value < before.TPOT.Value*0.999 || point.Output.Value < before.Output.Value*0.98 && point.Fits {
			t.Errorf("at %d: TPOT %.3g, %.4g tokens/s; at %d: %.3g, %.4g", point.Concurrency, point.TPOT.Value, point.Output.Value, before.Concurrency, before.TPOT.Value, before.Output.Value)
		}
	}
	sum := 0.0
	for _, part := range few.Memory {
		sum += part.Value
	}
	published(t, "memory's parts", sum, few.Capacity, 1e-9)
	published(t, "parts of a token's time", total(few.Time), few.TPOT.Value, 1e-9)
	if few.TPOT.Low >= few.TPOT.Value || few.TPOT.High <= few.TPOT.Value {
		t.Errorf("interval %v", few.TPOT)
	}
	published(t, "price of a million tokens", few.PerOutput.Value, 1e6*8*2.9/3600/few.Output.Value, 1e-9)
}

// TestRates: a rate is served by the least concurrency that makes it, and arrivals at random wait longer than a steady stream.
func TestRates(t *testing.T) {
	p, err := Make(t.Context(), Request{Model: shape(t, "v4-flash"), Machine: machine(t, "8 x B200"), In: 2048, Out: 256, Rate: 4})
	if err != nil {
		t.Fatal(err)
	}
	q := p.Percentiles
	if q == nil || q.Saturated || q.TTFT99 < q.TTFT50 || q.TTFT50 <= 0 {
		t.Fatalf("percentiles %+v", q)
	}
	published(t, "tokens a second", q.Output, 4*256, 0.1)
	p, err = Make(t.Context(), Request{Model: shape(t, "v4-flash"), Machine: machine(t, "1 x EPYC 9755"), In: 2048, Out: 256, Rate: 40})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.Why, "of the 40 asked for") {
		t.Errorf("a processor that serves 40 requests a second: %s", p.Why)
	}
}

// TestV41Config: a config.json of V4.1 is no plan of V4, and the error says what to give instead.
func TestV41Config(t *testing.T) {
	if _, err := Model("dir", []byte(`{"architectures":["DeepseekV41ForCausalLM"]}`)); err == nil || !strings.Contains(err.Error(), "give the name v4.1-flash") {
		t.Error(err)
	}
}

// TestBadRequests: each is an error of one line that says what to give.
func TestBadRequests(t *testing.T) {
	good := Request{Model: shape(t, "v4-flash"), Machine: machine(t, "8 x B200"), In: 2048, Out: 256}
	for _, spoil := range []func(q *Request){
		func(q *Request) { q.In = 0 }, func(q *Request) { q.Out = -1 }, func(q *Request) { q.In = longest }, func(q *Request) { q.Context = -1 },
		func(q *Request) { q.Concurrency = -1 }, func(q *Request) { q.Rate = math.NaN() }, func(q *Request) { q.Rate = math.Inf(1) }, func(q *Request) { q.Cached = 1 },
		func(q *Request) { q.Spec = Spec{Drafts: 1, Accept: 2} }, func(q *Request) { q.Spec = Spec{Drafts: 99} }, func(q *Request) { q.Machine = Machine{} },
		func(q *Request) { q.Layout = &Layout{TP: 3} },
	} {
		q := good
		spoil(&q)
		if _, err := Make(t.Context(), q); err == nil || strings.Contains(err.Error(), "\n") || strings.Count(err.Error(), ": ") < 2 {
			t.Errorf("%+v: %v", q, err)
		}
	}
}
