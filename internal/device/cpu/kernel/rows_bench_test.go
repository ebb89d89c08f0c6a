package kernel

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"baleen/internal/quant"
)

// measured is a kernel with the bytes that it reads and writes in a run, or the arithmetic that it does and the loop to
// compare that with. Sizes are those of V4-Flash.
type measured struct {
	name  string
	bytes int
	run   func(s *Set)
	ops   int
	peak  func(s *Set) func() int64
}

const (
	benchWidth = 4096
	benchKeys  = 640
	benchHeads = 64
)

func rowBenchmarks(r *rand.Rand) []measured {
	plain := func(n int) []float32 { return fill(r, n, inputs["plain"]) }
	x, y, z := plain(benchWidth), plain(benchWidth), plain(benchWidth)
	streams, other, pre, comb := plain(4*benchWidth), plain(4*benchWidth), plain(4), plain(16)
	w16 := make([]uint16, benchWidth)
	order := []int32{0, 1, 2, 3, 4, 5}
	slots := plain(6 * benchWidth)
	heads := plain(64 * 512)
	cos, sin := plain(32), plain(32)
	index := plain(64 * 128)
	values, scores := plain(128*512), plain(128*512)
	hc := &HC{Base: plain(24), Scale: plain(3), Streams: 4, Iters: 20, Eps: 1e-6}
	m, post := plain(24), make([]float32, 4)
	const row = 4 * benchWidth
	return []measured{
		{"RMSNorm", 3 * row, func(s *Set) { s.RMSNorm(y, x, z, 1e-6) }, 0, nil},
		{"RowScale 4x", 4 * row, func(s *Set) { s.RowScale(streams, 1e-6) }, 0, nil},
		{"Add", 3 * row, func(s *Set) { s.Add(y, x, z) }, 0, nil},
		{"SwiGLU 2048", 3 * 2048 * 4, func(s *Set) { s.SwiGLU(y[:2048], x[:2048], z[:2048], 0.3, 10) }, 0, nil},
		{"SqrtSoftplus 256", 2 * 256 * 4, func(s *Set) { s.SqrtSoftplus(y[:256], x[:256]) }, 0, nil},
		{"HCSplit", 0, func(s *Set) { s.HCSplit(hc, pre, post, comb, m, 0.5) }, 0, nil},
		{"HCCollapse", 5 * row, func(s *Set) { s.HCCollapse(y, streams, pre, benchWidth) }, 0, nil},
		{"HCExpand", 9 * row, func(s *Set) { s.HCExpand(other, x, streams, post, comb, benchWidth) }, 0, nil},
		{"Combine 6", 8 * row, func(s *Set) { s.Combine(y, slots, x, order, benchWidth) }, 0, nil},
		{"RoPE 64 heads", 2 * 64 * 64 * 4, func(s *Set) { s.RoPE(heads, 512, cos, sin, false) }, 0, nil},
		{"SinCos", 0, func(*Set) { SinCos(cos, sin, pre, 100000) }, 0, nil},
		{"Hadamard 64 heads", 2 * 64 * 128 * 4, func(s *Set) { s.Hadamard(index, 128) }, 0, nil},
		{"Pool 128 tokens", 2 * 128 * 512 * 4, func(s *Set) { s.Pool(y[:512], values, scores) }, 0, nil},
		{"ToBF16", 6 * benchWidth, func(s *Set) { s.ToBF16(w16, x) }, 0, nil},
		{"QuantiseE4M3", 6 * benchWidth, func(s *Set) { s.QuantiseE4M3(w16, x, 128) }, 0, nil},
		{"FakeE4M3", 2 * row, func(s *Set) { s.FakeE4M3(y, 64) }, 0, nil},
		{"FakeE2M1", 2 * row, func(s *Set) { s.FakeE2M1(y, 32) }, 0, nil},
	}
}

func codeBenchmarks(b testing.TB, r *rand.Rand) (all []measured) {
	for _, row := range []quant.Row{stateRows[0], stateRows[2], stateRows[3]} {
		x, packed := fill(r, row.Width, inputs["plain"]), make([]byte, row.Bytes())
		if row.Kind == quant.KindE2M1 {
			quant.FakeE2M1(x[:row.Quantised], row.Group)
		} else if row.Quantised > 0 {
			quant.FakeE4M3(x[:row.Quantised], row.Group)
		}
		size := 4*row.Width + row.Bytes()
		if err := row.Encode(packed, x); err != nil {
			b.Fatal(err)
		}
		many, packedMany := make([]float32, 64*row.Width), bytes.Repeat(packed, 64)
		all = append(all,
			measured{"EncodeRow " + row.String(), size, func(s *Set) { _ = s.EncodeRow(row, packed, x) }, 0, nil},
			measured{"DecodeRow " + row.String(), size, func(s *Set) { s.DecodeRow(row, x, packed) }, 0, nil},
			measured{"DecodeRows 64 x " + row.String(), 64 * size, func(s *Set) { s.DecodeRows(row, many, packedMany, 64) }, 0, nil})
	}
	return all
}

func attentionBenchmarks(r *rand.Rand) []measured {
	const width, n, flops = 512, benchKeys, 2 * benchHeads * benchKeys * 512
	h := &Heads{Heads: benchHeads, Width: width, Stride: n, Scale: 0.04}
	q, keys, y := fill(r, benchHeads*width, inputs["plain"]), fill(r, n*width, inputs["plain"]), make([]float32, benchHeads*width)
	scores := fill(r, benchHeads*n, inputs["plain"])
	q16, keys16, p16 := make([]uint16, len(q)), make([]uint16, len(keys)), make([]uint16, len(scores))
	For(Tiers()[len(Tiers())-1]).ToBF16(q16, q)
	For(Tiers()[len(Tiers())-1]).ToBF16(keys16, keys)
	For(Tiers()[len(Tiers())-1]).ToBF16(p16, scores)
	return []measured{
		{"Scores", 0, func(s *Set) { s.Scores(h, scores, q, keys, n) }, flops, fmaPeak},
		{"Softmax 64 heads", 0, func(s *Set) {
			for i := range benchHeads {
				s.Softmax(scores[i*n:][:n], 0)
			}
		}, 0, nil},
		{"Weigh", 0, func(s *Set) { clear(y); s.Weigh(h, y, scores, keys, n) }, flops, fmaPeak},
		{"FastScores", 0, func(s *Set) { s.FastScores(h, scores, q16, keys16, n) }, flops, pairsPeak},
		{"FastWeigh", 0, func(s *Set) { clear(y); s.FastWeigh(h, y, p16, keys16, n) }, flops, pairsPeak},
	}
}

func indexBenchmarks(b testing.TB, r *rand.Rand) []measured {
	const n = 1024
	m := newMemory(b)
	q, packed := fill(r, benchHeads*128, inputs["plain"]), m.bytes(n*indexBytes)
	quant.FakeE2M1(q, 32)
	row := make([]float32, 128)
	for i := range n {
		copy(row, fill(r, 128, inputs["plain"]))
		quant.FakeE2M1(row, 32)
		if err := indexRow.Encode(packed[i*indexBytes:], row); err != nil {
			b.Fatal(err)
		}
	}
	w, query, scores := fill(r, benchHeads, inputs["plain"]), NewIndexQuery(benchHeads), make([]float32, n)
	long, picks, ids := fill(r, 1<<18, inputs["plain"]), NewPicks(512), make([]int32, 512)
	ascending := make([]float32, 1<<18)
	for i := range ascending {
		ascending[i] = float32(i)
	}
	h := &Heads{Heads: benchHeads, Width: 128, Scale: 1}
	wide, scratch := fill(r, 256*128, inputs["plain"]), make([]float32, 64*benchHeads)
	return []measured{
		{"SetIndexQuery", 0, func(s *Set) { s.SetIndexQuery(query, q, w) }, 0, nil},
		{"IndexScores", 0, func(s *Set) {
			s.SetIndexQuery(query, q, w)
			s.IndexScores(scores, query, packed, 0.1)
		}, 2 * n * benchHeads * 128, pairsPeak},
		{"WideIndexScores", 0, func(s *Set) { s.WideIndexScores(h, scores[:256], q, w, wide, scratch) }, 2 * 256 * benchHeads * 128, fmaPeak},
		{"TopK 6 of 256", 4 * 256, func(s *Set) { s.TopK(ids[:6], long[:256], false, picks) }, 0, nil},
		{"TopK 512 of 262144", 4 << 18, func(s *Set) { s.TopK(ids, long, true, picks) }, 0, nil},
		{"TopK 512 of 262144 ascending", 4 << 18, func(s *Set) { s.TopK(ids, ascending, true, picks) }, 0, nil},
	}
}

// benchmarkPaired compares each run with a loop at the peak of an instruction right before it, since others use the machine.
func benchmarkPaired(b *testing.B, m measured, s *Set) {
	peak := m.peak(s)
	var ratios, speeds []float64
	for b.Loop() {
		start := time.Now()
		best := float64(peak()) / time.Since(start).Seconds()
		start = time.Now()
		m.run(s)
		speed := float64(m.ops) / time.Since(start).Seconds()
		ratios, speeds = append(ratios, speed/best), append(speeds, speed)
	}
	b.ReportMetric(median(ratios)*100, "%peak")
	b.ReportMetric(median(speeds)/1e9, "GFLOP/s")
}

func fmaPeak(s *Set) func() int64 { return s.PeakFMA }

func pairsPeak(s *Set) func() int64 { return s.PeakBF16 }

func allMeasured(b testing.TB) []measured {
	r := rand.New(rand.NewPCG(1, 2))
	all := append(rowBenchmarks(r), codeBenchmarks(b, r)...)
	return append(append(all, attentionBenchmarks(r)...), indexBenchmarks(b, r)...)
}

// Nothing that runs for a token takes memory.
func TestRowsDoNotAllocate(t *testing.T) {
	all := allMeasured(t)
	for _, tier := range Tiers()[1:] {
		s := For(tier)
		for _, m := range all {
			if n := testing.AllocsPerRun(2, func() { m.run(s) }); n != 0 {
				t.Errorf("%v: %s: %v allocations", tier, m.name, n)
			}
		}
	}
}

func BenchmarkRows(b *testing.B) {
	for _, m := range allMeasured(b) {
		for _, tier := range Tiers() {
			s := For(tier)
			b.Run(m.name+"/"+tier.String(), func(b *testing.B) {
				if m.peak != nil && m.peak(s) != nil {
					benchmarkPaired(b, m, s)
					return
				}
				b.ReportAllocs()
				best := time.Hour // others use the machine
				for b.Loop() {
					start := time.Now()
					for range 8 {
						m.run(s)
					}
					best = min(best, time.Since(start))
				}
				b.ReportMetric(float64(best)/8, "best-ns")
				if m.bytes > 0 {
					b.ReportMetric(float64(8*m.bytes)/best.Seconds()/1e9, "best-GB/s")
				}
			})
		}
	}
}
