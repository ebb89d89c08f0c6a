package qualify

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"baleen/internal/checkpoint"
	"baleen/internal/device"
	"baleen/internal/device/ref"
	"baleen/internal/op"
)

// Tier is how much is looked at.
type Tier uint8

// The tiers: at every start, for a certificate, for a release.
const (
	Gate Tier = iota
	Standard
	Deep
)

func (t Tier) String() string { return [...]string{"gate", "standard", "deep"}[t] }

// Subject is what is looked at.
type Subject struct {
	// Open makes the device; 0 threads are as many as it likes. It is called more than once: each opening is a launch.
	Open       func(threads int) (device.Device, error)
	ISA        string
	Model      *checkpoint.Checkpoint // the model to look at besides the demo, or nil
	Tier       Tier
	Seed       uint64
	FirstFault bool              // stop at the first check that fails
	Progress   func(line string) // told what goes on and what fails; or nil
}

// suite is one run of all checks.
type suite struct {
	Subject
	ctx    context.Context
	device device.Device
	report Report
	met    map[string]bool // kinds of ops that were looked at alone
}

// errEnough ends a suite at the first failure.
var errEnough = fmt.Errorf("a check failed")

// Run looks at a device. An error is one of the suite's surroundings, such as a model that cannot be read: what the device
// does wrong is in the report.
func Run(ctx context.Context, s Subject) (*Report, error) {
	q := &suite{Subject: s, ctx: ctx, met: map[string]bool{}}
	began := time.Now()
	open := s.Open
	q.Open = func(threads int) (device.Device, error) {
		d, err := open(threads)
		return calm{d}, err
	}
	d, err := q.Open(0)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	q.device = d
	q.identify()
	for _, level := range []struct {
		what string
		run  func() error
	}{{"transfers", q.transfers}, {"ops", q.ops}, {"far positions", q.longPositions}, {"models", q.models}} {
		q.say("looking at " + level.what)
		if err := level.run(); err == errEnough {
			break
		} else if err != nil {
			return nil, err
		}
	}
	q.conclude()
	q.report.Seconds = time.Since(began).Seconds()
	return &q.report, nil
}

func (q *suite) conclude() {
	r := &q.report
	r.Verdict = Pass
	missing := q.unmet()
	if len(missing) > 0 {
		r.Verdict = Partial
	}
	r.NotCovered = append(missing, r.NotCovered...)
	if r.Failed() > 0 {
		r.Verdict = Fail
	}
}

func (q *suite) say(line string) {
	if q.Progress != nil {
		q.Progress(line)
	}
}

// record adds a check.
func (q *suite) record(c Check, began time.Time, d deviation) error {
	if c.Numerics == "" {
		c.Numerics = "any"
	}
	c.MS = float64(time.Since(began).Microseconds()) / 1000
	c.Error, c.Bound, c.Verdict, c.Note, c.Seed = finite(d.err), finite(d.bound), Pass, d.where, q.Seed
	if d.bad() {
		c.Verdict = Fail
	}
	q.report.Checks = append(q.report.Checks, c)
	if c.Verdict == Fail {
		q.say(fmt.Sprintf("%s: %s %s: %s", c.Level, c.Op, c.Shape, c.Note))
	}
	if c.Verdict == Fail && q.FirstFault {
		return errEnough
	}
	return q.ctx.Err()
}

// broken is the deviation of what did not run.
func broken(err error) deviation { return deviation{math.MaxFloat64, 0, err.Error()} }

// try runs a scene on the device and on ref, and compares.
func (q *suite) try(s *scene) error {
	q.met[op.KindOf(s.Program().Ops[len(s.Program().Ops)-1])] = true
	began := time.Now()
	return q.record(Check{Level: "op", Op: s.op, Shape: s.shape}, began, q.compare(s))
}

// pair is a scene on both devices.
type pair struct {
	scene     *scene
	dut, spec *loaded // the device under test, and the specification
}

func (q *suite) compare(s *scene) deviation {
	spec, err := newStand(ref.New(), s.sources()).load(everything(s.program()))
	if err != nil {
		return broken(fmt.Errorf("the suite's own reference: %w", err))
	}
	dut, err := newStand(q.device, s.sources()).load(s.program())
	if err != nil {
		return broken(err)
	}
	p := &pair{s, dut, spec}
	var worst deviation
	var outputs []map[string][]byte
	for _, r := range s.rounds {
		d, got := p.round(r)
		worst = worst.worse(d)
		outputs = append(outputs, got)
	}
	if worst.bad() {
		return worst
	}
	return worst.worse(p.again(outputs))
}

// start fills the buffers of a run and runs it.
func start(l *loaded, r *round) (*op.Args, error) {
	for name, data := range r.data {
		if l.Lookup(name) == 0 {
			continue
		}
		if err := l.put(name, data); err != nil {
			return nil, err
		}
	}
	for _, o := range l.Ops {
		for _, operand := range op.Operands(o) {
			if b := l.Buffer(operand.ID); b.Space == op.IO && r.data[b.Name] == nil {
				if err := l.put(b.Name, nil); err != nil {
					return nil, err
				}
			}
		}
	}
	args, err := l.Args(r.rows, r.pages)
	if err != nil {
		return nil, fmt.Errorf("the suite's own arguments: %w", err)
	}
	return args, l.run(args)
}

// through is a run and what it gives.
func through(l *loaded, r *round) (map[string][]byte, error) {
	args, err := start(l, r)
	if err != nil {
		return nil, err
	}
	return l.outputs(args)
}

// round judges one run.
func (p *pair) round(r *round) (deviation, map[string][]byte) {
	if r.refuse {
		return p.refused(start(p.dut, r)), nil
	}
	specified := specify(func() (map[string][]byte, error) { return through(p.spec, r) })
	got, err := through(p.dut, r)
	want, specErr := specified()
	if err != nil {
		return broken(err), nil
	}
	if specErr != nil {
		return broken(specErr), nil
	}
	args, err := p.spec.Args(r.rows, r.pages)
	if err != nil {
		return broken(err), nil
	}
	v := &view{p: p.spec.Program, args: args, weight: func(b op.Buffer, part int) *matrix { return &p.scene.parts[b.Name][part] }}
	v.data = func(name string) []byte {
		b := p.spec.Buffer(p.spec.Lookup(name))
		if data, ok := r.data[name]; ok && (b.Space != op.State || want[name] == nil) {
			return data
		}
		return want[name] // what an op before it left
	}
	return judge(p.scene.last(), v, got, want, r.exact), got
}

// last is the op that is looked at.
func (s *scene) last() op.Op { return s.Program().Ops[len(s.Program().Ops)-1] }

// refused wants an error, or at least a NaN that everybody can see.
func (p *pair) refused(args *op.Args, err error) deviation {
	if err != nil {
		return deviation{}
	}
	got, err := p.dut.outputs(args)
	if err != nil {
		return deviation{}
	}
	for name, data := range got {
		b := p.dut.Buffer(p.dut.Lookup(name))
		if b.Space == op.IO && slices.ContainsFunc(toFloats(data), func(x float32) bool { return x != x }) && p.scene.last().Class() != op.Exact {
			return deviation{}
		}
	}
	return deviation{math.MaxFloat64, 0, "a NaN went in, and neither an error nor a NaN came out"}
}

// again repeats runs after others, and rows of them alone: the same bits.
func (p *pair) again(outputs []map[string][]byte) (worst deviation) {
	for i, r := range p.scene.rounds {
		if r.refuse || outputs[i] == nil {
			continue
		}
		worst = worst.worse(p.equal(r, outputs[i], "a second time"))
		if n := len(r.rows); n > 1 && rowwise(p.dut.Program) {
			for _, row := range slices.Compact([]int{0, n / 2, n - 1}) {
				want := map[string][]byte{}
				for name, data := range outputs[i] {
					size := len(data) / n
					want[name] = data[row*size:][:size]
				}
				worst = worst.worse(p.equal(r.alone(p.dut.Program, row), want, fmt.Sprintf("row %d alone", row)))
			}
		}
		if worst.bad() {
			break
		}
	}
	return worst
}

func (p *pair) equal(r *round, want map[string][]byte, what string) (worst deviation) {
	got, err := through(p.dut, r)
	if err != nil {
		return broken(err)
	}
	for name, data := range want {
		d := sameBits(name, p.dut.Buffer(p.dut.Lookup(name)), got[name], data)
		if d.bad() {
			d.where = what + " it has other bits: " + d.where
		}
		worst = worst.worse(d)
	}
	return worst
}
