package cpu

import "baleen/internal/op"

func (e *executable) store(o op.Store) rowFunc {
	row := e.Buffer(op.ID(o.S)).Row
	return func(e *executable, _ *scratch, i int) {
		to := e.entry(op.ID(o.S), e.table(o.Slot)[i], int(e.table(o.Entry)[i])/o.Divide)
		if err := e.device.kernel.EncodeRow(row, to, e.f32(op.ID(o.X), i)); err != nil {
			e.fail("%s, row %d: %w", e.Buffers[o.X].Name, i, err)
		}
	}
}

// pool gathers the tokens of a window, with overlap those of the window before first, each with the half of its channels that
// counts.
func (e *executable) pool(o op.Pool) rowFunc {
	ape := e.vector(o.APE)
	row := e.Buffer(op.ID(o.U)).Row
	width := e.Buffer(op.ID(o.Y)).Cols
	return func(e *executable, s *scratch, i int) {
		slot, start := e.table(o.Slot)[i], int(e.table(o.Start)[i])
		first := start
		if o.Overlap {
			first = max(start-o.Ratio, 0)
		}
		n := start + o.Ratio - first
		values, scores := s.floats[:n*width], s.floats[n*width:][:n*width]
		for p := first; p < start+o.Ratio; p++ {
			half := 0
			if o.Overlap && p >= start {
				half = width
			}
			at := (p - first) * width
			e.device.kernel.DecodeRow(row, s.row[:row.Width], e.entry(op.ID(o.U), slot, p))
			copy(values[at:][:width], s.row[half:])
			e.device.kernel.DecodeRow(row, s.row[:row.Width], e.entry(op.ID(o.Z), slot, p))
			e.device.kernel.Add(scores[at:][:width], s.row[half:][:width], ape[p%o.Ratio*row.Width+half:][:width])
		}
		e.device.kernel.Pool(e.f32(op.ID(o.Y), i), values, scores)
	}
}
