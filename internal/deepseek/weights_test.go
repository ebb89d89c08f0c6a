package deepseek

import (
	"math"
	"strings"
	"testing"

	"baleen/internal/op"
)

func released(t *testing.T, name string) *Config {
	t.Helper()
	text, ok := ReleasedConfig(name)
	if !ok {
		t.Fatalf("no config of %s", name)
	}
	c, err := ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The releases have as many parameters, bytes and tensors as is published (model spec 16, formats spec 1.1).
func TestReleasedSizes(t *testing.T) {
	for _, r := range []struct {
		name                      string
		backbone, drafter, active float64 // 10^9
		backboneGB, allGB         float64
		tensors                   int
		bytes                     int64
	}{
		{name: "v4-flash", backbone: 284.33, drafter: 6.61, active: 13.27, backboneGB: 156.0, allGB: 159.6, tensors: 69_187},
		{name: "v4-pro", backbone: 1573.0, drafter: 25.84, active: 48.85, backboneGB: 850.7, allGB: 864.7},
		{name: "v4-flash-0731", backbone: 284.33, drafter: 19.85, active: 13.27, backboneGB: 156.0, allGB: 166.9, tensors: 72_317, bytes: 166_878_536_440},
		{name: "v4-pro-0813", backbone: 1573.0, drafter: 77.5, active: 48.85, backboneGB: 850.7, allGB: 892.7, tensors: 149_782, bytes: 892_727_580_904},
	} {
		w := released(t, r.name).Layout()
		near := func(what string, got, want, step float64) {
			t.Helper()
			if math.Abs(got-want) > 0.51*step {
				t.Errorf("%s: %s %.4f, want %g", r.name, what, got, want)
			}
		}
		backbone, drafter, active := w.Params()
		near("backbone", float64(backbone)/1e9, r.backbone, map[bool]float64{true: 0.1, false: 0.01}[r.backbone > 1000])
		near("drafter", float64(drafter)/1e9, r.drafter, map[bool]float64{true: 0.1, false: 0.01}[r.drafter > 70])
		near("active", float64(active)/1e9, r.active, 0.01)
		backboneBytes, drafterBytes := w.Bytes()
		near("backbone GB", float64(backboneBytes)/1e9, r.backboneGB, 0.1)
		near("all GB", float64(backboneBytes+drafterBytes)/1e9, r.allGB, 0.1)
		if r.bytes != 0 && backboneBytes+drafterBytes != r.bytes {
			t.Errorf("%s: %d bytes, want %d", r.name, backboneBytes+drafterBytes, r.bytes)
		}
		tensors := 0
		for weight := range w.All() {
			tensors += weight.Parts * len(weight.Entries(0))
		}
		if r.tensors != 0 && tensors != r.tensors {
			t.Errorf("%s: %d tensors, want %d", r.name, tensors, r.tensors)
		}
		t.Logf("%s: %d + %d parameters, %d active, %d tensors", r.name, backbone, drafter, active, tensors)
	}
}

// Programs can be recorded from a layout: no name of a weight is that of another buffer, and all shapes fit.
func TestRecordFromLayout(t *testing.T) {
	for _, name := range []string{"v4-flash", "v4-pro"} {
		c := released(t, name)
		w := c.Layout()
		m := &Model{Config: c, Weights: w}
		caps := op.Caps{Rows: 4, Slots: 2, Pages: 2}
		used := map[string]bool{}
		for _, p := range []*op.Program{m.Forward(caps), m.Draft(caps)} {
			for _, b := range p.Buffers {
				if b.Space == op.Weight {
					used[b.Name] = true
				}
			}
		}
		for weight := range w.All() {
			if !used[weight.Name] {
				t.Errorf("%s: no program uses %s", name, weight.Name)
			}
		}
	}
}

// Names are those of formats spec 1.5.
func TestNames(t *testing.T) {
	w := released(t, "v4-flash-0731").Layout()
	for _, c := range []struct {
		w     *Weight
		part  int
		names string
	}{
		{w.Embed, 0, "embed.weight"},
		{w.HCHead.Fn, 0, "hc_head_fn"},
		{w.Layers[0].FFN.Table, 0, "layers.0.ffn.gate.tid2eid"},
		{w.Layers[42].FFN.Bias, 0, "layers.42.ffn.gate.bias"},
		{w.Layers[42].FFN.W3, 255, "layers.42.ffn.experts.255.w3.weight layers.42.ffn.experts.255.w3.scale"},
		{w.Layers[2].FFN.Shared.W2, 0, "layers.2.ffn.shared_experts.w2.weight layers.2.ffn.shared_experts.w2.scale"},
		{w.Layers[2].HCFFN.Base, 0, "layers.2.hc_ffn_base"},
		{w.Layers[2].Attn.Sink, 0, "layers.2.attn.attn_sink"},
		{w.Layers[2].Attn.WoA, 0, "layers.2.attn.wo_a.weight layers.2.attn.wo_a.scale"},
		{w.Layers[3].Attn.Compressor.APE, 0, "layers.3.attn.compressor.ape"},
		{w.Layers[2].Attn.Indexer.Compressor.Wgate, 0, "layers.2.attn.indexer.compressor.wgate.weight"},
		{w.Layers[2].Attn.Indexer.WeightsProj, 0, "layers.2.attn.indexer.weights_proj.weight"},
		{w.Drafter.MainProj, 0, "mtp.0.main_proj.weight mtp.0.main_proj.scale"},
		{w.Drafter.MarkovOut, 0, "mtp.2.markov_head.markov_w2.weight"},
		{w.Drafter.Confidence, 0, "mtp.2.confidence_head.proj.weight"},
		{w.Drafter.Stages[1].FFN.W1, 7, "mtp.1.ffn.experts.7.w1.weight mtp.1.ffn.experts.7.w1.scale"},
	} {
		var names []string
		for _, e := range c.w.Entries(c.part) {
			names = append(names, e.Name)
		}
		if got := strings.Join(names, " "); got != c.names {
			t.Errorf("%s, want %s", got, c.names)
		}
	}
	for weight := range w.All() {
		for _, e := range weight.Entries(0) {
			if got := releasedName(e.Name); got != e.Name {
				t.Errorf("%s is read as %s", e.Name, got)
			}
		}
	}
	if w.Layers[1].Attn.Compressor != nil || w.Layers[3].Attn.Indexer != nil || w.Layers[3].FFN.Table != nil || w.Layers[2].FFN.Bias != nil {
		t.Error("a layer has what its kind does not")
	}
}
