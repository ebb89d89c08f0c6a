package bench

import (
	"context"
	"runtime"
	"slices"
	"time"

	"baleen/internal/op"
	"baleen/internal/profile"
)

// measured is what the runs of a row took.
type measured struct {
	phase                string
	prompt, depth, batch int
	loads                []op.Load       // of the forward passes of a run: a prompt's chunks, or steps of one token for each sequence
	units                int             // of a run: prompts, or steps of decoding; what is reported is one unit
	tokens               int             // of a unit
	runs                 []time.Duration // each
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

// rows measures every row of a request.
func (b *Bench) rows(ctx context.Context, r Request) (list []*measured, err error) {
	total := len(r.Prompt) + len(r.Depths)*len(r.Batch)
	step := func(m *measured, err error) error {
		list = append(list, m)
		b.told(len(list), total)
		return err
	}
	b.told(0, total)
	for _, prompt := range r.Prompt {
		if err := step(b.prefill(ctx, prompt, r.Runs)); err != nil {
			return nil, err
		}
	}
	for _, depth := range r.Depths {
		for _, batch := range r.Batch {
			if err := step(b.decode(ctx, depth, batch, r.Runs)); err != nil {
				return nil, err
			}
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
func (b *Bench) prefill(ctx context.Context, prompt, runs int) (*measured, error) {
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
	run := func() error {
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
	return m, b.repeat(m, runs, run, run)
}

// decode measures the making of tokens by some sequences at once, behind a depth of random state.
func (b *Bench) decode(ctx context.Context, depth, batch, runs int) (*measured, error) {
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
	run := func() error {
		for i := range m.units {
			if err := step(i); err != nil {
				return err
			}
		}
		return nil
	}
	warm := func() error {
		began := time.Now()
		err := step(0)
		m.units = affordable(time.Since(began), runs)
		for i := range m.units {
			m.loads = append(m.loads, op.Load{Contexts: slices.Repeat([]int{depth + i + 1}, batch), Logits: batch})
		}
		return err
	}
	return m, b.repeat(m, runs, warm, run)
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

// repeat warms up, then runs until there are enough runs or, after at least one, no more time. A prompt that takes all of
// the time is not read again.
func (b *Bench) repeat(m *measured, runs int, warm, run func() error) error {
	m.byOp, m.runs = make([]time.Duration, len(b.device.timings())), make([]time.Duration, 0, runs)
	counter := b.count()
	began := time.Now()
	if err := warm(); err != nil {
		return err
	}
	if took := time.Since(began); m.phase == "prefill" && took > longUnit {
		m.runs = append(m.runs, took)
		counter.note(m)
		return nil
	}
	clear(m.byOp)
	m.sample = 0
	runtime.GC() // what earlier rows left is not this one's
	counter = b.count()
	for began = time.Now(); len(m.runs) < runs && (len(m.runs) == 0 || time.Since(began) < mostRow); {
		start := time.Now()
		if err := run(); err != nil {
			return err
		}
		m.runs = append(m.runs, time.Since(start))
	}
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

// note tells what was counted, without what asking the device for times takes.
func (c counter) note(m *measured) {
	now := c.bench.count()
	asked := c.bench.asking * float64(len(m.loads)*len(m.runs))
	m.allocs = max(float64(now.mallocs-c.mallocs)-asked, 0)
	m.traffic = now.traffic.since(c.traffic)
	m.peak = max(c.bench.loading, profile.PeakMemory())
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
