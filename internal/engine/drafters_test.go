package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"baleen/internal/deepseek"
	"baleen/internal/op"
	"baleen/internal/quant"
	"baleen/internal/token"
)

// steady is a clock by which every batch takes as long, however many rows it has, and drafting no time: all guesses that there
// is room for are worth it, but in runs that go without.
func steady() func() time.Time {
	now, n := time.Unix(0, 0), 0
	return func() time.Time {
		if n++; n%4 == 2 { // the model has run
			now = now.Add(time.Millisecond)
		}
		return now
	}
}

// jittery is a clock that makes no sense: drafts are short and long, and the drafter rests and wakes.
func jittery(r *rand.Rand) func() time.Time {
	now := time.Unix(0, 0)
	return func() time.Time {
		now = now.Add(time.Duration(r.ExpFloat64() * 1e6))
		return now
	}
}

// startTimed starts an engine that times its runs with a clock.
func startTimed(m *Machine, t *token.Tokenizer, o Options, clock func() time.Time) *Engine {
	e := newEngine(m, t, o)
	e.clock = clock
	e.begin()
	return e
}

// randomise fills weights whose name begins so.
func randomise(w *deepseek.Weights, prefix string, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 40))
	for weight := range w.All() {
		if !strings.HasPrefix(weight.Name, prefix) {
			continue
		}
		weight.Data, weight.Scale = nil, nil
		for range weight.Parts {
			n, scales := weight.Format.Size(weight.Rows, weight.Cols)
			data, scale := make([]byte, n), make([]byte, scales)
			fillRandom(r, weight, data)
			for i := range scale {
				scale[i] = byte(119 + r.IntN(3))
			}
			weight.Data = append(weight.Data, deepseek.Span{From: bytes.NewReader(data), Length: n})
			if scales > 0 {
				weight.Scale = append(weight.Scale, deepseek.Span{From: bytes.NewReader(scale), Length: scales})
			}
		}
	}
}

func fillRandom(r *rand.Rand, w *deepseek.Weight, data []byte) {
	draw := func() float32 { return float32(r.NormFloat64() / math.Sqrt(float64(w.Cols))) }
	for i := range data {
		switch w.Format.Kind {
		case quant.KindI64:
			if i%8 == 0 {
				data[i] = byte(i / 8 % 2) // of two experts each once
			}
		case quant.KindF32:
			if i%4 == 0 {
				binary.LittleEndian.PutUint32(data[i:], math.Float32bits(draw()))
			}
		case quant.KindBF16:
			if i%2 == 0 {
				binary.LittleEndian.PutUint16(data[i:], quant.ToBF16(draw()+float32(1-min(1, w.Rows-1)))) // norms are about 1
			}
		case quant.KindE4M3:
			data[i] = quant.ToE4M3(float32(r.NormFloat64() * 8))
		default:
			data[i] = byte(r.Uint32())
		}
	}
}

// dsparkModel is a tiny model with a DSpark drafter and random weights.
func dsparkModel(t *testing.T) *deepseek.Model {
	t.Helper()
	text, err := os.ReadFile("testdata/dspark.json")
	if err != nil {
		t.Fatal(err)
	}
	c, err := deepseek.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	m := &deepseek.Model{Config: c, Weights: c.Layout(), Numerics: deepseek.Reference}
	randomise(m.Weights, "", 7)
	return m
}

// dsparkAsks are requests to it. Half of them choose among few tokens, so that guesses often stand.
func dsparkAsks() (list []ask) {
	r := rand.New(rand.NewPCG(41, 42))
	shared := make([]int32, 300)
	for i := range shared {
		shared[i] = r.Int32N(300)
	}
	for i, n := range []int{3, 127, 128, 129, 200, 257, 300, 20} {
		set := Sampling{Temperature: 0.8, TopP: 0.95, Seed: uint64(i), LogProbs: true, TopLogProbs: 2}
		if i%2 == 0 {
			set.LogitBias = map[int32]float32{3: 30, 4: 30, 5: 30}
		}
		if i%3 == 0 {
			set.Temperature = 0
		}
		list = append(list, ask{shared[:n], Limits{MaxTokens: 20 + 15*i, StopIDs: []int32{250}, Sampling: set}})
	}
	return list
}

// oracle knows all answers and guesses them; where it has no texts, it guesses the same token always.
type oracle struct {
	engine *Engine
	texts  [][]int32 // prompts with their answers
}

func (*oracle) places() int { return 5 }

func (o *oracle) draft(rows []op.Row, starts []beginning, _ func(i, place int, logits []float32) int32) (drafts [][]int32, scores [][]float32, err error) {
	for _, s := range starts {
		draft := slices.Repeat([]int32{7}, s.most)
		at := int(rows[s.row].Position) + 2 // behind what is known
		q := o.engine.scheduler.running[slices.IndexFunc(o.engine.scheduler.running, func(q *sequence) bool { return q.slot == rows[s.row].Slot })]
		for _, text := range o.texts {
			if len(text) > at && text[at-1] == rows[s.row].Token && slices.Equal(text[:len(q.tokens)], q.tokens) {
				draft = slices.Clone(text[at:min(at+s.most, len(text))])
				break
			}
		}
		drafts = append(drafts, draft)
	}
	return drafts, nil, nil
}

// TestDraftsRestored: a drafter whose state was taken out at a position, and put into another slot of another machine, drafts the
// same, with the same scores, as the one that was never interrupted; and not the same from another sequence's state.
func TestDraftsRestored(t *testing.T) {
	r := rand.New(rand.NewPCG(46, 47))
	ids := make([]int32, 200)
	for i := range ids {
		ids[i] = r.Int32N(300)
	}
	for _, c := range []struct {
		name  string
		model *deepseek.Model
	}{{"mtp", demoModel(t)}, {"dspark", dsparkModel(t)}} {
		t.Run(c.name, func(t *testing.T) {
			caps := op.Caps{Rows: 48, Slots: 3, Pages: 9, Context: 400}
			machine := func() *Machine { return placeModel(t, c.model, newCPU(t, 1), caps) }
			a := feeder{machine(), 1, []int32{4, 2}}
			a.see(t, ids, 0, 128)
			pages, checkpoint := a.take(t, 128)
			var want []string
			for _, to := range []int{130, 170} {
				want = append(want, a.see(t, ids, 128, to))
			}
			b := feeder{machine(), 2, []int32{8, 0}}
			b.see(t, ids[17:], 0, 40)
			b.put(t, pages, checkpoint)
			for i, to := range []int{130, 170} {
				if got := b.see(t, ids, 128, to); got != want[i] {
					t.Errorf("to %d: %s, not %s", to, got, want[i])
				}
			}
			clear(checkpoint)
			b.put(t, pages, checkpoint)
			if b.see(t, ids, 128, 130) == want[0] {
				t.Error("the same from an empty checkpoint")
			}
		})
	}
}

// see runs tokens and shows what is drafted behind the last: guesses, scores, and the logits that they were chosen from.
func (f feeder) see(t *testing.T, ids []int32, from, to int) string {
	t.Helper()
	pages := make([][]int32, f.slot+1)
	pages[f.slot] = f.pages
	text := ""
	for at := from; at < to; at += 48 {
		rows := slotRows(f.slot, at, min(at+48, to))
		for i := range rows {
			rows[i].Token = ids[rows[i].Position]
		}
		if err := f.Forward(rows, pages); err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			rows[i].Token = ids[rows[i].Position+1]
		}
		sum := 0.0
		drafts, scores, err := f.drafter.draft(rows, []beginning{{len(rows) - 1, 4}}, func(_, place int, logits []float32) int32 {
			for i, x := range logits {
				sum += float64(x) * float64(i+1) * float64(place+1)
			}
			return argmax(logits)
		})
		if err != nil {
			t.Fatal(err)
		}
		text = fmt.Sprint(drafts, scores, sum)
	}
	return text
}
