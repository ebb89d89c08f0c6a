package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/device/ref"
	"baleen/internal/op"
	"baleen/internal/profile"
	"baleen/internal/synth"
)

// small is a model with a layer of every kind of the demo's, and few tokens and experts.
func small(t *testing.T, n deepseek.Numerics) *deepseek.Model {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "small")
	if err := synth.Write(t.Context(), dir, synth.Options{Shape: "demo", Pick: []int{1, 2, 3}, Vocab: 64, Experts: 4, Seed: 1}, nil); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	m, err := deepseek.Load(c, n, deepseek.Quirks{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// timed is ref that also says how long ops took and what came from disk, as the cpu device does: each op some time for its
// place, and 1 kB a run.
type timed struct {
	*ref.Device
	runs int64
	args *op.Args // of the last run
}

type timedProgram struct {
	device.Executable
	ops    int
	wasted *[64]byte
}

func (d *timed) Load(p *op.Program, bind map[op.ID]device.Buffer) (device.Executable, error) {
	exe, err := d.Device.Load(p, bind)
	return &timedProgram{Executable: exe, ops: len(p.Ops)}, err
}

func (d *timed) Run(exe device.Executable, args *op.Args) error {
	d.runs++
	d.args = args
	return d.Device.Run(exe.(*timedProgram).Executable, args)
}

func (d *timed) Traffic() (bytes int64, busy time.Duration, hits, misses int64) {
	return 1000 * d.runs, time.Duration(d.runs) * time.Microsecond, 3 * d.runs, d.runs
}

// waste is how many objects it costs to ask for times.
const waste = 5000

func (p *timedProgram) Timings() []time.Duration {
	times := make([]time.Duration, p.ops)
	for range waste {
		p.wasted = new([64]byte)
	}
	for i := range times {
		times[i] = time.Duration(i+1) * time.Microsecond / 64
	}
	return times
}

func open(t *testing.T, d device.Device, n deepseek.Numerics, r Request) *Bench {
	t.Helper()
	b, err := Open(t.Context(), Setup{Model: small(t, n), Device: d, Most: r, Chunk: 8, Shape: "small", ISA: "generic", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func run(t *testing.T, b *Bench, r Request) *Report {
	t.Helper()
	report, err := b.Run(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(report); err != nil { // a NaN has no form
		t.Fatal(err)
	}
	return report
}

// Rows come in order, with figures that follow from each other.
func TestRows(t *testing.T) {
	b := open(t, ref.New(), deepseek.Reference, Request{Prompt: []int{3, 10}, Depths: []int{0, 700}, Batch: []int{2}, Runs: 2})
	report := run(t, b, Request{})
	type key struct {
		phase                string
		prompt, depth, batch int
	}
	var got []key
	for _, row := range report.Rows {
		got = append(got, key{row.Phase, row.Prompt, row.Depth, row.Batch})
		tokens := float64(row.Batch)
		if row.Phase == "prefill" {
			tokens = float64(row.Prompt)
		}
		by := row.BytesBy
		sum := float64(by.FP4 + by.FP8 + by.BF16 + by.F32 + by.KV)
		switch {
		case row.Runs != 2 || row.Steps < 1 || row.Min <= 0 || row.Median < row.Min || row.Max < row.Median:
			t.Errorf("%+v: times", row)
		case math.Abs(row.TokS*row.Median/1e3-tokens) > 1e-4*tokens:
			t.Errorf("%+v: %v tokens in a unit", row, row.TokS*row.Median/1e3)
		case by.FP8 == 0 || by.FP4 == 0 || by.BF16 == 0 || by.F32 == 0 || by.KV == 0 || by.Disk != 0:
			t.Errorf("%+v: bytes", row)
		case math.Abs(row.GBs*row.Median*1e6-sum) > 1e-4*sum:
			t.Errorf("%+v: %v GB/s are not %v bytes", row, row.GBs, sum)
		case row.Gflops <= 0 || row.GflopsAll <= row.Gflops || row.ShareRead != nil || row.SharePeak != nil || row.Hit != nil || row.DiskGBs != nil:
			t.Errorf("%+v: shares of limits that were not measured", row)
		case len(row.MsBy) != 0 || row.Projected || row.Noisy || *row.Allocs < 1:
			t.Errorf("%+v", row)
		}
	}
	if want := []key{{"prefill", 3, 0, 1}, {"prefill", 10, 0, 1}, {"decode", 0, 0, 2}, {"decode", 0, 700, 2}}; !reflect.DeepEqual(got, want) {
		t.Errorf("rows %v", got)
	}
	if deep, shallow := report.Rows[3].BytesBy, report.Rows[2].BytesBy; deep.KV <= shallow.KV || deep.FP8 != shallow.FP8 {
		t.Errorf("at 700 %+v, at 0 %+v", deep, shallow)
	}
	if text := report.String(); !strings.Contains(text, "decode") || strings.Contains(text, "NaN") {
		t.Errorf("text %s", text)
	}
	if report := run(t, b, Request{Prompt: []int{}, Depths: []int{5}, Batch: []int{1}, Runs: 1}); len(report.Rows) != 1 || report.Rows[0].Depth != 5 {
		t.Errorf("asked for one row: %+v", report.Rows)
	}
}

// watched is ref that keeps which position each run began at.
type watched struct {
	*ref.Device
	positions []int32
}

func (d *watched) Run(exe device.Executable, args *op.Args) error {
	d.positions = append(d.positions, args.Tables[op.Position][0])
	return d.Device.Run(exe, args)
}

// Rows of a phase run by turns, once each has warmed up.
func TestTurns(t *testing.T) {
	d := &watched{Device: ref.New()}
	b := open(t, d, deepseek.Reference, Request{Prompt: []int{2, 3}, Depths: []int{0, 700}, Batch: []int{1}, Runs: 2})
	report := run(t, b, Request{})
	want := []int32{0, 0, 0, 0, 0, 0, 0, 700} // prompts: 2 warm up, 4 runs; decoding: 2 warm up
	for range 2 {
		for i := range int32(report.Rows[2].Steps) {
			want = append(want, i)
		}
		for i := range int32(report.Rows[3].Steps) {
			want = append(want, 700+i)
		}
	}
	if !slices.Equal(d.positions, want) {
		t.Errorf("runs began at %v, expected %v", d.positions, want)
	}
}

// The filled state is of the format of every numerics: ref, which looks for NaN, runs on it.
func TestWide(t *testing.T) {
	b := open(t, ref.New(), deepseek.Wide, Request{Prompt: []int{}, Depths: []int{2048 - steps}, Batch: []int{1}, Runs: 1})
	if report := run(t, b, Request{}); report.Numerics != "wide" || len(report.Rows) != 1 {
		t.Errorf("%+v", report)
	}
}

// What a device tells of its ops and its disk is divided by what was run.
func TestTimed(t *testing.T) {
	d := &timed{Device: ref.New()}
	b := open(t, d, deepseek.Reference, Request{Prompt: []int{20}, Depths: []int{700}, Batch: []int{2}, Runs: 1})
	report := run(t, b, Request{})
	n := float64(len(b.program.Ops))
	for i, passes := range []float64{3, 1} { // 20 rows in chunks of 8; a step
		row := report.Rows[i]
		want, got, mean := passes*n*(n+1)/2/64/1e3, 0.0, 0.0
		for group, ms := range row.MsBy {
			mean += ms
			if group != waiting && group != sampling {
				got += ms
			}
		}
		if math.Abs(got-want) > 0.01*want {
			t.Errorf("%s: ops took %v ms, expected %v: %v", row.name(), got, want, row.MsBy)
		}
		if mean < row.Min*0.999 || mean > row.Max*1.001 {
			t.Errorf("%s: parts add up to %v ms of %v to %v", row.name(), mean, row.Min, row.Max)
		}
		for _, group := range []string{"attn_proj", "attn_core", "indexer", "compress", "router", experts, "shared", "hc", "norm", head, sampling, waiting} {
			if row.MsBy[group] <= 0 {
				t.Errorf("%s: no time for %s", row.name(), group)
			}
		}
		if row.BytesBy.Disk != int64(1000*passes) || *row.Hit != 0.75 || *row.DiskGBs != 1 {
			t.Errorf("%s: disk %d, hit %v, %v GB/s", row.name(), row.BytesBy.Disk, *row.Hit, *row.DiskGBs)
		}
		if *row.Allocs > waste/2 { // ref has its own
			t.Errorf("%s: %v allocations: asking for times is among them", row.name(), *row.Allocs)
		}
	}
	last := int32(700 + report.Rows[1].Steps - 1)
	if got := d.args.Tables[op.Position]; !reflect.DeepEqual(got, []int32{last, last}) {
		t.Errorf("positions %v at the end, expected %d twice", got, last)
	}
	seen := map[int32]bool{}
	for _, page := range slices.Concat(d.args.Pages...) {
		if seen[page] {
			t.Errorf("page %d is of two sequences, or twice", page)
		}
		seen[page] = true
	}
}

// With limits, shares are of them.
func TestLimits(t *testing.T) {
	b, err := Open(t.Context(), Setup{
		Model: small(t, deepseek.Reference), Device: &timed{Device: ref.New()}, Most: Request{Prompt: []int{}, Depths: []int{0}, Batch: []int{1}, Runs: 1},
		Chunk: 1, Threads: 1, Window: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	report := run(t, b, Request{})
	row := report.Rows[0]
	if row.ReadGBs == nil || *row.ReadGBs <= 0 || *row.ReadGBs > 2*max(report.Probe.Read1, report.ProbeAfter.Read1) {
		t.Fatalf("memory gave %v; %+v and %+v", row.ReadGBs, report.Probe, report.ProbeAfter)
	}
	read := *row.ReadGBs
	if row.ShareRead == nil || math.Abs(*row.ShareRead*read-row.GBs) > 1e-3*row.GBs {
		t.Errorf("share %v of %v: %+v", row.ShareRead, read, row)
	}
	m := &measured{units: row.Steps}
	for i := range row.Steps {
		m.loads = append(m.loads, op.Load{Contexts: []int{i + 1}, Logits: 1})
	}
	list := workOf(b.program, m)
	layers := float64(sum(list, b.parts, inLayers).bytes()) / (row.Median - row.MsBy[head] - row.MsBy[sampling]) / 1e6 / read
	if row.ShareReadLayers == nil || math.Abs(*row.ShareReadLayers-layers) > 1e-4*layers || row.ShareReadHead == nil || row.SharePeak != nil {
		t.Errorf("layers %v of read, expected %v: %+v", row.ShareReadLayers, layers, row)
	}
	if profile.ForgetPeak() == nil && *row.PeakRSS > b.loading+128<<20 {
		t.Errorf("%d bytes of memory, %d after loading: what limits are measured with is among them", *row.PeakRSS, b.loading)
	}
	if row.Noisy != (report.Probe.Noisy(*report.ProbeAfter) || report.Probe.NoisyDisk(*report.ProbeAfter)) {
		t.Errorf("noisy %v: %+v and %+v", row.Noisy, report.Probe, report.ProbeAfter)
	}
}

// All state that the program has is filled, with what noise makes of its name.
func TestFilled(t *testing.T) {
	b := open(t, ref.New(), deepseek.Reference, Request{Prompt: []int{}, Depths: []int{200}, Batch: []int{2}, Runs: 1})
	n := 0
	for _, buffer := range b.program.Buffers {
		if buffer.Space == op.State {
			n++
		}
	}
	if n == 0 || len(b.device.states) != n {
		t.Fatalf("%d states of %d", len(b.device.states), n)
	}
	for _, s := range b.device.states {
		got, want := make([]byte, s.bytes), make([]byte, s.bytes)
		if err := b.device.Download(s.buffer, 0, got); err != nil {
			t.Fatal(err)
		}
		if newNoise(s).ReadAt(want, 0); !bytes.Equal(got, want) {
			t.Errorf("%s holds something else", s.name)
		}
	}
}

func TestBadRequests(t *testing.T) {
	model := small(t, deepseek.Reference)
	for _, r := range []Request{
		{Prompt: []int{0}}, {Prompt: []int{2049}}, {Depths: []int{-1}}, {Depths: []int{2048 - steps + 1}}, {Batch: []int{0}}, {Batch: []int{5000}},
		{Prompt: []int{}, Depths: []int{}}, {Runs: -1}, {Runs: 1001}, {Prompt: []int{math.MaxInt}},
	} {
		if _, err := Open(t.Context(), Setup{Model: model, Device: ref.New(), Most: r, Chunk: 8}); err == nil || strings.Count(err.Error(), ": ") < 2 {
			t.Errorf("%+v: error %v", r, err)
		}
	}
	b := open(t, ref.New(), deepseek.Reference, Request{Prompt: []int{4}, Depths: []int{0}, Batch: []int{1}, Runs: 1})
	for _, r := range []Request{{Prompt: []int{5}}, {Depths: []int{1}}, {Batch: []int{2}}, {Prompt: []int{}, Depths: []int{}}, {Prompt: []int{-1}}} {
		if _, err := b.Run(t.Context(), r); err == nil || strings.Count(err.Error(), ": ") < 2 {
			t.Errorf("%+v: error %v", r, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Run(ctx, Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
}

// Memory is laid out for the largest of each, and a batch makes no chunk larger.
func TestLay(t *testing.T) {
	for _, c := range []struct {
		most  Request
		caps  op.Caps
		chunk int
	}{
		{Request{Prompt: []int{4}, Depths: []int{0}, Batch: []int{3}}, op.Caps{Rows: 3, Slots: 3, Pages: 3, Context: steps}, 2},
		{Request{Prompt: []int{300, 4}, Depths: []int{}, Batch: []int{}}, op.Caps{Rows: 2, Slots: 1, Pages: 3, Context: 300}, 2},
		{Request{Prompt: []int{}, Depths: []int{1000, 10}, Batch: []int{2, 1}}, op.Caps{Rows: 2, Slots: 2, Pages: 16, Context: 1000 + steps}, 1},
		{Request{Prompt: []int{1}, Depths: []int{128 - steps}, Batch: []int{1}}, op.Caps{Rows: 1, Slots: 1, Pages: 1, Context: 128}, 1},
	} {
		b := &Bench{setup: Setup{Chunk: 2}}
		if b.lay(c.most); b.caps != c.caps || b.chunk != c.chunk {
			t.Errorf("%+v: %+v and chunks of %d, expected %+v and %d", c.most, b.caps, b.chunk, c.caps, c.chunk)
		}
	}
}

func TestDefaults(t *testing.T) {
	if r := (Request{}).Defaults(2048); !reflect.DeepEqual(r, Request{[]int{128, 512}, []int{0}, []int{1, 4}, 5}) {
		t.Errorf("short context: %+v", r)
	}
	if r := (Request{Batch: []int{}, Runs: 2}).Defaults(1 << 20); !reflect.DeepEqual(r, Request{[]int{128, 512}, []int{0, 4096}, []int{}, 2}) {
		t.Errorf("long context: %+v", r)
	}
}

func TestAffordable(t *testing.T) {
	for _, c := range []struct {
		step time.Duration
		runs int
		want int
	}{{time.Millisecond, 5, 16}, {0, 5, 16}, {300 * time.Millisecond, 5, 4}, {time.Second, 5, 2}, {time.Hour, 1, 1}, {100 * time.Millisecond, 1000, 1}} {
		if got := affordable(c.step, c.runs); got != c.want {
			t.Errorf("%v, %d runs: %d steps, expected %d", c.step, c.runs, got, c.want)
		}
	}
}
