package kernel

import (
	"unsafe"

	"baleen/internal/quant"
)

// compiled tells whether this build has kernels beyond Generic.
const compiled = true

// machine replaces what a tier does better than plain Go.
func (s *Set) machine(tier Tier) {
	if tier >= AVX2 {
		s.F32 = table(dotF32F32AVX2, dotBF16F32AVX2, dotFP8F32AVX2, dotFP4F32AVX2)
		s.BF16 = table(dotF32BF16AVX2, dotBF16BF16AVX2, dotFP8BF16AVX2, dotFP4BF16AVX2)
		s.Read, s.PeakFMA = read256, burst(peakFMAAVX2, 2*8)
	}
	if tier >= AVX512VNNI {
		s.F32 = table(dotF32F32VNNI, dotBF16F32VNNI, dotFP8F32VNNI, dotFP4F32VNNI)
		s.BF16 = table(dotF32BF16VNNI, dotBF16BF16VNNI, dotFP8BF16VNNI, dotFP4BF16VNNI)
		s.Pack = packer(packGroups).pack
		s.Int8Row = roundInt8
		s.FP4Int8 = withTables(dotFP4Int8VNNI)
		s.Read, s.PeakFMA, s.PeakVNNI = read512, burst(peakFMAVNNI, 2*16), burst(peakVNNI, 2*64)
	}
	if tier >= AVX512BF16 {
		s.BF16[quant.KindBF16] = withTables(dotBF16BF16)
		s.BF16[quant.KindE4M3] = withTables(dotFP8BF16)
		s.BF16[quant.KindE2M1] = withTables(dotFP4BF16)
		s.F32[quant.KindE4M3] = withTables(dotFP8F32BF16)
		s.PeakBF16 = burst(peakBF16, 2*32)
	}
}

func table(f32, bf16, fp8, fp4 func(*Dot)) [kinds]func(*Dot) {
	return [kinds]func(*Dot){
		quant.KindF32: withTables(f32), quant.KindBF16: withTables(bf16),
		quant.KindE4M3: withTables(fp8), quant.KindE2M1: withTables(fp4),
	}
}

func withTables(kernel func(*Dot)) func(*Dot) {
	return func(d *Dot) {
		d.tables = unsafe.Pointer(&dotTables)
		kernel(d)
	}
}

// These call directly, so that their arguments stay on the stack.

func roundInt8(to []byte, x []float32) {
	int8RowVNNI(&int8Row{
		to: unsafe.Pointer(unsafe.SliceData(to[:Int8Bytes(len(x))])), x: unsafe.Pointer(unsafe.SliceData(x)), cols: len(x),
	})
}

func read256(data []byte) {
	readAVX2(&loop{data: unsafe.Pointer(unsafe.SliceData(data)), count: len(data)})
}

func read512(data []byte) {
	readVNNI(&loop{data: unsafe.Pointer(unsafe.SliceData(data)), count: len(data)})
}

// packing is the argument of packVNNI: see csrc/pack_avx512vnni.c.
type packing struct {
	to, from             unsafe.Pointer
	stride, groups, kind int
	scale                unsafe.Pointer
	blocks               int
}

func packGroups(panel []byte, k quant.Kind, data, scale []byte, cols int) int {
	whole := cols / group
	start := unsafe.Pointer(unsafe.SliceData(panel))
	if whole == 0 || uintptr(start)%vector != 0 { // it stores past the cache, which takes whole lines only
		return 0
	}
	packVNNI(&packing{
		to: start, from: unsafe.Pointer(unsafe.SliceData(data)),
		stride: len(data) / Lanes, groups: whole, kind: int(k),
		scale: unsafe.Pointer(unsafe.SliceData(scale)), blocks: len(scale) / Lanes,
	})
	return whole
}
