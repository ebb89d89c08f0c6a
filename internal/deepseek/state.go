package deepseek

import (
	"strings"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// What one sequence remembers (model spec 12.1), for each layer:
//
//   - the window: a ring of key-value rows by position;
//   - with compression, the frontier: rings of the compressor's values and scores by position, from which windows are
//     pooled when they are complete;
//   - with compression, key-value rows of completed windows, and with an indexer its keys and its own frontier.
//
// Rings hold what the next position needs plus one chunk, so that a run writes ahead without harm: its rows are pending
// until the sequence's length moves over them, and until then every row that the old length needs is still there. All
// addresses come from positions. So nothing is reset when a slot changes hands, and to roll back is not to move the
// length.

// kvGroup is how many channels of a key-value row share a scale.
const kvGroup = 64

// kvRow is how a key-value row is packed: the channels that do not rotate as E4M3, the rest as it is.
func (m *Model) kvRow() quant.Row {
	row := quant.Row{Width: m.Config.HeadDim, Tail: quant.KindF32}
	if m.quantisesKV() {
		row.Kind, row.Group, row.Quantised = quant.KindE4M3, kvGroup, m.Config.HeadDim-m.Config.RopeDim
	}
	if m.Numerics == Fast {
		row.Tail = quant.KindBF16
	}
	return row
}

// indexRow is how an index key is packed.
func (m *Model) indexRow() quant.Row {
	row := quant.Row{Width: m.Config.IndexDim, Tail: quant.KindF32}
	if m.Numerics != Wide {
		row.Kind, row.Group, row.Quantised = quant.KindE2M1, indexGroup, m.Config.IndexDim
	}
	return row
}

func (m *Model) quantisesKV() bool {
	return m.Numerics != Wide && !m.Quirks.NoActRound && m.Config.HeadDim > m.Config.RopeDim
}

// quantiseKV rounds the channels that do not rotate, before the row is used or stored.
func (r recorder) quantiseKV(x op.In) {
	if r.quantisesKV() {
		d := r.Config.HeadDim
		r.b.Add(op.Quantise{X: x, Y: op.Out(x), Kind: quant.KindE4M3, Width: d, Channels: d - r.Config.RopeDim, Group: kvGroup})
	}
}

// ring names state of each slot that holds the given number of rows behind a chunk.
func (r recorder) ring(name string, row quant.Row, behind int) op.ID {
	return r.b.Ring(r.prefix+name, row, behind+max(r.chunk, r.b.Program().Caps.Rows))
}

// windowSuffix ends the names of rings of key-value rows.
const windowSuffix = ".window"

// StateSize is what sequences remember, in bytes.
type StateSize struct {
	PerToken float64 // in pages, for each position
	Slot     int64   // windows and frontiers of a sequence
	Windows  int64   // of Slot, the windows of key-value rows
}

// StateSize adds up the state of a program. At a capacity of one row a slot is what a sequence needs between runs; more rows
// add room for a chunk.
func (m *Model) StateSize(p *op.Program) StateSize {
	var s StateSize
	for _, b := range p.Buffers {
		switch {
		case b.Space != op.State:
		case b.PerPage > 0:
			s.PerToken += float64(b.PerPage*b.Row.Bytes()) / op.PageSize
		default:
			n := int64(b.Ring) * int64(b.Row.Bytes())
			s.Slot += n
			if strings.HasSuffix(b.Name, windowSuffix) {
				s.Windows += n
			}
		}
	}
	return s
}
