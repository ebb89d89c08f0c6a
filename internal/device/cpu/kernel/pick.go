package kernel

import (
	"math"
	"slices"
	"unsafe"
)

// Picks collects the k largest numbers of a row that is offered part by part, so that the row need not be in memory.
// Numbers above the k-th largest so far go into a buffer; when that is full, all but the k best leave it.
type Picks struct {
	k, used int
	full    int     // how many make the buffer full
	least   float32 // what a number has to be above
	values  []float32
	places  []int32
	order   []uint64
}

// NewPicks returns memory to pick up to k numbers.
func NewPicks(k int) *Picks {
	size := capacity(k)
	return &Picks{values: make([]float32, size), places: make([]int32, size), order: make([]uint64, k)}
}

// capacity leaves room for some vectors between two prunings.
func capacity(k int) int { return 4*k + 64 }

// Reset begins a row of which k numbers are wanted, at most as many as NewPicks was told.
func (p *Picks) Reset(k int) {
	p.order = p.order[:k]
	p.k, p.used, p.full, p.least = k, 0, capacity(k), float32(math.Inf(-1))
}

// Offer takes the next part of a row: scores of the places from first on. Parts come in ascending order. It returns false
// for a NaN.
func (s *Set) Offer(p *Picks, scores []float32, first int) bool {
	const most = 1 << 18 // numbers of a call
	for pos := 0; pos < len(scores); {
		if p.used+16 > p.full {
			p.prune()
		}
		a := args{
			p: [6]unsafe.Pointer{at(scores), at(p.values), at(p.places)},
			n: [6]int{min(len(scores), pos+most), pos, first, p.used, p.full},
			f: [4]float32{p.least},
		}
		if !s.run(codeOffer, &a) {
			p.offer(scores, &a)
		}
		if pos, p.used = a.n[1], a.n[3]; a.n[5] != 0 {
			return false
		}
	}
	return true
}

func (p *Picks) offer(scores []float32, a *args) {
	pos, used := a.n[1], a.n[3]
	for ; pos < a.n[0] && used+16 <= a.n[4]; pos++ {
		v := scores[pos]
		if v > p.least {
			p.values[used], p.places[used] = v, int32(a.n[2]+pos)
			used++
		} else if v != v {
			a.n[5] = 1
		}
	}
	a.n[1], a.n[3] = pos, used
}

// Merge takes what another collector has picked of later places of the same row.
func (p *Picks) Merge(from *Picks) {
	for i := range from.used {
		if from.values[i] <= p.least {
			continue
		}
		if p.used == p.full {
			p.prune()
		}
		p.values[p.used], p.places[p.used] = from.values[i], from.places[i]
		p.used++
	}
}

// prune keeps the k best; places stay ascending, so that of equal numbers the first are kept.
func (p *Picks) prune() {
	if p.used <= p.k {
		return
	}
	if p.k == 0 {
		p.used, p.least = 0, float32(math.Inf(1))
		return
	}
	bound, equal := p.bound()
	kept := 0
	for i, v := range p.values[:p.used] {
		rank := rankOf(v)
		if rank < bound || rank == bound && equal == 0 {
			continue
		}
		if rank == bound {
			equal--
		}
		p.values[kept], p.places[kept] = v, p.places[i]
		kept++
	}
	p.used, p.least = kept, valueOf(bound)
}

// bound returns the rank of the k-th largest number, and how many of that rank are among the k. Bytes of it are found one
// after the other, the highest first, by counting.
func (p *Picks) bound() (bound uint32, equal int) {
	if equal = p.k; p.k <= 16 {
		return p.boundOfFew()
	}
	for shift := 24; shift >= 0; shift -= 8 {
		var counts [256]int32
		for _, v := range p.values[:p.used] {
			if rank := rankOf(v); uint64(rank)>>(shift+8) == uint64(bound)>>(shift+8) {
				counts[rank>>shift&255]++
			}
		}
		b := 255
		for ; int(counts[b]) < equal; b-- {
			equal -= int(counts[b])
		}
		bound |= uint32(b) << shift
	}
	return bound, equal
}

// boundOfFew is bound by insertion.
func (p *Picks) boundOfFew() (bound uint32, equal int) {
	var best [16]uint32 // descending; no number has the rank 0
	for _, v := range p.values[:p.used] {
		rank := rankOf(v)
		if rank <= best[p.k-1] {
			continue
		}
		i := p.k - 1
		for ; i > 0 && best[i-1] < rank; i-- {
			best[i] = best[i-1]
		}
		best[i] = rank
	}
	for _, rank := range best[:p.k] {
		if rank == best[p.k-1] {
			equal++
		}
	}
	return best[p.k-1], equal
}

// rankOf maps numbers to integers of the same order; both zeros have one.
func rankOf(v float32) uint32 {
	bits := math.Float32bits(v)
	if v == 0 {
		bits = 0
	}
	return bits ^ uint32(int32(bits)>>31)&0x7fffffff ^ 1<<31
}

func valueOf(rank uint32) float32 {
	bits := rank ^ 1<<31
	return math.Float32frombits(bits ^ uint32(int32(bits)>>31)&0x7fffffff)
}

// Take writes the places of the k best, best first, with -1 behind; or ascending, with -1 before.
func (p *Picks) Take(ids []int32, ascending bool) {
	p.prune()
	ids = ids[:p.k]
	rest := ids[p.used:]
	if ascending {
		rest = ids[:p.k-p.used]
		copy(ids[p.k-p.used:], p.places[:p.used])
	} else {
		order := p.order[:p.used]
		for i, v := range p.values[:p.used] {
			order[i] = uint64(^rankOf(v))<<32 | uint64(p.places[i])
		}
		slices.Sort(order)
		for i, o := range order {
			ids[i] = int32(uint32(o))
		}
	}
	for i := range rest {
		rest[i] = -1
	}
}

// TopK writes the places of the len(ids) largest numbers of x as op.TopK has it, and returns false for a NaN. p is memory
// for so many.
func (s *Set) TopK(ids []int32, x []float32, ascending bool, p *Picks) bool {
	p.Reset(len(ids))
	if !s.Offer(p, x, 0) {
		return false
	}
	p.Take(ids, ascending)
	return true
}
