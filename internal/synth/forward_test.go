package synth_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"testing"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/device/ref"
	"baleen/internal/engine"
	"baleen/internal/op"
	"baleen/internal/synth"
)

// A model of random weights runs: activations stay finite and of one size through its depth, logits leave a choice, and
// routing uses all experts.
func TestForward(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m")
	if err := synth.Write(t.Context(), dir, synth.Options{Shape: "demo", MTP: true, Seed: 3}, nil); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := deepseek.Load(c, deepseek.Reference, deepseek.Quirks{})
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]int32, 160)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range ids {
		ids[i] = r.Int32N(int32(m.Config.Vocab))
	}
	machine, err := engine.Place(t.Context(), m, ref.New(), op.Caps{Rows: 32, Slots: 1, Pages: 2, Context: len(ids)}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	uses, squares, count := map[string][]int{}, map[string]float64{}, map[string]float64{}
	indices := regexp.MustCompile(`ffn\.gate\.indices$`)
	err = machine.Score(t.Context(), engine.Scoring{IDs: ids, Chunk: 32, Draft: machine.Drafts()}, func(r engine.Result, _ int, data []byte) error {
		for ; len(data) > 0; data = data[4:] {
			word := binary.LittleEndian.Uint32(data)
			if indices.MatchString(r.Name) {
				if uses[r.Name] == nil {
					uses[r.Name] = make([]int, m.Config.Experts)
				}
				uses[r.Name][word]++
				continue
			}
			x := float64(math.Float32frombits(word))
			squares[r.Name] += x * x
			count[r.Name]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rms := func(name string, low, high float64) {
		t.Helper()
		if got := math.Sqrt(squares[name] / count[name]); !(got >= low && got <= high) {
			t.Errorf("%s: root mean square %g, want %g to %g", name, got, low, high)
		}
	}
	rms("logits", 1, 5)
	rms("mtp_logits", 1, 5)
	for _, name := range []string{"layers.0.out", "layers.3.out", "layers.5.out"} {
		rms(name, 0.1, 30)
	}
	for _, name := range []string{"layers.0.attn.out", "layers.2.attn.out", "layers.3.ffn.out", "mtp.0.ffn.out"} {
		rms(name, 0.02, 5)
	}
	if len(uses) != m.Config.Layers+1 {
		t.Errorf("%d layers with routing", len(uses))
	}
	for name, n := range uses {
		fair := len(ids) * m.Config.ActiveExperts / m.Config.Experts
		for e, n := range n {
			if n < fair/8 || n > 3*fair {
				t.Errorf("%s: expert %d has %d tokens, fair are %d", name, e, n, fair)
			}
		}
	}
}
