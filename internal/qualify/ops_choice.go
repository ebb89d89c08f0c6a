package qualify

import (
	"encoding/binary"
	"fmt"
	"math"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// routers are the ops between the router's logits and the experts' weights, and the gate of an expert.
func routers(seed uint64) []*scene {
	list := []*scene{sqrtSoftplus(seed), addBias(seed, 8), addBias(seed, 384), lookup(seed, 500, 6), lookup(seed, 70001, 2)}
	for _, e := range []int{8, 256, 384} {
		list = append(list, routeWeights(seed, e, 2), routeWeights(seed, e, 6))
	}
	for _, limit := range []float64{10, 0, 7} {
		list = append(list, swiGLU(seed, 0, limit), swiGLU(seed, 2, limit), swiGLU(seed, 6, limit))
	}
	return list
}

// sqrtSoftplus goes to where exp underflows, and beyond where it overflows.
func sqrtSoftplus(seed uint64) *scene {
	const n = 256
	s := newScene(seed, "sqrtsoftplus", fmt.Sprint(n), flat(33))
	s.Add(op.SqrtSoftplus{X: s.in("x", n), Y: s.out("y", n)})
	for _, m := range []int{1, 2, 33} {
		s.sequence(m).floats("x", normal(s.rng, m*n))
		x := make([]float32, m*n)
		for i := range x {
			x[i] = float32(-86 + s.rng.Float64()*286)
		}
		s.sequence(m).floats("x", x)
	}
	edge := make([]float32, n)
	for i := range edge {
		edge[i] = float32(20 + (float64(i)-n/2)*0x1p-19*float64(1+i%5))
	}
	edge[0], edge[1], edge[2], edge[3] = 0, float32(math.Copysign(0, -1)), 1e-30, -1e-30
	s.sequence(1).floats("x", edge)
	s.sequence(1).floats("x", scattered(s.rng, n, -20, 6))
	return s
}

func addBias(seed uint64, n int) *scene {
	s := newScene(seed, "addbias", fmt.Sprint(n), flat(129))
	s.Add(op.AddBias{X: s.in("x", n), Bias: s.vector("bias", normal(s.rng, n)), Y: s.out("y", n)})
	for _, m := range []int{1, 9, 129} {
		s.sequence(m).floats("x", normal(s.rng, m*n))
	}
	s.sequence(2).floats("x", scattered(s.rng, 2*n, -30, 30))
	return s
}

// integerTable stores a table of int64.
func (s *scene) integerTable(name string, values []int32, cols int) op.In {
	data := make([]byte, 0, 8*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint64(data, uint64(int64(v)))
	}
	f := quant.Format{Kind: quant.KindI64}
	s.parts[name] = []matrix{{f, len(values) / cols, cols, data, nil}}
	return s.Weight(name, f, 1, len(values)/cols, cols)
}

func lookup(seed uint64, vocabulary, k int) *scene {
	const experts = 384
	s := newScene(seed, "lookup", describe(k, "of", experts, "for", vocabulary), op.Caps{Rows: 512, Slots: 2, Pages: 8, Context: 512})
	s.Add(op.Lookup{Token: op.Token, W: s.integerTable("w", s.choose(vocabulary, experts, k), k), Ids: s.idsOut("ids", k)})
	for _, m := range counts {
		rows := append(sequenceRows(1, 0, m/2), sequenceRows(0, 1, m-m/2)...)
		for i := range rows {
			rows[i].Token = int32(s.rng.IntN(vocabulary))
		}
		rows[0].Token, rows[len(rows)-1].Token = 0, int32(vocabulary-1)
		s.round(rows, twoTables())
	}
	return s
}

// routeWeights must not lose a row whose chosen affinities are all small.
func routeWeights(seed uint64, e, k int) *scene {
	s := newScene(seed, "routeweights", fmt.Sprint(k, " of ", e), flat(129))
	a, ids := s.in("a", e), s.idsIn("ids", k)
	s.Add(op.RouteWeights{A: a, Ids: ids, W: s.out("w", k), Scale: 1.5})
	for i, m := range []int{1, 2, 9, 129, 9, 9} {
		r := s.sequence(m)
		r.ids("ids", s.choose(m, e, k))
		x := make([]float32, m*e)
		for j := range x {
			x[j] = float32(math.Exp2([]float64{-3, -3, -3, -3, -58, 0}[i] + s.rng.Float64()*[]float64{5, 5, 5, 5, 2, 3}[i]))
		}
		r.floats("a", x)
	}
	return s
}

// swiGLU goes to both sides of the limit, and to where the sigmoid underflows.
func swiGLU(seed uint64, slots int, limit float64) *scene {
	n := 96 * max(slots, 1)
	s := newScene(seed, "swiglu", describe(n, "limit", limit, "slots", slots), flat(65))
	o := op.SwiGLU{G: s.in("g", n), U: s.in("u", n), H: s.out("h", n), Limit: limit}
	if slots > 0 {
		o.W = s.in("w", slots)
	}
	s.Add(o)
	for i, m := range []int{65, 1, 2, 9, 9} {
		r := s.sequence(m)
		by := []float32{3, 8, 8, 30, 0.01}[i]
		r.floats("g", scaled(normal(s.rng, m*n), by))
		r.floats("u", scaled(normal(s.rng, m*n), by))
		if slots > 0 {
			r.floats("w", scattered(s.rng, m*slots, -8, 1))
		}
	}
	r := s.sequence(2) // at the limits themselves
	r.floats("g", repeated(s.rng, 2*n, 10, -10, 10.5, -40, 7, math.Nextafter32(10, 20), -200))
	r.floats("u", repeated(s.rng, 2*n, 10, -10, 11, -11, 7, -7.5, math.Nextafter32(10, 20)))
	if slots > 0 {
		r.floats("w", repeated(s.rng, 2*slots, 1, 0.5))
	}
	return s
}

// selections are choices by score, from given scores and from keys.
func selections(seed uint64) (list []*scene) {
	for _, ascending := range []bool{false, true} {
		for _, n := range []int{1, 5, 6, 7, 12, 49, 256, 384} {
			list = append(list, topK(seed, n, 6, ascending))
		}
		list = append(list, topK(seed, 2560, 512, ascending), topK(seed, 15, 16, ascending), topK(seed, 17, 16, ascending), topK(seed, 8, 2, ascending), topK(seed, 4097, 16, ascending))
	}
	for _, heads := range []int{2, 8, 64} {
		list = append(list, scores(seed, heads, true), scores(seed, heads, false))
	}
	return append(list, entries(seed, 4, 16, 2), entries(seed, 8, 64, 4), entries(seed, 4, 512, 8), entries(seed, 4, 16, 64))
}

func topK(seed uint64, n, k int, ascending bool) *scene {
	s := newScene(seed, "topk", describe(k, "of", n, "ascending:", ascending), flat(33))
	s.Add(op.TopK{X: s.in("x", n), Ids: s.idsOut("ids", k), Ascending: ascending})
	minus, zero := float32(math.Inf(-1)), float32(math.Copysign(0, -1))
	add := func(m int, x []float32) {
		r := s.sequence(m)
		r.exact = true
		r.floats("x", x)
	}
	for _, m := range []int{33, 1, 2} {
		add(m, normal(s.rng, m*n))
		add(m, repeated(s.rng, m*n, 0, zero, 1))
		add(m, integers(s.rng, m*n, 3))
	}
	add(2, make([]float32, 2*n))
	add(2, repeated(s.rng, 2*n, 0, zero))
	add(3, repeated(s.rng, 3*n, minus, 1, -1, 2.5))
	add(1, repeated(s.rng, n, minus))
	add(4, repeated(s.rng, 4*n, 1, math.Nextafter32(1, 2), math.Nextafter32(1, 0)))
	add(3, scattered(s.rng, 3*n, -140, 120))
	down, up := make([]float32, n), make([]float32, n)
	for i := range n {
		down[i], up[i] = float32(-i), float32(i)
	}
	add(1, down)
	add(1, up)
	return s
}

// keyRow is how index keys are packed: quantised, or as they are.
func keyRow(width int, quantised bool) quant.Row {
	row := quant.Row{Width: width, Tail: quant.KindF32}
	if quantised {
		row.Kind, row.Group, row.Quantised = quant.KindE2M1, 32, width
	}
	return row
}

// small draws whole numbers of which long sums are exact.
func (s *scene) small() float32 { return float32(s.rng.IntN(7) - 3) }

func (s *scene) any() float32 { return float32(s.rng.NormFloat64()) }

// scores are the indexer's, all of them.
func scores(seed uint64, heads int, quantised bool) *scene {
	const width, ratio = 128, 4
	caps := op.Caps{Rows: 17, Slots: 2, Pages: 8, Context: 512}
	s := newScene(seed, "indexscore", describe(heads, "heads of", width, "quantised:", quantised), caps)
	q, w := s.in("q", heads*width), s.in("w", heads)
	keys := s.Pages("keys", keyRow(width, quantised), op.PageSize/ratio)
	s.Add(op.IndexScore{Q: q, W: w, Slot: op.Slot, Position: op.Position, Keys: op.In(keys), Scores: s.out("scores", caps.Context/ratio),
		Ratio: ratio, Scale: 0.25})
	for i, position := range []int{0, 1, 2, 3, 4, 126, 127, 128, 200, 300, caps.Context - 1} {
		m := min([]int{1, 2, 9}[i%3], caps.Context-position)
		r := s.round(append(sequenceRows(1, position, m), sequenceRows(0, max(0, 300-position), 1+i%7)...), twoTables())
		n := len(r.rows)
		r.exact = i%2 == 0
		r.data["keys"] = s.memory("keys", 0, s.small)
		r.floats("q", integers(s.rng, n*heads*width, 2))
		r.floats("w", integers(s.rng, n*heads, 4))
		if !r.exact {
			r.data["keys"] = s.memory("keys", -2, s.any)
			r.floats("q", normal(s.rng, n*heads*width))
			r.floats("w", normal(s.rng, n*heads))
		}
	}
	return s
}

// entries are fused selections: around the number of entries that can be chosen, with equal scores, with zeros.
func entries(seed uint64, ratio, k, heads int) *scene {
	width := 64
	if heads > 8 {
		width = 128
	}
	n := max(2*k*ratio+40, 512)
	pages := (n+op.PageSize-1)/op.PageSize + 1
	s := newScene(seed, "select", describe(k, "with", heads, "heads, ratio", ratio), op.Caps{Rows: 33, Slots: 2, Pages: 2 * pages, Context: pages * op.PageSize})
	q, w := s.in("q", heads*width), s.in("w", heads)
	keys := s.Pages("keys", keyRow(width, true), op.PageSize/ratio)
	s.Add(op.Select{Q: q, W: w, Slot: op.Slot, Position: op.Position, Keys: op.In(keys), Ids: s.idsOut("ids", k), Ratio: ratio, Scale: 0.125})
	order := s.rng.Perm(2 * pages)
	tables := [][]int32{make([]int32, pages), make([]int32, pages)}
	for i, page := range order {
		tables[i%2][i/2] = int32(page)
	}
	for i, position := range []int{0, ratio - 1, k*ratio - 2, k*ratio - 1, k * ratio, k*ratio + ratio - 1, 2*k*ratio + 3, n - 40, pages*op.PageSize - 1} {
		m := min([]int{1, 33, 2, 5}[i%4], pages*op.PageSize-position)
		r := s.round(append(sequenceRows(1, position, m-m/3), sequenceRows(0, max(0, n-40-position), m/3)...), tables)
		s.scoring(r, i, heads, width)
	}
	return s
}

// scoring fills a run of selections: whole numbers, of which many are equal; nothing but zeros; any numbers.
func (s *scene) scoring(r *round, i, heads, width int) {
	n := len(r.rows)
	r.data["keys"] = s.memory("keys", 0, s.small)
	r.exact = i%4 != 3
	r.floats("q", integers(s.rng, n*heads*width, 1))
	r.floats("w", integers(s.rng, n*heads, 2))
	switch i % 4 {
	case 1:
		r.floats("w", repeated(s.rng, n*heads, 1, -1))
	case 2:
		r.floats("q", make([]float32, n*heads*width))
	case 3:
		r.data["keys"] = s.memory("keys", 5, s.any)
		r.floats("q", normal(s.rng, n*heads*width))
		r.floats("w", normal(s.rng, n*heads))
	}
}
