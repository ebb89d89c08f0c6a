package deepseek_test

import (
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"baleen/internal/deepseek"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// v41Caps are those that the planner records with.
var v41Caps = op.Caps{Rows: 1, Slots: 1, Pages: 1 << 13, Context: 1 << 20}

// counted is how many trained numbers programs have, of tables that are looked up by n-grams, and of what a token meets.
type counted struct{ all, engram, active, bytes float64 }

func count(programs ...*op.Program) (n counted) {
	seen := map[string]bool{}
	for _, p := range programs {
		active := 0
		for _, o := range p.Ops {
			if e, ok := o.(op.Experts); ok {
				active = p.Buffer(op.ID(e.Ids)).Cols
			}
		}
		for _, b := range p.Buffers[1:] {
			if b.Space != op.Weight || seen[b.Name] {
				continue
			}
			seen[b.Name] = true
			each := float64(b.Rows) * float64(b.Cols)
			switch {
			case b.Format.Kind == quant.KindI32:
				n.engram += float64(p.Bytes(b)) * 256 / 264
				continue
			case b.Parts > 1:
				n.active += each * float64(active)
			case b.Name != "embed.weight":
				n.active += each
			}
			n.all += each * float64(b.Parts)
			n.bytes += float64(p.Bytes(b))
		}
	}
	return n
}

// TestV41Sizes compares parameters with model spec 16, which reproduces what was published: 552B, of which a token meets 16B, and
// 8B where only the encoder runs. The file is that of formats spec 1.1, which has a vision tower of half a billion numbers, too.
func TestV41Sizes(t *testing.T) {
	v := deepseek.RecordV41(v41Caps)
	n := count(v.Forward)
	near(t, "10^9 parameters", n.all/1e9, 551.9)
	near(t, "10^9 active", n.active/1e9, 16.1)
	near(t, "10^9 in tables", n.engram/1e9, 196.6)
	encoder := count(v.Encode).active / 1e9
	if t.Logf("10^9 active in the encoder: %.2f", encoder); encoder < 7.5 || encoder > 8.5 {
		t.Errorf("%v * 10^9 parameters are active in the encoder, not 8", encoder)
	}
	drafter := count(v.Forward, v.DraftContext, v.DraftBlock, v.DraftChain)
	near(t, "10^9 in the drafter", (drafter.all-n.all)/1e9, 14.2)
	near(t, "10^9 bytes of files", (drafter.bytes+n.engram*264/256)/1e9, 510)
}

// TestV41Cost compares what a token reads, computes and leaves with model spec 12.5, 16 and 19.9.
func TestV41Cost(t *testing.T) {
	v := deepseek.RecordV41(v41Caps)
	size := new(deepseek.Model).StateSize(v.Forward)
	near(t, "bytes per token", size.PerToken, 890)
	near(t, "GiB of a million tokens", size.PerToken*(1<<20)/(1<<30), 0.87)
	near(t, "MiB of windows", float64(size.Windows)/(1<<20), 40*128*528./(1<<20))
	cost := func(p *op.Program, context int) op.Cost { return p.Cost(op.Load{Contexts: []int{context}, Logits: 1}) }

	for _, context := range []int{4096, 65536, 1 << 20} {
		c := cost(v.Forward, context)
		if c.Weights[quant.KindI32] != 2*24*264 {
			t.Errorf("%d bytes of tables, not 2 * 24 rows of 264", c.Weights[quant.KindI32])
		}
		// section 16 says 12.7: the sum of its parts without the 0.31 * 10^9 parameters of Engram's projections, which are FP8
		near(t, "GB of weights", float64(c.WeightBytes()-c.Weights[quant.KindI32])/1e9, 12.7+0.31)

		// the formulas of model spec 16, with the counts of 19.2: windows in all layers, 512 entries in 38, and eight indexers, of which three have an
		// entry for two positions
		n := float64(context)
		near(t, "MB of state", float64(c.KV)/1e6, (40*128*528+38*512*288+(3*n/2+5*n)*68)/1e6)
		flops := 2*16.1e9 + 4*64*512*(40*128+38*512) + 2*32*128*(3*n/2+5*n)
		near(t, "GFLOP", float64(c.Flops)/1e9, flops/1e9)
	}
	if forward, encode := cost(v.Forward, 4096).Flops, cost(v.Encode, 4096).Flops; encode*2 > forward*11/10 || encode*2 < forward*9/10 {
		t.Errorf("the encoder has %d of %d FLOP, not about half", encode, forward)
	}
}

// TestV41Programs pins a layer of each role, and the drafter: only=PREFIX shows the ops that write names which begin so.
func TestV41Programs(t *testing.T) {
	v := deepseek.RecordV41(op.Caps{Rows: 8, Slots: 2, Pages: 8, Context: 1024})
	programs := map[string]*op.Program{
		"forward": v.Forward, "encode": v.Encode, "context": v.DraftContext, "block": v.DraftBlock, "chain": v.DraftChain,
	}
	datadriven.RunTest(t, "testdata/v41_programs", func(t *testing.T, d *datadriven.TestData) string {
		p := programs[d.Cmd]
		if p == nil {
			d.Fatalf(t, "no such program")
		}
		var prefix string
		d.ScanArgs(t, "only", &prefix)
		var kept []string
		for line := range strings.Lines(p.String()) {
			if _, outputs, ok := strings.Cut(line, " -> "); ok && strings.HasPrefix(outputs, prefix) {
				kept = append(kept, strings.TrimLeft(line, " 0123456789"))
			}
		}
		return strings.Join(kept, "")
	})
}

// TestV41IsRefused: that its cost is known does not mean that it runs.
func TestV41IsRefused(t *testing.T) {
	text := []byte(`{"architectures": ["DeepseekV41ForCausalLM"], "model_type": "deepseek_v41"}`)
	if _, err := deepseek.ParseConfig(text); err == nil || !strings.Contains(err.Error(), "cannot run this model yet") {
		t.Errorf("%v", err)
	}
}

// TestV41Groups: no op of a layer is counted as the head's, whose rows are fewer.
func TestV41Groups(t *testing.T) {
	p := deepseek.RecordV41(v41Caps).Forward
	for _, o := range p.Ops {
		layer, group := deepseek.PartOf(p, o)
		for _, operand := range op.Operands(o) {
			if b := p.Buffer(operand.ID); operand.Writes && (group == "head") != (b.Dim == op.Logits && b.Space != op.State) {
				t.Errorf("%s of layer %d is of the group %s", b.Name, layer, group)
			}
		}
	}
}
