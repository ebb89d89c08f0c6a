package qualify

import (
	"fmt"
	"math"
	"slices"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// weighted is one summand of a softmax average: its score, and by how much that may be off.
type weighted struct {
	score, err float64
	value      func(c int) float64
}

// softmaxBounds bounds the average of values under a softmax, in which a sink may take part that has no value (study/
// bug-corpus, 3.4). Each weight is relatively as much off as its exponent, and exp's argument is rounded, too.
func softmaxBounds(terms []weighted, sink float64, width int, depth float64) []float64 {
	most := math.Inf(-1)
	for _, t := range terms {
		most = math.Max(most, t.score)
	}
	off := func(score, err float64) float64 {
		return err + (8+2*math.Abs(score-most)+math.Abs(score)+math.Abs(most))*u
	}
	shift := math.Max(most, sink) // or weights of 0 and infinity meet
	sum := math.Exp(sink - shift)
	mean := 0.0
	if sum > 0 {
		mean = sum * off(sink, 0)
	}
	p, e := make([]float64, len(terms)), make([]float64, len(terms))
	for j, t := range terms {
		p[j], e[j] = math.Exp(t.score-shift), off(t.score, t.err)
		sum += p[j]
		mean += p[j] * e[j]
	}
	mean = mean/sum + depth*u
	all := make([]float64, width)
	for j, t := range terms {
		w := p[j] / sum * (e[j] + mean + depth*u) * 1.1
		for c := range all {
			all[c] += (w+2*tiny)*math.Abs(t.value(c)) + tiny // weights and products that are no normal numbers may be zero
		}
	}
	return all
}

func (v *view) attend(o op.Attend) []float64 {
	q, cols := v.floats(o.Q), v.cols(op.ID(o.Q))
	sinks := v.numbers(o.Sink, 0)
	width := cols / len(sinks)
	all := make([]float64, 0, len(q))
	for i := range v.rows(op.ID(o.Y)) {
		keys := v.keys(o, i)
		for h, sink := range sinks {
			head := q[i*cols+h*width:][:width]
			terms := make([]weighted, len(keys))
			for j, key := range keys {
				terms[j] = weighted{o.Scale * product(head, key), o.Scale * dotBound(head, key), func(c int) float64 { return float64(key[c]) }}
			}
			all = append(all, softmaxBounds(terms, float64(sink), width, float64(min(len(keys), 64)+len(keys)/64+6))...)
		}
	}
	return all
}

// keys are what row i attends to.
func (v *view) keys(o op.Attend, i int) (keys [][]float32) {
	slot, t := v.table(o.Slot)[i], int(v.table(o.Position)[i])
	for p := max(0, t-o.Span+1); p <= t; p++ {
		keys = append(keys, v.entry(o.Window, slot, p))
	}
	if o.Ids != 0 {
		k := v.cols(op.ID(o.Ids))
		for _, c := range v.ids(o.Ids)[i*k:][:k] {
			if c >= 0 {
				keys = append(keys, v.entry(o.Compressed, slot, int(c)))
			}
		}
	} else if o.Ratio != 0 {
		for c := range op.Visible(t, o.Ratio) {
			keys = append(keys, v.entry(o.Compressed, slot, c))
		}
	}
	return keys
}

func (v *view) pool(o op.Pool) (all []float64) {
	ape, width := v.numbers(o.APE, 0), v.cols(op.ID(o.Y))
	wide := len(ape) / o.Ratio
	starts := v.table(o.Start)
	for i, slot := range v.table(o.Slot) {
		start := int(starts[i])
		first := start
		if o.Overlap {
			first = max(start-o.Ratio, 0)
		}
		var values, scores [][]float32
		for p := first; p < start+o.Ratio; p++ {
			from := wide - width // the second half with overlap, all of it without
			if p < start {
				from = 0
			}
			z := v.entry(o.Z, slot, p)[from:]
			for j := range width {
				z[j] += ape[p%o.Ratio*wide+from+j]
			}
			values, scores = append(values, v.entry(o.U, slot, p)[from:]), append(scores, z)
		}
		for j := range width {
			terms := make([]weighted, len(values))
			for t := range terms {
				s := float64(scores[t][j])
				terms[t] = weighted{s, math.Abs(s) * u, func(int) float64 { return float64(values[t][j]) }}
			}
			all = append(all, softmaxBounds(terms, math.Inf(-1), 1, float64(len(terms)+4))[0])
		}
	}
	return all
}

// score is the score of an entry for row i, and its bound.
func (v *view) score(q, w, key []float32, scale float64) (score, bound float64) {
	heads := len(w)
	for h, weight := range w {
		part := q[h*len(key):][:len(key)]
		s := math.Max(0, product(part, key))
		score += float64(weight) * s
		bound += math.Abs(float64(weight)) * (dotBound(part, key) + float64(heads+4)*u*s)
	}
	return score * scale, bound*math.Abs(scale) + tiny
}

func (v *view) indexScore(o op.IndexScore) []float64 {
	q, w := v.floats(o.Q), v.floats(o.W)
	slots, positions := v.table(o.Slot), v.table(o.Position)
	wide, heads := v.cols(op.ID(o.Q)), v.cols(op.ID(o.W))
	return v.each(op.ID(o.Scores), func(i, c int) float64 {
		if c >= op.Visible(int(positions[i]), o.Ratio) {
			return 0
		}
		_, bound := v.score(q[i*wide:][:wide], w[i*heads:][:heads], v.entry(o.Keys, slots[i], c), o.Scale)
		return bound
	})
}

// selection judges the choice of a fused selection. Where it differs, every member that came in or went out must lie within
// two bounds of the last chosen score.
func (v *view) selection(o op.Select, got, want []int32) (worst deviation) {
	k := v.cols(op.ID(o.Ids))
	for i := 0; i < len(want); i += k {
		if !slices.Equal(got[i:][:k], want[i:][:k]) {
			worst = worst.worse(v.exchanged(o, i/k, got[i:][:k], want[i:][:k]))
		}
	}
	return worst
}

func (v *view) exchanged(o op.Select, row int, got, want []int32) (worst deviation) {
	wide, heads := v.cols(op.ID(o.Q)), v.cols(op.ID(o.W))
	q, w := v.floats(o.Q)[row*wide:][:wide], v.floats(o.W)[row*heads:][:heads]
	slot, visible := v.table(o.Slot)[row], op.Visible(int(v.table(o.Position)[row]), o.Ratio)
	form := func(what string, c int32) deviation {
		return deviation{math.MaxFloat64, 0, fmt.Sprintf("%s: row %d: entry %d %s: %v, not %v", v.p.Buffer(op.ID(o.Ids)).Name, row, c, what, shorten(got), shorten(want))}
	}
	last, bound := math.Inf(1), 0.0
	for _, c := range want {
		if c >= 0 {
			s, b := v.score(q, w, v.entry(o.Keys, slot, int(c)), o.Scale)
			last, bound = min(last, s), max(bound, b)
		}
	}
	for j, c := range got {
		switch {
		case int(c) >= visible || c < -1:
			return form("is not visible", c)
		case j > 0 && c >= 0 && c <= got[j-1], j > 0 && c < 0 && got[j-1] >= 0, (c < 0) != (want[j] < 0):
			return form("is out of order", c)
		case c < 0 || slices.Contains(want, c):
			continue
		}
		s, b := v.score(q, w, v.entry(o.Keys, slot, int(c)), o.Scale)
		d := deviation{err: max(0, last-s), bound: 2 * max(bound, b)}
		if d.err > d.bound {
			d.where = form("was chosen", c).where
		}
		worst = worst.worse(d)
	}
	return worst
}

// shorten keeps a message readable.
func shorten(ids []int32) []int32 { return ids[:min(len(ids), 24)] }

// experts propagates the errors of the gate and up products through the gate, the quantiser and the down product.
func (v *view) experts(o op.Experts) []float64 {
	x, ids, w, shared := v.floats(o.X), v.ids(o.Ids), v.floats(o.W), v.floats(o.Shared)
	wide, slots, d := v.cols(op.ID(o.X)), v.cols(op.ID(o.Ids)), v.cols(op.ID(o.Y))
	all := make([]float64, v.rows(op.ID(o.Y))*d)
	for i := range v.rows(op.ID(o.Y)) {
		sums := make([]float64, d)
		for c := range sums {
			sums[c] = math.Abs(float64(shared[i*d+c]))
		}
		for s, e := range ids[i*slots:][:slots] {
			h, errs := v.hidden(o, x[i*wide:][:wide], int(e), float64(w[i*slots+s]))
			down := v.numbers(o.W2, int(e))
			for c := range d {
				row := down[c*len(h):][:len(h)]
				y := 0.0
				for j, err := range errs {
					all[i*d+c] += math.Abs(float64(row[j])) * err
					y += math.Abs(float64(row[j]) * float64(h[j]))
				}
				sums[c] += y
				all[i*d+c] += depth(len(h))*u*y + float64(len(h))*tiny
			}
		}
		for c := range sums {
			all[i*d+c] += float64(slots+2) * u * sums[c]
		}
	}
	return all
}

// hidden is what an expert's down product meets, and by how much each element may be off.
func (v *view) hidden(o op.Experts, x []float32, e int, weight float64) (h []float32, errs []float64) {
	gate, up := v.numbers(o.W1, e), v.numbers(o.W3, e)
	h, errs = make([]float32, len(gate)/len(x)), make([]float64, len(gate)/len(x))
	for j := range h {
		g, p := gate[j*len(x):][:len(x)], up[j*len(x):][:len(x)]
		y, err := gated(product(x, g), product(x, p), o.Limit, dotBound(x, g), dotBound(x, p))
		h[j], errs[j] = float32(y*weight), err*math.Abs(weight)+0x1p-148
	}
	if o.Group == 0 {
		return h, errs
	}
	for at := 0; at < len(h); at += o.Group {
		end := min(at+o.Group, len(h))
		flips(h[at:end], errs[at:end])
	}
	return h, errs
}

// flips quantises a group and turns errors before it into errors behind it: none, unless an element may fall to either side
// of a rounding border.
func flips(h []float32, errs []float64) {
	most, err := 1e-4, 0.0
	for j, x := range h {
		most, err = max(most, math.Abs(float64(x))), max(err, errs[j])
	}
	low, high := quant.PowerOfTwoCeil(float32((most-err)/448)), quant.PowerOfTwoCeil(float32((most+err)/448))
	for j, x := range h {
		round := func(x float64) float64 {
			return float64(quant.E4M3(quant.ToE4M3(float32(x/float64(high))))) * float64(high)
		}
		off := round(float64(x)+errs[j]) - round(float64(x)-errs[j])
		if low != high {
			off += math.Abs(float64(x))/8 + float64(high)/512
		}
		h[j], errs[j] = float32(round(float64(x))), off
	}
}
