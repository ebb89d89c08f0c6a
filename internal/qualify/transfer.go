package qualify

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"baleen/internal/device"
	"baleen/internal/op"
)

// transfers look at what brings bytes to a device and back, and at what it must refuse.
func (q *suite) transfers() error {
	for _, c := range []struct {
		op, shape string
		check     func() error
	}{
		{"alloc", "state and IO begin as zeros", q.zeros},
		{"download", "parts at any offset", q.offsets},
		{"upload", "of a wrong size", q.wrongSizes},
		{"upload", "from a source that ends early", q.shortSource},
		{"upload", "scales that are none", q.badScales},
	} {
		began := time.Now()
		var d deviation
		if err := c.check(); err != nil {
			d = broken(err)
		}
		if err := q.record(Check{Level: "transfer", Op: c.op, Shape: c.shape}, began, d); err != nil {
			return err
		}
	}
	return nil
}

// holders is a program with a buffer of every space that is transferred.
func holders() *scene {
	s := newScene(0, "transfer", "", op.Caps{Rows: 33, Slots: 3, Pages: 5, Context: 640})
	x := s.in("io", 67)
	s.Add(op.TopK{X: x, Ids: s.idsOut("ids", 5)})
	ring, pages := s.Ring("ring", kvRows[0], 67), s.Pages("pages", keyRow(128, true), 32)
	s.Add(op.Store{X: s.in("y", 128), Slot: op.Slot, Entry: op.Position, S: op.InOut(ring), Divide: 1})
	windows := s.Windows(4)
	s.Add(op.Store{X: op.In(s.IO("z", windows.Dim, 128)), Slot: windows.Slot, Entry: windows.Start, S: op.InOut(pages), Divide: 4})
	return s
}

var transferred = []string{"io", "ids", "ring", "pages"}

func (q *suite) zeros() error {
	l, err := newStand(q.device, nil).load(holders().program())
	if err != nil {
		return err
	}
	for _, name := range transferred {
		data := bytes.Repeat([]byte{0xaa}, int(l.Bytes(l.Buffer(l.Lookup(name)))))
		if err := l.device.Download(l.buffers[name], 0, data); err != nil {
			return err
		}
		if i := bytes.IndexFunc(data, func(r rune) bool { return r != 0 }); i >= 0 {
			return fmt.Errorf("byte %d of a new %s is %#02x, not 0", i, name, data[i])
		}
	}
	return nil
}

func (q *suite) offsets() error {
	l, err := newStand(q.device, nil).load(holders().program())
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(q.Seed, 7))
	held := map[string][]byte{}
	for _, name := range transferred {
		data := make([]byte, l.Bytes(l.Buffer(l.Lookup(name))))
		for i := range data {
			data[i] = byte(rng.UintN(256))
			if name == "io" && i%4 == 3 {
				data[i] &= 0xbf // no NaN, whose bits a device need not keep
			}
		}
		if err := l.put(name, data); err != nil {
			return err
		}
		held[name] = data
	}
	for _, name := range transferred { // after all of them: one must not have written into another
		if err := readParts(l, name, held[name], rng); err != nil {
			return err
		}
	}
	return nil
}

func readParts(l *loaded, name string, want []byte, rng *rand.Rand) error {
	unit := 1
	if l.Buffer(l.Lookup(name)).Space == op.IO {
		unit = 4
	}
	for i := range 40 {
		from := rng.IntN(len(want)/unit) * unit
		n := rng.IntN((len(want)-from)/unit+1) * unit
		switch i {
		case 0:
			from, n = 0, len(want)
		case 1:
			from, n = len(want)-unit, unit
		case 2:
			from, n = len(want), 0
		}
		got := make([]byte, n)
		if err := l.device.Download(l.buffers[name], int64(from), got); err != nil {
			return err
		}
		if !bytes.Equal(got, want[from:from+n]) {
			return fmt.Errorf("%s: bytes %d to %d are not those that were uploaded", name, from, from+n)
		}
	}
	return nil
}

// wrongSizes must be refused.
func (q *suite) wrongSizes() error {
	s := newScene(q.Seed, "transfer", "", flat(2))
	s.addLinear(formats[5], 40, 64, 0, drawCodes(anyCode, nearOne))
	s.Add(op.Store{X: s.in("z", 128), Slot: op.Slot, Entry: op.Position, S: op.InOut(s.Ring("ring", kvRows[0], 4)), Divide: 1})
	l, err := newStand(q.device, s.sources()).load(s.program())
	if err != nil {
		return err
	}
	state, weight := l.buffers["ring"], l.buffers["w"]
	size := l.Bytes(l.Buffer(l.Lookup("ring")))
	good := s.sources()["w"][0]
	short, few := good, good
	short.Data.Length--
	few.Scale.Length--
	for what, err := range map[string]error{
		"a state of too few bytes":     l.device.Upload(state, memorySource("few", make([]byte, size-1))),
		"a state of too many bytes":    l.device.Upload(state, memorySource("many", make([]byte, size+1))),
		"a state of two sources":       l.device.Upload(state, append(memorySource("one", make([]byte, size)), memorySource("two", nil)...)),
		"a weight without sources":     l.device.Upload(weight, nil),
		"a weight of two parts":        l.device.Upload(weight, []device.Source{good, good}),
		"a weight that is short":       l.device.Upload(weight, []device.Source{short}),
		"a weight of too few scales":   l.device.Upload(weight, []device.Source{few}),
		"a download beyond the end":    l.device.Download(state, size-3, make([]byte, 4)),
		"a download before the begin":  l.device.Download(state, -1, make([]byte, 1)),
		"a download of too many bytes": l.device.Download(state, 0, make([]byte, size+1)),
	} {
		if err == nil {
			return fmt.Errorf("%s is taken", what)
		}
	}
	return nil
}

// shortSource promises more bytes than it has: the upload fails, or the run that needs them.
func (q *suite) shortSource() error {
	s := newScene(q.Seed, "transfer", "", flat(2))
	s.addLinear(formats[2], 40, 256, 0, drawCodes(anyCode, nearOne))
	sources := s.sources()
	part := &sources["w"][0]
	part.Data.From = bytes.NewReader(make([]byte, part.Data.Offset+part.Data.Length-1))
	return q.refused(s, sources)
}

// refused loads and runs a scene of "x" that must fail somewhere.
func (q *suite) refused(s *scene, sources map[string][]device.Source) error {
	l, err := newStand(q.device, sources).load(s.program())
	if err != nil {
		return nil
	}
	r := s.sequence(1)
	r.floats("x", normal(s.rng, s.Buffer(s.Program().Lookup("x")).Cols))
	if _, err := start(l, r); err == nil {
		return errors.New("neither the upload nor the run says that anything is wrong")
	}
	return nil
}

func (q *suite) badScales() error {
	for _, f := range formats[2:] {
		for _, bad := range []float64{math.NaN(), math.Inf(1), 0, -1} {
			if !f.ScaleF32 && bad == bad {
				continue // E8M0 has one code that is no number
			}
			for _, first := range []bool{true, false} {
				s := newScene(q.Seed, "transfer", "", flat(2))
				s.addLinear(f, 200, 256, 0, drawCodes(anyCode, nearOne))
				spoil(&s.parts["w"][0], bad, first)
				if err := q.refused(s, s.sources()); err != nil {
					return fmt.Errorf("a scale of %v in %v: %w", bad, f, err)
				}
			}
		}
	}
	return nil
}

// spoil overwrites the first or the last scale.
func spoil(m *matrix, bad float64, first bool) {
	scale := []byte{0xff}
	if m.format.ScaleF32 {
		scale = toBytes([]float32{float32(bad)})
	}
	at := 0
	if !first {
		at = len(m.scale) - len(scale)
	}
	copy(m.scale[at:], scale)
}
