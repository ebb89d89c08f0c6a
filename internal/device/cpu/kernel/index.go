package kernel

import (
	"unsafe"

	"baleen/internal/quant"
)

// indexRow is how a key of the indexer is packed in `reference`; its 64 bytes of codes are one register.
var indexRow = quant.Row{Width: 128, Kind: quant.KindE2M1, Group: 32, Quantised: 128}

const (
	indexWidth  = 128
	indexBlocks = indexWidth / 32
	indexBytes  = indexWidth/2 + indexBlocks
)

// IndexQuery is the queries of one row as FP4 codes: with codes of half units on both sides, a product of a block is an
// integer, and exact.
type IndexQuery struct {
	heads  int
	packed []byte    // codes as a row holds them, and right behind them
	scales []byte    // E8M0, by head and block
	codes  []int8    // half units; of every 8 channels the even ones first
	start  []int32   // by head and block: -12 times the sum of codes
	units  []float32 // by head and block: the scale, times a quarter
	w      []float32
}

// NewIndexQuery returns memory for the queries of a row.
func NewIndexQuery(heads int) *IndexQuery {
	n := heads * indexWidth
	both := make([]byte, n/2+n/32)
	return &IndexQuery{
		heads: heads, packed: both[:n/2], scales: both[n/2:], codes: make([]int8, n),
		start: make([]int32, n/32), units: make([]float32, n/32), w: make([]float32, heads),
	}
}

// SetIndexQuery prepares the queries q [heads][128] and their weights. It returns false if q has not passed FakeE2M1 in
// groups of 32: then there are WideIndexScores.
func (s *Set) SetIndexQuery(to *IndexQuery, q, w []float32) bool {
	n := to.heads * indexWidth
	row := quant.Row{Width: n, Kind: quant.KindE2M1, Group: 32, Quantised: n}
	a := args{p: [6]unsafe.Pointer{at(to.packed), at(q[:n]), at(to.scales)}, n: [6]int{n, row.Group}}
	if s.run(codeEncodeE2M1, &a) {
		if a.n[2] != 0 {
			return false
		}
	} else if row.Encode(to.packed[:row.Bytes()], q[:n]) != nil {
		return false
	}
	copy(to.w, w[:to.heads])
	for i, e := range to.scales {
		to.units[i] = quant.E8M0(e) * 0.25
	}
	g := args{p: [6]unsafe.Pointer{at(to.codes), at(to.packed), at(to.start)}, n: [6]int{n / 32}}
	if !s.run(codeIndexQuery, &g) {
		to.unpack()
	}
	return true
}

func (to *IndexQuery) unpack() {
	clear(to.start)
	for i, b := range to.packed {
		even, odd := halves(b), halves(b>>4)
		at := i/4*8 + i%4
		to.codes[at], to.codes[at+4] = int8(even), int8(odd)
		to.start[i/16] -= 12 * (even + odd)
	}
}

// halves returns the value of a code in half units.
func halves(code byte) int32 { return int32(2 * quant.E2M1(code)) }

// IndexScores scores len(scores) keys, packed rows of FP4 one after the other:
//
//	score = scale * sum_h fma(w[h], max(0, d_h)), heads ascending, with
//	d = fma(block * unit, scale of the key's block, d), blocks of 32 channels ascending
//
// where block is the exact dot product of a block's codes.
func (s *Set) IndexScores(scores []float32, q *IndexQuery, keys []byte, scale float32) {
	const most = 256 // keys of a call
	n := len(scores)
	keys = keys[:n*indexBytes]
	for first := 0; first < n; first += most {
		part, of := scores[first:min(first+most, n)], keys[first*indexBytes:]
		a := args{
			p: [6]unsafe.Pointer{at(part), at(of), at(q.codes), at(q.start), at(q.units), at(q.w)},
			n: [6]int{len(part), q.heads},
			f: [4]float32{scale},
		}
		if !s.run(codeIndex, &a) {
			q.scores(part, of, scale)
		}
	}
}

func (q *IndexQuery) scores(scores []float32, keys []byte, scale float32) {
	var codes [indexWidth]int32
	for k := range scores {
		row := keys[k*indexBytes:][:indexBytes]
		for i, b := range row[:indexWidth/2] {
			at := i/4*8 + i%4
			codes[at], codes[at+4] = halves(b), halves(b>>4)
		}
		var sum float32
		for h := range q.heads {
			var d float32
			for b := range indexBlocks {
				block := int32(0)
				for i, c := range q.codes[h*indexWidth+b*32:][:32] {
					block += int32(c) * codes[b*32+i]
				}
				d = fma(float32(block)*q.units[h*indexBlocks+b], quant.E8M0(row[indexWidth/2+b]), d)
			}
			sum = fma(q.w[h], greater(0, d), sum)
		}
		scores[k] = sum * scale
	}
}

// WideIndexScores scores len(scores) keys of float32 with any queries, both h.Width wide; h.Scale comes last. The dot products are
// those of Scores with scale 1, the sum over heads that of IndexScores. scratch holds at least 64*h.Heads numbers.
func (s *Set) WideIndexScores(h *Heads, scores, q, w, keys, scratch []float32) {
	dots := Heads{Heads: h.Heads, Width: h.Width, Stride: keyBlock, Scale: 1}
	scratch, w = scratch[:keyBlock*h.Heads], w[:h.Heads]
	for first := 0; first < len(scores); first += keyBlock {
		part := scores[first:min(first+keyBlock, len(scores))]
		s.Scores(&dots, scratch, q, keys[first*h.Width:], len(part))
		a := args{
			p: [6]unsafe.Pointer{at(part), at(scratch), at(w)},
			n: [6]int{h.Heads, 0, len(part), keyBlock},
			f: [4]float32{h.Scale},
		}
		if s.run(codeRelevance, &a) {
			continue
		}
		for j := range part {
			var sum float32
			for head, weight := range w {
				sum = fma(weight, greater(0, scratch[head*keyBlock+j]), sum)
			}
			part[j] = sum * h.Scale
		}
	}
}
