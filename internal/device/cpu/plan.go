package cpu

import (
	"fmt"
	"runtime"

	"baleen/internal/op"
)

// plan is how memory is given out. What is to be allocated is collected until the first of it is needed: only then is it
// known whether all fits, or which experts come and go.
type plan struct {
	limit    int64 // bytes that the device may take
	staging  int64 // bytes that readers hold
	used     int64 // bytes of what is allocated, and of the activations that programs will want
	stored   int64 // bytes of weights in their files
	programs map[*op.Program]bool
	pending  []placed
}

// placed is a buffer that waits for memory.
type placed struct {
	weight *weight // with panels
	memory *memory // or a state or IO
	size   int64
}

// need is what the buffers that wait take, in bytes.
type need struct {
	weights, states int64   // what must be in memory
	experts         int64   // what need not
	slot            []int64 // of the largest expert, by node
	count           int     // of experts
	most, least     int     // of experts of a layer; of those that a token chooses
}

// expect notes what a program takes beside the buffers of its caller.
func (d *Device) expect(p *op.Program) {
	if !d.plan.programs[p] {
		d.plan.programs[p] = true
		d.plan.used += activations(p, d.team.n)
	}
}

// settle gives memory to what waits for it. Where that is too much, the experts share what the others leave.
func (d *Device) settle() error {
	p := &d.plan
	if len(p.pending) == 0 {
		return nil
	}
	n := p.need()
	all := n.weights + n.states + n.experts
	fits := n.experts == 0 || p.used+all+p.staging <= p.limit
	if !fits {
		n.experts = 0
	}
	rest := p.limit - p.used - n.weights - n.states - n.experts - p.staging
	if err := d.checkRest(n, all, rest, fits); err != nil {
		return err
	}
	d.readers.bypass.Store(!fits || p.stored > totalMemory()/2)
	for _, b := range p.pending {
		if err := d.place(b, fits); err != nil {
			return err
		}
	}
	p.pending = nil
	if fits || d.cache != nil {
		return nil
	}
	c, err := newCache(d.readers, int(min(rest/sum(n.slot), int64(n.count))), n.slot, newRanking(float64(n.least)/float64(n.most)))
	if err != nil {
		return err
	}
	c.arena.bind(&d.team.topology)
	d.readers.prepare(c.arena.bytes)
	p.used += int64(len(c.arena.bytes))
	d.cache = c
	d.memory = append(d.memory, c.arena.bytes)
	runtime.GOMAXPROCS(max(d.procs, d.team.n+readersEach+besideWorkers)) // readers must not wait until a worker does
	return nil
}

// need adds up what waits.
func (p *plan) need() (n need) {
	for _, b := range p.pending {
		switch {
		case b.memory != nil:
			n.states += b.size
		case b.weight.comes:
			n.experts += b.size
			if n.slot == nil {
				n.slot = make([]int64, len(b.weight.mixture.slot))
			}
			for k, bytes := range b.weight.mixture.slot {
				n.slot[k] = max(n.slot[k], bytes)
			}
			n.most = max(n.most, b.weight.Parts)
			n.least = max(n.least, b.weight.mixture.chosen)
			if b.weight.mixture.leads {
				n.count += b.weight.Parts
			}
		default:
			n.weights += b.size
		}
	}
	return n
}

// checkRest refuses what cannot run, and says what could. Rest is what there is for experts that come and go, or for
// nothing.
func (d *Device) checkRest(n need, all, rest int64, fits bool) error {
	least := int64(0)
	if !fits && d.cache == nil {
		least = int64(n.least) * sum(n.slot)
	}
	if !fits && d.cache != nil && !d.cache.holds(n.slot) {
		return fmt.Errorf("not enough memory: experts of %s beside others that are smaller: give all of them memory, or run one model at a time", size(sum(n.slot)))
	}
	if rest >= least {
		return nil
	}
	p := &d.plan
	where := fmt.Sprintf("%s wanted, of which %s weights, %s state and %s what runs and reads take; %s allowed or free",
		size(p.used+p.staging+all), size(all-n.states), size(n.states), size(p.used+p.staging), size(p.limit))
	mend := "take a smaller context, chunk or batch, or fewer sequences at a time"
	if least > 0 {
		mend = fmt.Sprintf("with experts read from disk when they are chosen it runs in %s, and faster in more; or %s", size(p.limit-rest+least), mend)
	}
	return fmt.Errorf("not enough memory: %s: %s", where, mend)
}

// place gives a buffer its memory.
func (d *Device) place(b placed, fits bool) error {
	if b.weight != nil && b.weight.comes && !fits {
		return nil
	}
	data, err := allocate(b.size)
	switch {
	case err != nil && b.weight != nil:
		return fmt.Errorf("weight %s: %w", b.weight.Name, err)
	case err != nil:
		return fmt.Errorf("buffer %s: %w", b.memory.name, err)
	case b.weight != nil:
		b.weight.arena = &arena{data, b.weight.stretches()}
		b.weight.arena.bind(&d.team.topology)
	default:
		d.team.interleave(data)
		b.memory.data, b.memory.bytes = data, data[:b.size]
	}
	d.memory = append(d.memory, data)
	d.plan.used += b.size
	return nil
}

// sum adds up bytes.
func sum(list []int64) (n int64) {
	for _, bytes := range list {
		n += bytes
	}
	return n
}

// size writes bytes as people give them, rounded up.
func size(n int64) string {
	const mebibyte = 1 << 20
	m := (n + mebibyte - 1) / mebibyte
	if m < 10<<10 {
		return fmt.Sprintf("%dMiB", m)
	}
	return fmt.Sprintf("%.1fGiB", float64(m)/1024+0.05)
}

// activations is what the runs of a program take: its Temps, the memory that ops share, and that of workers.
func activations(p *op.Program, workers int) int64 {
	places, total := layOut(p, schedule(p))
	row := func(cols int, half bool) int64 {
		size := 4
		if half {
			size = 2
		}
		return int64(spaced(cols, size) * size)
	}
	var mixtures, scores int64
	turns := map[[2]op.In]bool{}
	e := &executable{Program: p}
	var z sizes
	for _, o := range p.Ops {
		z.look(e, o)
		switch o := o.(type) {
		case op.Experts:
			w1, w2 := p.Buffer(op.ID(o.W1)), p.Buffer(op.ID(o.W2))
			choices := int64(p.Dims[p.Buffer(op.ID(o.Y)).Dim].Capacity) * int64(p.Buffer(op.ID(o.Ids)).Cols)
			mixtures = max(mixtures, choices*(row(w1.Cols, places[o.X].half)+row(w1.Rows, o.Group != 0)+int64(w2.Rows)*4))
		case op.RoPE:
			if key := [2]op.In{o.Freq, o.Position}; !turns[key] {
				turns[key] = true
				total += 8 * int64(p.Dims[p.Buffer(op.ID(o.X)).Dim].Capacity) * int64(p.Buffer(op.ID(o.Freq)).Cols)
			}
		case op.Select:
			scores = max(scores, 4*int64(p.Caps.Context/o.Ratio)*int64(min(fewRows, p.Caps.Rows)))
		}
	}
	each := 4 * int64(max(z.floats, 2*expertRow*blockRows)+z.row+z.keys+z.scores+z.order+z.picks)
	return total + mixtures + scores + int64(workers)*each
}
