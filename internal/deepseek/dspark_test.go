package deepseek_test

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/device/ref"
	"baleen/internal/op"
)

const dspark = "dspark-a/fp8fp4"

// TestDSparkWide compares features, logits and drafts with those of the official code in float32. The main model runs in
// chunks that end where it drafts, so later drafts come after earlier ones were given up.
func TestDSparkWide(t *testing.T) { eachTier(t, compareDSparkWide) }

func compareDSparkWide(t *testing.T, d device.Device) {
	dir := goldens(t, dspark)
	m, want := loadModel(t, dir, deepseek.Wide, deepseek.Quirks{}), openFile(t, filepath.Join(dir, "expected_dspark.safetensors"))
	s := place(t, d, m, op.Caps{Rows: 48, Slots: 2, Pages: 8, Context: 256}, stored)
	for _, key := range []string{"L40", "L70", "L130"} {
		ids := sequences(t, dspark, key)[0]
		points := want.integers("points_" + key)
		var features, logits []float32
		for from := 0; from < len(ids); {
			to := min(len(ids), from+s.forward.Caps.Rows)
			if len(points) > 0 {
				to = min(to, int(points[0])+1)
			}
			s.observe(1, ids, from, to)
			features = append(features, s.read(s.context, featuresName, to-from)...)
			logits = append(logits, s.read(s.forward, deepseek.LogitsName, to-from)...)
			if len(points) > 0 && to == int(points[0])+1 {
				g, drafts := s.draft(anchor{1, ids[to], to})
				compareGuess(t, want, "", key, len(want.integers("points_"+key))-len(points), g, drafts, 1)
				points = points[1:]
			}
			from = to
		}
		if len(points) > 0 {
			t.Errorf("%s: %d points were not reached", key, len(points))
		}
		near := func(name string, got []float32, limit float64) {
			expected := want.floats(name + "_" + key)
			if largest, mean := difference(tail(got, expected), expected); largest > limit || mean > limit/10 {
				t.Errorf("%s_%s: largest %g, mean %g", name, key, largest, mean)
			}
		}
		near("features", features, 2e-3)
		near("target_logits", logits, 1e-3)
	}
}

// compareGuess compares one point of a key; loose is by how much tolerances are wider.
func compareGuess(t *testing.T, want file, prefix, key string, point int, g guess, drafts []int32, loose float64) {
	t.Helper()
	of := len(want.integers("points_" + key))
	part := func(name string) []float32 {
		all := want.floats(prefix + name + "_" + key)
		n := len(all) / of
		return all[point*n:][:n]
	}
	for name, c := range map[string]struct {
		got   []float32
		limit float64
	}{"base_logits": {g.base, 1e-3}, "logits": {g.logits, 1e-3}, "hidden": {g.hidden, 2e-3}, "confidence": {g.confidence, 2e-3}} {
		limit := c.limit * loose
		if largest, mean := difference(c.got, part(name)); largest > limit || mean > limit/4 {
			t.Errorf("%s%s_%s, point %d: largest %g, mean %g", prefix, name, key, point, largest, mean)
		}
	}
	ids := want.integers(prefix + "ids_" + key)
	if expected := ids[point*len(drafts):][:len(drafts)]; !slices.Equal(drafts, expected) {
		t.Errorf("%sids_%s, point %d: %v, not %v", prefix, key, point, drafts, expected)
	}
}

// TestDSparkReference compares drafts from given features with those of the official code with quantised activations, at
// the points that do not sit on a rounding border.
func TestDSparkReference(t *testing.T) { eachTier(t, compareDSparkReference) }

func compareDSparkReference(t *testing.T, d device.Device) {
	dir := goldens(t, dspark)
	m, want := loadModel(t, dir, deepseek.Reference, deepseek.Quirks{}), openFile(t, filepath.Join(dir, "expected_dspark.safetensors"))
	s := place(t, d, m, op.Caps{Rows: 48, Slots: 2, Pages: 8, Context: 256}, stored)
	compared := 0
	for _, key := range []string{"L40", "L70", "L130"} {
		ids, features := sequences(t, dspark, key)[0], want.floats("features_"+key)
		stable, _ := want.bytes("actquant_stable_" + key)
		width := len(features) / len(ids)
		from := 0
		for i, p := range want.integers("points_" + key) {
			for to := int(p) + 1; from < to; {
				next := min(to, from+s.context.Caps.Rows)
				s.feed(features[from*width : next*width])
				s.run(s.context, tokenRows(0, ids[from:next], from))
				from = next
			}
			g, drafts := s.draft(anchor{0, ids[from], from})
			if stable[i] == 1 {
				compareGuess(t, want, "actquant_", key, i, g, drafts, 50)
				compared++
			}
		}
	}
	if compared < 14 {
		t.Errorf("only %d points are stable", compared)
	}
}

// TestDSparkHistories: drafts depend on the tokens that stand, and on nothing else: not on how they were cut into runs, on drafts
// before that were given up, on the slot or on other sequences. Every bit is the same.
func TestDSparkHistories(t *testing.T) {
	eachDevice(t, func(t *testing.T, d device.Device) {
		for _, n := range []deepseek.Numerics{deepseek.Wide, deepseek.Reference, deepseek.Fast} {
			t.Run(n.String(), func(t *testing.T) { compareHistories(t, d, n) })
		}
	})
}

func compareHistories(t *testing.T, d device.Device, n deepseek.Numerics) {
	m := smallDrafter(t, n)
	s := place(t, d, m, op.Caps{Rows: 24, Slots: 3, Pages: 9, Context: 128}, randomWeights(7))
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	token := func() int32 { return rng.Int32N(int32(m.Config.Vocab)) }
	ids := make([]int32, 60)
	for i := range ids {
		ids[i] = token()
	}
	other := slices.Clone(ids)
	slices.Reverse(other)
	anchors := []int{1, 16, 17, 41} // a window is 16 positions
	want := map[int]guess{}
	for _, p := range anchors {
		for from := 0; from < p; from += 24 {
			s.observe(0, ids, from, min(from+24, p))
		}
		want[p], _ = s.draft(anchor{0, ids[p], p})
	}
	s.observe(2, other, 0, 20)
	for from := 0; len(anchors) > 0; {
		// what is verified: tokens that stand, and drafts that fall
		to := min(from+1+rng.IntN(4), anchors[0])
		s.observe(1, slices.Concat(ids[:to], []int32{token(), token(), token()}), from, to+3)
		from = to
		g, _ := s.draft(anchor{1, ids[from], from}, anchor{2, other[20], 20})
		if from == anchors[0] {
			if mine := g.half(); !mine.equal(want[from]) {
				t.Errorf("position %d: other drafts than of a fresh sequence", from)
			}
			anchors = anchors[1:]
		}
	}
}

// half is the first of two sequences.
func (g guess) half() guess {
	half := func(x []float32) []float32 { return x[:len(x)/2] }
	return guess{half(g.base), half(g.hidden), half(g.logits), half(g.confidence)}
}

func (g guess) equal(h guess) bool {
	return slices.Equal(g.base, h.base) && slices.Equal(g.hidden, h.hidden) && slices.Equal(g.logits, h.logits) && slices.Equal(g.confidence, h.confidence)
}

// TestDSparkSees: a draft sees the rows of its block that come after it, the context, and of that no more than a window.
func TestDSparkSees(t *testing.T) {
	m := smallDrafter(t, deepseek.Wide)
	s := place(t, ref.New(), m, op.Caps{Rows: 32, Slots: 1, Pages: 3, Context: 128}, randomWeights(7))
	width := len(m.Config.DSpark.Targets) * m.Config.Hidden
	features := make([]float32, 20*width)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range features {
		features[i] = float32(rng.NormFloat64())
	}
	rows := tokenRows(0, slices.Repeat([]int32{m.Config.DSpark.NoiseToken}, m.Config.DSpark.BlockSize), 20)
	base := func(features []float32) []float32 {
		s.feed(features)
		s.run(s.context, tokenRows(0, make([]int32, 20), 0))
		s.run(s.block, rows)
		return s.read(s.block, "mtp_base_logits", 1)
	}
	want := base(features)
	for position, seen := range map[int]bool{3: false, 4: true, 19: true} { // the last 16 of 20
		changed := slices.Clone(features)
		for i := range width {
			changed[position*width+i] += 1
		}
		if got := base(changed); slices.Equal(got, want) == seen {
			t.Errorf("position %d: seen is %v, not %v", position, !seen, seen)
		}
	}
	rows[len(rows)-1].Token++
	if got := base(features); slices.Equal(got, want) {
		t.Error("the first row does not see the last")
	}
}

// TestDSparkPrograms pins the text of what the drafter records. -rewrite writes it anew.
func TestDSparkPrograms(t *testing.T) {
	caps := op.Caps{Rows: 64, Slots: 4, Pages: 64, Context: 2048}
	datadriven.RunTest(t, "testdata/dspark_programs", func(t *testing.T, d *datadriven.TestData) string {
		m := smallDrafter(t, deepseek.Reference)
		switch d.Cmd {
		case "context":
			return m.DraftContext(caps).String()
		case "block":
			return m.DraftBlock(caps, 20).String()
		case "chain":
			return m.DraftChain(caps, 20).String()
		case "forward-io":
			var lines []string
			for line := range strings.Lines(m.Forward(caps).String()) {
				if strings.HasPrefix(line, "io ") {
					lines = append(lines, line)
				}
			}
			return strings.Join(lines, "")
		}
		d.Fatalf(t, "unknown command")
		return ""
	})
}

// TestNoDSpark: a model without a block drafter records none, and one with it no draft block of the other kind.
func TestNoDSpark(t *testing.T) {
	caps := op.Caps{Rows: 2, Slots: 1, Pages: 1, Context: 128}
	if m := released(t, "v4-flash", deepseek.Fast); m.DraftContext(caps) != nil || m.DraftBlock(caps, 2) != nil || m.DraftChain(caps, 2) != nil {
		t.Error("v4-flash has a block drafter")
	}
	for _, name := range []string{"v4-flash-0731", "v4-pro-0813"} {
		if m := released(t, name, deepseek.Fast); m.DraftContext(caps) == nil || m.DraftBlock(caps, 2) == nil || m.DraftChain(caps, 2) == nil || m.Draft(caps) != nil {
			t.Errorf("%s: not the block drafter alone", name)
		}
	}
}

// TestTargetsAscend: layers that feed the drafter are told in order, each once.
func TestTargetsAscend(t *testing.T) {
	text, _ := deepseek.ReleasedConfig("v4-flash-0731")
	for _, targets := range []string{"[40, 40, 42]", "[42, 41, 40]"} {
		wrong := strings.Replace(strings.Join(strings.Fields(string(text)), ""), `"dspark_target_layer_ids":[40,41,42]`, `"dspark_target_layer_ids":`+targets, 1)
		if _, err := deepseek.ParseConfig([]byte(wrong)); err == nil || !strings.Contains(err.Error(), "dspark_target_layer_ids[1]") {
			t.Errorf("%s: %v", targets, err)
		}
	}
}
