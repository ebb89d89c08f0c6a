package qualify

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// Row counts: every one at which a kernel may choose another way.
var (
	counts = []int{1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 32, 33, 63, 64, 65, 127, 128, 129, 191, 256, 257, 512}
	few    = []int{9, 1, 2}
)

// ops looks at every op by itself.
func (q *suite) ops() error {
	return q.tryAll("op", func(yield func(*scene) bool) {
		for round := range []int{Gate: 1, Standard: 8, Deep: 60}[q.Tier] {
			for _, family := range []func(seed uint64) []*scene{
				nans, nansAnywhere, everySize, routers, rows, quantisers, stores, pools, norms, selections, hypers, attentions, experts, linears,
			} {
				for _, s := range family(q.Seed + uint64(round)) {
					if !yield(s) {
						return
					}
				}
			}
		}
	})
}

// flat are the capacities of scenes whose rows stand anywhere.
func flat(rows int) op.Caps {
	return op.Caps{Rows: rows, Slots: 1, Pages: rows/op.PageSize + 1, Context: rows + op.PageSize}
}

// linears are products with every format, as model code has them: as they are, in groups, in parts, and behind a
// quantiser.
func linears(seed uint64) (list []*scene) {
	for _, f := range formats {
		for _, size := range [][3]int{{160, 256, 0}, {40, 416, 0}, {1, 128, 0}, {160, 256, 128}, {48, 256, 0}, {48, 256, 128}} {
			list = append(list, exactLinear(seed, f, size[0], size[1], size[2]))
		}
		list = append(list,
			randomLinear(seed, f, [3]int{48, 1024, 0}, "any codes", drawCodes(anyCode, nearOne)),
			randomLinear(seed, f, [3]int{48, 1024, 128}, "any codes, quantised", drawCodes(anyCode, likeModel)),
			randomLinear(seed, f, [3]int{33, 512, 128}, "scales far apart", drawCodes(anyCode, farApart)),
			randomLinear(seed, f, [3]int{33, 512, 0}, "one scale far from the others", drawCodes(anyCode, everyFifth)),
			randomLinear(seed, f, [3]int{33, 512, 0}, "subnormal codes", drawCodes(subnormal, nearOne)),
			randomLinear(seed, f, [3]int{48, 512, asBF16}, "any codes, in bfloat16", drawCodes(anyCode, nearOne)),
			oneHot(seed, f), allActivations(seed, f), groupedLinear(seed, f, 2), groupedLinear(seed, f, 4), sideBySide(seed, f, 4),
		)
	}
	for _, f := range []quant.Format{formats[1], formats[2], formats[5]} {
		list = append(list, manyRows(seed, f))
	}
	list = append(list, groupedLinear(seed, formats[2], 16), exactLinear(seed, formats[2], 33, 16384, 128))
	for _, k := range []int{2048, 4096, 7168} {
		for _, f := range []quant.Format{formats[1], formats[2], formats[5]} {
			list = append(list, randomLinear(seed, f, [3]int{17, k, 128}, "real width", drawCodes(anyCode, likeModel)), exactLinear(seed, f, 33, k, 128))
		}
	}
	for i, size := range [][2]int{{17, 96}, {31, 160}, {65, 224}, {129, 288}, {15, 32}, {63, 352}, {7, 64}, {2, 416}, {191, 32}} {
		for _, f := range formats { // what is left over from tiles of either
			list = append(list, exactLinear(seed, f, size[0], size[1], []int{0, 128}[i%2]))
		}
	}
	return append(list, exactLinear(seed, formats[2], 200, 128, 128), exactLinear(seed, formats[5], 200, 128, 0), wanted(seed), manyOutputs(seed),
		endsOfScales(seed, formats[2]), endsOfScales(seed, formats[3]), endsOfScales(seed, formats[5]))
}

// asBF16 stands for a group: there is none, and numbers are rounded to bfloat16.
const asBF16 = -1

// endsOfScales has all scales from 2^-126 to 2^127 in turn, and 2^-127, which may count as zero. Each row of activations meets one block.
func endsOfScales(seed uint64, f quant.Format) *scene {
	const n = 48
	exponents := []int{127, -126, 126, -125, 120, -127, 100, -100}
	k := f.BlockCols * len(exponents)
	s := newScene(seed, "linear", describe(f, "the ends of scales"), flat(9))
	code := func(rng *rand.Rand, _ quant.Kind) float32 { return float32(rng.IntN(7)-3) / 2 } // more times 2^127 is no number
	s.addLinear(f, n, k, 0, drawCodes(code, func(_ *rand.Rand, block int) int { return exponents[block%len(exponents)] }))
	for i, e := range exponents {
		for _, m := range []int{1, 9} {
			r := s.sequence(m)
			r.exact, r.orZero = true, e == -127
			x := make([]float32, m*k)
			for row := range m {
				copy(x[row*k+i*f.BlockCols:], scaled(signs(s.rng, f.BlockCols, f.BlockCols, f.BlockCols), float32(math.Ldexp(1, -e*4/5))))
			}
			r.floats("x", x)
		}
	}
	return s
}

// addLinear adds a product, behind a quantiser if group is not 0.
func (s *scene) addLinear(f quant.Format, n, k, group int, d draw) {
	x, y := s.in("x", k), s.out("y", n)
	if group == asBF16 {
		rounded := s.Temp("x.rounded", op.Rows, k)
		s.Add(op.Quantise{X: x, Y: op.Out(rounded), Kind: quant.KindBF16, Width: k, Channels: k, Group: k})
		x = op.In(rounded)
	} else if group != 0 {
		rounded := s.Temp("x.quantised", op.Rows, k)
		s.Add(op.Quantise{X: x, Y: op.Out(rounded), Kind: quant.KindE4M3, Width: k, Channels: k, Group: group})
		x = op.In(rounded)
	}
	s.Add(op.Linear{X: x, W: s.weight("w", f, 1, n, k, d), Y: y, Groups: 1})
}

// exactDraw makes weights of which sums with a number of -1 and 1 are exact: of FP8 all codes, of which few may meet.
func exactDraw(f quant.Format) (d draw, most int) {
	switch f.Kind {
	case quant.KindE4M3:
		return drawCodes(anyCode, nearOne), 16
	case quant.KindE2M1:
		return drawCodes(anyCode, nearOne), 1 << 20
	}
	return drawCodes(smallNumber, nearOne), 1 << 20
}

// exactLinear is a fingerprint: a wrong code, scale or place of either changes some sum of signs. Of 160 outputs there are runs of
// up to 65 rows, of 48 and 200 longer ones, of others few.
func exactLinear(seed uint64, f quant.Format, n, k, group int) *scene {
	s := newScene(seed, "linear", describe(f, n, "x", k, "fingerprint, group", group), flat(512))
	d, most := exactDraw(f)
	s.addLinear(f, n, k, group, d)
	for _, m := range counts {
		wanted := m < 10 || m == 129 && n < 50
		switch {
		case n == 160:
			wanted = m <= 65
		case n == 48:
			wanted = m > 65 && m != 191 && m != 256
		case n == 200:
			wanted = m < 10 || m > 32
		case k >= 2048:
			wanted = m == 1 || m == 9 || m == 33
		}
		if wanted {
			r := s.sequence(m)
			r.exact = true
			r.floats("x", signs(s.rng, m*k, k, most))
		}
	}
	return s
}

// manyRows are those of a long prompt.
func manyRows(seed uint64, f quant.Format) *scene {
	const n, k = 48, 128
	s := newScene(seed, "linear", describe(f, "many rows"), flat(2049))
	d, most := exactDraw(f)
	s.addLinear(f, n, k, 128, d)
	for _, m := range []int{2049, 1025} {
		r := s.sequence(m)
		r.exact = true
		r.floats("x", signs(s.rng, m*k, k, most))
	}
	return s
}

// oneHot reads a weight column by column.
func oneHot(seed uint64, f quant.Format) *scene {
	const n, k = 33, 256
	s := newScene(seed, "linear", describe(f, n, "x", k, "one-hot"), flat(k))
	s.addLinear(f, n, k, 0, drawCodes(anyCode, allOver))
	r := s.sequence(k)
	r.exact = true
	x := make([]float32, k*k)
	for i := range k {
		x[i*k+i] = 1
	}
	r.floats("x", x)
	return s
}

// allActivations meets signs with every code that a quantised activation may be, subnormal ones beside the largest.
func allActivations(seed uint64, f quant.Format) *scene {
	const n, k, group = 40, 256, 128
	s := newScene(seed, "linear", describe(f, n, "x", k, "all codes of activations"), flat(65))
	sign := func(rng *rand.Rand, _ quant.Kind) float32 { return float32(1 - 2*int(rng.UintN(2))) }
	s.addLinear(f, n, k, group, drawCodes(sign, func(*rand.Rand, int) int { return 1 }))
	for _, m := range []int{65, 1, 2, 9} {
		r := s.sequence(m)
		r.exact = true
		x := make([]float32, m*k)
		for at := 0; at < len(x); at += group {
			for range 7 {
				x[at+s.rng.IntN(group)] = anyCode(s.rng, quant.KindE4M3)
			}
			x[at+s.rng.IntN(group)] = 448
		}
		r.floats("x", x)
	}
	return s
}

// manyOutputs has more of them than 16 bits count, as a head has.
func manyOutputs(seed uint64) *scene {
	const n, k = 70001, 32
	s := newScene(seed, "linear", describe(formats[1], n, "x", k), flat(9))
	s.addLinear(formats[1], n, k, 0, drawCodes(smallNumber, nearOne))
	for _, m := range []int{2, 1, 9} {
		r := s.sequence(m)
		r.exact = true
		r.floats("x", signs(s.rng, m*k, k, k))
	}
	return s
}

// randomLinear has any numbers; size is outputs, inputs, and the quantiser's group.
func randomLinear(seed uint64, f quant.Format, size [3]int, what string, d draw) *scene {
	n, k, group := size[0], size[1], size[2]
	s := newScene(seed, "linear", describe(f, n, "x", k, what), flat(9))
	s.addLinear(f, n, k, group, d)
	for _, m := range few {
		s.sequence(m).floats("x", normal(s.rng, m*k))
	}
	s.sequence(2).floats("x", scattered(s.rng, 2*k, -40, 20))
	s.sequence(3).floats("x", make([]float32, 3*k))
	cancel := normal(s.rng, 2*k)
	for i := range cancel {
		if i%2 == 1 {
			cancel[i] = -cancel[i-1]
		}
	}
	s.sequence(2).floats("x", cancel)
	return s
}

func groupedLinear(seed uint64, f quant.Format, groups int) *scene {
	const n, k = 32, 128
	s := newScene(seed, "linear", describe(f, groups, "groups of", n, "x", k), flat(33))
	d, most := exactDraw(f)
	s.Add(op.Linear{X: s.in("x", groups*k), W: s.weight("w", f, 1, groups*n, k, d), Y: s.out("y", groups*n), Groups: groups})
	s.twoWays(groups*k, k, most)
	return s
}

func sideBySide(seed uint64, f quant.Format, parts int) *scene {
	const n, k = 48, 128
	s := newScene(seed, "linear", describe(f, parts, "parts meet one", n, "x", k), flat(33))
	d, most := exactDraw(f)
	s.Add(op.Linear{X: s.in("x", parts*k), W: s.weight("w", f, 1, n, k, d), Y: s.out("y", parts*n), Groups: 1})
	s.twoWays(parts*k, k, most)
	return s
}

// twoWays adds exact and random runs.
func (s *scene) twoWays(width, part, most int) {
	for _, m := range []int{1, 2, 9, 33} {
		r := s.sequence(m)
		r.exact = true
		r.floats("x", signs(s.rng, m*width, part, most))
		s.sequence(m).floats("x", normal(s.rng, m*width))
	}
}

// wanted is a product for the rows whose logits are wanted, as the head's.
func wanted(seed uint64) *scene {
	const n, k = 96, 128
	s := newScene(seed, "linear", "of wanted rows", flat(33))
	x := s.in("x", k)
	some := s.Temp("some", op.Logits, k)
	s.Add(op.Gather{X: x, Row: op.LogitRow, Y: op.Out(some)})
	s.Add(op.Linear{X: op.In(some), W: s.weight("w", formats[1], 1, n, k, drawCodes(smallNumber, nearOne)), Y: op.Out(s.IO("y", op.Logits, n)), Groups: 1})
	for _, m := range []int{1, 2, 5, 33} {
		r := s.sequence(m)
		r.exact = true
		r.floats("x", integers(s.rng, m*k, 8))
	}
	return s
}

// experts are the products of chosen experts, the sum of their outputs, and all of it fused.
func experts(seed uint64) (list []*scene) {
	for _, f := range formats {
		for _, k := range []int{2, 6} {
			list = append(list, expertLinear(seed, f, 8, k, false), expertLinear(seed, f, 12, k, true))
		}
		list = append(list, fusedExperts(seed, f, mixture{12, 3, 128, 96, 128}), fusedExperts(seed, f, mixture{8, 2, 128, 96, 0}))
	}
	list = append(list, fusedExperts(seed, formats[5], mixture{384, 6, 128, 96, 128}), fusedExperts(seed, formats[5], mixture{1, 1, 128, 96, 128}),
		fusedExperts(seed, formats[5], mixture{8, 6, 1024, 512, 128}), fusedExperts(seed, formats[2], mixture{4, 2, 512, 384, 128}))
	for _, f := range []quant.Format{formats[2], formats[5]} {
		list = append(list, everyLoad(seed, f, false), everyLoad(seed, f, true))
	}
	return append(list, combine(seed, 8, 2, 256), combine(seed, 384, 6, 4096), combine(seed, 8, 8, 7168))
}

// choose draws k different experts for each of m rows.
func (s *scene) choose(m, experts, k int) []int32 {
	ids := make([]int32, 0, m*k)
	for range m {
		for _, e := range s.rng.Perm(experts)[:k] {
			ids = append(ids, int32(e))
		}
	}
	return ids
}

func expertLinear(seed uint64, f quant.Format, e, k int, slots bool) *scene {
	const n, width = 40, 128
	s := newScene(seed, "expertlinear", describe(f, e, "experts,", k, "active, a slot each:", slots), flat(129))
	ids, wide := s.idsIn("ids", k), width
	if slots {
		wide *= k
	}
	d, most := exactDraw(f)
	s.Add(op.ExpertLinear{X: s.in("x", wide), Ids: ids, W: s.weight("w", f, e, n, width, d), Y: s.out("y", k*n)})
	for i, m := range []int{129, 1, 2, 3, 5, 8, 33} {
		r := s.sequence(m)
		r.ids("ids", s.choose(m, e, k))
		r.exact = i%2 == 0
		r.floats("x", normal(s.rng, m*wide))
		if r.exact {
			r.floats("x", signs(s.rng, m*wide, width, most))
		}
	}
	one := s.sequence(33) // all rows at one expert
	one.exact = true
	one.ids("ids", make([]int32, 33*k))
	one.floats("x", signs(s.rng, 33*wide, width, most))
	return s
}

// everyLoad gives each expert a number of tokens at which a kernel may choose another way, in no order.
func everyLoad(seed uint64, f quant.Format, fused bool) *scene {
	const d, m = 128, 64
	var ids []int32
	for e, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 15, 16, 17, 24, 25, 33} {
		ids = append(ids, slices.Repeat([]int32{int32(e)}, n)...)
	}
	experts, rows := int(ids[len(ids)-1])+1, len(ids)
	name := map[bool]string{false: "expertlinear", true: "experts"}[fused]
	s := newScene(seed, name, describe(f, "every number of tokens"), flat(rows))
	exponent := map[quant.Kind]int{quant.KindE4M3: -9, quant.KindE2M1: -4}[f.Kind]
	draw := drawCodes(anyCode, func(*rand.Rand, int) int { return exponent })
	x, chosen := s.in("x", d), s.idsIn("ids", 1)
	if fused {
		s.Add(op.Experts{X: x, Ids: chosen, W: s.in("weights", 1), Shared: s.in("shared", d), W1: s.weight("w1", f, experts, m, d, draw),
			W2: s.weight("w2", f, experts, d, m, draw), W3: s.weight("w3", f, experts, m, d, draw), Y: s.out("y", d), Limit: 10})
	} else {
		s.Add(op.ExpertLinear{X: x, Ids: chosen, W: s.weight("w", f, experts, m, d, draw), Y: s.out("y", m)})
	}
	for range 2 {
		r := s.sequence(rows)
		s.rng.Shuffle(rows, func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		r.ids("ids", ids)
		r.floats("x", normal(s.rng, rows*d))
		if fused {
			r.floats("weights", scattered(s.rng, rows, -6, 1))
			r.floats("shared", normal(s.rng, rows*d))
		}
	}
	return s
}

// mixture is the shape of fused experts: how many, how many of them active, their widths, and the quantiser's group.
type mixture struct{ e, k, d, m, group int }

// fusedExperts are gate and up products on both sides of the limit, the rows' weights, and the shared expert.
func fusedExperts(seed uint64, f quant.Format, x mixture) *scene {
	s := newScene(seed, "experts", describe(f, x.d, "to", x.m, "experts", x.e, "active", x.k, "group", x.group), flat(max(3, 65*128/x.d)))
	e, k, d, m, group := x.e, x.k, x.d, x.m, x.group
	in, ids, w, shared := s.in("x", d), s.idsIn("ids", k), s.in("weights", k), s.in("shared", d)
	exponent := func(*rand.Rand, int) int { return -4 }
	draw := drawCodes(anyCode, exponent)
	if f.Kind == quant.KindE4M3 {
		draw = drawCodes(anyCode, func(*rand.Rand, int) int { return -9 })
	}
	if group != 0 {
		rounded := s.Temp("x.quantised", op.Rows, d)
		s.Add(op.Quantise{X: in, Y: op.Out(rounded), Kind: quant.KindE4M3, Width: d, Channels: d, Group: group})
		in = op.In(rounded)
	}
	s.Add(op.Experts{X: in, Ids: ids, W: w, Shared: shared, W1: s.weight("w1", f, e, m, d, draw), W2: s.weight("w2", f, e, d, m, draw),
		W3: s.weight("w3", f, e, m, d, draw), Y: s.out("y", d), Limit: 10, Group: group})
	for i, n := range []int{65, 1, 2, 3, 9, 17} {
		if most := s.Program().Caps.Rows; n > most && i > 0 {
			continue
		} else if n > most {
			n = most
		}
		r := s.sequence(n)
		r.ids("ids", s.choose(n, e, k))
		r.floats("x", scaled(normal(s.rng, n*d), []float32{1, 4, 0.2}[i%3]))
		r.floats("weights", scattered(s.rng, n*k, -6, 1))
		r.floats("shared", normal(s.rng, n*d))
		if n < 4 {
			r.same = r.turned(k, "ids", "weights")
		}
	}
	return s
}

// turned is a run in which the slots of every row have changed places, in all that counts slots: the sum is by id, so it is the same.
func (r *round) turned(slots int, names ...string) *round {
	other := &round{rows: r.rows, pages: r.pages, data: maps.Clone(r.data)}
	for _, name := range names {
		data := slices.Clone(r.data[name])
		size := len(data) / len(r.rows)
		for row := range slices.Chunk(data, size) {
			old := slices.Clone(row)
			n := copy(row, old[size/slots:])
			copy(row[n:], old)
		}
		other.data[name] = data
	}
	return other
}

func scaled(x []float32, by float32) []float32 {
	for i := range x {
		x[i] *= by
	}
	return x
}

func combine(seed uint64, e, k, d int) *scene {
	s := newScene(seed, "combine", describe(k, "of", e, "experts,", d, "wide"), flat(min(33, 1<<15/d)))
	x, ids := s.in("x", k*d), s.idsIn("ids", k)
	s.Add(op.Combine{X: x, Ids: ids, Shared: s.in("shared", d), Y: s.out("y", d)})
	for i, n := range []int{3, 1, 33} {
		n = min(n, s.Program().Caps.Rows)
		r := s.sequence(n)
		r.exact = i%2 == 0
		r.ids("ids", s.choose(n, e, k))
		r.floats("x", integers(s.rng, n*k*d, 1000))
		r.floats("shared", integers(s.rng, n*d, 1000))
		if !r.exact {
			r.floats("x", normal(s.rng, n*k*d))
		}
		r.same = r.turned(k, "ids", "x")
	}
	r := s.sequence(2) // sums of which the order shows
	r.ids("ids", s.choose(2, e, k))
	r.floats("x", scattered(s.rng, 2*k*d, -12, 12))
	r.floats("shared", scattered(s.rng, 2*d, -12, 12))
	r.same = r.turned(k, "ids", "x")
	return s
}
