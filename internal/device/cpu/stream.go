package cpu

import (
	"fmt"
	"slices"

	"baleen/internal/op"
)

// flow is a mixture whose experts come from disk, while it is being computed. Workers take what is ready: first what was in
// memory, then what comes, in the order in which it comes. All is guarded by the cache's lock.
type flow struct {
	layer    *layer
	topology *topology
	wanted   []int32    // experts that have no slot yet
	list     []int32    // memory of wanted
	ready    []int32    // experts that are in memory and not done, in order of arrival
	progress []progress // by expert
	left     int        // experts that are not done
	failed   *error
}

// progress is how many blocks of an expert have been handed out, by node, and are done: first all of its hidden channels,
// then its outputs.
type progress struct {
	hidden, output         []int32
	hiddenDone, outputDone int32
}

func (f *flow) reset(experts, active int) {
	if f.progress == nil {
		f.progress = make([]progress, experts)
		for i := range f.progress {
			f.progress[i].hidden, f.progress[i].output = make([]int32, len(f.topology.nodes)), make([]int32, len(f.topology.nodes))
		}
		f.list, f.ready = make([]int32, 0, experts), make([]int32, 0, experts)
	}
	f.wanted, f.ready, f.left, f.failed = f.list[:0], f.ready[:0], active, nil
}

// arrived makes an expert ready, or ends the flow where it cannot be read.
func (f *flow) arrived(expert int32, failed *error) {
	if failed != nil {
		f.failed = failed
		return
	}
	p := &f.progress[expert]
	clear(p.hidden)
	clear(p.output)
	p.hiddenDone, p.outputDone = 0, 0
	f.ready = append(f.ready, expert)
}

// piece is a task of a flow.
type piece struct {
	expert int32
	output bool
	block  int
}

// next hands out a task: of the share of a node, or else of another's.
func (f *flow) next(node int, hiddenBlocks, outBlocks int32) (piece, bool) {
	for range f.topology.nodes {
		hiddenFrom, hiddenTo := f.topology.share(node, int(hiddenBlocks))
		outFrom, outTo := f.topology.share(node, int(outBlocks))
		for _, expert := range f.ready {
			p := &f.progress[expert]
			switch hidden, output := int(p.hidden[node]), int(p.output[node]); {
			case hiddenFrom+hidden < hiddenTo:
				p.hidden[node]++
				return piece{expert, false, hiddenFrom + hidden}, true
			case p.hiddenDone == hiddenBlocks && outFrom+output < outTo:
				p.output[node]++
				return piece{expert, true, outFrom + output}, true
			}
		}
		node = (node + 1) % len(f.topology.nodes)
	}
	return piece{}, false
}

// did notes that a task is done. It tells whether others may have waited for that.
func (f *flow) did(c *cache, t piece, hiddenBlocks, outBlocks int32) bool {
	p := &f.progress[t.expert]
	if !t.output {
		p.hiddenDone++
		return p.hiddenDone == hiddenBlocks
	}
	if p.outputDone++; p.outputDone < outBlocks {
		return false
	}
	i := slices.Index(f.ready, t.expert)
	f.ready = append(f.ready[:i], f.ready[i+1:]...)
	f.left--
	c.done(f.layer, t.expert)
	return f.left == 0
}

// streamStages lists the stages where experts come from disk: those that compute them are one, in which workers take what
// is ready.
func (m *experts) streamStages() []part {
	all := m.stages()
	c := m.cache
	sorted := all[0].do
	all[0].do = func(e *executable, s *scratch, task int) {
		sorted(e, s, task)
		if e.failed.Load() == nil {
			c.mu.Lock()
			c.want(m.flow, m.active, m.begin)
			c.mu.Unlock()
		}
	}
	compute := part{
		tasks: func(e *executable) int { return e.device.team.n },
		do:    func(e *executable, s *scratch, _ int) { m.stream(e, s) },
	}
	return []part{all[0], all[1], compute, all[4]}
}

// stream computes experts as they come, until all are done.
func (m *experts) stream(e *executable, s *scratch) {
	c, f := m.cache, m.flow
	hidden, outputs := int32((m.hidden+blockRows-1)/blockRows), int32((m.outputs+blockRows-1)/blockRows)
	c.mu.Lock()
	defer c.mu.Unlock()
	for f.left > 0 && f.failed == nil {
		t, ok := f.next(s.node, hidden, outputs)
		if !ok {
			c.changed.Wait()
			continue
		}
		c.mu.Unlock()
		if t.output {
			m.outputBlock(s, int(t.expert), t.block*blockRows)
		} else {
			m.hiddenBlock(e, s, int(t.expert), t.block*blockRows)
		}
		c.mu.Lock()
		if f.did(c, t, hidden, outputs) {
			c.changed.Broadcast()
		}
	}
	if f.failed != nil {
		e.fail("%w", *f.failed)
	}
}

// fetchAhead asks for experts that are chosen already, before their mixture begins.
func (m *experts) fetchAhead(e *executable) {
	c := m.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range e.rows(op.ID(m.Y)) {
		for _, expert := range e.ids(op.ID(m.Ids), i) {
			if expert >= 0 && int(expert) < m.gate.Parts {
				c.keep(m.flow.layer, expert)
			}
		}
	}
}

// lookAhead puts a fetchAhead for each mixture into the step after the one that chooses its experts. Where the choice
// depends on tokens alone, that is long before the mixture.
func (e *executable) lookAhead() error {
	taken := map[int]bool{}
	for _, m := range slices.Backward(e.streams) { // the last to be put into a step is the first to ask
		begin := e.stepOf(slices.IndexFunc(e.Ops, func(o op.Op) bool { return o == op.Op(m.Experts) }))
		if taken[begin] {
			return fmt.Errorf("cannot load: program %s: two mixtures of experts at a time, whose experts come from disk: give the device more memory", e.Name)
		}
		taken[begin] = true
		after := e.stepOf(e.writer(op.ID(m.Ids))) + 1
		if after >= begin {
			continue
		}
		s := &e.steps[after]
		s.parts = slices.Insert(s.parts, 0, part{
			tasks: func(*executable) int { return 1 },
			do:    func(e *executable, _ *scratch, _ int) { m.fetchAhead(e) },
		})
	}
	return nil
}

// stepOf returns the first step of an op, or -1 for none.
func (e *executable) stepOf(op int) int {
	return slices.IndexFunc(e.steps, func(s step) bool { return slices.Contains(s.ops, op) })
}

// writer returns the op that writes a buffer first, or -1.
func (e *executable) writer(id op.ID) int {
	return slices.IndexFunc(e.Ops, func(o op.Op) bool {
		return slices.ContainsFunc(op.Operands(o), func(x op.Operand) bool { return x.ID == id && x.Writes })
	})
}
