// Package cpu is the fast CPU device: weights repacked into panels that a kernel reads as one stream, pinned workers that
// enter a program once, kernels per instruction set. What it computes is compared with device/ref.
//
//	cpu.go, plan.go, memory_*.go     what it holds, and whether that fits
//	weight.go, readers.go, direct_*.go   how weights come in
//	cache.go, stream.go              experts that come from disk when they are chosen
//	nodes.go, nodes_*.go             processors and memory that are nearer to each other than to others
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
	"time"

	"baleen/internal/device"
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/op"
)

// Options say how to compute.
type Options struct {
	Tier    kernel.Tier
	Fast    bool  // products of FP4 with activations rounded to 8 bits: for fast numerics
	Threads int   // 0: one for each processor
	Memory  int64 // bytes that the device may take; 0: what the machine has free. Experts that do not fit come from disk
}

// Device is the processor's cores.
type Device struct {
	tier    kernel.Tier
	fast    bool
	kernel  *kernel.Set
	team    *team
	readers *readers
	plan    plan
	cache   *cache   // nil where all experts are in memory
	procs   int      // what GOMAXPROCS was before
	memory  [][]byte // to give back
	enters  map[*executable]func(worker int)
	closed  bool
}

var _ device.Device = (*Device)(nil)

// New starts the workers.
func New(o Options) (*Device, error) { return newOn(o, readNodes(systemNodes(), allowedProcessors())) }

// newOn is New on a machine that has these nodes.
func newOn(o Options, nodes []node) (*Device, error) {
	if o.Threads < 0 || o.Threads > 1024 {
		return nil, fmt.Errorf("bad number of threads: %d: give 1 to 1024, or 0 for one per processor", o.Threads)
	}
	if o.Memory < 0 {
		return nil, fmt.Errorf("bad amount of memory: %d bytes: give some, or 0 for what is free", o.Memory)
	}
	if o.Threads == 0 {
		o.Threads = runtime.NumCPU()
	}
	if o.Memory == 0 {
		o.Memory = freeMemory()
	}
	k := kernel.For(o.Tier)
	d := &Device{
		tier: o.Tier, fast: o.Fast, kernel: k, team: newTeam(newTopology(nodes, o.Threads)), readers: newReaders(k), enters: map[*executable]func(int){},
		plan: plan{limit: o.Memory, programs: map[*op.Program]bool{}},
	}
	d.procs = runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(d.procs, d.team.n+besideWorkers))
	return d, nil
}

// besideWorkers is how many goroutines may go on while workers keep theirs: what serves, and what comes next. Without, the
// last worker begins a run when they are done, and the others wait for it.
const besideWorkers = 2

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
	detail := fmt.Sprintf("%v kernels, %v", d.tier, &d.team.topology)
	if d.cache != nil {
		detail += fmt.Sprintf(", room for %d experts", len(d.cache.slots))
	}
	return device.Info{
		Name:   "cpu",
		Detail: detail,
		Has: func(op.Op) bool {
			return true
		},
	}
}

// memory is the bytes of a state or IO.
type memory struct {
	name  string
	data  []byte // at least one, on a boundary of 64
	bytes []byte
}

// Alloc makes a buffer. Weights are laid out as the program's ops read them. Memory is given at the first Upload, Download
// or Load, when all that there will be is known; what does not fit is refused then.
func (d *Device) Alloc(p *op.Program, id op.ID) (device.Buffer, error) {
	b := p.Buffer(id)
	d.expect(p)
	switch b.Space {
	case op.Weight:
		w, err := newWeight(p, id, &d.team.topology)
		if err == nil {
			d.plan.stored += p.Bytes(b)
			d.plan.used += 4 * int64(len(w.values))
		}
		if err == nil && w.panels {
			d.plan.staging = max(d.plan.staging, w.stagingBytes())
			d.plan.pending = append(d.plan.pending, placed{weight: w, size: int64(w.Parts) * w.partBytes()})
		}
		return w, err
	case op.State, op.IO:
		m := &memory{name: b.Name}
		d.plan.pending = append(d.plan.pending, placed{memory: m, size: p.Bytes(b)})
		return m, nil
	}
	return nil, fmt.Errorf("cannot allocate: buffer %s: a %v belongs to its program: allocate weights, states and IO only", b.Name, b.Space)
}

// Upload reads a weight and repacks it, or fills a state or IO.
func (d *Device) Upload(b device.Buffer, parts []device.Source) error {
	if err := d.settle(); err != nil {
		return err
	}
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
	if err := d.settle(); err != nil {
		return err
	}
	m, ok := b.(*memory)
	if !ok || offset < 0 || offset+int64(len(to)) > int64(len(m.bytes)) {
		return fmt.Errorf("cannot download: bytes %d to %d: no such bytes of a state or IO: ask for less", offset, offset+int64(len(to)))
	}
	copy(to, m.bytes[offset:])
	return nil
}

// Traffic tells what was read from disk so far: how many bytes, and for how long at least one read was under way; and of the
// experts that mixtures met, where they come from disk, how many were in memory and how many had to come.
func (d *Device) Traffic() (bytes int64, busy time.Duration, hits, misses int64) {
	bytes, busy = d.readers.traffic.total()
	if c := d.cache; c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		hits, misses = c.hits, c.misses
	}
	return bytes, busy, hits, misses
}

// Sync returns at once: Run does all of its work.
func (*Device) Sync() error { return nil }

// Close ends the workers and gives memory back. Once is enough; a second time does nothing.
func (d *Device) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	d.team.close()
	d.readers.close()
	for _, m := range d.memory {
		release(m)
	}
	d.memory = nil
	runtime.GOMAXPROCS(d.procs)
	return nil
}
