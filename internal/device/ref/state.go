package ref

import (
	"fmt"
	"math"

	"baleen/internal/op"
)

// entry returns the packed bytes of an entry that a slot remembers.
func (r *run) entry(id op.ID, slot int32, entry int) []byte {
	s := r.bound[id].(*state)
	size := s.Row.Bytes()
	row := int(slot)*s.Ring + entry%max(s.Ring, 1)
	if s.PerPage > 0 {
		row = int(r.args.Pages[slot][entry/s.PerPage])*s.PerPage + entry%s.PerPage
	}
	return s.rows[row*size:][:size]
}

// remembered decodes an entry.
func (r *run) remembered(id op.In, slot int32, entry int) []float32 {
	x := make([]float32, r.cols(id))
	r.Buffer(op.ID(id)).Row.Decode(x, r.entry(op.ID(id), slot, entry))
	return x
}

func (r *run) store(o op.Store) error {
	slots, entries := r.table(o.Slot), r.table(o.Entry)
	row := r.Buffer(op.ID(o.S)).Row
	for i, slot := range slots {
		if err := row.Encode(r.entry(op.ID(o.S), slot, int(entries[i])/o.Divide), r.in(o.X, i)); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
	}
	return nil
}

// candidate is a token that takes part in a pool: its values, and its scores with their position bias.
type candidate struct{ values, scores []float32 }

func (r *run) pool(o op.Pool) error {
	ape, err := r.vector(o.APE)
	if err != nil {
		return err
	}
	starts := r.table(o.Start)
	for i, slot := range r.table(o.Slot) {
		y := r.out(o.Y, i)
		for j, v := range pooled(r.candidates(o, ape, slot, int(starts[i])), len(y)) {
			y[j] = float32(v)
		}
	}
	return nil
}

// candidates collects the tokens of a window. With overlap those of the window before come first, and each token has the
// half of its channels that counts.
func (r *run) candidates(o op.Pool, ape []float32, slot int32, start int) []candidate {
	var all []candidate
	first := start
	if o.Overlap {
		first = max(start-o.Ratio, 0)
	}
	for p := first; p < start+o.Ratio; p++ {
		u, z := r.remembered(o.U, slot, p), r.remembered(o.Z, slot, p)
		for j := range z {
			z[j] += ape[p%o.Ratio*len(z)+j]
		}
		half := 0
		if o.Overlap {
			half = len(u) / 2
		}
		if p < start {
			u, z = u[:half], z[:half]
		} else {
			u, z = u[half:], z[half:]
		}
		all = append(all, candidate{u, z})
	}
	return all
}

// pooled is the sum of values, for each channel weighted by the softmax of that channel's scores.
func pooled(tokens []candidate, width int) []float64 {
	y := make([]float64, width)
	p := make([]float64, len(tokens))
	for j := range y {
		for i, t := range tokens {
			p[i] = float64(t.scores[j])
		}
		softmax(p)
		for i, t := range tokens {
			y[j] += p[i] * float64(t.values[j])
		}
		if math.IsInf(y[j], 0) {
			y[j] = math.NaN()
		}
	}
	return y
}
