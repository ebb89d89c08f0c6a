package engine

import (
	"context"
	"fmt"

	"baleen/internal/deepseek"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// Scoring is one sequence that is run for what the model gives at every position, not for its continuation.
type Scoring struct {
	IDs   []int32
	Chunk int  // rows in a run, at most the machine's capacity; 1 is decoding
	Draft bool // run the draft block, too
}

// Result describes one tensor that a scoring gives.
type Result struct {
	Name  string
	Kind  quant.Kind // f32 or i32
	Rows  int
	Width int     // numbers of a row
	Shape []int64 // the same, with the axes of the goldens

	program *program
	id      op.ID
}

// Results lists what a scoring gives: logits, draft logits if they are wanted, and what a trace holds if the machine was
// placed for one.
func (m *Machine) Results(s Scoring) []Result {
	list := m.results(m.forward, len(s.IDs))
	if s.Draft {
		list = append(list, m.results(m.draft, max(len(s.IDs)-1, 0))...)
	}
	return list
}

func (m *Machine) results(p *program, n int) []Result {
	var list []Result
	for i, b := range p.Buffers {
		logits := b.Name == deepseek.LogitsName || b.Name == deepseek.DraftLogitsName
		if b.Space != op.IO || !logits && !(m.trace && deepseek.Traced(b.Name) && p.writes(op.ID(i))) {
			continue
		}
		r := Result{Name: b.Name, Kind: b.Kind, Rows: n, Width: b.Cols, program: p, id: op.ID(i)}
		if ratio := p.Dims[b.Dim].Ratio; ratio > 0 {
			r.Rows = n / ratio
		}
		if ratio := p.scoresOf(r.id); ratio > 0 {
			r.Width = n / ratio // the buffer is as wide as the context may be
		}
		r.Shape = m.Model.Config.TraceShape(r.Name, r.Rows, r.Width)
		list = append(list, r)
	}
	return list
}

func (p *program) writes(id op.ID) bool {
	for _, o := range p.Ops {
		for _, operand := range op.Operands(o) {
			if operand.ID == id && operand.Writes {
				return true
			}
		}
	}
	return false
}

// scoresOf returns the ratio of the entries that a buffer holds the index scores of, or 0.
func (p *program) scoresOf(id op.ID) int {
	for _, o := range p.Ops {
		if score, ok := o.(op.IndexScore); ok && op.ID(score.Scores) == id {
			return score.Ratio
		}
	}
	return 0
}

// Score runs a sequence from its beginning in slot 0 and hands out what Results lists, in pieces: rows of a result from
// first on, as little-endian numbers of four bytes. They are valid until emit returns.
func (m *Machine) Score(ctx context.Context, s Scoring, emit func(r Result, first int, data []byte) error) error {
	if len(s.IDs) == 0 {
		return fmt.Errorf("nothing to run: no token ids: give at least one")
	}
	if s.Chunk < 1 || s.Chunk > m.Caps.Rows {
		return fmt.Errorf("bad chunk: %d rows: give 1 to %d", s.Chunk, m.Caps.Rows)
	}
	results := m.Results(s)
	pages := [][]int32{make([]int32, len(s.IDs)/op.PageSize+1)}
	for i := range pages[0] {
		pages[0][i] = int32(i)
	}
	for begin := 0; begin < len(s.IDs); begin += s.Chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(begin+s.Chunk, len(s.IDs))
		if err := m.Forward(scoreRows(s.IDs[begin:end], begin), pages); err != nil {
			return err
		}
		if err := m.emit(m.forward, results, begin, end, emit); err != nil {
			return err
		}
		next := s.IDs[begin+1 : min(end+1, len(s.IDs))]
		if !s.Draft || len(next) == 0 {
			continue
		}
		if err := m.Draft(scoreRows(next, begin), pages); err != nil {
			return err
		}
		if err := m.emit(m.draft, results, begin, begin+len(next), emit); err != nil {
			return err
		}
	}
	return nil
}

func scoreRows(ids []int32, position int) []op.Row {
	rows := make([]op.Row, len(ids))
	for i, id := range ids {
		rows[i] = op.Row{Token: id, Position: int32(position + i), Logits: true}
	}
	return rows
}

// emitBytes is about how much is downloaded at a time.
const emitBytes = 1 << 22

// emit hands out what a run over positions [begin, end) gave.
func (m *Machine) emit(p *program, results []Result, begin, end int, emit func(r Result, first int, data []byte) error) error {
	for _, r := range results {
		if r.program != p || r.Width == 0 {
			continue
		}
		b := p.Buffer(r.id)
		first, last := begin, end
		if ratio := p.Dims[b.Dim].Ratio; ratio > 0 {
			first, last = begin/ratio, end/ratio
		}
		for at := first; at < last; {
			n := min(last-at, max(1, emitBytes/(4*b.Cols)))
			data := make([]byte, 4*n*b.Cols)
			if err := m.device.Download(m.buffers[r.Name], 4*int64(at-first)*int64(b.Cols), data); err != nil {
				return err
			}
			if err := emit(r, at, narrow(data, 4*b.Cols, 4*r.Width)); err != nil {
				return err
			}
			at += n
		}
	}
	return nil
}

// narrow cuts rows of bytes down to a width, in place.
func narrow(data []byte, from, to int) []byte {
	if from == to {
		return data
	}
	n := len(data) / from
	for i := range n {
		copy(data[i*to:(i+1)*to], data[i*from:])
	}
	return data[:n*to]
}
