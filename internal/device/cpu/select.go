package cpu

import (
	"math"

	"baleen/internal/device/cpu/kernel"
	"baleen/internal/op"
	"baleen/internal/quant"
)

const (
	// fewRows is up to how many rows share the scoring of each: with more of them every row is a task.
	fewRows = 16

	scoreEntries = 1024 // entries that a task scores
)

// indexer scores compressed entries.
type indexer struct {
	q, w, slot, position, keys op.In
	ratio                      int
	scale                      float32
}

// score scores the entries [from, to) of a row, page by page.
func (x *indexer) score(e *executable, s *scratch, scores []float32, row, from, to int) {
	q, w := e.f32(op.ID(x.q), row), e.f32(op.ID(x.w), row)
	b := &e.Buffers[x.keys]
	slot := e.table(x.slot)[row]
	packed := b.Row == indexRow && e.device.kernel.SetIndexQuery(s.query, q, w)
	for from < to {
		n := min(to-from, b.PerPage-from%b.PerPage)
		keys := e.entries(op.ID(x.keys), slot, from, n*e.rowBytes[x.keys])
		if packed {
			e.device.kernel.IndexScores(scores[:n], s.query, keys, x.scale)
		} else { // any other packing, decoded
			e.device.kernel.DecodeRows(b.Row, s.keys, keys, n)
			s.heads = kernel.Heads{Heads: len(w), Width: b.Row.Width, Scale: x.scale}
			e.device.kernel.WideIndexScores(&s.heads, scores[:n], q, w, s.keys, s.floats)
		}
		scores, from = scores[n:], from+n
	}
}

// indexRow is the packing that kernels score as it is.
var indexRow = quant.Row{Width: 128, Kind: quant.KindE2M1, Group: 32, Quantised: 128}

func (x *indexer) visible(e *executable, row int) int {
	return op.Visible(int(e.table(x.position)[row]), x.ratio)
}

// selectEntries is the two stages of a selection: scores of few rows by pieces, then the largest of each row.
func (e *executable) selectEntries(o op.Select) ([]part, error) {
	x := &indexer{o.Q, o.W, o.Slot, o.Position, o.Keys, o.Ratio, float32(o.Scale)}
	most := max(1, e.Caps.Context/o.Ratio)
	pieces := (most + scoreEntries - 1) / scoreEntries
	if err := e.sharedScores.grow(e.device, int64(4*most*min(fewRows, e.Caps.Rows))); err != nil {
		return nil, err
	}
	few := func(e *executable) bool { return e.rows(op.ID(o.Ids)) <= fewRows }
	scores := func(e *executable, s *scratch, row int) []float32 {
		if few(e) {
			return e.sharedScores.floats()[row*most:][:x.visible(e, row)]
		}
		return s.scores[:x.visible(e, row)]
	}
	return []part{
		{
			tasks: func(e *executable) int {
				if !few(e) {
					return 0
				}
				return e.rows(op.ID(o.Ids)) * pieces
			},
			do: func(e *executable, s *scratch, task int) {
				row, from := task/pieces, task%pieces*scoreEntries
				if to := min(from+scoreEntries, x.visible(e, row)); from < to {
					x.score(e, s, scores(e, s, row)[from:], row, from, to)
				}
			},
		},
		{
			tasks: func(e *executable) int { return e.rows(op.ID(o.Ids)) },
			do: func(e *executable, s *scratch, row int) {
				all := scores(e, s, row)
				if !few(e) {
					x.score(e, s, all, row, 0, len(all))
				}
				if !e.device.kernel.TopK(e.ids(op.ID(o.Ids), row), all, true, s.picks) {
					e.fail("NaN in the scores of %s, row %d: a weight is damaged, or numbers overflow", e.Buffers[o.Ids].Name, row)
				}
			},
		},
	}, nil
}

// indexScore is the scores by themselves, for traces.
func (e *executable) indexScore(o op.IndexScore) part {
	x := &indexer{o.Q, o.W, o.Slot, o.Position, o.Keys, o.Ratio, float32(o.Scale)}
	return part{
		tasks: func(e *executable) int { return e.rows(op.ID(o.Scores)) },
		do: func(e *executable, s *scratch, row int) {
			scores := e.f32(op.ID(o.Scores), row)
			n := x.visible(e, row)
			x.score(e, s, scores, row, 0, n)
			for c := n; c < len(scores); c++ {
				scores[c] = float32(math.Inf(-1))
			}
		},
	}
}
