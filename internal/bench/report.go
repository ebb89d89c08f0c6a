package bench

import (
	"math"
	"os"
	"slices"
	"time"

	"baleen/internal/profile"
	"baleen/internal/quant"
)

// Version is that of the JSON form of Report.
const Version = 1

// Report is what a request gave, as JSON. What is not known is null.
type Report struct {
	Version    int             `json:"version"`
	Commit     string          `json:"commit"`
	CPU        string          `json:"cpu"`
	Key        string          `json:"machine"` // see profile.Machine.Key
	Device     string          `json:"device"`
	ISA        string          `json:"isa"`
	Numerics   string          `json:"numerics"`
	Threads    int             `json:"threads"`
	Chunk      int             `json:"chunk"` // tokens of a prompt in one run
	Model      Model           `json:"model"`
	Probe      *profile.Limits `json:"probe"`
	ProbeAfter *profile.Limits `json:"probe_after"`
	Rows       []Row           `json:"rows"`
}

// Model is what was measured.
type Model struct {
	Shape  string `json:"shape"` // the release whose shape its layers have
	Layers int    `json:"layers"`
	Bytes  int64  `json:"bytes"` // of weights, without what drafts
}

// Row is one measurement. Times are of a whole prompt, or of one step of decoding in which each sequence of the batch makes
// a token; so are bytes, operations, and what is derived from both.
type Row struct {
	Phase  string `json:"phase"` // prefill or decode
	Prompt int    `json:"prompt"`
	Depth  int    `json:"depth"`
	Batch  int    `json:"batch"`
	Runs   int    `json:"runs"`
	Steps  int    `json:"steps"` // of a run; its time is that of all of them divided by their number

	TokS   float64 `json:"tok_s"` // of all sequences, from the median
	Median float64 `json:"ms_median"`
	Min    float64 `json:"ms_min"`
	Max    float64 `json:"ms_max"`

	MsBy    map[string]float64 `json:"ms_by"` // means; empty where the device does not time its ops
	BytesBy BytesBy            `json:"bytes_by"`

	GBs              float64  `json:"gb_s"`      // of weights and state
	ReadGBs          *float64 `json:"read_gb_s"` // what a loop that only reads got just before each run: the median. The next three are shares of it
	ShareRead        *float64 `json:"share_read"`
	ShareReadLayers  *float64 `json:"share_read_layers"`
	ShareReadHead    *float64 `json:"share_read_head"`
	Gflops           float64  `json:"gflops"`             // of products with weights
	GflopsAll        float64  `json:"gflops_all"`         // with attention and index scores
	SharePeak        *float64 `json:"share_peak"`         // of gflops: of the bf16 peak, in wide of the fma peak
	SharePeakExperts *float64 `json:"share_peak_experts"` // of routed experts alone, all their time counted: in fast of the int8 peak

	PeakRSS *int64   `json:"peak_rss"`  // of the process so far, without what measuring limits took
	Allocs  *float64 `json:"allocs"`    // on Go's heap, for each token
	Hit     *float64 `json:"hit"`       // of experts wanted, those that were in memory
	DiskGBs *float64 `json:"disk_gb_s"` // while reads were under way

	Projected bool   `json:"projected"` // to the release that Model.Shape names, from the row before; not measured
	Noisy     bool   `json:"noisy"`     // the machine changed by more than a tenth meanwhile
	Note      string `json:"note,omitempty"`
}

// BytesBy is what is read, by kind of number with its scales. Experts count as often as even routing reads them; what
// reading a prompt remembers counts once a chunk.
type BytesBy struct {
	FP8  int64 `json:"fp8"`
	FP4  int64 `json:"fp4"`
	BF16 int64 `json:"bf16"`
	F32  int64 `json:"f32"` // tables of integers, too
	KV   int64 `json:"kv"`
	Disk int64 `json:"disk"` // of these, what came from disk, as measured
}

// report begins a report.
func (b *Bench) report() *Report {
	machine := profile.Describe(os.DirFS("/"))
	backbone, _ := b.setup.Model.Weights.Bytes()
	r := &Report{
		Version: Version, Commit: b.setup.Commit, CPU: machine.CPU, Key: machine.Key(),
		Device: b.setup.Device.Info().Name, ISA: b.setup.ISA, Numerics: b.setup.Model.Numerics.String(),
		Threads: b.setup.Threads, Chunk: b.chunk, Rows: []Row{},
		Model: Model{Shape: b.setup.Shape, Layers: b.setup.Model.Config.Layers, Bytes: backbone},
	}
	if name, _ := releaseOf(b.setup.Model.Config); name != "" {
		r.Model.Shape = name
	}
	return r
}

// row reports what was measured.
func (b *Bench) row(m *measured, r *Report) Row {
	list := workOf(b.program, m)
	row := Row{Phase: m.phase, Prompt: m.prompt, Depth: m.depth, Batch: m.batch, Runs: len(m.runs), Steps: m.units}
	units := make([]float64, len(m.runs))
	for i, d := range m.runs {
		units[i] = milliseconds(d) / float64(m.units)
	}
	slices.Sort(units)
	row.Median, row.Min, row.Max = median(units), round(units[0]), round(units[len(units)-1])
	row.MsBy = b.byGroup(m)
	row.derive(m, sum(list, b.parts, everywhere), r)
	row.BytesBy.Disk = int64(float64(m.traffic.bytes) / m.all())
	row.shares(sum(list, b.parts, inLayers).bytes(), sum(list, b.parts, inHead).bytes())
	if ms := row.MsBy[experts]; ms > 0 {
		row.SharePeakExperts = share(float64(sum(list, b.parts, inExperts).products)/ms/1e6, r.expertPeak())
	}
	row.host(m)
	row.Noisy = r.noisy(m.traffic.bytes > 0)
	return row
}

// derive fills in what follows from the median.
func (row *Row) derive(m *measured, w work, r *Report) {
	row.Median, row.TokS = round(row.Median), round(float64(m.tokens)/row.Median*1e3)
	row.BytesBy = BytesBy{
		FP8: w.weights[quant.KindE4M3], FP4: w.weights[quant.KindE2M1], BF16: w.weights[quant.KindBF16],
		F32: w.weights[quant.KindF32] + w.weights[quant.KindI32] + w.weights[quant.KindI64], KV: w.kv,
	}
	row.GBs = round(float64(w.bytes()) / row.Median / 1e6)
	if len(m.reads) > 0 {
		read := round(median(slices.Sorted(slices.Values(m.reads))))
		row.ReadGBs = &read
	}
	row.Gflops, row.GflopsAll = round(float64(w.products)/row.Median/1e6), round(float64(w.all)/row.Median/1e6)
	row.SharePeak = share(row.Gflops, r.peak())
	row.ShareRead = share(row.GBs, row.read())
}

// shares tells layers and head apart, where the device timed its ops. The layers' time is all that is not the head's.
func (row *Row) shares(layers, heads int64) {
	if len(row.MsBy) == 0 {
		return
	}
	behind := row.MsBy[head] + row.MsBy[sampling]
	row.ShareReadLayers = share(float64(layers)/(row.Median-behind)/1e6, row.read())
	row.ShareReadHead = share(float64(heads)/row.MsBy[head]/1e6, row.read())
}

// host reports the process and the disk.
func (row *Row) host(m *measured) {
	allocs := round(m.allocs / (m.all() * float64(m.tokens)))
	row.PeakRSS, row.Allocs = &m.peak, &allocs
	if wanted := m.traffic.hits + m.traffic.misses; wanted > 0 {
		hit := round(float64(m.traffic.hits) / float64(wanted))
		row.Hit = &hit
	}
	if m.traffic.busy > 0 {
		rate := round(float64(m.traffic.bytes) / float64(m.traffic.busy))
		row.DiskGBs = &rate
	}
}

// byGroup says where the time of a unit went, in milliseconds.
func (b *Bench) byGroup(m *measured) map[string]float64 {
	by := map[string]float64{}
	if len(m.byOp) == 0 {
		return by
	}
	left := m.total() - m.sample
	for i, d := range m.byOp {
		by[b.parts[i].group] += milliseconds(d) / m.all()
		left -= d
	}
	by[sampling] = milliseconds(m.sample) / m.all()
	by[waiting] = milliseconds(max(left, 0)) / m.all()
	for group, ms := range by {
		by[group] = round(ms)
	}
	return by
}

// read is the limit of reading with the threads that the device has, or 0.
func (row *Row) read() float64 {
	if row.ReadGBs == nil {
		return 0
	}
	return *row.ReadGBs
}

// peak is the limit of products: in wide, which rounds no activation, that of float32.
func (r *Report) peak() float64 {
	return r.limit(func(l *profile.Limits) float64 {
		if r.Numerics == "wide" {
			return l.FMA
		}
		return l.BF16
	})
}

// expertPeak is the limit of products with routed experts: in fast, which rounds what FP4 weights meet to int8, that of int8.
func (r *Report) expertPeak() float64 {
	if int8 := r.limit(func(l *profile.Limits) float64 { return l.VNNI }); r.Numerics == "fast" && int8 > 0 {
		return int8
	}
	return r.peak()
}

func (r *Report) limit(of func(*profile.Limits) float64) float64 {
	if r.Probe == nil || r.ProbeAfter == nil {
		return 0
	}
	return max(of(r.Probe), of(r.ProbeAfter))
}

func (r *Report) noisy(disk bool) bool {
	if r.Probe == nil || r.ProbeAfter == nil {
		return false
	}
	return r.Probe.Noisy(*r.ProbeAfter) || disk && r.Probe.NoisyDisk(*r.ProbeAfter)
}

// share is a part of a limit, if that is known.
func share(figure, limit float64) *float64 {
	if limit <= 0 || !(figure >= 0 && figure <= maxFigure) { // NaN, too
		return nil
	}
	s := round(figure / limit)
	return &s
}

// maxFigure keeps what was divided by no time out of reports.
const maxFigure = 1e12

func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// round keeps six digits: more would pretend.
func round(x float64) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return x
	}
	unit := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(x))))
	return math.Round(x*unit) / unit
}

func milliseconds(d time.Duration) float64 { return float64(d) / 1e6 }
