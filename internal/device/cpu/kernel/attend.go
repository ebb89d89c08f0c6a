package kernel

import (
	"math"
	"unsafe"

	"baleen/internal/quant"
)

// keyBlock is how many keys a call takes: attention sums within blocks of so many and then over the blocks.
const keyBlock = 64

// Heads is attention of one query row: all heads share each key, which is its value, too. Queries, sums and keys are rows
// of Width channels; scores and weights are rows of a head, Stride apart, of which some keys are made at a time.
type Heads struct {
	Heads, Width int
	Stride       int
	Scale        float32
}

// rows cuts operands to size, so that a mistake is a panic and no stray write: per-head rows of n keys, and keys.
func (h *Heads) cut(scores, perHead, keys, n int) {
	if h.Heads*h.Width > perHead || n*h.Width > keys || (h.Heads-1)*h.Stride+n > scores {
		panic("kernel: attention over less than its heads and keys")
	}
}

// Scores writes the scores of n keys to scores[head*Stride:][:n]: Scale times the dot product, which is 16 lanes of fma
// over ascending channels, the last padded with zeros.
func (s *Set) Scores(h *Heads, scores, q, keys []float32, n int) {
	h.cut(len(scores), len(q), len(keys), n)
	for first := 0; first < n; first += keyBlock {
		part, of := scores[first:], keys[first*h.Width:]
		a := args{
			p: [6]unsafe.Pointer{at(part), at(q), at(of)},
			n: [6]int{h.Heads, h.Width, min(keyBlock, n-first), h.Stride},
			f: [4]float32{h.Scale},
		}
		if !s.run(codeScores, &a) {
			h.scores(part, q, of, a.n[2])
		}
	}
}

func (h *Heads) scores(scores, q, keys []float32, n int) {
	for head := range h.Heads {
		for j := range n {
			scores[head*h.Stride+j] = float32(dot(q[head*h.Width:][:h.Width], keys[j*h.Width:]) * h.Scale)
		}
	}
}

func dot(x, y []float32) float32 {
	var lanes [16]float32
	for i, v := range x {
		lanes[i%16] = fma(v, y[i], lanes[i%16])
	}
	for i := len(x); i%16 != 0; i++ {
		lanes[i%16] += 0 // -0 becomes +0
	}
	return join(&lanes)
}

// Softmax makes weights of all scores of a head: exp(score - largest) / (their sum + exp(sink - largest)). A NaN or an
// infinite score makes all of them NaN.
func (s *Set) Softmax(scores []float32, sink float32) {
	a := args{p: [6]unsafe.Pointer{at(scores)}, n: [6]int{len(scores)}, f: [4]float32{sink}}
	if s.run(codeSoftmax, &a) {
		return
	}
	most := float32(math.Inf(-1))
	for _, v := range scores {
		most = greater(v, most)
	}
	var lanes [16]float32
	for i, v := range scores {
		scores[i] = exp(v - most)
		lanes[i%16] += scores[i]
	}
	total := join(&lanes) + exp(sink-most)
	for i := range scores {
		scores[i] /= total
	}
}

// Weigh adds to y the sum of n keys times weights[head*Stride:][:n], in blocks of 64 keys from the first on: a chain of fma
// from 0 for a block, which is then added to y. Calls for more keys begin at a multiple of 64.
func (s *Set) Weigh(h *Heads, y, weights, keys []float32, n int) {
	h.cut(len(weights), len(y), len(keys), n)
	for first := 0; first < n; first += keyBlock {
		part, of := weights[first:], keys[first*h.Width:]
		a := args{
			p: [6]unsafe.Pointer{at(y), at(part), at(of)},
			n: [6]int{h.Heads, h.Width, min(keyBlock, n-first), h.Stride},
		}
		if !s.run(codeWeigh, &a) {
			h.weigh(y, part, of, a.n[2])
		}
	}
}

func (h *Heads) weigh(y, weights, keys []float32, n int) {
	for head := range h.Heads {
		for c := range h.Width {
			var sum float32
			for j := range n {
				sum = fma(weights[head*h.Stride+j], keys[j*h.Width+c], sum)
			}
			y[head*h.Width+c] += sum
		}
	}
}

// FastScores is Scores of bfloat16 queries and keys, for `fast`: 16 lanes over pairs of channels, the odd one first.
// Products and sums that are subnormal count as zero. Width is a multiple of 32.
func (s *Set) FastScores(h *Heads, scores []float32, q, keys []uint16, n int) {
	h.cut(len(scores), len(q), len(keys), n)
	for first := 0; first < n; first += keyBlock {
		part, of := scores[first:], keys[first*h.Width:]
		a := args{
			p: [6]unsafe.Pointer{at(part), at(q), at(of)},
			n: [6]int{h.Heads, h.Width, min(keyBlock, n-first), h.Stride},
			f: [4]float32{h.Scale},
		}
		if h.Width%32 != 0 || !s.run(codeFastScores, &a) {
			h.fastScores(part, q, of, a.n[2])
		}
	}
}

func (h *Heads) fastScores(scores []float32, q, keys []uint16, n int) {
	for head := range h.Heads {
		for j := range n {
			var lanes [16]float32
			x, y := q[head*h.Width:][:h.Width], keys[j*h.Width:]
			for i := 0; i < len(x); i += 2 {
				l := &lanes[i/2%16]
				if i+1 < len(x) {
					*l = fma(quant.BF16(x[i+1]), quant.BF16(y[i+1]), *l)
				}
				*l = fma(quant.BF16(x[i]), quant.BF16(y[i]), *l)
			}
			scores[head*h.Stride+j] = float32(join(&lanes) * h.Scale)
		}
	}
}

// FastWeigh is Weigh of bfloat16 weights and keys, for `fast`: chains over pairs of keys, the odd one first. Products and
// sums that are subnormal count as zero. Width is a multiple of 64.
func (s *Set) FastWeigh(h *Heads, y []float32, weights, keys []uint16, n int) {
	h.cut(len(weights), len(y), len(keys), n)
	for first := 0; first < n; first += keyBlock {
		part, of := weights[first:], keys[first*h.Width:]
		a := args{
			p: [6]unsafe.Pointer{at(y), at(part), at(of)},
			n: [6]int{h.Heads, h.Width, min(keyBlock, n-first), h.Stride},
		}
		if h.Width%64 != 0 || !s.run(codeFastWeigh, &a) {
			h.fastWeigh(y, part, of, a.n[2])
		}
	}
}

func (h *Heads) fastWeigh(y []float32, weights, keys []uint16, n int) {
	for head := range h.Heads {
		p := weights[head*h.Stride:][:n]
		for c := range h.Width {
			var sum float32
			for j := 0; j < n; j += 2 {
				if j+1 < n {
					sum = fma(quant.BF16(p[j+1]), quant.BF16(keys[(j+1)*h.Width+c]), sum)
				}
				sum = fma(quant.BF16(p[j]), quant.BF16(keys[j*h.Width+c]), sum)
			}
			y[head*h.Width+c] += sum
		}
	}
}
