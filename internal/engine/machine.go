package engine

import (
	"context"
	"encoding/binary"
	"math"

	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/op"
)

// Machine is a model placed on a device: weights uploaded, state allocated, programs loaded. It runs rows; what they are
// for, others know. One goroutine may use it at a time.
type Machine struct {
	Model *deepseek.Model
	Caps  op.Caps

	device         device.Device
	trace          bool
	forward, draft *program // draft is nil where the checkpoint has none
	buffers        map[string]device.Buffer
}

// program is a loaded program.
type program struct {
	*op.Program
	exe device.Executable
}

// Place puts a model on a device. A fused op that the device lacks runs as its parts. With trace, all of them do, and the
// activations of a trace can be read after a run. Progress, if it is not nil, is told how many bytes of weights are
// uploaded.
func Place(ctx context.Context, m *deepseek.Model, d device.Device, caps op.Caps, trace bool, progress func(done int64)) (*Machine, error) {
	machine := &Machine{Model: m, Caps: caps, device: d, trace: trace, buffers: map[string]device.Buffer{}}
	u := &uploader{machine: machine, weights: map[string]*deepseek.Weight{}, progress: progress}
	for w := range m.Weights.All() {
		u.weights[w.Name] = w
	}
	var err error
	if machine.forward, err = machine.load(ctx, m.Forward(caps), u); err != nil {
		return nil, err
	}
	if p := m.Draft(caps); p != nil {
		machine.draft, err = machine.load(ctx, p, u)
	}
	return machine, err
}

// uploader brings weights to the device.
type uploader struct {
	machine  *Machine
	weights  map[string]*deepseek.Weight // by name
	done     int64
	progress func(done int64)
}

// load readies one program. Buffers of one name are one buffer, whichever programs they are in.
func (m *Machine) load(ctx context.Context, p *op.Program, u *uploader) (*program, error) {
	if m.trace {
		p = p.Lower(func(op.Op) bool { return false }).Expose(deepseek.Traced)
	} else {
		p = p.Lower(m.device.Info().Has)
	}
	bind := map[op.ID]device.Buffer{}
	for i, b := range p.Buffers {
		id := op.ID(i)
		if b.Space != op.Weight && b.Space != op.State && b.Space != op.IO {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := u.place(p, id); err != nil {
			return nil, err
		}
		bind[id] = m.buffers[b.Name]
	}
	exe, err := m.device.Load(p, bind)
	return &program{p, exe}, err
}

// place allocates a buffer, and uploads it if it is a weight.
func (u *uploader) place(p *op.Program, id op.ID) error {
	b := p.Buffer(id)
	if b.Name == "" || u.machine.buffers[b.Name] != nil {
		return nil
	}
	buffer, err := u.machine.device.Alloc(p, id)
	if err != nil {
		return err
	}
	u.machine.buffers[b.Name] = buffer
	if b.Space != op.Weight {
		return nil
	}
	w := u.weights[b.Name]
	if err := u.machine.device.Upload(buffer, sources(w)); err != nil {
		return err
	}
	u.done += w.Bytes()
	if u.progress != nil {
		u.progress(u.done)
	}
	return nil
}

// sources says where the parts of a weight lie.
func sources(w *deepseek.Weight) []device.Source {
	list := make([]device.Source, len(w.Data))
	for i, data := range w.Data {
		list[i] = device.Source{Name: data.String(), Data: device.Span{From: data.From, Offset: data.Offset, Length: data.Length}}
		if i < len(w.Scale) {
			scale := w.Scale[i]
			list[i].Scale = device.Span{From: scale.From, Offset: scale.Offset, Length: scale.Length}
		}
	}
	return list
}

// Drafts tells whether the model has a block that drafts.
func (m *Machine) Drafts() bool { return m.draft != nil }

// Forward runs the model over rows; pages are those of every slot.
func (m *Machine) Forward(rows []op.Row, pages [][]int32) error { return m.run(m.forward, rows, pages) }

// Draft runs the draft block. Row i takes the streams that row i of the last Forward left, and the token after it.
func (m *Machine) Draft(rows []op.Row, pages [][]int32) error { return m.run(m.draft, rows, pages) }

func (m *Machine) run(p *program, rows []op.Row, pages [][]int32) error {
	args, err := p.Args(rows, pages)
	if err != nil {
		return err
	}
	if err := m.device.Run(p.exe, args); err != nil {
		return err
	}
	return m.device.Sync()
}

// Logits reads the next logits of the last Forward into to, which is as long as some rows of the vocabulary; first is the
// first row that wanted them.
func (m *Machine) Logits(first int, to []float32) error {
	return m.read(m.forward, deepseek.LogitsName, first, to)
}

// DraftLogits does so for the last Draft.
func (m *Machine) DraftLogits(first int, to []float32) error {
	return m.read(m.draft, deepseek.DraftLogitsName, first, to)
}

func (m *Machine) read(p *program, name string, first int, to []float32) error {
	cols := p.Buffer(p.Lookup(name)).Cols
	data := make([]byte, 4*len(to))
	if err := m.device.Download(m.buffers[name], 4*int64(first)*int64(cols), data); err != nil {
		return err
	}
	for i := range to {
		to[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return nil
}
