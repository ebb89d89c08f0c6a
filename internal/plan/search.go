package plan

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

// mostTP bounds tensor parallelism: attention has few enough heads, and collectives cost more than they save beyond it.
const mostTP = 16

// finding is a deployment that was looked at.
type finding struct {
	d       *deployment
	service service
	memory  footprint
	score   float64
}

// search looks at the ways to cut a model over a machine, and returns those that fit, the best first: the one that serves most
// tokens at the concurrency asked for. Where none fits it returns the one that comes nearest, and false.
func search(ctx context.Context, q *Request, a ask, factors *values) (list []finding, fits bool, err error) {
	ways, err := candidates(q, a, factors)
	if err != nil {
		return nil, false, err
	}
	concurrency := math.Max(1, float64(q.Concurrency))
	var nearest finding
	for _, d := range ways {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		f := finding{d: d, memory: d.decode.footprint(math.Ceil(concurrency/d.replicas), a.in+a.out, a.spec)}
		ok := f.memory.fits()
		if d.split() {
			m := d.prompt.footprint(1, a.in, Spec{})
			ok = ok && m.fits()
		}
		if !ok {
			if nearest.d == nil || f.memory.free > nearest.memory.free {
				nearest = f
			}
			continue
		}
		f.service = d.serve(a, concurrency)
		f.score = concurrency / f.service.requests
		list = append(list, f)
	}
	if len(list) == 0 {
		return []finding{nearest}, false, nil
	}
	slices.SortStableFunc(list, func(x, y finding) int {
		return cmp.Or(cmp.Compare(x.score, y.score), cmp.Compare(x.d.decode.layout.TP, y.d.decode.layout.TP))
	})
	return list, true, nil
}

// candidates lists the deployments that a machine allows.
func candidates(q *Request, a ask, factors *values) (list []*deployment, err error) {
	chips, others, host, err := sortPools(q.Machine)
	if err != nil {
		return nil, err
	}
	base := rig{shape: q.Model, chip: chips.Chip, held: chips.Chip.holds(), factors: factors, disk: q.Machine.Disk}
	for _, l := range layouts(chips, q.Layout) {
		r := base
		r.layout = l
		sequences := math.Ceil(math.Max(1, float64(q.Concurrency)) / float64(l.Replicas))
		for _, r := range r.placed(host, r.others(sequences, a.in+a.out, a.spec)) {
			n := float64(l.Replicas)
			list = append(list, &deployment{decode: r, prompt: r, replicas: n, readers: n})
			list = append(list, divided(r, others, q.Layout)...)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("impossible layout: plan: no way to cut %d x %s as asked: give divisors of the number of devices", chips.Count, chips.Chip.Name)
	}
	return list, nil
}

// sortPools tells a machine's pools apart: chips that make tokens; others that may read prompts; processors behind accelerators.
func sortPools(m Machine) (chips, others, host Pool, err error) {
	for _, p := range m.Pools {
		switch {
		case p.Chip.Class == processor && host.Chip == nil:
			host = p
		case p.Chip.Class != processor && chips.Chip == nil:
			chips = p
		case p.Chip.Class != processor && others.Chip == nil:
			others = p
		default:
			return chips, others, host, fmt.Errorf("too many kinds: --on: %s: give at most two kinds of accelerators and one of processors", p.Chip.Name)
		}
	}
	if chips.Chip == nil {
		chips, host = host, Pool{}
	}
	if chips.Chip == nil {
		return chips, others, host, fmt.Errorf("no device: --on: give at least one accelerator or processor, such as %q", "16 x Ascend 950DT")
	}
	if others.Chip != nil && others.Chip.Bandwidth > chips.Chip.Bandwidth {
		chips, others = others, chips // tokens are made where memory is fast
	}
	return chips, others, host, nil
}

// layouts are the ways to cut a model over a pool: those that were asked for, or all that make sense.
func layouts(p Pool, asked *Layout) (list []Layout) {
	if asked != nil {
		l := *asked
		l.TP, l.DP, l.PP = max(l.TP, 1), max(l.DP, 1), max(l.PP, 1)
		n := l.TP * l.DP * l.PP
		if p.Count%n != 0 {
			return nil
		}
		l.Replicas, l.EP = p.Count/n, max(l.EP, 1)
		if l.DP > 1 {
			l.EP = l.TP * l.DP
		}
		return []Layout{l}
	}
	for _, replicas := range divisors(p.Count) {
		for _, pp := range divisors(p.Count / replicas) {
			n := p.Count / replicas / pp
			if pp > 8 || pp > 1 && n > p.Chip.Domain() {
				continue
			}
			for _, tp := range divisors(n) {
				if tp > mostTP || tp > p.Chip.Domain() && tp > 2 {
					continue
				}
				l := Layout{TP: tp, DP: n / tp, EP: 1, PP: pp, Replicas: replicas}
				if l.DP > 1 {
					l.EP = n
				}
				list = append(list, l)
			}
		}
	}
	return list
}

func divisors(n int) (list []int) {
	for d := 1; d*d <= n; d++ {
		if n%d == 0 {
			list = append(list, d)
			if d*d != n {
				list = append(list, n/d)
			}
		}
	}
	slices.Sort(list)
	return list
}

// placed puts routed experts where there is room: on the chips; else in the memory of processors; else on disk. A processor's
// memory takes part for each replica. others is what else the chips hold.
func (r rig) placed(host Pool, others float64) []*rig {
	resident := r
	list := []*rig{&resident}
	routed, _ := r.weightBytes()
	share := math.Max(0, math.Min(1, (float64(r.chips())*r.chip.Memory-others)/routed))
	if share == 1 {
		return list
	}
	r.near = share
	if host.Chip != nil {
		r.host, r.sockets = host.Chip, float64(host.Count)/float64(r.layout.Replicas)
		behind := r
		behind.layout.Hit, behind.cached = math.Pow(share, hitPower), share
		list = append(list, &behind)
		share = math.Min(1, share+0.9*usable*r.host.Memory*r.sockets/routed)
	}
	if r.disk > 0 && share < 1 {
		stored := r
		stored.layout.SSD, stored.cached = 1-share, share
		stored.layout.Hit = math.Pow(share, hitPower)
		list = append(list, &stored)
	}
	return list
}

// divided are the ways to read prompts elsewhere: on the other pool, or on some of a large one's replicas.
func divided(r *rig, others Pool, asked *Layout) (list []*deployment) {
	if others.Chip != nil {
		for _, l := range layouts(others, nil) {
			reader := *r
			reader.chip, reader.held, reader.layout, reader.known = others.Chip, others.Chip.holds(), l, nil
			reader.layout.Hit, reader.layout.SSD, reader.host = 0, 0, nil
			list = append(list, &deployment{decode: r, prompt: &reader, replicas: float64(r.layout.Replicas), readers: float64(l.Replicas)})
		}
		return list
	}
	if asked != nil && asked.Prefill == 0 {
		return nil
	}
	for readers := 1; readers < r.layout.Replicas; readers *= 2 {
		if asked != nil && readers*r.chips() != asked.Prefill {
			continue
		}
		reader := *r
		list = append(list, &deployment{decode: r, prompt: &reader, replicas: float64(r.layout.Replicas - readers), readers: float64(readers)})
	}
	return list
}
