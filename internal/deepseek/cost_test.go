package deepseek_test

import (
	"math"
	"testing"

	"baleen/internal/deepseek"
	"baleen/internal/op"
)

// TestCost compares what the programs of the releases cost with model spec 16 and 12.5, to 1 %: those figures were derived
// by hand from the shapes.
func TestCost(t *testing.T) {
	for _, want := range []struct {
		release   string
		weights   float64    // GB that a token reads at batch 1
		kv, flops [3]float64 // MB and GFLOP at contexts of 4k, 64k and 1M
		perToken  float64    // bytes in pages, packed
		windows   float64    // MiB, packed: 128 rows of 583 bytes for each layer
		frontiers float64    // MiB
	}{
		{"v4-flash", 11.21, [3]float64{11.3, 38.8, 479}, [3]float64{26.5 + 2.6, 26.5 + 9.1, 26.5 + 113.8}, 3509, 43 * 128 * 583. / (1 << 20), 11.6},
		{"v4-pro", 39.65, [3]float64{25.1, 65.1, 705}, [3]float64{97.7 + 10.9, 97.7 + 22.3, 97.7 + 205.5}, 5024, 61 * 128 * 583. / (1 << 20), 17.8},
	} {
		t.Run(want.release, func(t *testing.T) {
			m := released(t, want.release, deepseek.Fast)
			p := m.Forward(op.Caps{Rows: 1, Slots: 1, Pages: 1 << 13, Context: 1 << 20})
			for i, context := range []int{4096, 65536, 1 << 20} {
				cost := p.Cost(op.Load{Contexts: []int{context}, Logits: 1})
				near(t, "GB of weights", float64(cost.WeightBytes())/1e9, want.weights)
				near(t, "MB of state", float64(cost.KV)/1e6, want.kv[i])
				near(t, "GFLOP", float64(cost.Flops)/1e9, want.flops[i])
			}
			size := m.StateSize(p)
			near(t, "bytes per token", size.PerToken, want.perToken)
			near(t, "MiB of windows", float64(size.Windows)/(1<<20), want.windows)
			near(t, "MiB of frontiers", float64(size.Slot-size.Windows)/(1<<20), want.frontiers)
		})
	}
}

// near wants one percent.
func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	t.Logf("%s: %.5g (%.5g)", what, got, want)
	if math.Abs(got-want) > 0.01*want {
		t.Errorf("%s: %g, not %g", what, got, want)
	}
}

// released is a release's model without weights.
func released(t *testing.T, name string, n deepseek.Numerics) *deepseek.Model {
	t.Helper()
	text, ok := deepseek.ReleasedConfig(name)
	if !ok {
		t.Fatalf("no release %s", name)
	}
	c, err := deepseek.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	return &deepseek.Model{Config: c, Weights: c.Layout(), Numerics: n}
}

// TestWindowSize: windows are told from frontiers also where their rows look alike (design 4, in MiB).
func TestWindowSize(t *testing.T) {
	for n, want := range map[deepseek.Numerics]float64{deepseek.Wide: 10.75, deepseek.Reference: 43 * 128 * 711. / (1 << 20), deepseek.Fast: 3.06} {
		m := released(t, "v4-flash", n)
		size := m.StateSize(m.Forward(op.Caps{Rows: 1, Slots: 1, Pages: 1, Context: 128}))
		near(t, n.String(), float64(size.Windows)/(1<<20), want)
	}
}
