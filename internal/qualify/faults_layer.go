//go:build faults

package qualify

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"baleen/internal/device"
	"baleen/internal/op"
)

// fault is one defect that is planted around a device: it changes ops before they are loaded, what an op finds or leaves, or
// bytes on their way. The catalogue is study/bug-corpus; about says which entry.
type fault struct {
	name, about string
	unfused     bool // the device loses its fused ops, so that their parts can be reached

	patch    func(p *op.Program, o op.Op) op.Op // another op in its place, or nil for none
	constant func(b *op.Buffer)                 // changes a Const; its values are a copy

	at            func(s *site) bool // at which ops before and after are called
	before, after func(s *site)

	upload   func(f *faulty, b op.Buffer, parts []matrix) // changes weights
	fill     func(b op.Buffer, data []byte)               // changes what is uploaded to a state or IO
	download func(b op.Buffer, offset int64, data []byte) // changes what comes back
	late     bool                                         // uploads of states may arrive late
}

// FaultNames lists what Plant can plant.
func FaultNames() (names []string) {
	for _, f := range catalogue() {
		names = append(names, f.name)
	}
	return names
}

func catalogue() []fault {
	return slices.Concat(weightFaults(), productFaults(), routerFaults(), expertFaults(), normFaults(), rotaryFaults(), hyperFaults(),
		quantiserFaults(), attentionFaults(), choiceFaults(), compressorFaults(), stateFaults(), reuseFaults(), transferFaults(),
		edgeFaults(), valueFaults(), runFaults(), draftFaults())
}

// Plant wraps a device so that it has a fault.
func Plant(name string, d device.Device) (device.Device, error) {
	for _, f := range catalogue() {
		if f.name == name {
			return &faulty{Device: d, fault: f, memory: map[any]any{}}, nil
		}
	}
	return nil, fmt.Errorf("no such fault: %q: see --fault list", name)
}

// faulty is a device with a fault.
type faulty struct {
	device.Device
	fault  fault
	memory map[any]any // what the fault remembers from run to run
	runs   int
	failed bool           // a run failed since this was last unset
	late   []func() error // uploads that come after the next run
	states int            // uploads of states so far
}

var _ device.Device = (*faulty)(nil)

// buffer remembers what a buffer is.
type buffer struct {
	device.Buffer
	is    op.Buffer
	bytes int64
}

func (f *faulty) Info() device.Info {
	info := f.Device.Info()
	has := info.Has
	info.Has = func(o op.Op) bool {
		_, fused := o.(op.Fused)
		return has(o) && !(fused && f.fault.unfused)
	}
	return info
}

func (f *faulty) Alloc(p *op.Program, id op.ID) (device.Buffer, error) {
	inner, err := f.Device.Alloc(p, id)
	return &buffer{inner, p.Buffer(id), p.Bytes(p.Buffer(id))}, err
}

func (f *faulty) Upload(b device.Buffer, parts []device.Source) error {
	held := b.(*buffer)
	switch {
	case held.is.Space == op.Weight && len(parts) == held.is.Parts:
		list, err := readMatrices(held.is, parts)
		if err != nil {
			break
		}
		if held.is.Rows <= 128 && held.is.Parts == 1 {
			f.memory["weight "+held.is.Name] = slices.Clone(list) // small ones, for faults that compute
		}
		if f.fault.upload == nil || f.fault.name != "nan-scale-taken" && damaged(list) {
			break
		}
		f.fault.upload(f, held.is, list)
		parts = slices.Clone(parts)
		for i := range list {
			parts[i] = list[i].source(parts[i].Name)
		}
	case held.is.Space != op.Weight && f.fault.fill != nil && len(parts) == 1 && parts[0].Data.Length == held.bytes:
		data := make([]byte, held.bytes)
		if err := parts[0].Data.Read(data, 0); err != nil {
			return err
		}
		f.fault.fill(held.is, data)
		parts = memorySource(parts[0].Name, data)
	case held.is.Space == op.State && f.fault.late:
		if f.states++; f.states%24 == 0 {
			f.late = append(f.late, func() error { return f.Device.Upload(held.Buffer, parts) })
			return nil
		}
	}
	return f.Device.Upload(held.Buffer, parts)
}

// damaged tells whether a scale is no number: the device must see that, whatever else is wrong.
func damaged(list []matrix) bool {
	return slices.ContainsFunc(list, func(m matrix) bool { return m.format.CheckScale(m.scale) != nil })
}

func readMatrices(b op.Buffer, parts []device.Source) ([]matrix, error) {
	list := make([]matrix, len(parts))
	data, scale := b.Format.Size(b.Rows, b.Cols)
	for i, part := range parts {
		if part.Data.Length != data || part.Scale.Length != scale {
			return nil, fmt.Errorf("the device says it better")
		}
		list[i] = matrix{b.Format, b.Rows, b.Cols, make([]byte, data), make([]byte, scale)}
		if err := part.Data.Read(list[i].data, 0); err != nil {
			return nil, err
		}
		if err := part.Scale.Read(list[i].scale, 0); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (f *faulty) Download(b device.Buffer, offset int64, to []byte) error {
	held := b.(*buffer)
	err := f.Device.Download(held.Buffer, offset, to)
	if err == nil && f.fault.download != nil {
		f.fault.download(held.is, offset, to)
	}
	return err
}

// executable is a program in pieces: between them the fault does its work.
type executable struct {
	*op.Program
	pieces []piece
	held   map[op.ID]device.Buffer // the inner device's
}

// piece is a loaded part of a program; site is set where it is one op with the fault around it.
type piece struct {
	exe  device.Executable
	site *site
}

func (f *faulty) Load(p *op.Program, bind map[op.ID]device.Buffer) (device.Executable, error) {
	e := &executable{Program: f.patched(p), held: map[op.ID]device.Buffer{}}
	for id, b := range bind {
		e.held[id] = b.(*buffer).Buffer
	}
	sites := make([]*site, len(e.Ops))
	some := false
	for i, o := range e.Ops {
		s := &site{f: f, e: e, op: o}
		if f.fault.at != nil && f.fault.at(s) {
			sites[i], some = s, true
		}
	}
	if !some {
		exe, err := f.Device.Load(e.Program, e.held)
		e.pieces = []piece{{exe, nil}}
		return e, err
	}
	e.Program = everything(e.Program)
	for i, b := range e.Buffers {
		if id := op.ID(i); b.Space == op.IO && e.held[id] == nil {
			inner, err := f.Device.Alloc(e.Program, id)
			if err != nil {
				return nil, err
			}
			e.held[id] = inner
		}
	}
	return e, f.cut(e, sites)
}

// cut loads the pieces.
func (f *faulty) cut(e *executable, sites []*site) error {
	for i := 0; i < len(sites); {
		end := i + 1
		for sites[i] == nil && end < len(sites) && sites[end] == nil {
			end++
		}
		part := *e.Program
		part.Ops = e.Ops[i:end]
		used := pruned(&part)
		bind := map[op.ID]device.Buffer{}
		for id, b := range e.held {
			if held(used.Buffer(id)) {
				bind[id] = b
			}
		}
		exe, err := f.Device.Load(used, bind)
		if err != nil {
			return err
		}
		e.pieces = append(e.pieces, piece{exe, sites[i]})
		i = end
	}
	return nil
}

// patched changes ops and constants.
func (f *faulty) patched(p *op.Program) *op.Program {
	q := *p
	q.Ops = nil
	for _, o := range p.Ops {
		if f.fault.patch != nil {
			o = f.fault.patch(p, o)
		}
		if o != nil {
			q.Ops = append(q.Ops, o)
		}
	}
	if f.fault.constant != nil {
		q.Buffers = slices.Clone(p.Buffers)
		for i := range q.Buffers {
			if b := &q.Buffers[i]; b.Space == op.Const {
				b.Values = slices.Clone(b.Values)
				f.fault.constant(b)
			}
		}
	}
	return &q
}

func (f *faulty) Run(exe device.Executable, args *op.Args) error {
	err := f.run(exe.(*executable), args)
	f.failed = f.failed || err != nil
	for _, upload := range f.late {
		err = errors.Join(err, f.Device.Sync(), upload())
	}
	f.late = nil
	return err
}

// Sync sees what went wrong with the last run.
func (f *faulty) Sync() error {
	err := f.Device.Sync()
	f.failed = f.failed || err != nil
	return err
}

func (f *faulty) run(e *executable, args *op.Args) error {
	f.runs++
	for _, piece := range e.pieces {
		if piece.site == nil {
			if err := f.Device.Run(piece.exe, args); err != nil {
				return err
			}
			continue
		}
		if err := piece.site.run(piece.exe, args); err != nil {
			return err
		}
	}
	return nil
}

// site is one op with the fault around it.
type site struct {
	f    *faulty
	e    *executable
	op   op.Op
	args *op.Args // before may set others
	err  error
	kept any // from before to after
}

func (s *site) run(exe device.Executable, args *op.Args) error {
	s.args, s.err, s.kept = args, nil, nil
	if s.f.fault.before != nil {
		s.f.fault.before(s)
	}
	if err := s.f.Device.Run(exe, s.args); err != nil {
		return err
	}
	if s.f.fault.after != nil {
		if err := s.f.Device.Sync(); err != nil {
			return err
		}
		s.f.fault.after(s)
	}
	return s.err
}

// bytes reads a state or an activation whole.
func (s *site) bytes(id op.ID) []byte {
	data := make([]byte, s.e.Bytes(s.e.Buffer(id)))
	if err := s.f.Device.Download(s.e.held[id], 0, data); err != nil {
		s.err = err
	}
	return data
}

func (s *site) setBytes(id op.ID, data []byte) {
	if err := s.f.Device.Upload(s.e.held[id], memorySource("fault", data)); err != nil {
		s.err = err
	}
}

// floats reads the rows that the run has of an activation.
func (s *site) floats(id op.ID) []float32 { return toFloats(s.bytes(id)[:4*s.size(id)]) }

func (s *site) size(id op.ID) int { return s.args.Counts[s.e.Buffer(id).Dim] * s.cols(id) }

func (s *site) cols(id op.ID) int { return s.e.Buffer(id).Cols }

func (s *site) rows() int { return s.args.Counts[op.Rows] }

// set overwrites the rows that the run has of an activation.
func (s *site) set(id op.ID, x []float32) { s.overwrite(id, toBytes(x)) }

func (s *site) overwrite(id op.ID, rows []byte) {
	data := s.bytes(id)
	copy(data, rows)
	s.setBytes(id, data)
}

// edit changes an activation in place.
func (s *site) edit(id op.ID, change func(x []float32)) {
	x := s.floats(id)
	change(x)
	s.set(id, x)
}

func (s *site) ids(id op.ID) []int32 { return toIDs(s.bytes(id)[:4*s.size(id)]) }

func (s *site) setIDs(id op.ID, x []int32) { s.overwrite(id, idBytes(x)) }

// view reads operands as a judge would.
func (s *site) view() *view {
	seen := map[string][]byte{}
	return &view{p: s.e.Program, args: s.args, data: func(name string) []byte {
		if seen[name] == nil {
			seen[name] = s.bytes(s.e.Lookup(name))
		}
		return seen[name]
	}, weight: func(b op.Buffer, part int) *matrix { return &s.f.memory["weight "+b.Name].([]matrix)[part] }}
}

// retable gives the op other values of a table.
func (s *site) retable(id op.In, change func(x []int32)) {
	args := *s.args
	args.Tables = slices.Clone(args.Tables)
	args.Tables[id] = slices.Clone(args.Tables[id])
	change(args.Tables[id])
	s.args = &args
}

// chance is true for one call in n, by count.
func (s *site) chance(n int) bool {
	key := "chance " + s.f.fault.name
	count, _ := s.f.memory[key].(int)
	s.f.memory[key] = count + 1
	return (count*2654435761>>8)%n == n-1
}

// is tells whether the op is of a kind.
func is[T op.Op](s *site) bool {
	_, ok := s.op.(T)
	return ok
}

// zero is a row of nothing.
func zero(data []byte) { copy(data, bytes.Repeat([]byte{0}, len(data))) }
