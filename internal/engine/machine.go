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

	device  device.Device
	trace   bool
	forward *program
	draft   *program // the MTP block; nil where the model has none
	drafter drafter  // or nil
	state   []*stash // to move what sequences remember: pages, then rings
	buffers map[string]device.Buffer
	bytes   []byte // of a Download
}

// program is a loaded program.
type program struct {
	*op.Program
	exe  device.Executable
	args *op.Args
}

// Place puts a model on a device. A fused op that the device lacks runs as its parts. With trace, all of them do, and the
// activations of a trace can be read after a run. What drafts is placed, too, if the model has it. Everything is allocated before the first weight is read, so that what
// does not fit is told at once. Progress, if it is not nil, is told how many bytes of weights are uploaded.
func Place(ctx context.Context, m *deepseek.Model, d device.Device, caps op.Caps, trace bool, progress func(done int64)) (*Machine, error) {
	machine := &Machine{Model: m, Caps: caps, device: d, trace: trace, buffers: map[string]device.Buffer{}}
	machine.forward = machine.lower(m.Forward(caps))
	programs := append([]*program{machine.forward}, machine.recordDrafter()...)
	machine.state = machine.stashes(programs)
	for _, s := range machine.state {
		if len(s.moves) > 0 {
			programs = append(programs, s.program)
		}
	}
	for _, p := range programs {
		if err := machine.allocate(p); err != nil {
			return nil, err
		}
	}
	if err := machine.upload(ctx, progress); err != nil {
		return nil, err
	}
	for _, p := range programs {
		if err := machine.load(p); err != nil {
			return nil, err
		}
	}
	return machine, nil
}

// lower makes a program one that the device can run.
func (m *Machine) lower(p *op.Program) *program {
	if m.trace {
		return &program{Program: p.Lower(func(op.Op) bool { return false }).Expose(deepseek.Traced)}
	}
	return &program{Program: p.Lower(m.device.Info().Has)}
}

// bound tells whether the caller of a device allocates a buffer.
func bound(b op.Buffer) bool {
	return b.Name != "" && (b.Space == op.Weight || b.Space == op.State || b.Space == op.IO)
}

// allocate makes the buffers of a program. Those of one name are one buffer, whichever programs they are in.
func (m *Machine) allocate(p *program) error {
	for i, b := range p.Buffers {
		if !bound(b) || m.buffers[b.Name] != nil {
			continue
		}
		buffer, err := m.device.Alloc(p.Program, op.ID(i))
		if err != nil {
			return err
		}
		m.buffers[b.Name] = buffer
	}
	return nil
}

// upload brings the weights to the device, in the order of their files.
func (m *Machine) upload(ctx context.Context, progress func(done int64)) error {
	done := int64(0)
	for w := range m.Model.Weights.All() {
		buffer, ok := m.buffers[w.Name]
		if !ok {
			continue // of a drafter that has no room in runs of so few rows
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.device.Upload(buffer, sources(w)); err != nil {
			return err
		}
		done += w.Bytes()
		if progress != nil {
			progress(done)
		}
	}
	return nil
}

func (m *Machine) load(p *program) (err error) {
	bind := map[op.ID]device.Buffer{}
	for i, b := range p.Buffers {
		if bound(b) {
			bind[op.ID(i)] = m.buffers[b.Name]
		}
	}
	p.args = p.NewArgs()
	p.exe, err = m.device.Load(p.Program, bind)
	return err
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

// Close gives the device back.
func (m *Machine) Close() error { return m.device.Close() }

// Drafts tells whether the machine can guess next tokens.
func (m *Machine) Drafts() bool { return m.drafter != nil }

// Forward runs the model over rows; pages are those of every slot.
func (m *Machine) Forward(rows []op.Row, pages [][]int32) error { return m.run(m.forward, rows, pages) }

// Draft runs the draft block. Row i takes the streams that row i of the last Forward left, and the token after it.
func (m *Machine) Draft(rows []op.Row, pages [][]int32) error { return m.run(m.draft, rows, pages) }

func (m *Machine) run(p *program, rows []op.Row, pages [][]int32) error {
	if err := p.args.Set(rows, pages); err != nil {
		return err
	}
	if err := m.device.Run(p.exe, p.args); err != nil {
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
	if len(m.bytes) < 4*len(to) {
		m.bytes = make([]byte, 4*len(to))
	}
	data := m.bytes[:4*len(to)]
	if err := m.device.Download(m.buffers[name], 4*int64(first)*int64(cols), data); err != nil {
		return err
	}
	for i := range to {
		to[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return nil
}
