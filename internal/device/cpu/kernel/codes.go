package kernel

import (
	"math"
	"unsafe"

	"baleen/internal/quant"
)

// FakeE4M3 is quant.FakeE4M3, bit by bit. It returns false where a group has a NaN or an infinity and is NaN now.
func (s *Set) FakeE4M3(x []float32, group int) bool { return s.fake(codeFakeE4M3, x, group) }

// FakeE2M1 is quant.FakeE2M1 in the same way.
func (s *Set) FakeE2M1(x []float32, group int) bool { return s.fake(codeFakeE2M1, x, group) }

func (s *Set) fake(c code, x []float32, group int) bool {
	checkGroup(group)
	a := args{p: [6]unsafe.Pointer{at(x), at(x)}, n: [6]int{len(x), group}}
	if s.run(c, &a) {
		return a.n[2] == 0
	}
	ok := finite(x)
	if c == codeFakeE4M3 {
		quant.FakeE4M3(x, group)
	} else {
		quant.FakeE2M1(x, group)
	}
	return ok
}

// checkGroup stops what would never end.
func checkGroup(group int) {
	if group < 1 {
		panic("kernel: groups of no channels")
	}
}

func finite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// QuantiseE4M3 is FakeE4M3 into bfloat16 numbers, which hold its results exactly.
func (s *Set) QuantiseE4M3(y []uint16, x []float32, group int) bool {
	checkGroup(group)
	y = y[:len(x)]
	a := args{p: [6]unsafe.Pointer{at(y), at(x)}, n: [6]int{len(x), group}}
	if s.run(codeQuantiseE4M3, &a) {
		return a.n[2] == 0
	}
	var part [256]float32
	for start := 0; start < len(x); start += group {
		size := min(group, len(x)-start)
		fake := part[:]
		if size > len(fake) {
			fake = make([]float32, size) // no model has such groups
		}
		fake = fake[:size]
		copy(fake, x[start:])
		quant.FakeE4M3(fake, group)
		for i, v := range fake {
			y[start+i] = uint16(math.Float32bits(v) >> 16)
		}
	}
	return finite(x)
}

// vectors tells whether the codes of a row come in groups that the tiers know.
func vectors(r quant.Row) bool {
	return r.Quantised > 0 && r.Group > 0 && r.Quantised%16 == 0 && r.Group%16 == 0
}

// DecodeRow is r.Decode, bit by bit.
func (s *Set) DecodeRow(r quant.Row, dst []float32, src []byte) { s.DecodeRows(r, dst, src, 1) }

// rowsPerCall is how many rows a call decodes: of 512 numbers they take some 20 microseconds.
const rowsPerCall = 128

// DecodeRows decodes n rows, packed and decoded one after the other.
func (s *Set) DecodeRows(r quant.Row, dst []float32, src []byte, n int) {
	size, rest := packed(r), r.Width-r.Quantised
	dst, src = dst[:n*r.Width], src[:n*size]
	if s.Tier == Generic || r.Quantised > 0 && !vectors(r) || r.Tail == quant.KindBF16 && rest%16 != 0 {
		for i := range n {
			r.Decode(dst[i*r.Width:], src[i*size:])
		}
		return
	}
	c, a := codeDecodeE4M3, args{n: [6]int{r.Quantised, max(r.Group, 1), rest, 0, size}}
	if r.Kind == quant.KindE2M1 {
		c = codeDecodeE2M1
	}
	if r.Tail == quant.KindBF16 {
		a.n[5] = 1
	}
	for first := 0; first < n; first += rowsPerCall {
		a.p = [6]unsafe.Pointer{at(dst[first*r.Width:]), at(src[first*size:])}
		a.n[3] = min(rowsPerCall, n-first)
		s.run(c, &a)
	}
}

// packed is r.Bytes() of a row whose parts have whole bytes, in a tenth of the time: rows are many, and little.
func packed(r quant.Row) int {
	tail := 4 * (r.Width - r.Quantised)
	if r.Tail == quant.KindBF16 {
		tail /= 2
	}
	switch {
	case r.Quantised == 0:
		return tail
	case r.Kind == quant.KindE2M1:
		return (r.Quantised+1)/2 + (r.Quantised+r.Group-1)/r.Group + tail
	}
	return r.Quantised + (r.Quantised+r.Group-1)/r.Group + tail
}

// EncodeRow is r.Encode, bit by bit, with the same errors.
func (s *Set) EncodeRow(r quant.Row, dst []byte, x []float32) error {
	size := packed(r)
	if s.Tier == Generic || len(x) != r.Width || len(dst) < size || r.Tail != quant.KindF32 || !vectors(r) && r.Quantised > 0 {
		return r.Encode(dst, x)
	}
	tail := dst[:size]
	if r.Quantised > 0 {
		c, codes := codeEncodeE4M3, r.Quantised
		if r.Kind == quant.KindE2M1 {
			c, codes = codeEncodeE2M1, codes/2
		}
		scales := dst[codes:]
		a := args{p: [6]unsafe.Pointer{at(dst), at(x), at(scales)}, n: [6]int{r.Quantised, r.Group}}
		if s.run(c, &a); a.n[2] != 0 {
			return r.Encode(dst, x) // which says what is wrong
		}
		tail = scales[(r.Quantised+r.Group-1)/r.Group:]
	}
	rest := x[r.Quantised:]
	for _, v := range rest {
		if v != v {
			return r.Encode(dst, x)
		}
	}
	copy(tail, unsafe.Slice((*byte)(at(rest)), 4*len(rest)))
	return nil
}
