package kernel

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"
	"unsafe"

	"baleen/internal/quant"
)

// fromMemory is how much a GEMV reads: well beyond caches.
var fromMemory = flag.Int("dram", 512<<20, "bytes of weights that BenchmarkGEMV reads")

func BenchmarkPeak(b *testing.B) {
	for _, tier := range Tiers() {
		s := For(tier)
		for _, p := range []struct {
			name string
			run  func() int64
		}{{"FMA", s.PeakFMA}, {"VNNI", s.PeakVNNI}, {"BF16", s.PeakBF16}} {
			if p.run == nil {
				continue
			}
			b.Run(tier.String()+"/"+p.name, func(b *testing.B) {
				total := int64(0)
				for b.Loop() {
					total += p.run()
				}
				b.ReportMetric(float64(total)/b.Elapsed().Seconds()/1e9, "Gop/s")
			})
		}
	}
}

// load is a kernel with its matrix.
type load struct {
	name   string
	kernel func(*Dot)
	f      quant.Format
	row    int // bytes of a row of 4096 activations
	stride int // Dot.XStride
	peak   func() int64
}

const cols = 4096

func loads(s *Set) (all []load) {
	const stride = cols + 32 // rows a power of two apart would share a few lines of the L1 cache
	bf16 := s.PeakFMA
	if s.PeakBF16 != nil {
		bf16 = s.PeakBF16
	}
	for _, f := range []quant.Format{formats[5], formats[2], formats[1], formats[0]} {
		all = append(all, load{f.Kind.String() + "-bf16", s.BF16[f.Kind], f, 2 * stride, stride, bf16},
			load{f.Kind.String() + "-f32", s.F32[f.Kind], f, 4 * stride, stride, s.PeakFMA})
	}
	if s.PeakVNNI != nil {
		all = append(all, load{"fp4-int8", s.FP4Int8, formats[5], Int8Bytes(cols), Int8Bytes(cols), s.PeakVNNI})
	}
	return all
}

// dot returns a product of so many panels and n rows, of whatever numbers.
func (l load) dot(panels, n int) *Dot {
	x, y := make([]byte, n*l.row), make([]float32, n*panels*Lanes)
	return &Dot{X: unsafe.Pointer(&x[0]), Y: unsafe.Pointer(&y[0]), Cols: cols, XStride: l.stride, YStride: panels * Lanes, N: n, Rows: panels * Lanes}
}

// median of the ratios of pairs, which a neighbour on the machine disturbs less than a quotient of sums.
func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// BenchmarkGEMV multiplies matrices that lie in no cache by one row or a few, each time after a read of as many other bytes:
// so little that both mostly run between two turns of a neighbour.
func BenchmarkGEMV(b *testing.B) {
	const panels = 8
	memory := huge(b, *fromMemory)
	for _, tier := range Tiers()[1:] {
		s := For(tier)
		for _, l := range loads(s) {
			for _, n := range []int{1, 2, 4, 8} {
				b.Run(fmt.Sprintf("%v/%s/%d", tier, l.name, n), func(b *testing.B) {
					part := PanelBytes(l.f, cols) * panels
					d := l.dot(panels, n)
					var ratios, speeds []float64
					at := 0
					next := func(call func(piece []byte)) time.Duration { // of about 4 MiB, each time others
						count := 4<<20/part + 1
						if at+count*part > len(memory) {
							at = 0
						}
						start := time.Now()
						for range count {
							call(memory[at:][:part])
							at += part
						}
						return time.Since(start) / time.Duration(count)
					}
					for b.Loop() {
						read := next(s.Read)
						took := next(func(piece []byte) {
							d.Panel = unsafe.Pointer(&piece[0])
							l.kernel(d)
						})
						ratios = append(ratios, float64(read)/float64(took))
						speeds = append(speeds, float64(part)/took.Seconds()/1e9)
					}
					b.ReportMetric(median(ratios)*100, "%read")
					b.ReportMetric(median(speeds), "GB/s")
				})
			}
		}
	}
}

// BenchmarkGEMM multiplies a matrix in the L2 cache by many rows, each time after the peak of its instruction.
func BenchmarkGEMM(b *testing.B) {
	const panels = 2
	for _, tier := range Tiers()[1:] {
		s := For(tier)
		for _, l := range loads(s) {
			for _, n := range []int{6, 12, 24, 48} {
				b.Run(fmt.Sprintf("%v/%s/%d", tier, l.name, n), func(b *testing.B) {
					memory := huge(b, PanelBytes(l.f, cols)*panels)
					d := l.dot(panels, n)
					d.Panel = unsafe.Pointer(&memory[0])
					var ratios, speeds []float64
					for b.Loop() {
						start := time.Now()
						best := float64(l.peak()) / time.Since(start).Seconds()
						start = time.Now()
						l.kernel(d)
						speed := float64(2*n*cols*panels*Lanes) / time.Since(start).Seconds()
						ratios, speeds = append(ratios, speed/best), append(speeds, speed)
					}
					b.ReportMetric(median(ratios)*100, "%peak")
					b.ReportMetric(median(speeds)/1e9, "Gflop/s")
				})
			}
		}
	}
}
