package qualify

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/demo"
	"baleen/internal/op"
)

// expected.json is from internal/demo/testdata, shortened: what two independent references give in float32, from the
// checkpoint alone.
//
//go:embed expected.json
var expectedJSON []byte

// expectation is one prompt of it.
type expectation struct {
	Name         string
	Prompt       []int32   `json:"prompt_ids"`
	Continuation []int32   `json:"continuation_ids"`
	Drafts       []int32   `json:"mtp_draft_ids"`
	First        []float32 `json:"logits_after_prompt"`
	Last         []float32 `json:"logits_after_continuation"`
}

func expectations() ([]expectation, error) {
	var file struct{ Prompts []expectation }
	err := json.Unmarshal(expectedJSON, &file)
	return file.Prompts, err
}

// models looks at the demo op by op and whole, and at the model that was named op by op.
func (q *suite) models() error {
	c, err := checkpoint.OpenFS(demo.Files())
	if err != nil {
		return err
	}
	defer c.Close()
	for _, n := range walked {
		m, err := deepseek.Load(c, n, deepseek.Quirks{})
		if err != nil {
			return err
		}
		if err := q.walk(q.device, newSubject("demo", m), turns(m), q.excerpts(m.Config.Vocab, false)); err != nil {
			return err
		}
	}
	wide, err := deepseek.Load(c, deepseek.Wide, deepseek.Quirks{})
	if err != nil {
		return err
	}
	if err := q.golden(newSubject("demo", wide)); err != nil {
		return err
	}
	for _, n := range q.inCompany() {
		m, err := deepseek.Load(c, n, deepseek.Quirks{})
		if err != nil {
			return err
		}
		if err := q.histories(newSubject("demo", m)); err != nil {
			return err
		}
	}
	if err := q.blockDrafter(); err != nil {
		return err
	}
	return q.theModel()
}

// inCompany are the numerics in which histories are run: all that the device has, but not wide at the gate, whose rings and
// pages are those of reference.
func (q *suite) inCompany() []deepseek.Numerics {
	list := []deepseek.Numerics{deepseek.Reference}
	if q.device.Info().Name != "ref" {
		list = append(list, deepseek.Fast)
	}
	if q.Tier > Gate {
		list = append(list, deepseek.Wide)
	}
	return list
}

// walked are the numerics in which models are walked through.
var walked = []deepseek.Numerics{deepseek.Reference, deepseek.Wide}

// theModel walks through the model that was named, each time on a device of its own: it may fill the memory.
func (q *suite) theModel() error {
	if q.Model == nil {
		return nil
	}
	for _, n := range walked {
		m, err := deepseek.Load(q.Model, n, deepseek.Quirks{})
		if err != nil {
			return err
		}
		d, err := q.Open(0)
		if err != nil {
			return err
		}
		backbone, _ := m.Weights.Bytes()
		err = q.walk(d, newSubject("the model", m), turns(m), q.excerpts(m.Config.Vocab, backbone > 1<<28))
		d.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// golden runs the demo's prompts in wide: its greedy tokens, drafts and logits must be those of the references.
func (q *suite) golden(s *subject) error {
	list, err := expectations()
	if err != nil {
		return err
	}
	if q.Tier == Gate {
		list = list[1:] // one of the two short ones will do
	}
	m, err := newMachine(q.device, s, op.Caps{Rows: 64, Slots: 1, Pages: 2, Context: 256})
	if err != nil {
		return q.record(Check{Level: "model", Op: "golden", Shape: s.name, Numerics: "wide"}, time.Now(), broken(err))
	}
	for _, e := range list {
		began := time.Now()
		d := e.compare(m)
		if err := q.record(Check{Level: "model", Op: "golden", Shape: e.Name, Numerics: "wide"}, began, d); err != nil {
			return err
		}
	}
	return nil
}

func (e expectation) compare(m *machine) (worst deviation) {
	h := history{ids: slices.Concat(e.Prompt, e.Continuation), pages: []int32{1, 0}}
	if err := m.play([]*history{&h}, func(int, int) int { return 64 }); err != nil {
		return broken(err)
	}
	n, first := len(h.ids), len(e.Prompt)-1
	worst = near("after the prompt", h.logits[first], e.First).worse(near("after the continuation", h.logits[n-1], e.Last))
	for i, want := range e.Continuation {
		if got := argmax(h.logits[first+i]); got != want {
			return deviation{1, 0, fmt.Sprintf("token %d: %d, not %d", i, got, want)}
		}
	}
	for i, want := range e.Drafts {
		if got := argmax(h.drafts[first+i]); got != want {
			return deviation{1, 0, fmt.Sprintf("draft %d: %d, not %d", i, got, want)}
		}
	}
	return worst
}

// near compares logits: sound float32 arithmetic stays 100 times nearer than this (study/bug-corpus, 1.1).
func near(what string, got, want []float32) deviation {
	most := 0.0
	for _, x := range want {
		most = max(most, math.Abs(float64(x)))
	}
	bounds := make([]float64, len(want))
	for i := range bounds {
		bounds[i] = most * 0x1p-14
	}
	return within(what, len(want), got, want, bounds)
}

func argmax(x []float32) int32 { return int32(slices.Index(x, slices.Max(x))) }
