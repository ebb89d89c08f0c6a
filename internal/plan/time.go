package plan

import (
	"cmp"
	"math"
	"strings"

	"baleen/internal/quant"
)

// rig is a model cut over chips: what time is asked of. It is one replica.
type rig struct {
	shape   *Shape
	chip    *Chip
	layout  Layout
	held    held
	host    *Chip // the processors that hold routed experts, or nil
	sockets float64
	disk    float64 // bytes/s
	near    float64 // share of routed experts that the chips hold, where others are elsewhere
	cached  float64 // share of routed experts that the chips hold, or with a disk all memory, where others are elsewhere
	factors *values

	community bool // the engine is a small project's
	dies      bool // its chips are dies, two in a package

	known map[loadKey][]work
}

// Of links and of reading prompts.
const (
	linkShare    = 0.7   // of a link's bandwidth that collectives reach
	farLatency   = 30e-6 // seconds of a collective between hosts
	promptChunk  = 8192  // rows of prompts in a run
	bytesOfRow   = 2     // of a number in a collective of activations
	bytesOfRoute = 3     // of a number that goes to an expert in FP8 and comes back in BF16
)

// span is where the time of a step goes, in seconds.
type span struct {
	weights  float64 // reading weights other than routed experts
	experts  float64 // reading routed experts
	kv       float64 // reading what is remembered
	compute  float64 // beyond what reading takes
	launches float64 // launches and barriers
	links    float64
	host     float64 // experts on the processors
	disk     float64
}

func (s span) total() float64 {
	return s.weights + s.experts + s.kv + s.compute + s.launches + s.links + s.host + s.disk
}

func (s *span) add(o span, times float64) {
	for i, p := range s.all() {
		*p += times * *o.all()[i]
	}
}

func (s *span) all() [8]*float64 {
	return [...]*float64{&s.weights, &s.experts, &s.kv, &s.compute, &s.launches, &s.links, &s.host, &s.disk}
}

// over names the span's members, in milliseconds of each of so many tokens, without those that are nothing.
func (s span) over(tokens float64) (list []Part) {
	names := [...]string{"weights", "experts", "kv cache", "compute", "launches and latency", "links", "host experts", "disk"}
	for i, p := range s.all() {
		if *p > 0 {
			list = append(list, Part{names[i], 1000 * *p / tokens})
		}
	}
	return list
}

// largest is the name of the member that takes longest.
func (s span) largest() string {
	best := Part{}
	for _, p := range s.over(1) {
		if p.Value > best.Value {
			best = p
		}
	}
	return best.Name
}

// decode is the time of a step in which each of so many sequences verifies drafts and one token more, that of drafting included.
func (r *rig) decode(sequences float64, context int, spec Spec) span {
	each := float64(1 + spec.Drafts)
	inFlight := sequences / math.Min(float64(r.layout.PP), max(sequences, 1)) // of those in a stage at once
	l := load{rows: inFlight * each, sequences: inFlight, contexts: []int{max(context, 1)}, logits: inFlight * each}
	total := r.run(&r.shape.forward, l)
	if spec.Drafts == 0 {
		return total
	}
	for i := range r.shape.drafts {
		d := &r.shape.drafts[i]
		dl := l
		if d.rows > 0 {
			dl.rows, dl.logits = inFlight*float64(d.rows), inFlight*float64(d.rows)
		}
		times := 1.0
		if d.each {
			times = float64(spec.Drafts)
		}
		total.add(r.run(d, dl), times)
	}
	return total
}

// tokensPerStep is what a sequence gains in a step.
func (s Spec) tokensPerStep() float64 { return 1 + s.Accept }

// readPrompts is the time to read so many prompts of a length at once.
func (r *rig) readPrompts(prompts float64, tokens int) span {
	all := prompts * float64(tokens)
	chunk := math.Min(all, promptChunk*float64(r.layout.DP))
	if r.layout.SSD > 0 {
		chunk = all // experts come from disk once for all
	}
	runs := all / chunk
	l := load{rows: chunk, sequences: math.Max(1, chunk/float64(tokens)), logits: math.Max(1, prompts/runs), prompt: true}
	for i := 1; i <= 4; i++ {
		l.contexts = append(l.contexts, max(1, tokens*(2*i-1)/8))
	}
	s := r.run(&r.shape.prefill, l)
	var total span
	total.add(s, runs/math.Min(float64(r.layout.PP), runs))
	return total
}

// run is the time of one run of a program.
func (r *rig) run(st *stage, l load) span {
	var s span
	lay := &r.layout
	own := l // of one chip, or of the few that hold attention together
	ranks := math.Min(float64(lay.DP), math.Max(l.sequences, 1))
	if l.prompt {
		ranks = float64(lay.DP)
	}
	own.rows, own.sequences, own.logits = l.rows/ranks, l.sequences/ranks, l.logits/ranks
	all := r.works(st, l)
	for i, w := range r.works(st, own) {
		if w.routed {
			r.routed(&s, all[i], r.hit(w.reads(l.rows)))
			continue
		}
		cutBy := float64(lay.TP)
		switch w.group {
		case "router", "hc", "norm", "embed":
			cutBy = 1
		}
		r.piece(&s, w, cutBy)
	}
	s.launches = st.ops() * r.perOp()
	s.links = r.reduce(st, own)
	s.links += math.Max(0, r.exchange(st, l)-s.total()) // the halves of a batch take turns at links and chips
	return s
}

// works is what a stage costs under a load; it is worked out once.
func (r *rig) works(st *stage, l load) []work {
	key := loadKey{st, l.rows, l.sequences, l.logits, l.contexts[0], l.contexts[len(l.contexts)-1], l.prompt}
	list, ok := r.known[key]
	if !ok {
		if r.known == nil {
			r.known = map[loadKey][]work{}
		}
		list = st.of(l)
		r.known[key] = list
	}
	return list
}

// loadKey tells loads apart.
type loadKey struct {
	st                      *stage
	rows, sequences, logits float64
	first, last             int
	prompt                  bool
}

// piece adds the time of work that chips share, cutBy of them, but what is remembered, which each reads whole.
func (r *rig) piece(s *span, w work, cutBy float64) {
	memory := r.chip.Bandwidth * r.memoryShare()
	weights := r.held.bytes(w.weights, w.kind, false) / cutBy / memory
	kv := w.kv / memory
	s.weights += weights
	s.kv += kv
	s.compute += math.Max(0, w.flops/cutBy/(r.rate(r.chip, w)*r.computeShare(r.chip))-weights-kv)
}

func (r *rig) rate(c *Chip, w work) float64 {
	switch {
	case w.group == "indexer" && w.attend: // keys of eight bits or fewer
		return r.held.rate(c, quant.KindE4M3, false)
	case w.attend:
		return c.BF16
	}
	return r.held.rate(c, w.kind, w.routed)
}

// hit is the share of the experts wanted that the faster memory holds, where so many times as many are wanted as by one row. A row often
// wants those that many want, and they are kept; where all are wanted it is their share.
func (r *rig) hit(reads float64) float64 {
	return r.cached + (r.layout.Hit-r.cached)/math.Max(reads, 1)
}

// routed adds the time of routed experts, wherever they are. hit is the share that the faster memory holds.
func (r *rig) routed(s *span, w work, hit float64) {
	lay := &r.layout
	bytes := r.held.bytes(w.weights, w.kind, true)
	if lay.SSD > 0 {
		s.disk += bytes * (1 - hit) / r.disk
	}
	near := 1.0
	if r.host != nil {
		near = 0
		if lay.SSD == 0 {
			near = hit
		}
		far := 1 - near
		memory := far * bytes / (r.host.Bandwidth * r.sockets * r.factors[hostMemory])
		compute := far * w.flops / (r.held.rate(r.host, w.kind, true) * r.sockets * r.computeShare(r.host))
		s.host += math.Max(memory, compute)
	}
	if near == 0 {
		return
	}
	chips := float64(lay.TP * lay.DP)
	memory := near * bytes / chips / (r.chip.Bandwidth * r.memoryShare())
	s.experts += memory
	s.compute += math.Max(0, near*w.flops/chips/(r.rate(r.chip, w)*r.computeShare(r.chip))-memory)
}

// reduce is the time in which chips that share attention add up what they made: twice in a layer.
func (r *rig) reduce(st *stage, own load) float64 {
	tp := float64(r.layout.TP)
	if tp <= 1 {
		return 0
	}
	bytes := 2 * (tp - 1) / tp * own.rows * float64(r.shape.hidden) * bytesOfRow
	speed, latency := r.link(r.layout.TP)
	return 2 * float64(st.layers) * (bytes/(speed*linkShare) + latency)
}

// exchange is the time in which rows go to their experts and come back.
func (r *rig) exchange(st *stage, l load) float64 {
	chips := r.layout.TP * r.layout.DP
	if r.layout.EP <= 1 || r.layout.DP <= 1 {
		return 0
	}
	share := float64(chips-1) / float64(chips)
	bytes := share * l.rows / float64(chips) * float64(st.active()) * float64(r.shape.hidden) * bytesOfRoute
	speed, latency := r.link(chips)
	return float64(st.layers) * (bytes/(speed*linkShare) + 2*latency)
}

// active is how many experts a row meets in a layer.
func (st *stage) active() (k int) {
	for i := range st.pieces {
		k = max(k, st.pieces[i].active)
	}
	return k
}

// memoryShare is the share of its memory's bandwidth that a chip reaches.
func (r *rig) memoryShare() float64 {
	if r.chip.Measured {
		return cmp.Or(r.chip.ReachedMemory, ownMemory)
	}
	return r.factors[[...]factor{accelMemory, unifiedMemory, cpuMemory}[r.chip.Class]]
}

// computeShare is the share of its peak of operations that a chip reaches.
func (r *rig) computeShare(c *Chip) float64 {
	if c.Measured {
		return cmp.Or(c.ReachedCompute, ownCompute)
	}
	share := r.factors[[...]factor{accelCompute, unifiedCompute, cpuCompute}[c.Class]]
	if strings.Contains(c.Name, "AMX") {
		share *= amxShare
	}
	return share
}

// perOp is the time lost in each op of a step.
func (r *rig) perOp() float64 {
	rate := 1.0
	if r.community {
		rate = r.factors[communityRate]
	}
	switch {
	case r.chip.Class == processor:
		return 0
	case r.chip.Class == unified:
		return r.factors[unifiedOp]
	}
	return rate * r.factors[accelOp]
}

// link is the bandwidth of a chip among so many, and what a collective waits for between hosts.
func (r *rig) link(chips int) (bytesPerSecond, latency float64) {
	if chips <= r.chip.Domain() {
		return r.chip.Intra, 0
	}
	return r.chip.Inter, farLatency
}
