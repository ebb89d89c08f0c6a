// Package bench measures a model on a machine: how fast prompts are read and tokens made, where the time goes, and how near
// that is to what the machine can do.
//
//	bench.go     a model that is placed to be measured, and what it is asked
//	measure.go   the runs of a row
//	report.go    what is reported: the JSON form
//	cost.go      what a run must read and compute, and which part of the model an op belongs to
//	project.go   from a model with some of its layers to the whole one
//	noise.go     state as if a long text had been read
//	text.go      a report for people
//
// Figures are medians of runs beside limits that were measured before and after them, in the same process. Tokens are
// random, so routing spreads as random weights let it; on a trained model real text may meet fewer experts.
package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/engine"
	"baleen/internal/op"
	"baleen/internal/profile"
)

// Request is what to measure. Lists that are nil stand for those of Defaults.
type Request struct {
	Prompt []int `json:"prompt"` // lengths of prompts that are read from the beginning, one row each
	Depths []int `json:"depths"` // how many positions lie before the token that is made; a row for each depth and batch
	Batch  []int `json:"batch"`  // sequences that make tokens together
	Runs   int   `json:"runs"`   // of a row; fewer where a row would take long. 0 is 5
}

// Defaults fills in what a request leaves open, as far as a context reaches.
func (r Request) Defaults(context int) Request {
	within := func(list []int, most int) []int {
		return slices.DeleteFunc(list, func(n int) bool { return n > most })
	}
	if r.Prompt == nil {
		r.Prompt = within([]int{128, 512}, context)
	}
	if r.Depths == nil {
		r.Depths = within([]int{0, 4096}, context-steps)
	}
	if r.Batch == nil {
		r.Batch = []int{1, 4}
	}
	if r.Runs == 0 {
		r.Runs = 5
	}
	return r
}

const (
	steps   = 16   // tokens that a sequence makes in a run, behind its depth: as many as complete some windows of ratio 4
	mostRun = 1000 // runs of a row

	mostSteps = 10 * time.Second // for all steps of a row: a run has fewer where they take longer
	mostRow   = 2 * time.Minute  // for all runs of a row
	longUnit  = 30 * time.Second // from which on a prompt is not read to warm up
)

// Setup says what is measured, where, and how.
type Setup struct {
	Model  *deepseek.Model
	Device device.Device
	Most   Request // what requests may ask for at most: memory is laid out for it
	Chunk  int     // rows of a run while a prompt is read

	Shape, Commit, ISA string // for the report; Shape where the model is no release's
	Threads            int    // that the device uses, and the limits are measured with; 0 is unknown

	Loops  profile.Loops
	Window time.Duration // of a limit's measurement; 0 measures none
	File   string        // of the model, to read for the disk's limit; empty: none

	Loaded func(bytes int64)     // told while weights are loaded, if not nil
	Rows   func(done, total int) // told before each row and at the end, if not nil
}

// Bench is a model placed to be measured. One goroutine may use it at a time.
type Bench struct {
	setup   Setup
	most    Request
	machine *engine.Machine
	program *op.Program // as the device runs it
	parts   []part      // by op
	caps    op.Caps
	chunk   int // rows of a run while a prompt is read
	span    int // pages of a slot while tokens are made
	random  *rand.Rand
	device  *tap
	batch   []op.Row
	logits  []float32
	asking  float64 // allocations of asking a device for its times
	loading int64   // peak of memory until the model was placed
}

// Open places a model and fills its state with random numbers. What drafts is left out.
func Open(ctx context.Context, s Setup) (*Bench, error) {
	most := s.Most.Defaults(s.Model.Config.MaxContext)
	if err := most.Check(s.Model.Config.MaxContext); err != nil {
		return nil, err
	}
	if s.Chunk < 1 {
		return nil, fmt.Errorf("bad chunk: %d rows: give 1 or more", s.Chunk)
	}
	b := &Bench{setup: s, most: most, random: rand.New(rand.NewPCG(seed, seed)), logits: make([]float32, s.Model.Config.Vocab)}
	b.lay(most)
	model := s.Model.WithoutDrafter()
	b.device, b.batch = &tap{Device: s.Device}, make([]op.Row, b.caps.Rows)
	machine, err := engine.Place(ctx, model, b.device, b.caps, false, s.Loaded)
	if err != nil {
		return nil, err
	}
	b.machine = machine
	b.program = model.Forward(b.caps).Lower(s.Device.Info().Has)
	b.parts = partsOf(b.program)
	if n := len(b.device.timings()); n > 0 && n != len(b.program.Ops) {
		return nil, fmt.Errorf("cannot tell where time goes: the device times %d ops of %d: this is a fault of baleen; report it", n, len(b.program.Ops))
	}
	b.asking = allocations(func() { b.device.timings() })
	err = b.device.fill(ctx)
	b.loading = profile.PeakMemory()
	return b, err
}

// allocations is how many objects a piece of work takes from the heap.
func allocations(work func()) float64 {
	const times = 16
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		work()
	}
	runtime.ReadMemStats(&after)
	return math.Round(float64(after.Mallocs-before.Mallocs) / times)
}

// seed is that of state and of tokens, which go on from row to row and request to request: the same requests do the same
// work, and no request finds in a cache what it read before.
const seed = 20261125

// lay chooses capacities: what the largest prompt needs, or the largest batch at the largest depth.
func (b *Bench) lay(most Request) {
	prompt, depth, batch := largest(most.Prompt), largest(most.Depths), max(1, largest(most.Batch))
	b.chunk = max(1, min(b.setup.Chunk, prompt))
	b.caps = op.Caps{Rows: max(b.chunk, batch), Slots: batch}
	if len(most.Depths) > 0 {
		b.caps.Context = depth + steps
		b.span = pages(b.caps.Context)
	}
	b.caps.Context = max(b.caps.Context, prompt)
	b.caps.Pages = max(batch*b.span, pages(prompt))
}

func largest(list []int) (most int) {
	for _, n := range list {
		most = max(most, n)
	}
	return most
}

// pages is how many pages so many positions take.
func pages(positions int) int { return (positions + op.PageSize - 1) / op.PageSize }

// Check finds what no model of this context can do.
func (r Request) Check(context int) error {
	for _, list := range []struct {
		what        string
		numbers     []int
		least, most int
	}{
		{"prompt", r.Prompt, 1, context}, {"depths", r.Depths, 0, context - steps}, {"batch", r.Batch, 1, 4096}, {"runs", []int{r.Runs}, 1, mostRun},
	} {
		for _, n := range list.numbers {
			if n < list.least || n > list.most {
				return fmt.Errorf("cannot measure this: %s %d: give %d to %d", list.what, n, list.least, list.most)
			}
		}
	}
	if len(r.Prompt) == 0 && (len(r.Depths) == 0 || len(r.Batch) == 0) {
		return fmt.Errorf("nothing to measure: no prompts, and no depths with batches: give some")
	}
	return nil
}

// fits finds what this bench was not laid out for.
func (b *Bench) fits(r Request) error {
	for _, list := range []struct {
		what          string
		numbers, most []int
	}{{"prompt", r.Prompt, b.most.Prompt}, {"depths", r.Depths, b.most.Depths}, {"batch", r.Batch, b.most.Batch}} {
		if n, most := largest(list.numbers), largest(list.most); n > most || len(list.numbers) > 0 && len(list.most) == 0 {
			return fmt.Errorf("beyond what was laid out: %s %d, at most %d: start with a larger --%s", list.what, n, most, list.what)
		}
	}
	return r.Check(b.setup.Model.Config.MaxContext)
}

// Run measures what is asked, and the machine's limits before and after.
func (b *Bench) Run(ctx context.Context, r Request) (*Report, error) {
	r = b.inherit(r)
	if err := b.fits(r); err != nil {
		return nil, err
	}
	report := b.report()
	var err error
	if report.Probe, err = b.probe(ctx); err != nil {
		return nil, err
	}
	_ = profile.ForgetPeak() // what the probe took is not the model's; where that is refused, it is counted
	measured, err := b.rows(ctx, r)
	if err != nil {
		return nil, err
	}
	if report.ProbeAfter, err = b.probe(ctx); err != nil {
		return nil, err
	}
	full := b.whole()
	for _, m := range measured {
		report.Rows = append(report.Rows, b.row(m, report))
		if full != nil {
			report.Rows = append(report.Rows, b.project(m, full, report))
		}
	}
	return report, nil
}

// inherit fills in what a request leaves open with what the bench was laid out for.
func (b *Bench) inherit(r Request) Request {
	if r.Prompt == nil {
		r.Prompt = b.most.Prompt
	}
	if r.Depths == nil {
		r.Depths = b.most.Depths
	}
	if r.Batch == nil {
		r.Batch = b.most.Batch
	}
	if r.Runs == 0 {
		r.Runs = b.most.Runs
	}
	return r
}

// probe measures the machine's limits, or returns none.
func (b *Bench) probe(ctx context.Context) (*profile.Limits, error) {
	if b.setup.Window == 0 {
		return nil, nil
	}
	limits, err := profile.Measure(ctx, profile.Options{Loops: b.setup.Loops, Threads: b.setup.Threads, Window: b.setup.Window})
	if err != nil {
		return nil, err
	}
	if b.setup.File != "" {
		if limits.Disk, err = profile.ReadFile(ctx, b.setup.File, b.setup.Window); err != nil {
			return nil, fmt.Errorf("cannot measure the disk: %w", err)
		}
	}
	return &limits, nil
}
