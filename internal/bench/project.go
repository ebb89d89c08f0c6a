package bench

import (
	"fmt"
	"maps"
	"strings"

	"baleen/internal/deepseek"
	"baleen/internal/op"
)

// releases are those that a part of may be measured, as deepseek.ReleasedConfig names them.
var releases = [...]string{"v4-flash", "v4-pro", "v4-flash-0731", "v4-pro-0813"}

// releaseOf finds the release whose layers and head a model has, and whether it has all of its layers.
func releaseOf(c *deepseek.Config) (name string, full *deepseek.Config) {
	for _, name := range releases {
		text, ok := deepseek.ReleasedConfig(name)
		if !ok {
			continue
		}
		full, err := deepseek.ParseConfig(text)
		if err == nil && (full.DSpark != nil) == (c.DSpark != nil) && alike(c, full) {
			return name, full
		}
	}
	return "", nil
}

// alike tells whether two models differ in their number of layers only, as far as cost goes.
func alike(a, b *deepseek.Config) bool {
	sizes := func(c *deepseek.Config) [16]int {
		return [...]int{
			c.Vocab, c.Hidden, c.Heads, c.HeadDim, c.RopeDim, c.QueryRank, c.OutputGroups, c.OutputRank, c.Window,
			c.IndexHeads, c.IndexDim, c.IndexTopK, c.Experts, c.ActiveExperts, c.ExpertHidden, c.Streams,
		}
	}
	return sizes(a) == sizes(b)
}

// whole is the release that a model is a part of: its program and what goes with it.
type whole struct {
	name    string
	config  *deepseek.Config
	program *op.Program
	parts   []part
}

// whole returns none where the model is no part of a release, or all of it.
func (b *Bench) whole() *whole {
	m := b.setup.Model
	name, full := releaseOf(m.Config)
	if full == nil || full.Layers <= m.Config.Layers {
		return nil
	}
	model := &deepseek.Model{Config: full, Weights: full.Layout(), Numerics: m.Numerics, Quirks: m.Quirks}
	p := model.Forward(b.caps).Lower(b.setup.Device.Info().Has)
	return &whole{name, full, p, partsOf(p)}
}

// layerKind is what the cost of a layer depends on.
type layerKind struct {
	ratio  int
	hashed bool
}

func kindOf(c *deepseek.Config, layer int) layerKind {
	return layerKind{c.Ratios[layer], layer < c.HashLayers}
}

func (k layerKind) String() string {
	if k.hashed {
		return fmt.Sprintf("ratio %d routed by hash", k.ratio)
	}
	return fmt.Sprintf("ratio %d", k.ratio)
}

// times are milliseconds by group.
type times map[string]float64

func (t times) add(u times, factor float64) {
	for group, ms := range u {
		t[group] += ms * factor
	}
}

func (t times) sum() (ms float64) {
	for _, part := range t {
		ms += part
	}
	return ms
}

// project is the row that the whole release would give, were its weights in this memory: every layer takes the time of
// those of its kind that were measured; what is outside of layers counts once. A kind that was not measured takes its time by
// its work: bytes while tokens are made, operations while prompts are read.
func (b *Bench) project(m *measured, full *whole, r *Report) Row {
	here, there := workOf(b.program, m), workOf(full.program, m)
	perLayer, outside := b.split(m, here)
	kinds, rate := b.kinds(m, here, perLayer)

	by, missing := maps.Clone(outside), map[layerKind]bool{}
	for layer := range full.config.Layers {
		kind := kindOf(full.config, layer)
		measured, ok := kinds[kind]
		if !ok {
			missing[kind] = true
			measured = times{experts: rate * m.weigh(sum(there, full.parts, in(layer)))}
		}
		by.add(measured, 1)
	}
	row := Row{Phase: m.phase, Prompt: m.prompt, Depth: m.depth, Batch: m.batch, Runs: len(m.runs), Steps: m.units, Projected: true}
	measured := b.row(m, r)
	factor := by.sum() / outsideAnd(perLayer, outside)
	row.Median, row.Min, row.Max = measured.Median*factor, round(measured.Min*factor), round(measured.Max*factor)
	row.MsBy = map[string]float64{}
	if len(m.byOp) > 0 && len(missing) == 0 {
		for group, ms := range by {
			row.MsBy[group] = round(ms)
		}
	}
	row.derive(m, sum(there, full.parts, everywhere), r)
	row.shares(sum(there, full.parts, inLayers).bytes(), sum(there, full.parts, inHead).bytes())
	row.Noisy = measured.Noisy
	row.Note = note(full, b.setup.Model.Config, missing, len(m.byOp) > 0)
	return row
}

// outsideAnd is the time of a unit.
func outsideAnd(perLayer []times, outside times) float64 {
	total := outside.sum()
	for _, t := range perLayer {
		total += t.sum()
	}
	return total
}

func in(layer int) func(part) bool { return func(p part) bool { return p.layer == layer } }

// weigh is the work that time is in proportion to.
func (m *measured) weigh(w work) float64 {
	if m.phase == "prefill" {
		return float64(w.all)
	}
	return float64(w.bytes())
}

// split divides the time of a unit, the median, among layers and what is outside of them. Without times of ops it goes by
// work. What no op took is everybody's, by the number of ops.
func (b *Bench) split(m *measured, list []work) (perLayer []times, outside times) {
	perLayer, outside = make([]times, b.setup.Model.Config.Layers), times{}
	for i := range perLayer {
		perLayer[i] = times{}
	}
	at := func(i int) times {
		if layer := b.parts[i].layer; layer >= 0 {
			return perLayer[layer]
		}
		return outside
	}
	pass := milliseconds(m.total()-m.sample) / m.all()
	outside[sampling] = milliseconds(m.sample) / m.all()
	if len(m.byOp) == 0 {
		all := m.weigh(sum(list, b.parts, everywhere))
		for i, w := range list {
			at(i)[b.parts[i].group] += pass * m.weigh(w) / all
		}
	} else {
		left := pass
		for i, d := range m.byOp {
			ms := milliseconds(d) / m.all()
			at(i)[b.parts[i].group] += ms
			left -= ms
		}
		for i := range m.byOp {
			at(i)[waiting] += max(left, 0) / float64(len(m.byOp))
		}
	}
	return perLayer, outside
}

// kinds are the mean times of the kinds of layers that there are, and the time of a unit of work in all of them.
func (b *Bench) kinds(m *measured, list []work, perLayer []times) (kinds map[layerKind]times, rate float64) {
	config := b.setup.Model.Config
	count := map[layerKind]float64{}
	for layer := range perLayer {
		count[kindOf(config, layer)]++
	}
	kinds = map[layerKind]times{}
	for layer, t := range perLayer {
		kind := kindOf(config, layer)
		if kinds[kind] == nil {
			kinds[kind] = times{}
		}
		kinds[kind].add(t, 1/count[kind])
		rate += t.sum()
	}
	return kinds, rate / m.weigh(sum(list, b.parts, inLayers))
}

// note says what a projection rests on.
func note(full *whole, c *deepseek.Config, missing map[layerKind]bool, timed bool) string {
	parts := []string{fmt.Sprintf("%s with %d layers, from %d, as if its weights were in memory", full.name, full.config.Layers, c.Layers)}
	if !timed {
		parts = append(parts, "layers and head told apart by their work, since this device does not time its ops")
	}
	for layer := range full.config.Layers {
		if kind := kindOf(full.config, layer); missing[kind] {
			parts = append(parts, "no layer of "+kind.String()+" measured: its time by its work")
			delete(missing, kind)
		}
	}
	return strings.Join(parts, "; ")
}
