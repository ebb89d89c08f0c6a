package bench

import (
	"context"
	"runtime"
	"slices"
	"time"

	"baleen/internal/op"
	"baleen/internal/profile"
)

// measured is a row while it is measured: how a run goes, and what the runs took.
type measured struct {
	phase                string
	prompt, depth, batch int
	loads                []op.Load       // of the forward passes of a run: a prompt's chunks, or steps of one token for each sequence
	units                int             // of a run: prompts, or steps of decoding; what is reported is one unit
	tokens               int             // of a unit
	warm, run            func() error    // warm comes first, and may say how long a run is to be
	done                 bool            // there are enough runs
	runs                 []time.Duration // each
	reads                []float64       // what memory gave just before each, in 10^9 bytes a second; empty: limits are not measured
	byOp                 []time.Duration // added up over all runs, by op of the program; empty where the device does not tell
	sample               time.Duration   // likewise, to read logits and choose
	traffic              traffic
	allocs               float64
	peak                 int64 // of the process's memory so far, that of loading included
}

// traffic is what a device read from disk.
type traffic struct {
	bytes        int64
	busy         time.Duration // while at least one read was under way
	hits, misses int64         // of experts that were wanted
}

// all is how many units were measured.
func (m *measured) all() float64 { return float64(m.units * len(m.runs)) }

func (m *measured) total() (d time.Duration) {
	for _, run := range m.runs {
		d += run
	}
	return d
}

// rows measures every row of a request. Rows of one phase run by turns, so that a machine that is slower for a while is so
// for all of them.
func (b *Bench) rows(ctx context.Context, r Request) (list []*measured, err error) {
	for _, prompt := range r.Prompt {
		list = append(list, b.prefill(ctx, prompt))
	}
	for _, depth := range r.Depths {
		for _, batch := range r.Batch {
			list = append(list, b.decode(ctx, depth, batch, r.Runs))
		}
	}
	b.told(0, len(list))
	for _, turns := range [][]*measured{list[:len(r.Prompt)], list[len(r.Prompt):]} {
		if err := b.byTurns(ctx, turns, r.Runs, func(done int) { b.told(done, len(list)) }); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (b *Bench) told(done, total int) {
	if b.setup.Rows != nil {
		b.setup.Rows(done, total)
	}
}

// prefill measures the reading of prompts, from the beginning to the logits behind the last token.
func (b *Bench) prefill(ctx context.Context, prompt int) *measured {
	m := &measured{phase: "prefill", prompt: prompt, batch: 1, units: 1, tokens: prompt}
	chunk := min(prompt, b.chunk)
	for begin := 0; begin < prompt; begin += chunk {
		end := min(begin+chunk, prompt)
		load := op.Load{Contexts: make([]int, end-begin)}
		for i := range load.Contexts {
			load.Contexts[i] = begin + i + 1
		}
		if end == prompt {
			load.Logits = 1
		}
		m.loads = append(m.loads, load)
	}
	pages := [][]int32{make([]int32, pages(prompt))}
	for i := range pages[0] {
		pages[0][i] = int32(i)
	}
	m.run = func() error {
		for begin := 0; begin < prompt; begin += chunk {
			rows := b.batch[:min(chunk, prompt-begin)]
			for i := range rows {
				rows[i] = op.Row{Token: b.token(), Position: int32(begin + i), Logits: begin+i == prompt-1}
			}
			if err := b.forward(ctx, m, rows, pages); err != nil {
				return err
			}
		}
		return b.sample(m, 1)
	}
	m.warm = func() error {
		began := time.Now()
		err := m.run()
		if took := time.Since(began); took > longUnit {
			m.runs, m.done = append(m.runs, took), true // it is not read again
		}
		return err
	}
	return m
}

// decode measures the making of tokens by some sequences at once, behind a depth of random state.
func (b *Bench) decode(ctx context.Context, depth, batch, runs int) *measured {
	m := &measured{phase: "decode", depth: depth, batch: batch, units: steps, tokens: batch}
	pages := make([][]int32, batch)
	for slot := range pages {
		pages[slot] = make([]int32, b.span)
		for i := range pages[slot] {
			pages[slot][i] = int32(slot*b.span + i)
		}
	}
	rows := b.batch[:batch]
	step := func(i int) error {
		for slot := range rows {
			rows[slot] = op.Row{Token: b.token(), Slot: int32(slot), Position: int32(depth + i), Logits: true}
		}
		if err := b.forward(ctx, m, rows, pages); err != nil {
			return err
		}
		return b.sample(m, batch)
	}
	m.run = func() error {
		for i := range m.units {
			if err := step(i); err != nil {
				return err
			}
		}
		return nil
	}
	m.warm = func() error {
		began := time.Now()
		err := step(0)
		m.units = affordable(time.Since(began), runs)
		for i := range m.units {
			m.loads = append(m.loads, op.Load{Contexts: slices.Repeat([]int{depth + i + 1}, batch), Logits: batch})
		}
		return err
	}
	return m
}

// affordable is how many steps a run may have where a step takes so long: as many as complete windows of ratio 4, if
// there is time.
func affordable(step time.Duration, runs int) int {
	n := int(mostSteps / time.Duration(runs) / max(step, 1))
	if n >= 4 {
		n &^= 3
	}
	return min(max(n, 1), steps)
}

// byTurns warms every row up, then gives each a run by turns, until each has enough runs or, after at least one, no more time.
func (b *Bench) byTurns(ctx context.Context, rows []*measured, runs int, told func(done int)) error {
	for _, m := range rows {
		if err := b.warmUp(m, runs); err != nil {
			return err
		}
	}
	runtime.GC() // what warming up left is nobody's
	for left := slices.Clone(rows); len(left) > 0; {
		for _, m := range left {
			if m.done {
				continue // it is not read again
			}
			if err := b.turn(ctx, m); err != nil {
				return err
			}
			m.done = len(m.runs) >= runs || m.total() >= mostRow
		}
		left = slices.DeleteFunc(left, func(m *measured) bool { return m.done })
		told(len(rows) - len(left))
	}
	return nil
}

// warmUp runs a row once. That counts only where the row will have no other run.
func (b *Bench) warmUp(m *measured, runs int) error {
	m.byOp, m.runs = make([]time.Duration, len(b.device.timings())), make([]time.Duration, 0, runs)
	counter := b.count()
	if err := m.warm(); err != nil {
		return err
	}
	if m.done {
		counter.note(m)
		return nil
	}
	clear(m.byOp)
	m.sample = 0
	return nil
}

// turn asks memory what it gives now, and runs a row.
func (b *Bench) turn(ctx context.Context, m *measured) error {
	if b.setup.Window > 0 {
		read, err := profile.ReadNow(ctx, profile.Options{Loops: b.setup.Loops, Threads: b.setup.Threads, Window: b.setup.Window})
		if err != nil {
			return err
		}
		m.reads = append(m.reads, read)
		_ = profile.ForgetPeak()
	}
	counter := b.count()
	start := time.Now()
	if err := m.run(); err != nil {
		return err
	}
	m.runs = append(m.runs, time.Since(start))
	counter.note(m)
	return nil
}

// counter counts what runs take from the heap and the disk.
type counter struct {
	bench   *Bench
	mallocs uint64
	traffic traffic
}

func (b *Bench) count() counter {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return counter{b, memory.Mallocs, b.traffic()}
}

// note adds what was counted in a run, without what asking the device for times takes.
func (c counter) note(m *measured) {
	now := c.bench.count()
	asked := c.bench.asking * float64(len(m.loads))
	m.allocs += max(float64(now.mallocs-c.mallocs)-asked, 0)
	m.traffic.add(now.traffic.since(c.traffic))
	m.peak = max(m.peak, c.bench.loading, profile.PeakMemory())
}

// forward runs the model, and adds up how long its ops took where the device tells.
func (b *Bench) forward(ctx context.Context, m *measured, rows []op.Row, pages [][]int32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.machine.Forward(rows, pages); err != nil {
		return err
	}
	times := b.device.timings()
	if len(times) != len(m.byOp) {
		return nil
	}
	for i, d := range times {
		m.byOp[i] += d
	}
	return nil
}

// sample reads logits and chooses the most likely token of each row. The choice is not run: tokens are random.
func (b *Bench) sample(m *measured, rows int) error {
	began := time.Now()
	for i := range rows {
		if err := b.machine.Logits(i, b.logits); err != nil {
			return err
		}
		runtime.KeepAlive(slices.Max(b.logits))
	}
	m.sample += time.Since(began)
	return nil
}

// token chooses the next token at random.
func (b *Bench) token() int32 { return int32(b.random.IntN(b.setup.Model.Config.Vocab)) }

// traffic asks the device what it has read from disk so far. A device that keeps weights there has a method Traffic for it.
func (b *Bench) traffic() (t traffic) {
	if d, ok := b.setup.Device.(interface {
		Traffic() (bytes int64, busy time.Duration, hits, misses int64)
	}); ok {
		t.bytes, t.busy, t.hits, t.misses = d.Traffic()
	}
	return t
}

func (t traffic) since(before traffic) traffic {
	return traffic{t.bytes - before.bytes, t.busy - before.busy, t.hits - before.hits, t.misses - before.misses}
}

func (t *traffic) add(more traffic) {
	*t = traffic{t.bytes + more.bytes, t.busy + more.busy, t.hits + more.hits, t.misses + more.misses}
}
