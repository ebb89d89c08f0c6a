package cpu

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"baleen/internal/device"
	"baleen/internal/op"
)

// executable is a program that is ready to run. All that a run needs is allocated here.
type executable struct {
	*op.Program
	device       *Device
	bound        []device.Buffer  // by ID: weights, states, IO
	base         []unsafe.Pointer // by ID: of activations and states
	places       []place          // by ID
	rowBytes     []int            // by ID: of an entry of a state
	memory       []byte           // of all Temps
	steps        []step
	next         []counter // by step and worker: how many tasks of its range are taken
	workers      []scratch
	shared       [3]pool // of mixtures of experts: inputs, hidden, outputs
	sharedScores pool
	angles       map[[2]op.In]*angles // by frequencies and positions
	streams      []*experts           // those whose experts come from disk

	// of the run that is going on
	args   *op.Args
	run    uint64 // its number, from 1 on
	failed atomic.Pointer[error]
	spent  []time.Duration // by step, if the device is timed
}

// step is some tasks that may be done in any order, by any worker.
type step struct {
	ops   []int // indices in Program.Ops
	parts []part
}

// part is the tasks of one op, or of a chain of row ops.
type part struct {
	tasks func(e *executable) int
	do    func(e *executable, s *scratch, task int)
	each  int // so many tasks at a time, of an expert, are divided between nodes; 0: all
}

// share is the tasks of a part that belong to a node: count of them, from one on in each of some runs.
type share struct{ from, count, runs int }

func (p *part) share(e *executable, node int) share {
	n := p.tasks(e)
	if n == 0 {
		return share{}
	}
	each := n
	if p.each > 0 {
		each = p.each
	}
	from, to := e.device.team.share(node, each)
	return share{from, to - from, n / each}
}

// counter hands out tasks. Each has a cache line of its own.
type counter struct {
	atomic.Int64
	_ [56]byte
}

// Load binds a program's buffers, orders its ops into steps, and allocates what runs need.
func (d *Device) Load(p *op.Program, bind map[op.ID]device.Buffer) (device.Executable, error) {
	if err := d.settle(); err != nil {
		return nil, err
	}
	phases := schedule(p)
	e := &executable{Program: p, device: d, bound: make([]device.Buffer, len(p.Buffers)), base: make([]unsafe.Pointer, len(p.Buffers)), rowBytes: make([]int, len(p.Buffers)), angles: map[[2]op.In]*angles{}}
	var total int64
	e.places, total = layOut(p, phases)
	memory, err := allocate(max(total, 1))
	if err != nil {
		return nil, fmt.Errorf("cannot load: program %s: activations: %w", p.Name, err)
	}
	d.memory = append(d.memory, memory)
	e.memory = memory
	if err := e.bind(bind); err != nil {
		return nil, err
	}
	for _, ph := range phases {
		if err := e.addSteps(ph); err != nil {
			return nil, err
		}
	}
	if err := e.lookAhead(); err != nil {
		return nil, err
	}
	e.next, e.spent = make([]counter, len(e.steps)*d.team.n), make([]time.Duration, len(e.steps))
	e.workers = make([]scratch, d.team.n)
	for i := range e.workers {
		e.workers[i] = e.newScratch()
		e.workers[i].node = d.team.nodeOf(i)
	}
	return e, nil
}

// bind takes the buffers that the caller allocated, and places the others.
func (e *executable) bind(bind map[op.ID]device.Buffer) error {
	for i, b := range e.Buffers {
		id := op.ID(i)
		if b.Space == op.State {
			e.rowBytes[i] = b.Row.Bytes()
		}
		switch {
		case b.Space == op.Temp && e.places[i].bytes > 0:
			e.base[i] = unsafe.Pointer(&e.memory[e.places[i].offset])
		case b.Name != "" && (b.Space == op.Weight || b.Space == op.State || b.Space == op.IO):
			if err := e.bindOne(id, bind[id]); err != nil {
				return fmt.Errorf("cannot load: program %s: buffer %s: %w", e.Name, b.Name, err)
			}
		}
	}
	return nil
}

func (e *executable) bindOne(id op.ID, buffer device.Buffer) error {
	b := e.Buffer(id)
	switch bound := buffer.(type) {
	case *weight:
		if b.Space != op.Weight || bound.Format != b.Format || bound.Parts != b.Parts || bound.Rows != b.Rows || bound.Cols != b.Cols || bound.parts == nil {
			break
		}
		u := usage(e.Program, id)
		if u.panels && (!bound.panels || u.groups != bound.groups) || !u.panels && !u.rows && bound.values == nil && e.used(id) {
			return fmt.Errorf("the program that it was allocated for reads it in another way: allocate it from this one")
		}
		e.bound[id] = bound
		return nil
	case *memory:
		if b.Space == op.Weight || int64(len(bound.bytes)) != e.Bytes(b) {
			break
		}
		e.bound[id], e.base[id] = bound, unsafe.Pointer(&bound.data[0])
		return nil
	case nil:
		return fmt.Errorf("nothing is bound to it: allocate it and bind it")
	}
	return fmt.Errorf("what is bound to it has another shape, or was not uploaded: allocate it from this description")
}

func (e *executable) used(id op.ID) bool {
	for _, o := range e.Ops {
		for _, operand := range op.Operands(o) {
			if operand.ID == id {
				return true
			}
		}
	}
	return false
}

// Run runs all steps. The first error of any task ends it.
func (d *Device) Run(exe device.Executable, args *op.Args) error {
	e := exe.(*executable)
	e.args = args
	e.run++
	e.failed.Store(nil)
	for i := range e.next {
		e.next[i].Store(0)
	}
	if d.cache != nil {
		d.cache.begin(args.Counts[op.Rows])
	}
	d.team.run(d.enter(e))
	if err := e.failed.Load(); err != nil {
		return fmt.Errorf("run failed: program %s: %w", e.Name, *err)
	}
	return e.checkLogits()
}

// work is what every worker does in a run.
func (e *executable) work(worker int) {
	s := &e.workers[worker]
	s.holding = nil
	begin := time.Now()
	for i := range e.steps {
		e.workStep(i, worker, s)
		e.device.team.meeting.wait()
		if worker == 0 {
			now := time.Now()
			e.spent[i] = now.Sub(begin)
			begin = now
		}
	}
}

// workStep does tasks of a step until there are none. Each node has a share of every part, the one that lies in its memory.
// Of all that, each of its workers begins with a range of its own, so that it reads a matrix in one long stream; then it
// helps the others on its node, and at last other nodes. After a failure nobody begins a step, but all meet to the end: who
// saw it when is a matter of chance.
func (e *executable) workStep(i, worker int, s *scratch) {
	if e.failed.Load() != nil {
		return
	}
	t := &e.device.team.topology
	node, place := s.node, worker-t.first[s.node]
	for range t.nodes {
		e.workNode(i, node, place, s)
		node = (node + 1) % len(t.nodes)
	}
}

// workNode does tasks of a node's share of a step, first those of the worker that has a place there.
func (e *executable) workNode(i, node, place int, s *scratch) {
	total := e.allot(i, node, s)
	if total == 0 {
		return
	}
	first := e.device.team.first[node]
	workers := e.device.team.first[node+1] - first
	for range workers {
		place %= workers
		begin, end := place*total/workers, (place+1)*total/workers
		next := &e.next[i*len(e.workers)+first+place]
		for task := begin + int(next.Load()); task < end; { // others' counters are not written to once they are through
			if task = begin + int(next.Add(1)) - 1; task < end {
				e.task(i, task, s)
			}
		}
		place++
	}
}

// allot notes which tasks of a step are a node's share, and returns how many.
func (e *executable) allot(i, node int, s *scratch) (total int) {
	for n := range e.steps[i].parts {
		s.shares[n] = e.steps[i].parts[n].share(e, node)
		total += s.shares[n].count * s.shares[n].runs
	}
	return total
}

// task does a task of the share of a step that was allotted last.
func (e *executable) task(i, task int, s *scratch) {
	for n, of := range s.shares[:len(e.steps[i].parts)] {
		if task < of.count*of.runs {
			p := &e.steps[i].parts[n]
			p.do(e, s, task/of.count*p.each+of.from+task%of.count)
			return
		}
		task -= of.count * of.runs
	}
}

// fail records an error of a task.
func (e *executable) fail(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	e.failed.CompareAndSwap(nil, &err)
}

// Timings returns how long each op of the program took in the last run. Ops that ran together share their time evenly.
func (e *executable) Timings() []time.Duration {
	times := make([]time.Duration, len(e.Ops))
	for i, s := range e.steps {
		for _, o := range s.ops {
			times[o] += e.spent[i] / time.Duration(len(s.ops))
		}
	}
	return times
}

// rows returns how many rows an activation or a table has in this run.
func (e *executable) rows(id op.ID) int { return e.args.Counts[e.Buffers[id].Dim] }

// f32 returns row i of an activation of float32.
func (e *executable) f32(id op.ID, i int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Add(e.base[id], 4*i*e.places[id].stride)), e.Buffers[id].Cols)
}

// half returns row i of an activation of bfloat16.
func (e *executable) half(id op.ID, i int) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Add(e.base[id], 2*i*e.places[id].stride)), e.Buffers[id].Cols)
}

// ids returns row i of an activation of int32.
func (e *executable) ids(id op.ID, i int) []int32 {
	return unsafe.Slice((*int32)(unsafe.Add(e.base[id], 4*i*e.places[id].stride)), e.Buffers[id].Cols)
}

func (e *executable) table(id op.In) []int32 { return e.args.Tables[id] }

func (e *executable) weight(id op.In) *weight { return e.bound[id].(*weight) }

// vector returns a weight that is kept as numbers, or nil for none.
func (e *executable) vector(id op.In) []float32 {
	if id == 0 {
		return nil
	}
	return e.weight(id).values
}

// entry returns the packed bytes of an entry that a slot remembers.
func (e *executable) entry(id op.ID, slot int32, entry int) []byte {
	return e.entries(id, slot, entry, e.rowBytes[id])
}

// entries returns n bytes from an entry on: those of entries that lie in one page.
func (e *executable) entries(id op.ID, slot int32, entry, n int) []byte {
	b := &e.Buffers[id]
	row := 0
	if b.PerPage > 0 {
		row = int(e.args.Pages[slot][entry/b.PerPage])*b.PerPage + entry%b.PerPage
	} else {
		row = int(slot)*b.Ring + entry%b.Ring
	}
	return unsafe.Slice((*byte)(unsafe.Add(e.base[id], row*e.rowBytes[id])), n)
}

// checkLogits looks for what is no number in the results: a NaN anywhere before ends there.
func (e *executable) checkLogits() error {
	for i, b := range e.Buffers {
		if b.Space != op.IO || b.Dim != op.Logits {
			continue
		}
		for row := range e.args.Counts[b.Dim] {
			for c, v := range e.f32(op.ID(i), row) {
				if v != v {
					return fmt.Errorf("run failed: program %s: NaN in %s, row %d, channel %d: a weight is damaged, or numbers overflow", e.Name, b.Name, row, c)
				}
			}
		}
	}
	return nil
}
