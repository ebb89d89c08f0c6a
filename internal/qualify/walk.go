package qualify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/device/ref"
	"baleen/internal/op"
)

// subject is a model in one numerics, with the stored form of its weights.
type subject struct {
	*deepseek.Model
	name    string
	sources map[string][]device.Source
	decoded *decoded
}

func newSubject(name string, m *deepseek.Model) *subject {
	s := &subject{m, name, map[string][]device.Source{}, newDecoded()}
	for w := range m.Weights.All() {
		for i, data := range w.Data {
			source := device.Source{Name: data.String(), Data: device.Span{From: data.From, Offset: data.Offset, Length: data.Length}}
			if i < len(w.Scale) {
				scale := w.Scale[i]
				source.Scale = device.Span{From: scale.From, Offset: scale.Offset, Length: scale.Length}
			}
			s.sources[w.Name] = append(s.sources[w.Name], source)
		}
	}
	return s
}

// matrix reads a part of a weight. What cannot be read is zeros: the device will have said so.
func (s *subject) matrix(b op.Buffer, part int) *matrix {
	source := s.sources[b.Name][part]
	m := &matrix{b.Format, b.Rows, b.Cols, make([]byte, source.Data.Length), make([]byte, source.Scale.Length)}
	if source.Data.Read(m.data, 0) != nil || source.Scale.Read(m.scale, 0) != nil {
		clear(m.data)
	}
	return m
}

// walker runs programs on the device one op at a time, and each op on ref from what the device had before it.
type walker struct {
	*subject
	dut, spec *stand
	steps     map[string][]step // by program
	worst     map[string]*tally
	order     []string
}

type step struct {
	dut, spec *loaded
	op        op.Op
	label     string
}

// tally is what came of one kind of op at one place of the model.
type tally struct {
	deviation
	runs int
	ms   float64
}

func newWalker(d device.Device, s *subject) *walker {
	return &walker{subject: s, dut: newStand(d, s.sources), spec: newStand(ref.New(), s.sources), steps: map[string][]step{}, worst: map[string]*tally{}}
}

// prepare loads every op of a program by itself.
func (w *walker) prepare(p *op.Program) error {
	if w.steps[p.Name] != nil {
		return nil
	}
	has := w.dut.device.Info().Has
	p = everything(p.Lower(func(o op.Op) bool { return has(o) && bounded(o) }))
	for i, o := range p.Ops {
		alone := *p
		alone.Ops = p.Ops[i : i+1]
		dut, err := w.dut.load(&alone)
		if err != nil {
			return err
		}
		spec, err := w.spec.load(&alone)
		if err != nil {
			return err
		}
		w.steps[p.Name] = append(w.steps[p.Name], step{dut, spec, o, labelOf(p, o)})
	}
	return nil
}

// bounded tells whether the suite has a bound for an op. A fused op without one is looked at in parts, and whole only with the
// whole program.
func bounded(o op.Op) bool {
	switch o.(type) {
	case op.Select, op.Experts:
		return true
	}
	_, fused := o.(op.Fused)
	return !fused
}

// labelOf is the sublayer and the kind of an op: "layers.2.attn linear".
func labelOf(p *op.Program, o op.Op) string {
	place := p.Name
	for _, operand := range op.Operands(o) {
		if operand.Writes {
			parts := strings.Split(p.Buffer(operand.ID).Name, ".")
			if len(parts) > 2 {
				place = strings.Join(parts[:len(parts)-1][:min(3, len(parts)-1)], ".")
			}
		}
	}
	return place + " " + op.KindOf(o)
}

// taken is a step that the device has taken, and what it had before and after.
type taken struct {
	step
	args        *op.Args
	before, got map[string][]byte
	err         error
	ms          float64
}

// run takes a program's steps on the device, while those before are specified and judged. What follows one that fails has no
// meaning.
func (w *walker) run(name string, rows []op.Row, pages [][]int32) (err error) {
	queue, settled := make(chan *taken, ahead), make(chan struct{})
	var bad atomic.Bool
	go func() {
		defer close(settled)
		for t := range queue {
			if !bad.Load() {
				bad.Store(w.settle(t))
			}
		}
	}()
	for _, s := range w.steps[name] {
		t := &taken{step: s}
		if t.args, err = s.dut.Args(rows, pages); err != nil || bad.Load() {
			break
		}
		began := time.Now()
		t.take()
		t.ms = sinceMS(began)
		if queue <- t; t.err != nil {
			break
		}
	}
	close(queue)
	<-settled
	return err
}

func sinceMS(began time.Time) float64 { return float64(time.Since(began).Microseconds()) / 1000 }

// take runs a step on the device.
func (t *taken) take() {
	t.before = map[string][]byte{}
	for _, operand := range op.Operands(t.op) {
		b := t.dut.Buffer(operand.ID)
		switch {
		case b.Space != op.IO && b.Space != op.State || t.before[b.Name] != nil: // the latter is in place
		case operand.Reads:
			t.before[b.Name], t.err = t.dut.get(b.Name, t.args)
		default: // nothing of a former run may be left
			t.err = t.dut.put(b.Name, nil)
		}
		if t.err != nil {
			return
		}
	}
	t.got, t.err = finish(t.dut, t.args)
}

// settle specifies and judges what the device has done, and tells whether it is bad.
func (w *walker) settle(t *taken) bool {
	began := time.Now()
	d := w.judged(t)
	sum := w.worst[t.label]
	if sum == nil {
		sum = &tally{}
		w.worst[t.label] = sum
		w.order = append(w.order, t.label)
	}
	sum.deviation, sum.runs, sum.ms = sum.worse(d), sum.runs+1, sum.ms+t.ms+sinceMS(began)
	return d.bad()
}

func (w *walker) judged(t *taken) deviation {
	if t.err != nil {
		return broken(t.err)
	}
	for name, data := range t.before {
		if err := t.spec.put(name, data); err != nil {
			return broken(err)
		}
	}
	want, err := finish(t.spec, t.args)
	if err != nil {
		return broken(fmt.Errorf("the suite's own reference: %w", err))
	}
	v := &view{p: t.dut.Program, args: t.args, decoded: w.decoded, weight: w.matrix, data: func(name string) []byte { return t.before[name] }}
	return judge(t.op, v, t.got, want, false)
}

func finish(l *loaded, args *op.Args) (map[string][]byte, error) {
	if err := l.run(args); err != nil {
		return nil, err
	}
	return l.outputs(args)
}

// excerpt is rows of one or more sequences at one time of a walk.
type excerpt struct {
	seeded bool // before them memories are drawn anew
	rows   []op.Row
}

// walkCaps are those of walks; a window of the demo and its ratios fit into the rows.
var walkCaps = op.Caps{Rows: 40, Slots: 2, Pages: 9, Context: million}

// excerpts of a large model are few and short; others begin two sequences, cross a window, a page and the number of entries that can be chosen, decode, and stand far
// away.
func (q *suite) excerpts(vocabulary int, large bool) []excerpt {
	rng := rand.New(rand.NewPCG(q.Seed, 3))
	rows := func(slot int32, start, n int) []op.Row {
		list := sequenceRows(slot, start, n)
		for i := range list {
			list[i].Token = int32(rng.IntN(vocabulary))
		}
		return list
	}
	list := []excerpt{
		{false, append(rows(1, 0, 20), rows(0, 0, 5)...)},
		{false, append(rows(0, 5, 1), rows(1, 20, 1)...)},
		{true, append(rows(1, 61, 10), rows(0, 125, 6)...)},
		{false, rows(0, 131, 1)},
		{true, rows(1, 70001, 3)},
	}
	if large && q.Tier == Gate {
		return []excerpt{{true, append(rows(1, 127, 1), rows(0, 3, 1)...)}}
	}
	if large {
		return []excerpt{{false, append(rows(1, 0, 6), rows(0, 0, 2)...)}, {false, rows(0, 2, 2)}, list[2], {true, rows(1, 70001, 2)}}
	}
	if q.Tier > Gate {
		list = append(list, excerpt{true, rows(0, million-2, 2)}, excerpt{true, rows(1, 250, 40)}, excerpt{true, rows(0, 300000, 4)})
	}
	return list
}

// turn is a program of a walk, and which rows it runs of an excerpt.
type turn struct {
	program *op.Program
	rows    func(rows []op.Row) []op.Row
}

// turns are a model's programs, in the order in which an engine runs them.
func turns(m *deepseek.Model) []turn {
	same := func(rows []op.Row) []op.Row { return rows }
	list := []turn{{m.Forward(walkCaps), same}}
	if p := m.Draft(walkCaps); p != nil {
		next := turn{m.DraftNext(walkCaps), func(rows []op.Row) []op.Row { return behind(rows, 1, 2) }}
		list = append(list, turn{p, same}, next, next) // the block feeds on its own streams, and again
	}
	return append(list, drafterTurns(m)...)
}

// drafterTurns are the programs of a block drafter, of which a model may have none.
func drafterTurns(m *deepseek.Model) []turn {
	p := m.DraftContext(walkCaps)
	if p == nil {
		return nil
	}
	n := m.Config.DSpark.BlockSize
	block := func(rows []op.Row) []op.Row { return behind(rows, n, 1) }
	return []turn{ // of as many rows each: activations of one name are then one
		{p, func(rows []op.Row) []op.Row { return rows }}, {m.DraftBlock(walkCaps, walkCaps.Rows), block}, {m.DraftChain(walkCaps, walkCaps.Rows), block},
	}
}

// behind gives each sequence of an excerpt rows behind its own: ahead of the last, and of as many of those before as it has, up to
// a number of them and to that of its rows that want logits, whose streams they meet. All of them want logits.
func behind(rows []op.Row, ahead, most int) (list []op.Row) {
	wanted := 0
	for i, r := range rows {
		if r.Logits {
			wanted++
		}
		if i+1 < len(rows) && rows[i+1].Slot == r.Slot {
			continue
		}
		before := min(most, wanted) - 1
		first := i - before
		start := min(int(rows[first].Position)+1, walkCaps.Context-ahead-before)
		for k := range ahead + before {
			list = append(list, op.Row{Token: rows[(first+k)%len(rows)].Token, Slot: r.Slot, Position: int32(start + k), Logits: true})
		}
		wanted = 0
	}
	return list
}

// pace is a turn that is ready, whole and op by op.
type pace struct {
	turn
	whole *loaded
}

// walk judges every op of a model's programs, and then that the whole programs give the same bits as their ops one by one.
func (q *suite) walk(d device.Device, s *subject, list []turn, excerpts []excerpt) error {
	w := newWalker(d, s)
	whole := w.dut.beside()
	var paces []pace
	began := time.Now()
	for _, t := range list {
		l, err := whole.load(t.program)
		if err == nil {
			err = w.prepare(t.program)
		}
		if err != nil {
			return q.record(Check{Level: "mechanism", Op: t.program.Name, Shape: s.name, Numerics: s.Numerics.String()}, began, broken(err))
		}
		paces = append(paces, pace{t, l})
	}
	var same deviation
	for i, e := range excerpts {
		d, err := w.excerpt(e, paces, uint64(i))
		if err != nil {
			return err
		}
		same = same.worse(d)
		if w.failed() {
			break
		}
	}
	return q.tallies(w, same, began)
}

func (w *walker) failed() bool {
	return slices.ContainsFunc(w.order, func(label string) bool { return w.worst[label].bad() })
}

// excerpt seeds memories, on both stands alike, takes the steps of all programs, and then runs all of them whole, one after the other.
func (w *walker) excerpt(e excerpt, paces []pace, seed uint64) (same deviation, err error) {
	if e.seeded {
		if err := w.seed(paces, seed); err != nil {
			return same, err
		}
	}
	var wants []map[string][]byte
	for _, p := range paces {
		rows := p.rows(e.rows)
		if err := w.run(p.program.Name, rows, walkPages()); err != nil || w.failed() {
			return same, err
		}
		want, err := w.left(rows, p.whole)
		if err != nil {
			return broken(err), nil
		}
		wants = append(wants, want)
	}
	for i, p := range paces {
		same = same.worse(compareWhole(p.rows(e.rows), p.whole, wants[i]))
	}
	return same, nil
}

// left is what a program's steps have left where the whole program writes.
func (w *walker) left(rows []op.Row, l *loaded) (map[string][]byte, error) {
	args, err := l.Args(rows, walkPages())
	if err != nil {
		return nil, err
	}
	return (&loaded{stand: w.dut, Program: l.Program}).outputs(args)
}

// walkPages gives slots pages that repeat, the last of the pool among them.
func walkPages() [][]int32 {
	tables := make([][]int32, walkCaps.Slots)
	for slot := range tables {
		tables[slot] = make([]int32, walkCaps.Context/op.PageSize)
		for i := range tables[slot] {
			tables[slot][i] = int32((8 - slot - 2*i%8 + 9) % 9)
		}
	}
	return tables
}

// seed draws memories, and what programs read that none of them writes.
func (w *walker) seed(paces []pace, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 5))
	made := map[string]bool{}
	for _, p := range paces {
		for _, o := range p.whole.Ops {
			for _, operand := range op.Operands(o) {
				if b := p.whole.Buffer(operand.ID); operand.Writes && b.Space == op.IO {
					made[b.Name] = true
				}
			}
		}
	}
	for _, p := range paces {
		for _, b := range p.whole.Buffers {
			if b.Space != op.State && b.Space != op.IO || made[b.Name] {
				continue
			}
			made[b.Name] = true
			data := drawn(rng, p.whole.Program, b)
			if err := p.whole.put(b.Name, data); err != nil {
				return err
			}
			if err := w.dut.fill(p.whole.Program, b, data); err != nil {
				return err
			}
		}
	}
	return nil
}

func drawn(rng *rand.Rand, p *op.Program, b op.Buffer) []byte {
	switch {
	case b.Space == op.IO:
		return toBytes(normal(rng, int(p.Bytes(b)/4)))
	case strings.Contains(b.Name, "indexer"):
		return drawState(rng, p, b, -2, func() float32 { return float32(rng.NormFloat64()) })
	}
	return drawState(rng, p, b, -6, func() float32 { return float32(rng.NormFloat64()) })
}

// compareWhole runs a whole program over the same rows: results and memories are those of the steps, bit by bit.
func compareWhole(rows []op.Row, l *loaded, want map[string][]byte) (worst deviation) {
	args, err := l.Args(rows, walkPages())
	if err == nil {
		err = l.run(args)
	}
	if err != nil {
		return broken(err)
	}
	got, err := l.outputs(args)
	if err != nil {
		return broken(err)
	}
	for name, data := range got {
		d := sameBits(name, l.Buffer(l.Lookup(name)), data, want[name])
		if d.bad() {
			d.where = "the whole program gives other bits than its ops one by one: " + d.where
		}
		worst = worst.worse(d)
	}
	return worst
}

// tallies records what a walk found.
func (q *suite) tallies(w *walker, same deviation, began time.Time) error {
	for _, label := range w.order {
		t := w.worst[label]
		c := Check{Level: "mechanism", Op: label, Shape: fmt.Sprint(w.name, ", ", t.runs, " runs"), Numerics: w.Numerics.String()}
		if err := q.record(c, time.Now().Add(-time.Duration(t.ms*float64(time.Millisecond))), t.deviation); err != nil {
			return err
		}
	}
	if w.failed() {
		same = deviation{math.MaxFloat64, 0, "not compared: an op failed before"}
	}
	return q.record(Check{Level: "model", Op: "whole = ops one by one", Shape: w.name, Numerics: w.Numerics.String()}, began, same)
}
