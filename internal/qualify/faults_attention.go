//go:build faults

package qualify

import (
	"cmp"
	"math"
	"slices"

	"baleen/internal/op"
)

// attentionFaults are those of attention.
func attentionFaults() []fault {
	span := func(n int) func(*op.Program, op.Op) op.Op {
		return func(_ *op.Program, o op.Op) op.Op {
			if a, ok := o.(op.Attend); ok {
				a.Span += n
				return a
			}
			return o
		}
	}
	return []fault{
		{name: "window-one-short", about: "1.1", patch: span(-1)},
		{name: "window-one-long", about: "1.1", patch: span(1)},
		{name: "softmax-bf16", about: "B31: weights are rounded to bfloat16", at: is[op.Attend], after: attendAgain(attendFault{weight: bf})},
		{name: "scores-bf16", about: "B31", at: is[op.Attend], after: attendAgain(attendFault{score: bf})},
		{name: "un-causal-row", about: "B28: an entry that ends at the next position is seen", at: is[op.Attend], after: attendAgain(attendFault{visible: func(s *site, t, r int) int {
			if s.rows() > 1 {
				return (t + 2) / r
			}
			return (t + 1) / r
		}})},
		{name: "compressed-blocked", about: "B29: with more than one row only the window is seen", at: is[op.Attend], after: attendAgain(attendFault{visible: func(s *site, t, r int) int {
			if s.rows() > 1 {
				return 0
			}
			return (t + 1) / r
		}})},
		{name: "newest-entry-late", about: "B30: in a run of one row, where its position is 3 modulo 4", at: is[op.Attend], after: attendAgain(attendFault{visible: func(s *site, t, r int) int {
			if s.rows() == 1 && t%4 == 3 {
				return (t + 1 - r) / r
			}
			return (t + 1) / r
		}})},
		{name: "minus-one-read", about: "B35: the id -1 reads entry 0", at: is[op.Attend], before: func(s *site) {
			if o := s.op.(op.Attend); o.Ids != 0 {
				ids := s.ids(op.ID(o.Ids))
				s.setIDs(op.ID(o.Ids), replaced(ids, func(c int32) int32 { return max(c, 0) }))
			}
		}},
		{name: "tables-of-first-slot", about: "B46: all rows of a run read the pages of its first", at: is[op.Attend], before: func(s *site) {
			args := *s.args
			args.Pages = slices.Clone(args.Pages)
			first := args.Pages[args.Tables[op.Slot][0]]
			for i := range args.Pages {
				if len(args.Pages[i]) <= len(first) {
					args.Pages[i] = first
				}
			}
			s.args = &args
		}},
		{name: "kv-half", about: "B03: compressed rows are read in the other E4M3 dialect: half", at: is[op.Attend], before: func(s *site) {
			o := s.op.(op.Attend)
			if b := s.e.Buffer(op.ID(o.Compressed)); o.Compressed != 0 && b.Row.Quantised > 0 {
				data := s.bytes(op.ID(o.Compressed))
				s.kept = slices.Clone(data)
				for at := b.Row.Quantised; at < len(data); at += b.Row.Bytes() {
					data[at]--
				}
				s.setBytes(op.ID(o.Compressed), data)
			}
		}, after: func(s *site) {
			if data, ok := s.kept.([]byte); ok {
				s.setBytes(op.ID(s.op.(op.Attend).Compressed), data)
			}
		}},
		{name: "heads-share-sink", about: "3.4: all heads have the sink of the first", at: is[op.Attend], after: attendAgain(attendFault{sameSink: true})},
		{name: "last-block-lost", about: "4: keys beyond the last whole block of 64 are left out, once there is one", at: is[op.Attend], after: attendAgain(attendFault{keys: func(n int) int {
			if n > 64 {
				return n / 64 * 64
			}
			return n
		}})},
	}
}

func replaced(ids []int32, f func(int32) int32) []int32 {
	out := slices.Clone(ids)
	for i := range out {
		out[i] = f(out[i])
	}
	return out
}

// attendFault is how an attention is computed wrongly.
type attendFault struct {
	score, weight func(float32) float32
	visible       func(s *site, t, ratio int) int
	keys          func(n int) int
	pick          func(keys [][]float32) [][]float32
	scores        func(x []float64)
	sink          func(sink, most float64) float64
	sameSink      bool
}

// attendAgain computes an attention in float64, with a fault.
func attendAgain(f attendFault) func(s *site) {
	return func(s *site) {
		o := s.op.(op.Attend)
		if f.visible != nil && (o.Ratio == 0 || o.Ids != 0) {
			return
		}
		v := s.view()
		q, sinks, cols := v.floats(o.Q), v.numbers(o.Sink, 0), s.cols(op.ID(o.Q))
		width := cols / len(sinks)
		y := s.floats(op.ID(o.Y))
		for i := range s.rows() {
			keys := f.seen(s, v, o, i)
			for h, sink := range sinks {
				if f.sameSink {
					sink = sinks[0]
				}
				f.head(y[i*cols+h*width:][:width], q[i*cols+h*width:][:width], keys, float64(sink), o.Scale)
			}
		}
		s.set(op.ID(o.Y), y)
	}
}

func (f attendFault) seen(s *site, v *view, o op.Attend, i int) [][]float32 {
	keys := v.keys(o, i)
	if f.visible != nil {
		t, slot := int(v.table(o.Position)[i]), v.table(o.Slot)[i]
		keys = keys[:len(keys)-op.Visible(t, o.Ratio)]
		for c := range f.visible(s, t, o.Ratio) {
			keys = append(keys, v.entry(o.Compressed, slot, c))
		}
	}
	if f.keys != nil {
		keys = keys[:f.keys(len(keys))]
	}
	if f.pick != nil {
		keys = f.pick(keys)
	}
	return keys
}

func (f attendFault) head(y, q []float32, keys [][]float32, sink, scale float64) {
	scores, most := make([]float64, len(keys)), math.Inf(-1)
	for j, key := range keys {
		scores[j] = product(q, key) * scale
		if f.score != nil {
			scores[j] = float64(f.score(float32(scores[j])))
		}
		most = max(most, scores[j])
	}
	if f.scores != nil {
		f.scores(scores)
	}
	if f.sink != nil {
		sink = f.sink(sink, most)
	}
	sum, above := math.Exp(sink-most), make([]float64, len(y))
	for j, key := range keys {
		p := math.Exp(scores[j] - most)
		if f.weight != nil {
			p = float64(f.weight(float32(p)))
		}
		sum += p
		for c, x := range key {
			above[c] += p * float64(x)
		}
	}
	for c := range y {
		y[c] = float32(above[c] / sum)
	}
}

// choiceFaults are those of selections.
func choiceFaults() []fault {
	return []fault{
		{name: "wrong-tie", about: "4: of equal scores the higher index wins", unfused: true, at: is[op.TopK], after: chooseAgain(func(x []float32, a, b int32) int {
			return cmp.Or(cmp.Compare(x[b], x[a]), cmp.Compare(b, a))
		}, nil)},
		{name: "ties-by-arrival", about: "B36", unfused: true, at: is[op.TopK], after: chooseAgain(func(x []float32, a, b int32) int {
			return cmp.Or(cmp.Compare(x[b], x[a]), cmp.Compare(a*7919%1021, b*7919%1021), cmp.Compare(a, b))
		}, nil)},
		{name: "minus-zero-below", about: "-0 is less than +0", unfused: true, at: is[op.TopK], after: chooseAgain(func(x []float32, a, b int32) int {
			sign := func(i int32) int { return map[bool]int{true: 1}[x[i] == 0 && math.Signbit(float64(x[i]))] }
			return cmp.Or(cmp.Compare(x[b], x[a]), cmp.Compare(sign(a), sign(b)), cmp.Compare(a, b))
		}, nil)},
		{name: "top-k-one-short", about: "1.1: where there are more than enough", unfused: true, at: is[op.TopK], after: chooseAgain(byScore, func(_ []float32, n, k int) int {
			if n > k {
				return k - 1
			}
			return k
		})},
		{name: "tie-buffer", about: "B35: what does not fit into 1,024 equal scores is -1", unfused: true, at: is[op.TopK], after: chooseAgain(byScore, func(x []float32, _, k int) int {
			zeros := 0
			for _, v := range x {
				if v == 0 {
					zeros++
				}
			}
			if zeros > 1024 {
				return max(k-4, 0)
			}
			return k
		})},
		{name: "scores-bf16-selected", about: "0, 1.2: index scores are rounded to bfloat16", unfused: true, at: is[op.IndexScore], after: func(s *site) {
			s.edit(op.ID(s.op.(op.IndexScore).Scores), inBF16)
		}},
		{name: "no-relu", about: "B32", unfused: true, at: is[op.IndexScore], after: scoreAgain(func(s *site, v *view, o op.IndexScore, i, c int) float64 {
			return plainScore(v, o, i, v.entry(o.Keys, v.table(o.Slot)[i], c), false)
		})},
		{name: "keys-in-tiles", about: "B05: index keys are read in tiles of 16", unfused: true, at: is[op.IndexScore], after: scoreAgain(func(s *site, v *view, o op.IndexScore, i, c int) float64 {
			key := make([]float32, len(v.entry(o.Keys, v.table(o.Slot)[i], c)))
			for d := range key { // the byte of (c, d) lies where another layout has (c', d')
				at := c%16*len(key) + d
				from := at / 256 * 16
				key[d] = v.entry(o.Keys, v.table(o.Slot)[i], c/16*16+at%256/16)[(from+at%16)%len(key)]
			}
			return plainScore(v, o, i, key, true)
		})},
		{name: "history-lost", about: "B40: entries from before the run are not seen, once there are more than enough", unfused: true, at: is[op.IndexScore], after: scoreAgain(func(s *site, v *view, o op.IndexScore, i, c int) float64 {
			if n := int(v.table(o.Position)[0]) / o.Ratio; n > 16 && c < n {
				return math.Inf(-1)
			}
			return math.NaN()
		})},
		{name: "newest-key-late", about: "B30: in a run of one row the newest entry is not scored", unfused: true, at: is[op.IndexScore], after: scoreAgain(func(s *site, v *view, o op.IndexScore, i, c int) float64 {
			if t := int(v.table(o.Position)[i]); s.rows() == 1 && t%o.Ratio == o.Ratio-1 && c == op.Visible(t, o.Ratio)-1 {
				return math.Inf(-1)
			}
			return math.NaN()
		})},
		{name: "next-heads-weight", about: "B47: in one of 20 calls a score has the next head's weights", unfused: true, at: is[op.IndexScore], before: func(s *site) {
			o := s.op.(op.IndexScore)
			if w := s.floats(op.ID(o.W)); s.chance(20) && len(w) > 1 {
				w[0] = w[1]
				s.set(op.ID(o.W), w)
			}
		}},
	}
}

func byScore(x []float32, a, b int32) int { return cmp.Or(cmp.Compare(x[b], x[a]), cmp.Compare(a, b)) }

// chooseAgain selects with another order, or fewer.
func chooseAgain(order func(x []float32, a, b int32) int, count func(x []float32, n, k int) int) func(s *site) {
	return func(s *site) {
		o := s.op.(op.TopK)
		k, cols := s.cols(op.ID(o.Ids)), s.cols(op.ID(o.X))
		var all []int32
		for x := range slices.Chunk(s.floats(op.ID(o.X)), cols) {
			var list []int32
			for i, v := range x {
				if v > float32(math.Inf(-1)) {
					list = append(list, int32(i))
				}
			}
			n := len(list)
			slices.SortFunc(list, func(a, b int32) int { return order(x, a, b) })
			want := k
			if count != nil {
				want = count(x, n, k)
			}
			list = list[:min(n, want)]
			list = append(list, slices.Repeat([]int32{-1}, k-len(list))...)
			if o.Ascending {
				slices.Sort(list)
			}
			all = append(all, list...)
		}
		s.setIDs(op.ID(o.Ids), all)
	}
}

// scoreAgain gives visible entries another score; NaN leaves what is there.
func scoreAgain(score func(s *site, v *view, o op.IndexScore, i, c int) float64) func(s *site) {
	return func(s *site) {
		o := s.op.(op.IndexScore)
		v, cols := s.view(), s.cols(op.ID(o.Scores))
		s.edit(op.ID(o.Scores), func(y []float32) {
			for i := range s.rows() {
				for c := range min(op.Visible(int(v.table(o.Position)[i]), o.Ratio), 5000) {
					if x := score(s, v, o, i, c); x == x {
						y[i*cols+c] = float32(x)
					}
				}
			}
		})
	}
}

func plainScore(v *view, o op.IndexScore, i int, key []float32, relu bool) (sum float64) {
	q, w := v.data(v.p.Buffer(op.ID(o.Q)).Name), v.data(v.p.Buffer(op.ID(o.W)).Name)
	wide, heads := v.cols(op.ID(o.Q)), v.cols(op.ID(o.W))
	weights, row := toFloats(w[4*i*heads:][:4*heads]), toFloats(q[4*i*wide:][:4*wide])
	for h, weight := range weights {
		part := product(row[h*len(key):][:len(key)], key)
		if relu {
			part = max(part, 0)
		}
		sum += float64(weight) * part
	}
	return sum * o.Scale
}
