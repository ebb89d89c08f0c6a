package ref

import (
	"fmt"
	"math"
	"slices"

	"baleen/internal/op"
)

// score is the indexer's score of one entry.
func score(q, w, key []float32, scale float64) float32 {
	sum := 0.0
	for h, weight := range w {
		sum += float64(weight) * math.Max(0, dot(key, q[h*len(key):]))
	}
	return float32(sum * scale)
}

func (r *run) indexScore(o op.IndexScore) error {
	slots, positions := r.table(o.Slot), r.table(o.Position)
	for i := range r.outputs(o.Scores) {
		scores := r.out(o.Scores, i)
		visible := op.Visible(int(positions[i]), o.Ratio)
		for c := range scores {
			scores[c] = float32(math.Inf(-1))
			if c < visible {
				scores[c] = score(r.in(o.Q, i), r.in(o.W, i), r.remembered(o.Keys, slots[i], c), o.Scale)
			}
		}
	}
	return nil
}

func (r *run) topK(o op.TopK) error {
	for i := range r.rows(op.ID(o.X)) {
		x := r.in(o.X, i)
		if c := slices.IndexFunc(x, func(v float32) bool { return v != v }); c >= 0 {
			return fmt.Errorf("NaN in %s, row %d, channel %d: a weight is damaged, or numbers overflow", r.Buffer(op.ID(o.X)).Name, i, c)
		}
		largest(r.ids(op.ID(o.Ids), i), x, o.Ascending)
	}
	return nil
}

// largest fills ids with the indices of the largest numbers, of equal ones the lower first, and with -1 where there are
// fewer.
func largest(ids []int32, x []float32, ascending bool) {
	var order []int32
	for i, v := range x {
		if v > float32(math.Inf(-1)) {
			order = append(order, int32(i))
		}
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		switch {
		case x[a] > x[b]:
			return -1
		case x[a] < x[b]:
			return 1
		}
		return 0 // -0 and +0, too
	})
	order = order[:min(len(order), len(ids))]
	for len(order) < len(ids) {
		order = append(order, -1)
	}
	if ascending {
		slices.Sort(order)
	}
	copy(ids, order)
}

func (r *run) selectEntries(o op.Select) error {
	slots, positions := r.table(o.Slot), r.table(o.Position)
	for i := range r.outputs(o.Ids) {
		scores := make([]float32, op.Visible(int(positions[i]), o.Ratio))
		for c := range scores {
			scores[c] = score(r.in(o.Q, i), r.in(o.W, i), r.remembered(o.Keys, slots[i], c), o.Scale)
			if scores[c] != scores[c] {
				return fmt.Errorf("NaN in the score of entry %d, row %d: a weight is damaged, or numbers overflow", c, i)
			}
		}
		largest(r.ids(op.ID(o.Ids), i), scores, true)
	}
	return nil
}

func (r *run) attend(o op.Attend) error {
	sinks, err := r.vector(o.Sink)
	if err != nil {
		return err
	}
	for i := range r.outputs(o.Y) {
		keys := r.keys(o, i)
		q, y := r.in(o.Q, i), r.out(o.Y, i)
		width := len(q) / len(sinks)
		for h, sink := range sinks {
			attendHead(y[h*width:][:width], q[h*width:][:width], keys, float64(sink), o.Scale)
		}
	}
	return nil
}

// keys collects what row i attends to: the window, then compressed entries, both ascending.
func (r *run) keys(o op.Attend, i int) [][]float32 {
	slot, position := r.table(o.Slot)[i], int(r.table(o.Position)[i])
	var keys [][]float32
	for p := max(0, position-o.Span+1); p <= position; p++ {
		keys = append(keys, r.remembered(o.Window, slot, p))
	}
	if o.Ids != 0 {
		for _, c := range r.ids(op.ID(o.Ids), i) {
			if c >= 0 {
				keys = append(keys, r.remembered(o.Compressed, slot, int(c)))
			}
		}
	} else if o.Ratio != 0 {
		for c := range op.Visible(position, o.Ratio) {
			keys = append(keys, r.remembered(o.Compressed, slot, c))
		}
	}
	return keys
}

// attendHead is softmax attention of one head. The sink takes part in the sum below, not above.
func attendHead(y, q []float32, keys [][]float32, sink, scale float64) {
	scores := make([]float64, len(keys))
	most := math.Inf(-1)
	for j, key := range keys {
		scores[j] = scale * dot(q, key)
		most = math.Max(most, scores[j])
	}
	sum := 0.0
	above := make([]float64, len(y))
	for j, key := range keys {
		p := math.Exp(scores[j] - most)
		sum += p
		for c, v := range key {
			above[c] += p * float64(v)
		}
	}
	sum += math.Exp(sink - most)
	for c := range y {
		y[c] = float32(above[c] / sum)
	}
}
