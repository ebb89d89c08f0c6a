package deepseek_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/op"
)

// TestDraftNext: a draft goes on as if the block's own streams were those of the main model, for several sequences at once,
// from the rows that wanted logits, again and again. Every bit is the same.
func TestDraftNext(t *testing.T) {
	eachDevice(t, func(t *testing.T, d device.Device) {
		m := loadModel(t, goldens(t, "block-a/fp8fp4"), deepseek.Reference, deepseek.Quirks{})
		caps := op.Caps{Rows: 24, Slots: 2, Pages: 4, Context: 128}
		s := placePrograms(t, d, m, caps.Slots, stored, m.Forward(caps), m.Draft(caps), m.DraftNext(caps))
		forward, draft, next := s.programs[0], s.programs[1], s.programs[2]
		rng := rand.New(rand.NewPCG(3, 9))
		var rows []op.Row
		for i := range 24 {
			rows = append(rows, op.Row{Token: rng.Int32N(384), Slot: int32(i % 2), Position: int32(i / 2)})
		}
		s.run(forward, rows)
		rows[20].Logits, rows[23].Logits = true, true // the last of a sequence, and one of which a row falls
		s.run(draft, rows)
		width := m.Config.Streams * m.Config.Hidden
		ahead := []op.Row{rows[20], rows[23]}
		for step := range 3 {
			for i := range ahead {
				ahead[i].Position++
				ahead[i].Token = rng.Int32N(384)
			}
			streams := s.read(draft, "mtp_streams", 2)
			s.run(next, ahead)
			got, after := s.read(next, deepseek.DraftLogitsName, 2), s.read(next, "mtp_streams", 2)
			data := make([]byte, 4*24*width)
			encodeFloats(data, streams)
			source := device.Source{Name: "streams", Data: device.Span{From: bytes.NewReader(data), Length: int64(len(data))}}
			check(t, d.Upload(s.buffers[m.StreamsName()], []device.Source{source}))
			s.run(draft, ahead)
			if want := s.read(draft, deepseek.DraftLogitsName, 2); !slices.Equal(got, want) {
				t.Errorf("step %d: other logits", step)
			}
			if want := s.read(draft, "mtp_streams", 2); !slices.Equal(after, want) || slices.Equal(after, streams) {
				t.Errorf("step %d: other streams", step)
			}
		}
	})
}

// TestWithoutDrafter: of either kind nothing is left, the rest is the same, and the model itself keeps it.
func TestWithoutDrafter(t *testing.T) {
	caps := op.Caps{Rows: 8, Slots: 1, Pages: 1, Context: 128}
	for name, m := range map[string]*deepseek.Model{
		"mtp": loadModel(t, goldens(t, "block-a/fp8fp4"), deepseek.Reference, deepseek.Quirks{}), "dspark": released(t, "v4-flash-0731", deepseek.Fast),
	} {
		backbone, drafter := m.Weights.Bytes()
		without := m.WithoutDrafter()
		rest, none := without.Weights.Bytes()
		if drafter == 0 || rest != backbone || none != 0 {
			t.Errorf("%s: %d and %d bytes, of %d and %d", name, rest, none, backbone, drafter)
		}
		for _, p := range []*op.Program{without.Draft(caps), without.DraftNext(caps), without.DraftContext(caps), without.DraftBlock(caps, 8), without.DraftChain(caps, 8)} {
			if p != nil {
				t.Errorf("%s: %s is recorded", name, p.Name)
			}
		}
		if m.Draft(caps) == nil && m.DraftContext(caps) == nil {
			t.Errorf("%s: the model has lost its drafter", name)
		}
	}
}
