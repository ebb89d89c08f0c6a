package qualify

import (
	"math"
	"math/rand/v2"
	"slices"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// kvRows are the ways in which a key-value row is packed.
var kvRows = []quant.Row{
	{Width: 128, Kind: quant.KindE4M3, Group: 64, Quantised: 64, Tail: quant.KindF32},
	{Width: 128, Tail: quant.KindF32},
	{Width: 128, Kind: quant.KindE4M3, Group: 64, Quantised: 64, Tail: quant.KindBF16},
	{Width: 512, Kind: quant.KindE4M3, Group: 64, Quantised: 448, Tail: quant.KindF32},
}

// stores write rows into rings and pages; every other byte must stay what it was.
func stores(seed uint64) (list []*scene) {
	for _, row := range append(kvRows, keyRow(128, true), keyRow(64, false), quant.Row{Width: 1024, Tail: quant.KindF32}) {
		list = append(list, storeRing(seed, row, 63), storeRing(seed, row, 127))
		for _, ratio := range []int{4, 128} {
			list = append(list, storePages(seed, row, ratio))
		}
	}
	return list
}

// packable draws rows of about 2^size that a state can hold.
func (s *scene) packable(row quant.Row, n int, size float64) []float32 {
	x := scaled(normal(s.rng, n*row.Width), float32(math.Exp2(size)))
	for at := 0; at < len(x); at += row.Width {
		switch part := x[at:][:row.Quantised]; {
		case row.Quantised == 0:
		case row.Kind == quant.KindE2M1:
			quant.FakeE2M1(part, row.Group)
		default:
			quant.FakeE4M3(part, row.Group)
		}
		if row.Tail == quant.KindBF16 {
			for j := row.Quantised; j < row.Width; j += 3 { // in the middle of two
				x[at+j] = math.Float32frombits(math.Float32bits(x[at+j])&^0xffff | 0x8000)
			}
		}
	}
	return x
}

func storeRing(seed uint64, row quant.Row, behind int) *scene {
	const most = 33
	s := newScene(seed, "store", describe(row, "ring behind", behind), op.Caps{Rows: most, Slots: 3, Pages: 24, Context: 1 << 20})
	ring := s.Ring("ring", row, behind+most)
	s.Add(op.Store{X: s.in("x", row.Width), Slot: op.Slot, Entry: op.Position, S: op.InOut(ring), Divide: 1})
	for i, position := range []int{0, 1, behind, behind + 1, behind + most - 2, behind + most, 3*(behind+most) - 5, 100000, 1<<20 - most} {
		m := []int{1, 2, most}[i%3]
		first := int32(i % 3)
		rows := append(sequenceRows(first, position, m-m/3), sequenceRows((first+1)%3, i*7, m/3)...)
		s.stored("ring", row, s.round(rows, s.manyPages()))
	}
	return s
}

// manyPages gives every slot pages for any position; they repeat.
func (s *scene) manyPages() [][]int32 {
	caps := s.Program().Caps
	tables := make([][]int32, caps.Slots)
	for slot := range tables {
		tables[slot] = make([]int32, caps.Context/op.PageSize)
		for i := range tables[slot] {
			tables[slot][i] = int32((i*caps.Slots + slot + caps.Pages - 1) % caps.Pages) // the last page of the pool comes first
		}
	}
	return tables
}

// stored fills a run of a store: the state has old bytes that must stay.
func (s *scene) stored(state string, row quant.Row, r *round) {
	r.data[state] = s.memory(state, 0, s.any)
	p := s.Program()
	x := s.packable(row, len(r.rows), []float64{0, -12, 20, 4}[len(s.rounds)%4])
	r.floats("x", x[:min(len(x), p.Dims[p.Buffer(p.Lookup("x")).Dim].Capacity*row.Width)])
}

func storePages(seed uint64, row quant.Row, ratio int) *scene {
	const most = 130
	s := newScene(seed, "store", describe(row, "pages, ratio", ratio), op.Caps{Rows: most, Slots: 3, Pages: 25, Context: 1 << 20})
	windows := s.Windows(ratio)
	pages := s.Pages("pages", row, op.PageSize/ratio)
	x := s.IO("x", windows.Dim, row.Width)
	s.Add(op.Store{X: op.In(x), Slot: windows.Slot, Entry: windows.Start, S: op.InOut(pages), Divide: ratio})
	for i, position := range []int{0, 1, 2, 3, ratio - 1, 126, 127, 255, 640 - 3, 100000, 1<<20 - most} {
		m := []int{1, 2, 8, most}[i%4]
		rows := append(sequenceRows(int32(i%3), position, m-m/3), sequenceRows(int32(i+1)%3, 128*i+127, m/3)...)
		s.stored("pages", row, s.round(rows, s.manyPages()))
	}
	return s
}

// pools compress windows: whole ones, the first of a sequence, in a used ring, at every residue.
func pools(seed uint64) []*scene {
	return []*scene{
		pool(seed, 4, 64, true), pool(seed, 4, 128, true), pool(seed, 128, 64, false), pool(seed, 128, 128, false), pool(seed, 32, 96, false),
	}
}

func pool(seed uint64, ratio, width int, overlap bool) *scene {
	const most = 130
	wide, behind := width, ratio-1
	if overlap {
		wide, behind = 2*width, 2*ratio-1
	}
	s := newScene(seed, "pool", describe("ratio", ratio, "width", width, "overlap:", overlap), op.Caps{Rows: most, Slots: 2, Pages: 24, Context: 1 << 20})
	windows := s.Windows(ratio)
	row := quant.Row{Width: wide, Tail: quant.KindF32}
	values, scores := s.Ring("u", row, behind+most), s.Ring("z", row, behind+most)
	ape := drawCodes(func(rng *rand.Rand, _ quant.Kind) float32 { return float32(rng.IntN(9)-4) / 2 }, nearOne)
	s.Add(op.Pool{U: op.In(values), Z: op.In(scores), APE: s.weight("ape", quant.Format{}, 1, ratio, wide, ape), Slot: windows.Slot,
		Start: windows.Start, Y: op.Out(s.IO("y", windows.Dim, width)), Ratio: ratio, Overlap: overlap})
	for i, position := range []int{2*ratio - 1, ratio - 1, ratio, ratio + 1, 4*ratio - 1, ratio + 2, 3*ratio - 2, 5*ratio + 1, 6*ratio - 1, 1000, 1<<20 - most, 0} {
		for _, m := range []int{1, 2, 8, most, 1, 3}[i%3*2:][:2] {
			rows := append(sequenceRows(int32(i%2), position, m), sequenceRows(int32(1-i%2), 3*i, min(i%4, most-m))...)
			r := s.round(rows, s.manyPages())
			r.data["u"], r.data["z"] = s.memory("u", 0, s.any), s.memory("z", 0, []func() float32{s.any, s.wild, s.chosen}[i%3])
		}
	}
	return s
}

// wild draws scores that are far apart, chosen such that almost always one alone counts.
func (s *scene) wild() float32 { return float32(s.rng.NormFloat64() * 30) }

func (s *scene) chosen() float32 {
	if s.rng.IntN(5) == 0 {
		return float32(200 * (1 + s.rng.IntN(2)))
	}
	return float32(-s.rng.IntN(3))
}

// attentions look at windows alone, with all compressed entries, and with chosen ones.
func attentions(seed uint64) (list []*scene) {
	for i, row := range kvRows {
		span := []int{64, 128, 128, 128}[i]
		list = append(list,
			attend(seed, attention{row: row, heads: 2, span: span}),
			attend(seed, attention{row: row, heads: 4, span: span, ratio: 128}),
			attend(seed, attention{row: row, heads: 2, span: span, ratio: 4, k: 16}),
		)
	}
	for _, ratio := range []int{0, 4} {
		list = append(list, batch(seed, ratio), averages(seed, ratio))
	}
	for _, ratio := range []int{0, 4} {
		list = append(list, everyRun(seed, ratio))
	}
	return append(list, attend(seed, attention{row: kvRows[0], heads: 128, span: 8}), attend(seed, attention{row: kvRows[0], heads: 2, span: 32, ratio: 4}))
}

// everyRun stores rows and attends to them, with every number of rows in a run.
func everyRun(seed uint64, ratio int) *scene {
	const most, heads = 257, 3
	row := quant.Row{Width: 32, Tail: quant.KindF32}
	a := attention{row: row, heads: heads, span: 8, ratio: ratio}
	s := newScene(seed, "attend", describe("every number of rows, ratio", ratio), op.Caps{Rows: most, Slots: 2, Pages: 9, Context: 512})
	kv, window := s.in("kv", row.Width), s.Ring("window", row, a.span-1+most)
	o := op.Attend{Q: s.in("q", heads*row.Width), Slot: op.Slot, Position: op.Position, Window: op.In(window),
		Sink: s.vector("sink", []float32{1, -1, 0}), Y: s.out("y", heads*row.Width), Span: a.span, Ratio: ratio, Scale: 0.2}
	if ratio != 0 {
		o.Compressed = op.In(s.Pages("pages", row, op.PageSize/ratio))
	}
	s.Add(op.Store{X: kv, Slot: op.Slot, Entry: op.Position, S: op.InOut(window), Divide: 1})
	s.Add(o)
	for i, m := range counts {
		if m > most {
			continue
		}
		r := s.round(sequenceRows(int32(i%2), 5*i, m), s.manyPages())
		s.looking(r, a, 0)
		r.floats("kv", normal(s.rng, m*row.Width))
	}
	return s
}

// attention is the shape of a scene of attention.
type attention struct {
	row         quant.Row
	heads, span int
	ratio, k    int
}

func attend(seed uint64, a attention) *scene {
	const context = 1024
	most, wide := 33, a.heads*a.row.Width
	s := newScene(seed, "attend", describe(a.row, "heads", a.heads, "window", a.span, "ratio", a.ratio, "of", a.k), op.Caps{Rows: most, Slots: 2, Pages: 17, Context: context})
	sinks := make([]float32, a.heads)
	for h := range sinks {
		sinks[h] = []float32{0.5, -30, 9, -200, 40}[h%5]
	}
	o := op.Attend{Q: s.in("q", wide), Slot: op.Slot, Position: op.Position, Window: op.In(s.Ring("window", a.row, a.span-1+most)),
		Sink: s.vector("sink", sinks), Span: a.span, Ratio: a.ratio, Scale: 1 / math.Sqrt(float64(a.row.Width))}
	if a.ratio != 0 {
		o.Compressed = op.In(s.Pages("pages", a.row, op.PageSize/a.ratio))
	}
	if a.k != 0 {
		o.Ids = s.idsIn("ids", a.k)
	}
	o.Y = s.out("y", wide)
	s.Add(o)
	for i, position := range []int{0, 1, 2, 3, 6, 61, 62, 63, 64, 126, 127, 128, 129, 255, 256, 511, 700, 990, context - 1} {
		m := min([]int{1, 2, 1, 5}[i%4], context-position)
		rows := append(sequenceRows(int32(i%2), position, m), sequenceRows(int32(1-i%2), max(0, 990-position), i%3)...)
		if i == 8 && wide < 1000 {
			rows = sequenceRows(1, position, most)
		}
		s.looking(s.round(rows, s.manyPages()), a, i)
	}
	return s
}

// averages are attention in which 32 keys, or one, weigh the same: means of codes, which are exact.
func averages(seed uint64, ratio int) *scene {
	const heads, k = 3, 16
	a := attention{row: kvRows[0], heads: heads, span: 32, ratio: ratio}
	if ratio != 0 {
		a.span, a.k = 16, k
	}
	s := newScene(seed, "attend", describe("averages, ratio", ratio), op.Caps{Rows: 8, Slots: 2, Pages: 9, Context: 512})
	o := op.Attend{Q: s.in("q", heads*a.row.Width), Slot: op.Slot, Position: op.Position, Window: op.In(s.Ring("window", a.row, a.span+7)),
		Sink: s.vector("sink", []float32{-200, -300, -250}), Span: a.span, Ratio: ratio, Scale: 0.1}
	if ratio != 0 {
		o.Compressed, o.Ids = op.In(s.Pages("pages", a.row, op.PageSize/ratio)), s.idsIn("ids", k)
	}
	o.Y = s.out("y", heads*a.row.Width)
	s.Add(o)
	positions := []int{31, 0, 200, 300}
	if ratio != 0 {
		positions = []int{63, 0, 64, 301}
	}
	for _, position := range positions {
		n := min(position+1, 8)
		if position < 64 {
			n = 1 // of the rows behind the number of keys would be another
		}
		r := s.round(sequenceRows(1, position, n), s.manyPages())
		s.looking(r, a, 0)
		r.exact = true
		r.floats("q", make([]float32, n*heads*a.row.Width))
		r.data["window"] = s.memory("window", 0, s.small)
		if ratio != 0 {
			r.data["pages"] = s.memory("pages", 0, s.small)
		}
	}
	return s
}

// batch is one row of each of many sequences, as in decoding: from a store to attention.
func batch(seed uint64, ratio int) *scene {
	const slots, heads = 70, 2
	a := attention{row: kvRows[0], heads: heads, span: 16, ratio: ratio}
	s := newScene(seed, "attend", describe("a batch of", slots, "ratio", ratio), op.Caps{Rows: slots, Slots: slots, Pages: 73, Context: 2048})
	kv, window := s.in("kv", a.row.Width), s.Ring("window", a.row, a.span-1+slots)
	o := op.Attend{Q: s.in("q", heads*a.row.Width), Slot: op.Slot, Position: op.Position, Window: op.In(window),
		Sink: s.vector("sink", []float32{1, -1}), Span: a.span, Ratio: ratio, Scale: 0.1}
	if ratio != 0 {
		o.Compressed = op.In(s.Pages("pages", a.row, op.PageSize/ratio))
	}
	o.Y = s.out("y", heads*a.row.Width)
	s.Add(op.Store{X: kv, Slot: op.Slot, Entry: op.Position, S: op.InOut(window), Divide: 1})
	s.Add(o)
	for i, n := range []int{slots, 1, 2, 7, 33} {
		var rows []op.Row
		for _, slot := range s.rng.Perm(slots)[:n] {
			rows = append(rows, op.Row{Slot: int32(slot), Position: int32(s.rng.IntN(1000))})
		}
		r := s.round(rows, s.manyPages())
		s.looking(r, a, i)
		r.floats("kv", s.packable(a.row, n, 0))
	}
	return s
}

// looking fills a run of attention: any scores, one that outweighs all, equal ones.
func (s *scene) looking(r *round, a attention, i int) {
	n := len(r.rows) * a.heads * a.row.Width
	exponent, by := -6, []float32{1, 4, 20}[i%3]
	switch i % 7 { // scales above 1, and far below
	case 3:
		exponent, by = 3, 0x1p-9
	case 6:
		exponent = -20
	}
	r.data["window"] = s.memory("window", exponent, s.any)
	if a.ratio != 0 {
		r.data["pages"] = s.memory("pages", exponent, s.any)
	}
	if i%5 == 4 {
		by = 0
	}
	r.floats("q", scaled(normal(s.rng, n), by))
	if a.k == 0 {
		return
	}
	var ids []int32
	for _, row := range r.rows {
		ids = append(ids, s.chosenEntries(op.Visible(int(row.Position), a.ratio), a.k)...)
	}
	r.ids("ids", ids)
}

// chosenEntries draws k of n entries as a selection has them: ascending, -1 before them. The newest is among them.
func (s *scene) chosenEntries(n, k int) []int32 {
	ids := slices.Repeat([]int32{-1}, max(0, k-n))
	taken := map[int]bool{}
	for n > 0 && len(taken) < min(n, k)-1 {
		taken[s.rng.IntN(n-1)] = true
	}
	for c := range n {
		if taken[c] || c == n-1 {
			ids = append(ids, int32(c))
		}
	}
	return ids
}
