// Package cpu is the fast CPU device: weights repacked into panels that a kernel reads as one stream, pinned workers that
// enter a program once, kernels per instruction set. What it computes is compared with device/ref.
//
//	cpu.go, weight.go, memory_*.go   what it holds, and how it comes in
//	schedule.go, layout.go           from a program to steps, and where activations lie
//	exec.go, workers.go              a run
//	product.go, experts.go           matrices
//	rows.go, state.go, attention.go, select.go   all else
//	kernel/                          the inner loops
//
// An element is summed in an order that depends on neither batch, chunk nor threads (design 5).
package cpu

import (
	"errors"
	"fmt"
	"runtime"

	"baleen/internal/device"
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/op"
)

// Options say how to compute.
type Options struct {
	Tier    kernel.Tier
	Threads int // 0: one for each processor
}

// Device is the processor's cores.
type Device struct {
	tier   kernel.Tier
	kernel *kernel.Set
	team   *team
	memory [][]byte // to give back
	enters map[*executable]func(worker int)
}

var _ device.Device = (*Device)(nil)

// New starts the workers.
func New(o Options) (*Device, error) {
	if o.Threads < 0 || o.Threads > 1024 {
		return nil, fmt.Errorf("bad number of threads: %d: give 1 to 1024, or 0 for one per processor", o.Threads)
	}
	if o.Threads == 0 {
		o.Threads = runtime.NumCPU()
	}
	return &Device{
		tier: o.Tier, kernel: kernel.For(o.Tier), team: newTeam(o.Threads), enters: map[*executable]func(int){},
	}, nil
}

// enter returns what workers call for a program. It is made once, so that runs allocate nothing.
func (d *Device) enter(e *executable) func(worker int) {
	f, ok := d.enters[e]
	if !ok {
		f = e.work
		d.enters[e] = f
	}
	return f
}

// Info says that all ops run here, the fused ones as they are; their parts for traces, too.
func (d *Device) Info() device.Info {
	return device.Info{
		Name:   "cpu",
		Detail: fmt.Sprintf("%v kernels, %d threads", d.tier, d.team.n),
		Has: func(op.Op) bool {
			return true
		},
	}
}

// memory is the bytes of a state or IO.
type memory struct {
	data  []byte // at least one, on a boundary of 64
	bytes []byte
}

// Alloc makes a buffer. Weights are laid out as the program's ops read them.
func (d *Device) Alloc(p *op.Program, id op.ID) (device.Buffer, error) {
	b := p.Buffer(id)
	switch b.Space {
	case op.Weight:
		w, err := newWeight(p, id)
		if err == nil && w.arena != nil {
			d.memory = append(d.memory, w.arena)
		}
		return w, err
	case op.State, op.IO:
		data, err := allocate(p.Bytes(b))
		if err != nil {
			return nil, fmt.Errorf("buffer %s: %w", b.Name, err)
		}
		d.memory = append(d.memory, data)
		return &memory{data, data[:p.Bytes(b)]}, nil
	}
	return nil, fmt.Errorf("cannot allocate: buffer %s: a %v belongs to its program: allocate weights, states and IO only", b.Name, b.Space)
}

// Upload reads a weight and repacks it, or fills a state or IO.
func (d *Device) Upload(b device.Buffer, parts []device.Source) error {
	switch b := b.(type) {
	case *weight:
		return b.upload(d, parts)
	case *memory:
		if len(parts) != 1 || parts[0].Data.Length != int64(len(b.bytes)) {
			return fmt.Errorf("cannot upload: %d sources for a buffer of %d bytes: give one of exactly as many", len(parts), len(b.bytes))
		}
		if err := parts[0].Data.Read(b.bytes, 0); err != nil {
			return fmt.Errorf("cannot upload: %s: %w", parts[0].Name, err)
		}
		return nil
	}
	return errors.New("cannot upload: no buffer of this device")
}

// Download copies bytes of a state or IO.
func (d *Device) Download(b device.Buffer, offset int64, to []byte) error {
	m, ok := b.(*memory)
	if !ok || offset < 0 || offset+int64(len(to)) > int64(len(m.bytes)) {
		return fmt.Errorf("cannot download: bytes %d to %d: no such bytes of a state or IO: ask for less", offset, offset+int64(len(to)))
	}
	copy(to, m.bytes[offset:])
	return nil
}

// Sync returns at once: Run does all of its work.
func (*Device) Sync() error { return nil }

// Close ends the workers and gives memory back.
func (d *Device) Close() error {
	d.team.close()
	for _, m := range d.memory {
		release(m)
	}
	d.memory = nil
	return nil
}
