package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"baleen/internal/deepseek"
	"baleen/internal/device/ref"
	"baleen/internal/op"
	"baleen/internal/synth"
)

// released is a model of a release's shape without weights, whole or with some of its layers.
func released(t *testing.T, o synth.Options) *deepseek.Model {
	t.Helper()
	text, err := synth.Config(o)
	if err != nil {
		t.Fatal(err)
	}
	c, err := deepseek.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	return &deepseek.Model{Config: c, Weights: c.Layout()}
}

// unplaced is a bench of a model that is not run.
func unplaced(m *deepseek.Model) *Bench {
	b := &Bench{setup: Setup{Model: m, Device: ref.New()}, caps: op.Caps{Rows: 16, Slots: 4, Pages: 64, Context: 8192}}
	b.program = m.Forward(b.caps).Lower(ref.New().Info().Has)
	b.parts = partsOf(b.program)
	return b
}

// Every op of a release has a place, and the parts are as large as the model's accounting says (model spec 16: Flash reads
// 3.45 GB of experts and 1.06 GB of head for a token).
func TestParts(t *testing.T) {
	b := unplaced(released(t, synth.Options{Shape: "v4-flash"}))
	m := &measured{phase: "decode", batch: 1, units: 1, loads: []op.Load{{Contexts: []int{4096}, Logits: 1}}}
	list := workOf(b.program, m)
	cost := b.program.Cost(m.loads[0])
	if total := sum(list, b.parts, everywhere); total.bytes() != cost.WeightBytes()+cost.KV+cost.Pooled || total.all != cost.Flops || total.products >= total.all {
		t.Errorf("%d bytes and %d operations, the program says %d and %d", total.bytes(), total.all, cost.WeightBytes()+cost.KV+cost.Pooled, cost.Flops)
	}
	bytes, count, layers := map[string]int64{}, map[string]int{}, map[int]bool{}
	for i, p := range b.parts {
		bytes[p.group] += list[i].bytes()
		count[p.group]++
		layers[p.layer] = true
	}
	if len(layers) != 44 {
		t.Errorf("%d layers, with outside", len(layers))
	}
	for group, want := range map[string]float64{experts: 3.45e9, head: 1.06e9} {
		if math.Abs(float64(bytes[group])-want) > 0.01*want {
			t.Errorf("%s reads %d bytes, expected %.3g", group, bytes[group], want)
		}
	}
	for group, want := range map[string]int{"embed": 1, "hc": 43 * 8} { // twice a layer: mix, split, collapse, expand
		if count[group] != want {
			t.Errorf("%d ops of %s, expected %d", count[group], group, want)
		}
	}
	for _, group := range []string{"attn_proj", "attn_core", "indexer", "compress", "router", "shared", "norm"} {
		if count[group] == 0 {
			t.Errorf("no op of %s", group)
		}
	}
	for i, o := range b.program.Ops {
		if attends(o) && b.parts[i].group != "attn_core" && b.parts[i].group != "indexer" {
			t.Errorf("op %d, %s: %v", i, op.KindOf(o), b.parts[i])
		}
	}
}

// A window of ratio 4 is completed in every fourth step only, and that is how its work counts.
func TestWorkOfSteps(t *testing.T) {
	b := unplaced(released(t, synth.Options{Shape: "v4-flash", Pick: []int{2}}))
	load := func(context int) op.Load { return op.Load{Contexts: []int{context}, Logits: 1} }
	kv := func(m *measured) int64 { return sum(workOf(b.program, m), b.parts, everywhere).kv }
	var all int64
	for context := 4097; context <= 4100; context++ {
		all += kv(&measured{phase: "decode", units: 1, loads: []op.Load{load(context)}})
	}
	four := kv(&measured{phase: "decode", units: 4, loads: []op.Load{load(4097), load(4098), load(4099), load(4100)}})
	if math.Abs(float64(four-all/4)) > 100 {
		t.Errorf("%d bytes a step, expected a quarter of %d", four, all)
	}
}

// Where every op takes time in proportion to its work, so does the projection, whatever layers were measured.
func TestProjection(t *testing.T) {
	whole := unplaced(released(t, synth.Options{Shape: "v4-flash"}))
	for _, c := range []struct {
		pick    []int
		missing []string
	}{
		{[]int{0, 1, 2, 3, 4}, nil},
		{[]int{2, 3, 4}, []string{"ratio 0 routed by hash"}},
		{[]int{3}, []string{"ratio 0 routed by hash", "ratio 4 routed by hash", "ratio 4 measured"}},
	} {
		for _, phase := range []string{"prefill", "decode"} {
			for _, timed := range []bool{true, false} {
				t.Run(fmt.Sprint(c.pick, phase, timed), func(t *testing.T) {
					b := unplaced(released(t, synth.Options{Shape: "v4-flash", Pick: c.pick}))
					m := &measured{phase: phase, prompt: 16, batch: 1, units: 1, tokens: 16, loads: []op.Load{{Contexts: []int{5000, 5001, 5002, 5003}, Logits: 1}}}
					const perUnit = 1e-3 // nanoseconds
					took := func(list []work) (times []time.Duration, total time.Duration) {
						for _, w := range list {
							times = append(times, time.Duration(m.weigh(w)*perUnit))
							total += times[len(times)-1]
						}
						return times, total
					}
					times, total := took(workOf(b.program, m))
					m.runs = []time.Duration{total}
					if timed {
						m.byOp = times
					}
					_, want := took(workOf(whole.program, m))
					row := b.project(m, b.whole(), &Report{})
					if got := row.Median; math.Abs(got-milliseconds(want)) > 1e-3*got {
						t.Errorf("%v ms, expected %v", got, milliseconds(want))
					}
					cost := whole.program.Cost(m.loads[0])
					if !row.Projected || row.PeakRSS != nil || row.BytesBy.FP4 != cost.Weights[3] || !strings.Contains(row.Note, "v4-flash with 43 layers") {
						t.Errorf("%+v", row)
					}
					for _, kind := range c.missing {
						if !strings.Contains(row.Note, kind) {
							t.Errorf("note %q says nothing of %s", row.Note, kind)
						}
					}
					if (len(row.MsBy) > 0) != (timed && c.missing == nil) {
						t.Errorf("parts %v", row.MsBy)
					}
				})
			}
		}
	}
}

// Only a part of a release is projected.
func TestWhole(t *testing.T) {
	for _, c := range []struct {
		options synth.Options
		name    string
		part    bool
	}{
		{synth.Options{Shape: "v4-flash", Pick: []int{2, 3}}, "v4-flash", true},
		{synth.Options{Shape: "v4-pro", Layers: 60}, "v4-pro", true},
		{synth.Options{Shape: "v4-flash"}, "v4-flash", false},
		{synth.Options{Shape: "v4-flash", Pick: []int{2, 3}, Experts: 16}, "", false},
		{synth.Options{Shape: "demo"}, "", false},
	} {
		b := unplaced(released(t, c.options))
		name, _ := releaseOf(b.setup.Model.Config)
		if whole := b.whole(); name != c.name || (whole != nil) != c.part {
			t.Errorf("%+v: %q, projected %v", c.options, name, whole != nil)
		}
	}
	if !slices.Contains(releases[:], "v4-pro-0813") {
		t.Error("a release is missing")
	}
}
