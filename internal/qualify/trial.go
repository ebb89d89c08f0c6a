package qualify

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"baleen/internal/device"
	"baleen/internal/device/ref"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// trial is a scene on its way: specified beside the device, run on it, judged beside it again.
type trial struct {
	scene *scene
	spec  *loaded
	want  []map[string][]byte // by round
	got   []map[string][]byte
	err   error // of the specification

	specified, judged chan struct{} // closed when it is

	began, ended time.Time
	ran          deviation // what went wrong while the device ran
	again        deviation // what came out otherwise when it ran once more
	verdict      deviation
}

// ahead is how many trials may be drawn before the device is ready for them, and how many may wait for their verdict.
const ahead = 2

// tryAll looks at scenes. The device has one run at a time; what it should give, and how near it came, is computed beside it.
func (q *suite) tryAll(level string, scenes iter.Seq[*scene]) error {
	ctx, cancel := context.WithCancel(q.ctx)
	ready := make(chan *trial, ahead)
	go drawAll(ctx, scenes, ready)
	var waiting []*trial
	defer func() {
		cancel()
		for t := range ready { // until the other side has seen it
			<-t.specified
		}
		for _, t := range waiting {
			<-t.judged
		}
	}()
	settle := func(most int) error {
		for len(waiting) > most {
			t := waiting[0]
			<-t.judged
			waiting = waiting[1:]
			c := Check{Level: level, Op: t.scene.op, Shape: t.scene.shape}
			if err := q.record(c, time.Now().Add(t.began.Sub(t.ended)), t.verdict); err != nil {
				return err
			}
		}
		return nil
	}
	for t := range ready {
		q.met[op.KindOf(t.scene.last())] = true
		t.run(q.device)
		waiting = append(waiting, t)
		go t.judge()
		if err := settle(ahead); err != nil {
			return err
		}
	}
	return settle(0)
}

// drawAll begins trials until there are no more scenes or nobody wants them.
func drawAll(ctx context.Context, scenes iter.Seq[*scene], ready chan<- *trial) {
	defer close(ready)
	for s := range scenes {
		n := len(s.rounds)
		t := &trial{scene: s, want: make([]map[string][]byte, n), got: make([]map[string][]byte, n), specified: make(chan struct{}), judged: make(chan struct{})}
		go func() {
			defer close(t.specified)
			if t.err = t.specify(); t.err != nil {
				t.err = fmt.Errorf("the suite's own reference: %w", t.err)
			}
		}()
		select {
		case ready <- t:
		case <-ctx.Done():
			<-t.specified
			return
		}
	}
}

func (t *trial) specify() (err error) {
	if t.spec, err = newStand(ref.New(), t.scene.sources()).load(everything(t.scene.program())); err != nil {
		return err
	}
	for i, r := range t.scene.rounds {
		if r.refuse {
			continue
		}
		if t.want[i], err = through(t.spec, r); err != nil {
			return err
		}
	}
	return nil
}

// run takes the rounds on the device, and then once more, with rows alone.
func (t *trial) run(d device.Device) {
	t.began = time.Now()
	defer func() { t.ended = time.Now() }()
	dut, err := newStand(d, t.scene.sources()).load(t.scene.program())
	if err != nil {
		t.ran = broken(err)
		return
	}
	for i, r := range t.scene.rounds {
		if r.refuse {
			args, err := start(dut, r)
			t.ran = t.ran.worse(t.refused(dut, args, err))
			continue
		}
		if t.got[i], err = through(dut, r); err != nil {
			t.ran = t.ran.worse(broken(err))
		}
	}
	if !t.ran.bad() {
		t.again = t.repeat(dut)
	}
}

// refused wants an error, or at least a NaN that everybody can see.
func (t *trial) refused(dut *loaded, args *op.Args, err error) deviation {
	if err != nil {
		return deviation{}
	}
	shows := t.scene.last().Class() != op.Exact // others must say it, but for those that copy what they get
	switch o := t.scene.last().(type) {
	case op.Join:
		shows = true
	case op.Quantise:
		shows = o.Kind == quant.KindBF16
	}
	got, err := dut.outputs(args)
	if err != nil {
		return deviation{}
	}
	for name, data := range got {
		b := dut.Buffer(dut.Lookup(name))
		if b.Space == op.IO && slices.ContainsFunc(toFloats(data), func(x float32) bool { return x != x }) && shows {
			return deviation{}
		}
	}
	return deviation{math.MaxFloat64, 0, "a NaN went in, and neither an error nor a NaN came out"}
}

// repeat repeats runs after others, and rows of them alone: the same bits.
func (t *trial) repeat(dut *loaded) (worst deviation) {
	for i, r := range t.scene.rounds {
		if r.refuse {
			continue
		}
		worst = worst.worse(equal(dut, r, t.got[i], "a second time"))
		if r.same != nil {
			worst = worst.worse(equal(dut, r.same, t.got[i], "with its experts in another order"))
		}
		if n := len(r.rows); n > 1 && rowwise(dut.Program) {
			for _, row := range slices.Compact([]int{0, n / 2, n - 1}) {
				want := map[string][]byte{}
				for name, data := range t.got[i] {
					size := len(data) / n
					want[name] = data[row*size:][:size]
				}
				worst = worst.worse(equal(dut, r.alone(dut.Program, row), want, fmt.Sprintf("row %d alone", row)))
			}
		}
		if worst.bad() {
			break
		}
	}
	return worst
}

func equal(dut *loaded, r *round, want map[string][]byte, what string) (worst deviation) {
	got, err := through(dut, r)
	if err != nil {
		return broken(err)
	}
	for name, data := range want {
		d := sameBits(name, dut.Buffer(dut.Lookup(name)), got[name], data)
		if d.bad() {
			d.where = what + " it has other bits: " + d.where
		}
		worst = worst.worse(d)
	}
	return worst
}

// judge compares the rounds with what was specified.
func (t *trial) judge() {
	defer close(t.judged)
	<-t.specified
	switch {
	case t.ran.bad():
		t.verdict = t.ran
		return
	case t.err != nil:
		t.verdict = broken(t.err)
		return
	}
	decoded := newDecoded()
	for i, r := range t.scene.rounds {
		if r.refuse {
			continue
		}
		args, err := t.spec.Args(r.rows, r.pages)
		if err != nil {
			t.verdict = broken(err)
			return
		}
		v := &view{p: t.spec.Program, args: args, decoded: decoded, weight: func(b op.Buffer, part int) *matrix { return &t.scene.parts[b.Name][part] }}
		v.data = func(name string) []byte {
			b := t.spec.Buffer(t.spec.Lookup(name))
			if data, ok := r.data[name]; ok && (b.Space != op.State || t.want[i][name] == nil) {
				return data
			}
			return t.want[i][name] // what an op before it left
		}
		if r.orZero {
			t.got[i] = found(t.got[i], t.want[i])
		}
		t.verdict = t.verdict.worse(judge(t.scene.last(), v, t.got[i], t.want[i], r.exact))
	}
	if !t.verdict.bad() {
		t.verdict = t.verdict.worse(t.again)
	}
}

// found has what should be there in the place of zeros.
func found(got, want map[string][]byte) map[string][]byte {
	all := map[string][]byte{}
	for name, data := range got {
		x, w := toFloats(data), toFloats(want[name])
		for i := range x {
			if x[i] == 0 {
				x[i] = w[i]
			}
		}
		all[name] = toBytes(x)
	}
	return all
}
