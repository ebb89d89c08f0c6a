package qualify

import (
	"context"
	"fmt"
	"math"
	"time"

	"baleen/internal/checkpoint"
	"baleen/internal/device"
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

// last is the op that is looked at.
func (s *scene) last() op.Op { return s.Program().Ops[len(s.Program().Ops)-1] }
