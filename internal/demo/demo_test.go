package demo_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/demo"
	"baleen/internal/device/cpu"
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/device/ref"
	"baleen/internal/engine"
	"baleen/internal/op"
	"baleen/internal/token"
)

// expectation is one prompt of expected.json: what two independent references give in float32, without quantised
// activations.
type expectation struct {
	Name         string
	Text         string
	Prompt       []int32   `json:"prompt_ids"`
	Continuation []int32   `json:"continuation_ids"`
	Said         string    `json:"continuation_text"`
	Drafts       []int32   `json:"mtp_draft_ids"`
	First        []float32 `json:"logits_after_prompt"`
	Last         []float32 `json:"logits_after_continuation"`
}

func expected(t *testing.T) []expectation {
	text, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Prompts []expectation }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Prompts) != 3 {
		t.Fatalf("%d prompts", len(file.Prompts))
	}
	return file.Prompts
}

func TestTokenizer(t *testing.T) {
	tokenizer := loadTokenizer(t)
	for _, e := range expected(t) {
		if ids := tokenizer.EncodeSpecial(e.Text); !slices.Equal(ids, e.Prompt) {
			t.Errorf("%s: prompt ids %v, not %v", e.Name, ids, e.Prompt)
		}
		if said, err := tokenizer.Decode(e.Continuation); said != e.Said || err != nil {
			t.Errorf("%s: %q, not %q", e.Name, said, e.Said)
		}
	}
}

func loadTokenizer(t *testing.T) *token.Tokenizer {
	c := open(t)
	text, err := c.ReadFile("tokenizer.json", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	tokenizer, err := token.Load(text)
	if err != nil {
		t.Fatal(err)
	}
	return tokenizer
}

func open(t *testing.T) *checkpoint.Checkpoint {
	t.Helper()
	c, err := checkpoint.OpenFS(demo.Files())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestGreedy continues every prompt greedily: the ids and the drafts must be the references', and so must the logits but
// for rounding.
func TestGreedy(t *testing.T) {
	m, err := deepseek.Load(open(t), deepseek.Wide, deepseek.Quirks{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range expected(t) {
		t.Run(e.Name, func(t *testing.T) {
			ids := slices.Concat(e.Prompt, e.Continuation)
			n := len(ids)
			caps := op.Caps{Rows: 64, Slots: 1, Pages: n/op.PageSize + 1, Context: n}
			machine, err := engine.Place(t.Context(), m, ref.New(), caps, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			logits, drafts := score(t, machine, ids)
			compare(t, "after the prompt", logits[len(e.Prompt)-1], e.First)
			compare(t, "after the continuation", logits[n-1], e.Last)
			for i, want := range e.Continuation {
				if got := argmax(logits[len(e.Prompt)-1+i]); got != want {
					t.Errorf("token %d: %d, not %d", i, got, want)
				}
			}
			for i, want := range e.Drafts {
				if got := argmax(drafts[len(e.Prompt)-1+i]); got != want {
					t.Errorf("draft %d: %d, not %d", i, got, want)
				}
			}
		})
	}
}

// TestFast bounds how far fast numerics are from float32 on a model that means something: the rounding of activations to 8
// bits moves logits a little, and hardly ever the best one.
func TestFast(t *testing.T) {
	m, err := deepseek.Load(open(t), deepseek.Fast, deepseek.Quirks{})
	if err != nil {
		t.Fatal(err)
	}
	tiers := kernel.Tiers()
	for _, e := range expected(t) {
		ids := slices.Concat(e.Prompt, e.Continuation)
		d, err := cpu.New(cpu.Options{Tier: tiers[len(tiers)-1], Fast: true})
		if err != nil {
			t.Fatal(err)
		}
		machine, err := engine.Place(t.Context(), m, d, op.Caps{Rows: 64, Slots: 1, Pages: 2, Context: len(ids)}, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		logits, _ := score(t, machine, ids)
		machine.Close()
		other := 0
		for i, want := range e.Continuation {
			if argmax(logits[len(e.Prompt)-1+i]) != want {
				other++
			}
		}
		largest, mean := 0.0, 0.0
		for i, v := range e.Last {
			d := math.Abs(float64(logits[len(ids)-1][i] - v))
			largest, mean = math.Max(largest, d), mean+d/float64(len(e.Last))
		}
		t.Logf("%s: %d of 64 tokens differ; last logits: largest difference %.2g, mean %.2g", e.Name, other, largest, mean)
		if other > 2 || largest > 0.3 || mean > 0.06 {
			t.Errorf("%s: %d of 64 tokens differ; last logits: largest difference %g, mean %g", e.Name, other, largest, mean)
		}
	}
}

// score returns the logits of every position, and those of the draft block.
func score(t *testing.T, m *engine.Machine, ids []int32) (logits, drafts [][]float32) {
	err := m.Score(t.Context(), engine.Scoring{IDs: ids, Chunk: m.Caps.Rows, Draft: true}, func(r engine.Result, _ int, data []byte) error {
		for ; len(data) > 0; data = data[4*r.Width:] {
			row := make([]float32, r.Width)
			for i := range row {
				row[i] = math.Float32frombits(uint32(data[4*i]) | uint32(data[4*i+1])<<8 | uint32(data[4*i+2])<<16 | uint32(data[4*i+3])<<24)
			}
			if r.Name == deepseek.LogitsName {
				logits = append(logits, row)
			} else {
				drafts = append(drafts, row)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return logits, drafts
}

func compare(t *testing.T, where string, got, want []float32) {
	largest := 0.0
	for i, v := range want {
		largest = math.Max(largest, math.Abs(float64(got[i]-v)))
	}
	t.Logf("%s: largest difference %.2g", where, largest)
	if largest > 1e-3 {
		t.Errorf("%s: largest difference %g", where, largest)
	}
}

func argmax(x []float32) int32 { return int32(slices.Index(x, slices.Max(x))) }
