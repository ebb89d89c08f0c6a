package qualify

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// drafterJSON is the shape of a small model with a block drafter, which the demo has none of.
//
//go:embed drafter.json
var drafterJSON []byte

func drafterModel(n deepseek.Numerics) (*deepseek.Model, error) {
	c, err := deepseek.ParseConfig(drafterJSON)
	if err != nil {
		return nil, err
	}
	return &deepseek.Model{Config: c, Weights: c.Layout(), Numerics: n}, nil
}

// drafterSubject is that model with drawn weights of bearable sizes.
func drafterSubject(n deepseek.Numerics) (*subject, error) {
	m, err := drafterModel(n)
	if err != nil {
		return nil, err
	}
	s := newSubject("a block drafter", m)
	rng := rand.New(rand.NewPCG(1, 13))
	for w := range m.Weights.All() {
		code := func(rng *rand.Rand, k quant.Kind) float32 {
			if k == quant.KindF32 || k == quant.KindBF16 {
				return float32(rng.NormFloat64() / math.Sqrt(float64(max(1, min(w.Rows-1, w.Cols)))))
			}
			return anyCode(rng, k)
		}
		exponent := map[quant.Kind]int{quant.KindE4M3: -11, quant.KindE2M1: -6}[w.Format.Kind]
		draw := drawCodes(code, func(rng *rand.Rand, _ int) int { return exponent + rng.IntN(3) })
		for range w.Parts {
			part := draw(rng, w.Format, w.Rows, w.Cols)
			s.sources[w.Name] = append(s.sources[w.Name], part.source(w.Name))
		}
	}
	return s, nil
}

// blockDrafter walks through the programs of a block drafter, and looks at its guesses after other histories.
func (q *suite) blockDrafter() error {
	numerics := walked
	if q.Tier == Gate {
		numerics = walked[:1]
	}
	for _, n := range numerics {
		s, err := drafterSubject(n)
		if err != nil {
			return err
		}
		if err := q.walk(q.device, s, drafterTurns(s.Model), q.drafterExcerpts(s.Config.Vocab)); err != nil {
			return err
		}
		began := time.Now()
		d := q.guesses(s)
		if err := q.record(Check{Level: "model", Op: "guesses at blocks after other histories", Shape: s.name, Numerics: n.String()}, began, d); err != nil {
			return err
		}
	}
	return nil
}

// drafterExcerpts begin two sequences, go on over the end of a window, and stand far away.
func (q *suite) drafterExcerpts(vocabulary int) []excerpt {
	all := q.excerpts(vocabulary, false)
	first := excerpt{true, all[0].rows}
	return append([]excerpt{first, all[1]}, all[4:]...)
}

// guesser is a block drafter's programs on a device. Instead of a model's run it is fed with drawn streams.
type guesser struct {
	*subject
	context, block, chain *loaded
	tables                [][]int32
}

func newGuesser(d device.Device, s *subject) (*guesser, error) {
	st := newStand(d, s.sources)
	g := &guesser{subject: s, tables: walkPages()}
	list := drafterTurns(s.Model)
	for i, l := range []**loaded{&g.context, &g.block, &g.chain} {
		var err error
		if *l, err = st.load(list[i].program); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// observe runs the context of a sequence over positions; text says which sequence's streams they have.
func (g *guesser) observe(slot int32, text uint64, from, to int) error {
	for _, layer := range g.Config.DSpark.Targets {
		var streams []float32
		name := fmt.Sprintf("layers.%d.out", layer)
		cols := g.context.Buffer(g.context.Lookup(name)).Cols
		for p := from; p < to; p++ {
			streams = append(streams, normal(rand.New(rand.NewPCG(text, uint64(100*p+layer))), cols)...)
		}
		if err := g.context.put(name, toBytes(streams)); err != nil {
			return err
		}
	}
	args, err := g.context.Args(sequenceRows(slot, from, to-from), g.tables)
	if err != nil {
		return err
	}
	return g.context.run(args)
}

// guess runs a block for each slot, which are all as far, and its chain. It returns what both give, row by row.
func (g *guesser) guess(slots []int32, length int, anchor int32) (rows [][]byte, err error) {
	n := g.Config.DSpark.BlockSize
	var list []op.Row
	for _, slot := range slots {
		for i := range n {
			r := op.Row{Token: g.Config.DSpark.NoiseToken, Slot: slot, Position: int32(length + i), Logits: true}
			if i == 0 {
				r.Token = anchor
			}
			list = append(list, r)
		}
	}
	rows = make([][]byte, len(list))
	for _, l := range []*loaded{g.block, g.chain} {
		args, err := l.Args(list, g.tables)
		if err != nil {
			return nil, err
		}
		got, err := finish(l, args)
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(got)) {
			data := got[name]
			if size := len(data) / len(list); l.Buffer(l.Lookup(name)).Space == op.IO {
				for i := range rows {
					rows[i] = append(rows[i], data[i*size:][:size]...)
				}
			}
		}
	}
	return rows, nil
}

// guesses looks whether a guess depends on the tokens that stand alone, and not on how they came, on guesses before that fell, on the slot or on
// company.
func (q *suite) guesses(s *subject) deviation {
	g, err := newGuesser(q.device, s)
	if err != nil {
		return broken(err)
	}
	want := map[int][][]byte{}
	at := []int{3, 19, 40, 41, 58}
	for i, length := range at {
		from := 0
		if i > 2 {
			from = at[i-1]
		}
		err := g.observe(0, 1, from, length)
		if err == nil {
			want[length], err = g.guess([]int32{0}, length, int32(length))
		}
		if err != nil {
			return broken(err)
		}
	}
	return g.busily(want)
}

// busily comes to the same guesses in the other slot, in small chunks with guesses between that fall, beside another sequence.
func (g *guesser) busily(want map[int][][]byte) (worst deviation) {
	n := g.Config.DSpark.BlockSize
	for length, i := 0, 0; length < 58; i++ {
		next := length + 1 + i%3
		for to := range want {
			if length < to && to < next {
				next = to
			}
		}
		err := g.observe(0, 2, length, next)
		if err == nil {
			err = g.observe(1, 1, length, next)
		}
		length = next
		var got [][]byte
		if err == nil && (want[length] == nil || i%2 == 0) {
			_, err = g.guess([]int32{1, 0}, length, int32(300+i%7))
		}
		if err == nil && want[length] != nil {
			got, err = g.guess([]int32{0, 1}, length, int32(length))
		}
		if err != nil {
			return broken(err)
		}
		if got != nil && !slices.EqualFunc(got[n:], want[length], bytes.Equal) {
			worst = worst.worse(deviation{1, 0, fmt.Sprintf("after %d tokens, in small runs, beside another sequence and after guesses that fell: other bits", length)})
		}
	}
	return worst
}

// chains drafts further and further from a short text, alone and then as a busy server would: the same bits.
func (m *machine) chains(texts [][]int32) (worst deviation) {
	const length = 12
	alone := &history{ids: texts[1][:length+4], slot: 0, pages: []int32{0}}
	var want [][]float32
	for alone.length < length {
		got, err := m.chain([]*history{alone})
		if err != nil {
			return broken(err)
		}
		want = append(want, got...)
		alone.length++
	}
	h, other := &history{ids: alone.ids, slot: 3, pages: []int32{5}}, &history{ids: texts[0], slot: 1, pages: []int32{3}}
	for ; h.length < length; h.length, other.length = h.length+1, other.length+1 {
		wrong := &history{ids: texts[0], slot: h.slot, pages: h.pages, length: h.length}
		_, err := m.chain([]*history{wrong})
		var got [][]float32
		if err == nil {
			got, err = m.chain([]*history{other, h})
		}
		if err != nil {
			return broken(err)
		}
		for i, logits := range want[3*h.length:][:3] {
			name := fmt.Sprintf("position %d, draft %d", h.length, i)
			worst = worst.worse(within(name, len(logits), got[len(got)-3+i], logits, nil))
		}
	}
	return worst
}

// chain runs the next token of each history, and three drafts one after the other. It returns their logits, history by history.
func (m *machine) chain(list []*history) ([][]float32, error) {
	logits := make([][]float32, 3*len(list))
	for ahead, l := range []*loaded{m.forward, m.draft, m.next, m.next} {
		var rows []op.Row
		for _, h := range list {
			m.tables[h.slot] = h.pages
			p := h.length + max(0, ahead-1) // the first draft stands where the model did
			rows = append(rows, op.Row{Token: h.ids[h.length+ahead], Slot: h.slot, Position: int32(p), Logits: true})
		}
		name := deepseek.DraftLogitsName
		if l == m.forward {
			name = deepseek.LogitsName
		}
		got, err := m.call(l, rows, name)
		if err != nil {
			return nil, err
		}
		for i := range list {
			if ahead > 0 {
				logits[3*i+ahead-1] = got[i]
			}
		}
	}
	return logits, nil
}
