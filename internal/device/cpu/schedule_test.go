package cpu

import (
	"slices"
	"testing"

	"baleen/internal/deepseek"
	"baleen/internal/op"
)

// programs are those of a release, fused and in parts.
func programs(t *testing.T) []*op.Program {
	t.Helper()
	text, _ := deepseek.ReleasedConfig("v4-flash")
	c, err := deepseek.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	var list []*op.Program
	for _, n := range []deepseek.Numerics{deepseek.Reference} {
		m := &deepseek.Model{Config: c, Weights: c.Layout(), Numerics: n}
		caps := op.Caps{Rows: 8, Slots: 2, Pages: 4, Context: 256}
		forward := m.Forward(caps)
		list = append(list, forward, forward.Lower(func(op.Op) bool { return false }), m.Draft(caps))
	}
	return list
}

// TestSchedule: every op runs once, after all that it depends on.
func TestSchedule(t *testing.T) {
	for _, p := range programs(t) {
		phases := schedule(p)
		when := make([]int, len(p.Ops))
		seen := 0
		for n, ph := range phases {
			for _, i := range ph.ops() {
				when[i] = n
				seen++
			}
		}
		if seen != len(p.Ops) {
			t.Errorf("%s: %d of %d ops are scheduled", p.Name, seen, len(p.Ops))
		}
		for i, before := range dependencies(p) {
			for _, b := range before {
				if when[b] < when[i] {
					continue
				}
				dim, rows := rowDim(p, p.Ops[i])
				within, _ := rowDim(p, p.Ops[b])
				chain := phases[when[i]].rows[dim]
				if !rows || when[b] > when[i] || within != dim || !sameRow(p.Ops[i]) || slices.Index(chain, b) > slices.Index(chain, i) {
					t.Errorf("%s: op %d, %s, does not wait for op %d, %s", p.Name, i, op.KindOf(p.Ops[i]), b, op.KindOf(p.Ops[b]))
				}
			}
		}
		t.Logf("%s: %d ops in %d phases", p.Name, len(p.Ops), len(phases))
	}
}

// TestLayOut: what lives at the same time does not lie in the same place.
func TestLayOut(t *testing.T) {
	for _, p := range programs(t) {
		phases := schedule(p)
		places, total := layOut(p, phases)
		first, last := lives(p, phases)
		sum := int64(0)
		for a, pa := range places {
			sum += pa.bytes
			if pa.offset%64 != 0 || pa.offset+pa.bytes > total {
				t.Errorf("%s: %s lies at %d", p.Name, p.Buffers[a].Name, pa.offset)
			}
			for b := range places[:a] {
				pb := places[b]
				apart := pa.offset+pa.bytes <= pb.offset || pb.offset+pb.bytes <= pa.offset
				if pa.bytes > 0 && pb.bytes > 0 && !apart && first[a] <= last[b] && first[b] <= last[a] {
					t.Errorf("%s: %s and %s share memory", p.Name, p.Buffers[a].Name, p.Buffers[b].Name)
				}
			}
		}
		if total*3 > sum {
			t.Errorf("%s: %d bytes for %d: memory is not used again", p.Name, total, sum)
		}
	}
}
