package cpu

import (
	"math"
	"slices"
	"sync"
)

// cache holds some of the experts of a model that does not fit into memory. Each is in a slot: its three matrices, packed. A
// slot is given to the next expert that is wanted when its own has been the least wanted of late, and nobody uses it.
type cache struct {
	readers *readers
	arena   arena // its parts are the slots

	mu      sync.Mutex
	changed *sync.Cond // an expert came, work became ready, or all is done
	slots   []slot
	layers  []*layer
	rank    ranking
	flow    *flow // the mixture that is being computed
	coming  int   // slots that are being read
	ahead   int   // slots that are kept for mixtures to come in this run

	hits, misses int64
}

// slot is memory of an expert.
type slot struct {
	layer   *layer // nil: empty
	expert  int32
	arrival order
	coming  bool // it is being read
	used    bool // the flow wants it, and has not done with it
	kept    bool // a mixture to come in this run wants it
	fresh   bool // no mixture has met it
}

// layer is the experts of a mixture, wherever they are.
type layer struct {
	index          int // mixtures take turns in this order
	gate, up, down *weight
	arenas         [3]arena  // of gate, up and down: the cache's, with what comes before them in a slot left out
	slots          []int32   // by expert: where it is, or -1
	ranks          []float64 // by expert
}

// mostAhead is how many experts are read ahead at a time: those of a token in some layers.
const mostAhead = 24

// newCache makes a cache of some slots, of which each node has a share of some bytes.
func newCache(r *readers, slots int, bytes []int64, rank ranking) (*cache, error) {
	memory, err := allocate(int64(slots) * sum(bytes))
	if err != nil {
		return nil, err
	}
	c := &cache{readers: r, arena: arena{bytes: memory}, slots: make([]slot, slots), rank: rank}
	first := 0
	for _, n := range bytes {
		c.arena.stretches = append(c.arena.stretches, stretch{first, int(n)})
		first += slots * int(n)
	}
	c.changed = sync.NewCond(&c.mu)
	for i := range c.slots {
		c.slots[i].arrival.done = func() { c.arrived(i) }
	}
	return c, nil
}

// layer returns the layer of these weights, which programs share.
func (c *cache) layer(gate, up, down *weight) *layer {
	for _, l := range c.layers {
		if l.gate == gate {
			return l
		}
	}
	l := &layer{index: len(c.layers), gate: gate, up: up, down: down, slots: make([]int32, gate.Parts), ranks: make([]float64, gate.Parts)}
	for i := range l.slots {
		l.slots[i] = -1
	}
	rest := slices.Clone(c.arena.stretches)
	for i, w := range [...]*weight{gate, up, down} {
		l.arenas[i] = arena{c.arena.bytes, slices.Clone(rest)}
		for k := range rest {
			rest[k].first += w.shareBytes(k)
		}
	}
	c.layers = append(c.layers, l)
	return l
}

// begin begins a run of some tokens. What one before left, because it failed, is free again.
func (c *cache) begin(tokens int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flow, c.ahead = nil, 0
	for i := range c.slots {
		c.slots[i].used, c.slots[i].kept = false, false
	}
	if c.rank.advance(tokens) {
		for _, l := range c.layers {
			for i := range l.ranks {
				l.ranks[i] /= c.rank.gain
			}
		}
		c.rank.gain = 1
	}
}

// holds tells whether a slot takes an expert of which each node's share has some bytes.
func (c *cache) holds(bytes []int64) bool {
	for k, n := range bytes {
		if n > int64(c.arena.stretches[k].step) {
			return false
		}
	}
	return true
}

// victim finds a slot for another expert: an empty one, or that of the expert which is expected to be wanted last. It returns
// -1 where all are in use, or coming.
func (c *cache) victim() int {
	best, latest := -1, -1.0
	for i := range c.slots {
		s := &c.slots[i]
		switch {
		case s.coming || s.used || s.kept:
		case s.layer == nil:
			return i
		default:
			if when := c.expected(s.layer, s.expert); when > latest {
				best, latest = i, when
			}
		}
	}
	return best
}

// expected is in how many tokens an expert is likely to be wanted: as many as lay between its choices so far, and the part of
// a token until its layer's turn.
func (c *cache) expected(l *layer, expert int32) float64 {
	turn := l.index
	if c.flow != nil {
		turn -= c.flow.layer.index
	}
	if turn <= 0 {
		turn += len(c.layers)
	}
	return c.rank.interval(l.ranks[expert]) + float64(turn)/float64(len(c.layers))
}

// fetch has an expert read into a slot.
func (c *cache) fetch(i int, l *layer, expert int32) {
	s := &c.slots[i]
	if s.layer != nil {
		s.layer.slots[s.expert] = -1
	}
	s.layer, s.expert, s.coming, s.fresh = l, expert, true, true
	c.coming++
	l.slots[expert] = int32(i)
	s.arrival.failed.Store(nil)
	s.arrival.left.Store(int32(l.gate.pieces() + l.up.pieces() + l.down.pieces()))
	for n, w := range [...]*weight{l.gate, l.up, l.down} {
		c.readers.add(w, int(expert), &l.arenas[n], i, &s.arrival)
	}
}

// arrived is called by a reader when a slot has been read, or cannot be.
func (c *cache) arrived(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.slots[i]
	s.coming = false
	c.coming--
	failed := s.arrival.failed.Load()
	if failed != nil {
		s.layer.slots[s.expert] = -1
		s.layer = nil
		if s.kept {
			s.kept = false
			c.ahead--
		}
	}
	if c.flow != nil && s.used {
		c.flow.arrived(s.expert, failed)
		s.used = s.used && failed == nil
	}
	c.serve()
	c.changed.Broadcast()
}

// depth is how many experts of a layer are asked for at a time: enough that the readers have work. Each more would take the
// slot of an expert that is worth more than some of those which will soon be done.
func (l *layer) depth() int {
	return 1 + 2*readersEach/(l.gate.pieces()+l.up.pieces()+l.down.pieces())
}

// serve gives free slots to experts that the flow still wants.
func (c *cache) serve() {
	f := c.flow
	for f != nil && len(f.wanted) > 0 && c.coming < f.layer.depth() {
		i := c.victim()
		if i < 0 {
			return
		}
		c.fetch(i, f.layer, f.wanted[0])
		c.slots[i].used, c.slots[i].fresh = true, false
		f.wanted = f.wanted[1:]
	}
}

// keep has an expert of a mixture to come in this run read ahead, and kept until then. There are some at most: half of the
// slots are left to others.
func (c *cache) keep(l *layer, expert int32) {
	i := int(l.slots[expert])
	if i >= 0 && c.slots[i].kept || c.ahead >= min(len(c.slots)/2, mostAhead) {
		return
	}
	if i < 0 {
		if i = c.victim(); i < 0 {
			return
		}
		c.fetch(i, l, expert)
	}
	c.slots[i].kept = true
	c.ahead++
}

// want begins a flow: its experts are there, or asked for.
func (c *cache) want(f *flow, active []int32, begin []int32) {
	c.flow = f
	f.reset(len(f.layer.slots), len(active))
	for _, expert := range active {
		f.layer.ranks[expert] += c.rank.gain * float64(begin[expert+1]-begin[expert])
		i := f.layer.slots[expert]
		if i < 0 {
			c.misses++
			f.wanted = append(f.wanted, expert)
			continue
		}
		s := &c.slots[i]
		if s.fresh {
			c.misses++
		} else {
			c.hits++
		}
		if s.kept {
			c.ahead--
		}
		s.used, s.kept, s.fresh = true, false, false
		if !s.coming {
			f.arrived(expert, nil)
		}
	}
	c.serve()
}

// done gives the slot of an expert back.
func (c *cache) done(l *layer, expert int32) {
	c.slots[l.slots[expert]].used = false
	c.serve()
}

// halfChoices is after how many choices of an expert that is chosen as often as all one of them counts half: enough to
// know it from others, and few enough to forget a text that is over.
const halfChoices = 64

// ranking is how much experts are wanted: how often they were chosen, of late more than long ago. Instead of all ranks
// falling with time, what is added grows.
type ranking struct {
	gain, growth float64
	tokens       float64 // that ranks are made of, as they count now
}

// newRanking ranks experts of which a token chooses a share.
func newRanking(share float64) ranking {
	return ranking{gain: 1, growth: math.Exp2(share / halfChoices)}
}

// advance lets time pass. It tells whether ranks have grown so large that they must be divided by gain.
func (r *ranking) advance(tokens int) bool {
	grown := math.Pow(r.growth, float64(tokens))
	r.gain *= grown
	r.tokens = r.tokens/grown + float64(tokens)
	return r.gain > 1e100
}

// interval is how many tokens lay between choices of an expert with this rank. One that was never chosen counts as half
// chosen.
func (r *ranking) interval(rank float64) float64 { return (r.tokens + 1) / (rank/r.gain + 0.5) }
