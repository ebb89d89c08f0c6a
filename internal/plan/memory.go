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

// Names of what may lie elsewhere.
const (
	routedPart = "routed experts"
	diskPart   = "routed experts on disk"
)

// footprint is what lies where, in bytes: on the fullest chip, and in the host's memory or on disk.
type footprint struct {
	chip, host []Part
	room       float64 // of a chip
	hostRoom   float64 // of the host's memory; 0: none
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
	if r.host != nil || lay.SSD > 0 {
		here = routed * r.near
	}
	if r.host != nil {
		f.host = append(f.host, Part{routedPart, routed*(1-lay.SSD) - here})
		f.hostRoom = r.host.Memory * r.sockets * usable
	}
	if lay.SSD > 0 {
		f.host = append(f.host, Part{diskPart, routed})
	}
	if r.shape.size.table > 0 {
		f.host = append(f.host, Part{"lookup tables", r.shape.size.table})
	}
	each := math.Ceil(sequences / dp)
	f.chip = []Part{
		{"attention, shared experts, head", rest / tp / pp},
		{routedPart, here / (tp * dp * pp)},
		{"kv cache", each * r.shape.state.PerToken * float64(tokens) / pp},
		{"windows and frontiers", each * float64(r.shape.state.Slot) / pp},
		{"activations", r.activations(each, spec)},
		{"runtime", r.chip.Memory * (1 - usable)},
	}
	f.room = r.chip.Memory
	f.free = f.room - total(f.chip)
	return f
}

// others is what all chips hold besides routed experts.
func (r *rig) others(sequences float64, tokens int, spec Spec) (sum float64) {
	for _, p := range r.footprint(sequences, tokens, spec).chip {
		if p.Name != routedPart {
			sum += p.Value
		}
	}
	return sum * float64(r.chips())
}

// activations are those of the largest run: streams of every row, and what experts make of them.
func (r *rig) activations(sequences float64, spec Spec) float64 {
	rows := math.Max(sequences*float64(1+spec.Drafts), promptChunk)
	return rows * float64(r.shape.hidden) * 4 * 8
}

// fits tells whether the host's memory suffices, too.
func (f *footprint) fits() bool { return f.free >= -1 && f.hostFree() >= -1 }

// hostFree is what is left of the host's memory, or where there is no host nothing.
func (f *footprint) hostFree() float64 {
	if f.hostRoom == 0 {
		return 0
	}
	free := f.hostRoom
	for _, p := range f.host {
		if p.Name != diskPart {
			free -= p.Value
		}
	}
	return free
}

// most is how many sequences of so many tokens fit, at once.
func (r *rig) most(tokens int, spec Spec) float64 {
	f := r.footprint(0, tokens, spec)
	each := (r.shape.state.PerToken*float64(tokens) + float64(r.shape.state.Slot)) / float64(r.layout.PP)
	return math.Max(0, math.Floor(f.free/each)) * float64(r.layout.DP)
}
