package engine

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Item is one token of an answer.
type Item struct {
	Token   int32
	Bytes   []byte // of the text that may be sent now: those of a token can come with a later one (stop strings)
	LogProb float64
	Top     []TopToken // likeliest first, then by id; those of probability 0 are left out

	Err error // why there is no token: the other fields mean nothing
}

// TopToken is a likely token.
type TopToken struct {
	Token   int32
	LogProb float64
}

// sampler chooses the tokens of one answer. What it chooses depends on the logits, the Sampling and the tokens so far, on
// nothing else: the random number of a token is a function of the seed and of the token's place in the answer.
//
// A choice costs a few passes over the vocabulary: selection is partial, nothing is sorted. It allocates only what it
// returns in Top, and room for tokens seen when there are penalties.
type sampler struct {
	Sampling
	drawn uint64 // tokens of the answer
	seen  []seen // every token of prompt and answer once; empty without penalties
	index map[int32]int

	constraint Constraint // or nil
}

type seen struct {
	id      int32
	answers int32 // how often in the answer
}

// newSampler wants a Sampling that passed its check.
func newSampler(s Sampling, constraint Constraint, prompt []int32) sampler {
	p := sampler{Sampling: s, constraint: constraint}
	if s.RepetitionPenalty == 0 {
		p.RepetitionPenalty = 1
	}
	if p.RepetitionPenalty != 1 || s.PresencePenalty != 0 || s.FrequencyPenalty != 0 {
		p.index = map[int32]int{}
	}
	if p.RepetitionPenalty != 1 {
		for _, id := range prompt {
			p.see(id, 0)
		}
	}
	return p
}

func (s *sampler) see(id, answers int32) {
	if s.index == nil {
		return
	}
	i, ok := s.index[id]
	if !ok {
		i = len(s.seen)
		s.index[id] = i
		s.seen = append(s.seen, seen{id: id})
	}
	s.seen[i].answers += answers
}

// next chooses the next token of the answer, which may have so many more with it. NaN and +Inf fail; -Inf forbids a token.
func (s *sampler) next(logits []float32, left int, w *workspace) (Item, error) {
	for id, x := range logits {
		if !(x <= math.MaxFloat32) {
			return Item{}, fmt.Errorf("broken logits: token %d: found %v, expected a number: run baleen qualify on this device and checkpoint", id, x)
		}
	}
	x := w.adjust(logits, s)
	if s.constraint != nil {
		w.mask(s.constraint, left)
	}
	best := argmax(x)
	if math.IsInf(float64(x[best]), -1) {
		return Item{}, errors.New("no token possible: every one of the vocabulary is forbidden: forbid fewer by logit bias or constraint")
	}
	it := Item{Token: best}
	if s.Temperature > 0 {
		it.Token = w.draw(&s.Sampling, x[best], uniform(s.Seed, s.drawn))
	}
	if s.LogProbs {
		it.LogProb, it.Top = logProbs(logits, it.Token, s.TopLogProbs)
	}
	s.drawn++
	s.see(it.Token, 1)
	if s.constraint != nil {
		s.constraint.Advance(it.Token)
	}
	return it, nil
}

// workspace is what a choice needs besides the logits. All sequences of a loop use the same one.
type workspace struct {
	x          []float32 // logits after bias and penalties
	weights    []float64 // exp((x - highest) / temperature), or 0 for what is not kept
	candidates []candidate
	allowed    []uint64 // one bit for each token
	powers     powers
}

func newWorkspace(vocab int) *workspace {
	return &workspace{make([]float32, vocab), make([]float64, vocab), make([]candidate, 0, vocab), make([]uint64, (vocab+63)/64), newPowers()}
}

// mask forbids what a constraint does not allow.
func (w *workspace) mask(c Constraint, left int) {
	for i := range w.allowed {
		w.allowed[i] = math.MaxUint64
	}
	c.Mask(w.allowed, left)
	for i, word := range w.allowed {
		for forbidden := ^word; forbidden != 0; forbidden &= forbidden - 1 {
			if id := 64*i + bits.TrailingZeros64(forbidden); id < len(w.x) {
				w.x[id] = float32(math.Inf(-1))
			}
		}
	}
}

// adjust applies bias and penalties.
func (w *workspace) adjust(logits []float32, s *sampler) []float32 {
	x := w.x[:copy(w.x, logits)]
	for id, bias := range s.LogitBias {
		x[id] = min(x[id]+bias, math.MaxFloat32)
	}
	for _, t := range s.seen {
		v := float64(x[t.id])
		if v > 0 {
			v /= s.RepetitionPenalty
		} else {
			v *= s.RepetitionPenalty
		}
		if t.answers > 0 {
			v -= s.PresencePenalty + s.FrequencyPenalty*float64(t.answers)
		}
		x[t.id] = float32(min(v, math.MaxFloat32))
	}
	return x
}

func argmax(x []float32) int32 {
	best, highest := 0, x[0]
	for i, v := range x {
		if v > highest {
			best, highest = i, v
		}
	}
	return int32(best)
}

// draw chooses among what the filters keep, in order of id, by a number from [0, 1).
func (w *workspace) draw(s *Sampling, highest float32, u float64) int32 {
	last := candidate{x: float32(math.Inf(-1)), id: math.MaxInt32}
	if s.TopK > 0 && s.TopK < len(w.x) {
		last = w.topK(s.TopK)
	}
	total := w.weigh(last, highest, s.Temperature)
	if s.TopP < 1 {
		last = w.topP(s.TopP, total)
	}
	if s.TopP < 1 || s.MinP > 0 {
		total = w.keep(last, s.MinP)
	}
	chosen, target := int32(-1), u*total
	for id, weight := range w.weights {
		if weight > 0 {
			chosen = int32(id) // the last of all when target is total by rounding
			if target -= weight; target < 0 {
				break
			}
		}
	}
	return chosen
}

// weigh gives weights to last and what is better, and returns their sum.
func (w *workspace) weigh(last candidate, highest float32, temperature float64) (total float64) {
	weights := w.weights[:len(w.x)]
	for id, x := range w.x {
		weight := 0.0
		if x >= last.x && (x > last.x || int32(id) <= last.id) {
			weight = w.powers.exp((float64(x) - float64(highest)) / temperature)
		}
		weights[id] = weight
		total += weight
	}
	return total
}

// powers are 2^(i/256).
type powers [256]float64

func newPowers() (p powers) {
	for i := range p {
		p[i] = math.Exp2(float64(i) / 256)
	}
	return p
}

// exp returns e^x to 2 ulp for x up to 0, the same on every machine, and 0 for what is no normal number. It is for choices,
// where math.Exp was half of the time.
func (p *powers) exp(x float64) float64 {
	const (
		round = 0x1.8p52        // added, it leaves the nearest integer in the low bits
		high  = 0x1.62e42feep-9 // ln 2 / 256 in two parts: a count times the first is exact
		low   = 0x1.a39ef35793c76p-41
	)
	if !(x > -708) {
		return max(0, x) // NaN stays NaN
	}
	shifted := float64(x*(256/math.Ln2)) + round
	n, count := int64(math.Float64bits(shifted)<<13)>>13, shifted-round
	r := float64(x-float64(count*high)) - float64(count*low)
	v := p[n&255]
	v += float64(v * (r + float64(float64(r*r)*(0.5+float64(r*(1.0/6+float64(r*(1.0/24))))))))
	return math.Float64frombits(math.Float64bits(v) + uint64(n>>8)<<52)
}

// keep drops what is worse than last or lighter than lightest, and returns the sum of the rest.
func (w *workspace) keep(last candidate, lightest float64) (total float64) {
	for id, x := range w.x {
		if x < last.x || x == last.x && int32(id) > last.id || w.weights[id] < lightest {
			w.weights[id] = 0
		}
		total += w.weights[id]
	}
	return total
}

// topK returns the last of the k best tokens. It collects what is better than the last so far, and whenever that is twice
// as many as wanted, drops the worse half.
func (w *workspace) topK(k int) candidate {
	c, last := w.candidates[:0], candidate{x: float32(math.Inf(-1))}
	for id, x := range w.x {
		if x <= last.x {
			continue // worse, if only by its id
		}
		if c = append(c, candidate{x, int32(id), 1}); len(c) == 2*k {
			last = cutoff(c, float64(k))
			c = c[:k]
		}
	}
	return cutoff(c, float64(k))
}

// topP returns the last of the best tokens that together have the share p of total. Tokens so light that all of them
// together could not make up the rest are not looked at; half of that bound leaves room for rounding.
func (w *workspace) topP(p, total float64) candidate {
	lightest := max((1-p)*total/float64(2*len(w.x)), math.SmallestNonzeroFloat64)
	c, n := w.candidates[:len(w.x)], 0
	for id, weight := range w.weights[:len(w.x)] {
		c[n] = candidate{w.x[id], int32(id), weight}
		if weight >= lightest {
			n++
		}
	}
	return cutoff(c[:n], p*total)
}

// candidate is a token that a filter may keep.
type candidate struct {
	x      float32
	id     int32
	weight float64
}

// compareCandidates orders the best first. No two are equal.
func compareCandidates(a, b candidate) int {
	if a.better(b) {
		return -1
	}
	return 1
}

func (a candidate) better(b candidate) bool { return a.x > b.x || a.x == b.x && a.id < b.id }

// cutoff returns the last of the candidates that are needed, taken best first, to bring their weights to need, or the very
// last. It brings those that are needed to the front, in linear time: parts are split off as in quickselect, and where that
// goes badly the rest is sorted.
func cutoff(c []candidate, need float64) candidate {
	for rounds := 2 * bits.Len(uint(len(c))); len(c) > 32 && rounds > 0; rounds-- {
		n := partition(c)
		weight := 0.0
		for i := range n {
			weight += c[i].weight
		}
		if weight >= need {
			c = c[:n]
		} else {
			c, need = c[n:], need-weight
		}
	}
	slices.SortFunc(c, compareCandidates)
	for _, last := range c {
		if need -= last.weight; need <= 0 {
			return last
		}
	}
	return c[len(c)-1]
}

// partition puts n of the candidates, at least one and not all, before the others, which are worse than each of them. It wants
// three or more.
func partition(c []candidate) (n int) {
	pivot := middle(c[0], c[len(c)/2], c[len(c)-1])
	i, j := 0, len(c)-1
	for {
		for c[i].better(pivot) {
			i++
		}
		for pivot.better(c[j]) {
			j--
		}
		if i >= j {
			return i
		}
		c[i], c[j] = c[j], c[i]
		i++
		j--
	}
}

func middle(a, b, c candidate) candidate {
	if b.better(a) {
		a, b = b, a
	}
	switch {
	case b.better(c):
		return b
	case a.better(c):
		return c
	}
	return a
}

// logProbs returns the log-probability of a token and the n likeliest tokens.
func logProbs(logits []float32, token int32, n int) (float64, []TopToken) {
	highest, sum := float64(logits[argmax(logits)]), 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - highest)
	}
	shift := highest + math.Log(sum)
	var top []TopToken
	if n > 0 {
		top = make([]TopToken, 0, n+1)
	}
	for id, x := range logits {
		p := float64(x) - shift
		if n == 0 || len(top) == n && p <= top[n-1].LogProb || math.IsInf(p, -1) {
			continue
		}
		at := len(top)
		for at > 0 && top[at-1].LogProb < p {
			at--
		}
		top = slices.Insert(top, at, TopToken{int32(id), p})
		top = top[:min(len(top), n)]
	}
	return float64(logits[token]) - shift, top
}

// uniform returns a number from [0, 1): the n-th of the generator SplitMix64 (Steele, Lea and Flood 2014), whose state is a
// counter. The seed is mixed first, so that neighbouring seeds have nothing in common.
func uniform(seed, n uint64) float64 {
	const golden = 0x9e3779b97f4a7c15
	return float64(mix(mix(seed)+(n+1)*golden)>>11) / (1 << 53)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
