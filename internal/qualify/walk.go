package qualify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
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
	has := w.dut.device.Info().Has
	p = everything(p.Lower(func(o op.Op) bool { return has(o) && judged(o) }))
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

// judged tells whether the suite has a bound for an op. A fused op without one is looked at in parts, and whole only with the
// whole program.
func judged(o op.Op) bool {
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

// run takes a program's steps.
func (w *walker) run(name string, rows []op.Row, pages [][]int32) error {
	for _, s := range w.steps[name] {
		args, err := s.dut.Args(rows, pages)
		if err != nil {
			return err
		}
		began := time.Now()
		d := w.take(s, args)
		t := w.worst[s.label]
		if t == nil {
			t = &tally{}
			w.worst[s.label] = t
			w.order = append(w.order, s.label)
		}
		t.deviation, t.runs, t.ms = t.worse(d), t.runs+1, t.ms+float64(time.Since(began).Microseconds())/1000
		if d.bad() {
			return nil // what follows has no meaning
		}
	}
	return nil
}

// take runs one step and judges it.
func (w *walker) take(s step, args *op.Args) deviation {
	before := map[string][]byte{}
	for _, operand := range op.Operands(s.op) {
		b := s.dut.Buffer(operand.ID)
		if b.Space != op.IO && b.Space != op.State {
			continue
		}
		if before[b.Name] != nil {
			continue // in place
		}
		if !operand.Reads { // nothing of a former run may be left
			if err := s.dut.put(b.Name, nil); err != nil {
				return broken(err)
			}
			continue
		}
		data, err := s.dut.get(b.Name, args)
		if err == nil {
			err = s.spec.put(b.Name, data)
		}
		if err != nil {
			return broken(err)
		}
		before[b.Name] = data
	}
	specified := specify(func() (map[string][]byte, error) { return finish(s.spec, args) })
	got, err := finish(s.dut, args)
	want, specErr := specified()
	if err != nil {
		return broken(err)
	}
	if specErr != nil {
		return broken(specErr)
	}
	v := &view{p: s.dut.Program, args: args, decoded: w.decoded, weight: w.matrix, data: func(name string) []byte { return before[name] }}
	return judge(s.op, v, got, want, false)
}

// specify runs the reference beside the device; what it returns waits for it.
func specify(run func() (map[string][]byte, error)) func() (map[string][]byte, error) {
	var want map[string][]byte
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if want, err = run(); err != nil {
			err = fmt.Errorf("the suite's own reference: %w", err)
		}
	}()
	return func() (map[string][]byte, error) { <-done; return want, err }
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

// walk judges every op of a model's programs, and then that the whole programs give the same bits as their ops one by one.
func (q *suite) walk(d device.Device, s *subject, excerpts []excerpt) error {
	w := newWalker(d, s)
	programs := []*op.Program{s.Forward(walkCaps)}
	if p := s.Draft(walkCaps); p != nil {
		programs = append(programs, p)
	}
	whole := w.dut.beside()
	var loads []*loaded
	began := time.Now()
	for _, p := range programs {
		l, err := whole.load(p)
		if err == nil {
			err = w.prepare(p)
		}
		if err != nil {
			return q.record(Check{Level: "mechanism", Op: p.Name, Shape: s.name, Numerics: s.Numerics.String()}, began, broken(err))
		}
		loads = append(loads, l)
	}
	var same deviation
	for i, e := range excerpts {
		if err := w.excerpt(e, loads, uint64(i)); err != nil {
			return err
		}
		if w.failed() {
			break
		}
		same = same.worse(w.compareWhole(e, loads))
	}
	return q.tallies(w, same, began)
}

func (w *walker) failed() bool {
	return slices.ContainsFunc(w.order, func(label string) bool { return w.worst[label].bad() })
}

// excerpt seeds memories, on both stands alike, and takes the steps of all programs.
func (w *walker) excerpt(e excerpt, loads []*loaded, seed uint64) error {
	if e.seeded {
		if err := w.seed(loads, seed); err != nil {
			return err
		}
	}
	for _, l := range loads {
		if err := w.run(l.Name, e.rows, walkPages()); err != nil || w.failed() {
			return err
		}
	}
	return nil
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

func (w *walker) seed(loads []*loaded, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 5))
	value := func() float32 { return float32(rng.NormFloat64()) }
	for _, l := range loads {
		for _, b := range l.Buffers {
			if b.Space != op.State {
				continue
			}
			exponent := -6
			if strings.Contains(b.Name, "indexer") {
				exponent = -2
			}
			data := drawState(rng, l.Program, b, exponent, value)
			if err := l.put(b.Name, data); err != nil {
				return err
			}
			if err := w.dut.fill(l.Program, b, data); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareWhole runs whole programs over the same rows: results and memories are those of the steps, bit by bit.
func (w *walker) compareWhole(e excerpt, loads []*loaded) (worst deviation) {
	for _, l := range loads {
		args, err := l.Args(e.rows, walkPages())
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
			b := l.Buffer(l.Lookup(name))
			want, err := w.dut.fetch(l.Program, b, args)
			if err != nil {
				return broken(err)
			}
			d := sameBits(name, b, data, want)
			if d.bad() {
				d.where = "the whole program gives other bits than its ops one by one: " + d.where
			}
			worst = worst.worse(d)
		}
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
