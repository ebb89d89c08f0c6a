package ref

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"baleen/internal/op"
)

func (r *run) sqrtSoftplus(o op.SqrtSoftplus) error {
	for i := range r.outputs(o.Y) {
		y := r.out(o.Y, i)
		for j, v := range r.in(o.X, i) {
			x := float64(v)
			if x <= 20 {
				x = math.Log1p(math.Exp(x))
			}
			y[j] = float32(math.Sqrt(x))
		}
	}
	return nil
}

func (r *run) addBias(o op.AddBias) error {
	bias, err := r.vector(o.Bias)
	if err != nil {
		return err
	}
	for i := range r.outputs(o.Y) {
		y := r.out(o.Y, i)
		for j, v := range r.in(o.X, i) {
			y[j] = v + bias[j]
		}
	}
	return nil
}

func (r *run) lookup(o op.Lookup) error {
	w := r.weight(o.W)
	for i, token := range r.table(o.Token) {
		if err := inTable(token, w); err != nil {
			return err
		}
		ids, err := w.integers(int(token))
		if err != nil {
			return err
		}
		copy(r.ids(op.ID(o.Ids), i), ids)
	}
	return nil
}

func (r *run) routeWeights(o op.RouteWeights) error {
	for i := range r.outputs(o.W) {
		a, ids, w := r.in(o.A, i), r.ids(op.ID(o.Ids), i), r.out(o.W, i)
		sum := 0.0
		for _, e := range ids {
			if err := isExpert(e, len(a)); err != nil {
				return fmt.Errorf("row %d: %w", i, err)
			}
			sum += float64(a[e])
		}
		for s, e := range ids {
			w[s] = float32(float64(a[e]) / sum * o.Scale)
		}
	}
	return nil
}

func (r *run) swiGLU(o op.SwiGLU) error {
	for i := range r.outputs(o.H) {
		g, u, h := r.in(o.G, i), r.in(o.U, i), r.out(o.H, i)
		for j := range h {
			gate, up := float64(g[j]), float64(u[j])
			if o.Limit > 0 {
				gate, up = math.Min(gate, o.Limit), math.Max(-o.Limit, math.Min(up, o.Limit))
			}
			x := gate * sigmoid(gate) * up
			if o.W != 0 {
				w := r.in(o.W, i)
				x *= float64(w[j/(len(h)/len(w))])
			}
			h[j] = float32(x)
		}
	}
	return nil
}

func (r *run) combine(o op.Combine) error {
	for i := range r.outputs(o.Y) {
		x, ids, shared, y := r.in(o.X, i), r.ids(op.ID(o.Ids), i), r.in(o.Shared, i), r.out(o.Y, i)
		slots := make([]int, len(ids))
		for s := range slots {
			slots[s] = s
		}
		slices.SortStableFunc(slots, func(a, b int) int { return cmp.Compare(ids[a], ids[b]) })
		for c := range y {
			sum := 0.0
			for _, s := range slots {
				sum += float64(x[s*len(y)+c])
			}
			y[c] = float32(sum + float64(shared[c]))
		}
	}
	return nil
}
