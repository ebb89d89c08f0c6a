package ref

import (
	"fmt"

	"baleen/internal/op"
)

// dot sums products in ascending order.
func dot(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

func (r *run) embed(o op.Embed) error {
	w := r.weight(o.W)
	for i, token := range r.table(o.Token) {
		if err := inTable(token, w); err != nil {
			return err
		}
		x, err := w.row(int(token))
		if err != nil {
			return err
		}
		if o.ZeroFirst != 0 && r.table(o.ZeroFirst)[i] == 0 {
			clear(x)
		}
		for c := range o.Copies {
			copy(r.out(o.Y, i)[c*w.Cols:], x)
		}
	}
	return nil
}

func inTable(token int32, w *weight) error {
	if token < 0 || int(token) >= w.Rows {
		return fmt.Errorf("token id out of range: %d: the model knows 0 to %d", token, w.Rows-1)
	}
	return nil
}

func (r *run) linear(o op.Linear) error {
	w := r.weight(o.W)
	n, k := w.Rows, w.Cols
	return w.each(0, func(row int, weights []float32) {
		for i := range r.outputs(o.Y) {
			x, y := r.in(o.X, i), r.out(o.Y, i)
			if o.Groups > 1 {
				group := row / (n / o.Groups)
				y[row] = float32(dot(weights, x[group*k:]))
				continue
			}
			for part := range len(x) / k {
				y[part*n+row] = float32(dot(weights, x[part*k:]))
			}
		}
	})
}

// place is a row and a slot of it.
type place struct{ row, slot int }

// places returns where each expert was chosen.
func (r *run) places(ids op.In, experts int) ([][]place, error) {
	of := make([][]place, experts)
	for i := range r.rows(op.ID(ids)) {
		for s, e := range r.ids(op.ID(ids), i) {
			if err := isExpert(e, experts); err != nil {
				return nil, fmt.Errorf("row %d: %w", i, err)
			}
			of[e] = append(of[e], place{i, s})
		}
	}
	return of, nil
}

func isExpert(e int32, experts int) error {
	if e < 0 || int(e) >= experts {
		return fmt.Errorf("expert out of range: %d of %d: the routing table is damaged, or scores are infinite", e, experts)
	}
	return nil
}

func (r *run) expertLinear(o op.ExpertLinear) error {
	w := r.weight(o.W)
	n, k := w.Rows, w.Cols
	of, err := r.places(o.Ids, w.Parts)
	if err != nil {
		return err
	}
	for e, places := range of {
		if len(places) == 0 {
			continue
		}
		err := w.each(e, func(row int, weights []float32) {
			for _, p := range places {
				x := r.in(o.X, p.row)
				if len(x) > k {
					x = x[p.slot*k:]
				}
				r.out(o.Y, p.row)[p.slot*n+row] = float32(dot(weights, x))
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) gather(o op.Gather) error {
	for i, row := range r.table(o.Row) {
		copy(r.out(o.Y, i), r.in(o.X, int(row)))
	}
	return nil
}

func (r *run) add(o op.Add) error {
	for i := range r.outputs(o.Y) {
		a, b, y := r.in(o.A, i), r.in(o.B, i), r.out(o.Y, i)
		for j := range y {
			y[j] = a[j%len(a)] + b[j]
		}
	}
	return nil
}

func (r *run) mean(o op.Mean) error {
	for i := range r.outputs(o.Y) {
		x, y := r.in(o.X, i), r.out(o.Y, i)
		for c := range y {
			sum := 0.0
			for at := c; at < len(x); at += len(y) {
				sum += float64(x[at])
			}
			y[c] = float32(sum / float64(len(x)/len(y)))
		}
	}
	return nil
}

func (r *run) join(o op.Join) error {
	for i := range r.outputs(o.Y) {
		n := copy(r.out(o.Y, i), r.in(o.A, i))
		copy(r.out(o.Y, i)[n:], r.in(o.B, i))
	}
	return nil
}
