package qualify

import (
	"slices"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// longPositions are ops near position 2^20 over memories that are drawn, not computed: the whole of a compressed context,
// selections out of a quarter million entries, and what was selected.
func (q *suite) longPositions() error {
	return q.tryAll("long", slices.Values([]*scene{longSelect(q.Seed), longAttend(q.Seed, 128, 0), longAttend(q.Seed, 4, 512), largePool(q.Seed)}))
}

const million = 1 << 20

func longSelect(seed uint64) *scene {
	const heads, width, ratio, k, pages = 2, 32, 4, 512, 1 << 10
	s := newScene(seed, "select", "512 of 262144 entries", op.Caps{Rows: 2, Slots: 2, Pages: pages, Context: million})
	q, w := s.in("q", heads*width), s.in("w", heads)
	keys := s.Pages("keys", keyRow(width, true), op.PageSize/ratio)
	s.Add(op.Select{Q: q, W: w, Slot: op.Slot, Position: op.Position, Keys: op.In(keys), Ids: s.idsOut("ids", k), Ratio: ratio, Scale: 0.125})
	for i, position := range []int{million - 1, 40000, million - 6} {
		r := s.round(sequenceRows(int32(i%2), position, 1), s.manyPages())
		r.data["keys"] = s.memory("keys", 0, s.small)
		r.exact = true
		r.floats("q", integers(s.rng, heads*width, 1))
		r.floats("w", []float32{1, float32(1 - i)}) // the last run has thousands of entries with equal scores
	}
	return s
}

func longAttend(seed uint64, ratio, k int) *scene {
	const heads = 2
	row := quant.Row{Width: 64, Kind: quant.KindE4M3, Group: 64, Quantised: 32, Tail: quant.KindF32}
	s := newScene(seed, "attend", describe("a million positions, ratio", ratio, "of", k), op.Caps{Rows: 3, Slots: 2, Pages: 200, Context: million})
	a := attention{row: row, heads: heads, span: 128, ratio: ratio, k: k}
	o := op.Attend{Q: s.in("q", heads*row.Width), Slot: op.Slot, Position: op.Position, Window: op.In(s.Ring("window", row, a.span+2)),
		Compressed: op.In(s.Pages("pages", row, op.PageSize/ratio)), Sink: s.vector("sink", []float32{1, -3}), Span: a.span, Ratio: ratio, Scale: 0.125}
	if k != 0 {
		o.Ids = s.idsIn("ids", k)
	}
	o.Y = s.out("y", heads*row.Width)
	s.Add(o)
	for i, position := range []int{million - 2, 65534, 300000} {
		s.looking(s.round(sequenceRows(int32(i%2), position, 2), s.manyPages()), a, i)
	}
	return s
}

// largePool has more pages than 16 bits count; a row is stored in the last of them and attended to.
func largePool(seed uint64) *scene {
	const pages, heads = 70001, 2
	row := quant.Row{Width: 32, Tail: quant.KindF32}
	s := newScene(seed, "attend", describe("a pool of", pages, "pages"), op.Caps{Rows: 3, Slots: 1, Pages: pages, Context: 1024})
	windows := s.Windows(op.PageSize)
	pool := s.Pages("pages", row, 1)
	x := s.IO("x", windows.Dim, row.Width)
	s.Add(op.Store{X: op.In(x), Slot: windows.Slot, Entry: windows.Start, S: op.InOut(pool), Divide: op.PageSize})
	s.Add(op.Attend{Q: s.in("q", heads*row.Width), Slot: op.Slot, Position: op.Position, Window: op.In(s.Ring("window", row, 10)),
		Compressed: op.In(pool), Sink: s.vector("sink", []float32{1, -3}), Y: s.out("y", heads*row.Width), Span: 8, Ratio: op.PageSize, Scale: 0.2})
	for _, start := range []int{382, 126} {
		r := s.round(sequenceRows(0, start, 3), [][]int32{{pages - 1, 65536, pages - 2, 32768}})
		r.data["pages"], r.data["window"] = s.memory("pages", 0, s.any), s.memory("window", 0, s.any)
		r.floats("x", normal(s.rng, row.Width))
		r.floats("q", normal(s.rng, 3*heads*row.Width))
	}
	return s
}
