package plan

import "math"

const (
	gib    = 1 << 30
	usable = 0.92 // of a chip's memory; the rest is the runtime's
)

// weightBytes are the bytes of weights as held: routed experts, and the rest.
func (r *rig) weightBytes() (routed, rest float64) {
	z := &r.shape.size
	for kind := range kinds {
		routed += r.held.bytes(z.routed[kind], kind, true)
		rest += r.held.bytes(z.rest[kind], kind, false)
	}
	return routed, rest + z.embed
}

// footprint is what lies where, in bytes: on the fullest chip, and in the host's memory or on disk.
type footprint struct {
	chip, host []Part
	room       float64 // of a chip
	hostRoom   float64 // 0: not known
	free       float64 // on the chip behind all that, less than 0 where it does not fit
}

// footprint is what a rig needs for so many sequences of so many tokens at most, each.
func (r *rig) footprint(sequences float64, tokens int, spec Spec) footprint {
	lay := &r.layout
	routed, rest := r.weightBytes()
	if spec.Drafts > 0 {
		rest += r.shape.size.draft // experts of what drafts, too: they are few
	}
	tp, dp, pp := float64(lay.TP), float64(lay.DP), float64(lay.PP)
	here := routed
	var f footprint
	switch {
	case r.host != nil:
		here = routed * r.cached
		f.host = append(f.host, Part{"routed experts", routed - here})
		f.hostRoom = r.host.Memory * r.sockets
	case lay.SSD > 0:
		here = routed * r.cached
		f.host = append(f.host, Part{"routed experts on disk", routed})
	}
	if r.shape.size.table > 0 {
		f.host = append(f.host, Part{"lookup tables", r.shape.size.table})
	}
	each := math.Ceil(sequences / dp)
	f.chip = []Part{
		{"attention, shared experts, head", rest / tp / pp},
		{"routed experts", here / (tp * dp * pp)},
		{"kv cache", each * r.shape.state.PerToken * float64(tokens) / pp},
		{"windows and frontiers", each * float64(r.shape.state.Slot) / pp},
		{"activations", r.activations(each, spec)},
		{"runtime", r.chip.Memory * (1 - usable)},
	}
	f.room = r.chip.Memory
	f.free = f.room
	for _, p := range f.chip {
		f.free -= p.Value
	}
	return f
}

// activations are those of the largest run: streams of every row, and what experts make of them.
func (r *rig) activations(sequences float64, spec Spec) float64 {
	rows := math.Max(sequences*float64(1+spec.Drafts), promptChunk)
	return rows * float64(r.shape.hidden) * 4 * 8
}

// fits tells whether the host's memory suffices, too.
func (f *footprint) fits() bool {
	host := 0.0
	for _, p := range f.host {
		if p.Name != "routed experts on disk" {
			host += p.Value
		}
	}
	return f.free >= 0 && (f.hostRoom == 0 || host <= f.hostRoom*usable)
}

// most is how many sequences of so many tokens fit, at once.
func (r *rig) most(tokens int, spec Spec) float64 {
	f := r.footprint(0, tokens, spec)
	each := (r.shape.state.PerToken*float64(tokens) + float64(r.shape.state.Slot)) / float64(r.layout.PP)
	return math.Max(0, math.Floor(f.free/each)) * float64(r.layout.DP)
}
