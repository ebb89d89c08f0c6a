package cpu

import (
	"slices"

	"baleen/internal/device/cpu/kernel"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// rowFunc does an op for one of its rows.
type rowFunc func(e *executable, s *scratch, i int)

// chain is the part of a step that does several ops for each row.
func (e *executable) chain(dim op.Dim, ops []int) part {
	funcs := make([]rowFunc, len(ops))
	for n, i := range ops {
		funcs[n] = e.rowFunc(e.Ops[i])
	}
	return part{
		tasks: func(e *executable) int { return e.args.Counts[dim] },
		do: func(e *executable, s *scratch, i int) {
			for _, f := range funcs {
				f(e, s, i)
			}
		},
	}
}

// rowFunc returns what an op on rows does.
func (e *executable) rowFunc(o op.Op) rowFunc {
	switch o := o.(type) {
	case op.Embed:
		return e.embed(o)
	case op.Gather:
		return func(e *executable, _ *scratch, i int) {
			copy(e.f32(op.ID(o.Y), i), e.f32(op.ID(o.X), int(e.table(o.Row)[i])))
		}
	case op.Add:
		return e.add(o)
	case op.Mean:
		return e.mean(o)
	case op.Join:
		return func(e *executable, _ *scratch, i int) {
			y := e.f32(op.ID(o.Y), i)
			copy(y[copy(y, e.f32(op.ID(o.A), i)):], e.f32(op.ID(o.B), i))
		}
	case op.RMSNorm:
		return e.rmsNorm(o)
	case op.RoPE:
		return e.rope(o)
	case op.Hadamard:
		return func(e *executable, _ *scratch, i int) { e.device.kernel.Hadamard(e.f32(op.ID(o.X), i), o.Width) }
	case op.Quantise:
		return e.quantise(o)
	case op.HCSplit:
		return e.hcSplit(o)
	case op.HCCollapse:
		return func(e *executable, _ *scratch, i int) {
			y := e.f32(op.ID(o.Y), i)
			e.device.kernel.HCCollapse(y, e.f32(op.ID(o.X), i), e.f32(op.ID(o.Pre), i), len(y))
		}
	case op.HCExpand:
		return func(e *executable, _ *scratch, i int) {
			a := e.f32(op.ID(o.A), i)
			e.device.kernel.HCExpand(e.f32(op.ID(o.Y), i), a, e.f32(op.ID(o.X), i), e.f32(op.ID(o.Post), i), e.f32(op.ID(o.Comb), i), len(a))
		}
	case op.Store:
		return e.store(o)
	case op.Pool:
		return e.pool(o)
	}
	return e.routeFunc(o)
}

// routeFunc is rowFunc for the router and the shared expert.
func (e *executable) routeFunc(o op.Op) rowFunc {
	switch o := o.(type) {
	case op.TopK:
		return e.topK(o)
	case op.SqrtSoftplus:
		return func(e *executable, _ *scratch, i int) {
			e.device.kernel.SqrtSoftplus(e.f32(op.ID(o.Y), i), e.f32(op.ID(o.X), i))
		}
	case op.AddBias:
		bias := e.vector(o.Bias)
		return func(e *executable, _ *scratch, i int) {
			e.device.kernel.Add(e.f32(op.ID(o.Y), i), e.f32(op.ID(o.X), i), bias)
		}
	case op.Lookup:
		return e.lookup(o)
	case op.RouteWeights:
		return e.routeWeights(o)
	case op.SwiGLU:
		return e.swiGLU(o)
	case op.Combine:
		return e.combine(o)
	}
	panic("cpu: no such op: " + op.KindOf(o))
}

func (e *executable) embed(o op.Embed) rowFunc {
	w := e.weight(o.W)
	return func(e *executable, s *scratch, i int) {
		token := e.table(o.Token)[i]
		y := e.f32(op.ID(o.Y), i)
		if token < 0 || int(token) >= w.Rows {
			e.fail("row %d: token id out of range: %d: the model knows 0 to %d", i, token, w.Rows-1)
			return
		}
		if o.ZeroFirst != 0 && e.table(o.ZeroFirst)[i] == 0 {
			clear(y)
			return
		}
		if err := w.lookUp(s, y[:w.Cols], int(token)); err != nil {
			e.fail("%w", err)
			return
		}
		for c := 1; c < o.Copies; c++ {
			copy(y[c*w.Cols:], y[:w.Cols])
		}
	}
}

func (e *executable) add(o op.Add) rowFunc {
	return func(e *executable, _ *scratch, i int) {
		a, b, y := e.f32(op.ID(o.A), i), e.f32(op.ID(o.B), i), e.f32(op.ID(o.Y), i)
		for at := 0; at < len(y); at += len(a) {
			e.device.kernel.Add(y[at:][:len(a)], b[at:][:len(a)], a)
		}
	}
}

func (e *executable) mean(o op.Mean) rowFunc {
	parts := e.Buffer(op.ID(o.X)).Cols / e.Buffer(op.ID(o.Y)).Cols
	shares := slices.Repeat([]float32{1 / float32(parts)}, parts)
	return func(e *executable, _ *scratch, i int) {
		y := e.f32(op.ID(o.Y), i)
		e.device.kernel.HCCollapse(y, e.f32(op.ID(o.X), i), shares, len(y))
	}
}

func (e *executable) rmsNorm(o op.RMSNorm) rowFunc {
	w := e.vector(o.W)
	return func(e *executable, _ *scratch, i int) {
		x, y := e.f32(op.ID(o.X), i), e.f32(op.ID(o.Y), i)
		for at := 0; at < len(y); at += o.Width {
			e.device.kernel.RMSNorm(y[at:][:o.Width], x[at:][:o.Width], w, o.Eps)
		}
	}
}

// angles are those by which rows are rotated at their positions: all layers use the same. A row has one worker at a time.
type angles struct {
	run      []uint64 // by row: for which run they are
	cos, sin []float32
}

func (e *executable) rope(o op.RoPE) rowFunc {
	freq := e.Buffer(op.ID(o.Freq)).Values
	key := [2]op.In{o.Freq, o.Position}
	a := e.angles[key]
	if a == nil {
		rows := e.Dims[e.Buffers[o.X].Dim].Capacity
		a = &angles{make([]uint64, rows), make([]float32, rows*len(freq)), make([]float32, rows*len(freq))}
		e.angles[key] = a
	}
	return func(e *executable, _ *scratch, i int) {
		cos, sin := a.cos[i*len(freq):][:len(freq)], a.sin[i*len(freq):][:len(freq)]
		if a.run[i] != e.run {
			a.run[i] = e.run
			kernel.SinCos(cos, sin, freq, e.table(o.Position)[i])
		}
		e.device.kernel.RoPE(e.f32(op.ID(o.X), i), o.Width, cos, sin, o.Inverse)
	}
}

func (e *executable) quantise(o op.Quantise) rowFunc {
	if e.places[o.Y].half {
		return e.quantiseHalf(o)
	}
	return func(e *executable, _ *scratch, i int) {
		y := e.f32(op.ID(o.Y), i)
		copy(y, e.f32(op.ID(o.X), i))
		k, ok := e.device.kernel, true
		for at := 0; at < len(y); at += o.Width {
			part := y[at:][:o.Channels]
			switch o.Kind {
			case quant.KindE4M3:
				ok = k.FakeE4M3(part, o.Group) && ok
			case quant.KindE2M1:
				ok = k.FakeE2M1(part, o.Group) && ok
			case quant.KindBF16:
				for j, v := range part {
					part[j] = quant.BF16(quant.ToBF16(v))
				}
			}
		}
		e.checkFinite(ok, op.ID(o.X), i)
	}
}

// quantiseHalf writes numbers for products as bfloat16.
func (e *executable) quantiseHalf(o op.Quantise) rowFunc {
	if o.Kind == quant.KindBF16 {
		return func(e *executable, _ *scratch, i int) {
			e.device.kernel.ToBF16(e.half(op.ID(o.Y), i), e.f32(op.ID(o.X), i))
		}
	}
	return func(e *executable, _ *scratch, i int) {
		x, y, ok := e.f32(op.ID(o.X), i), e.half(op.ID(o.Y), i), true
		for at := 0; at < len(y); at += o.Width {
			ok = e.device.kernel.QuantiseE4M3(y[at:][:o.Width], x[at:][:o.Width], o.Group) && ok
		}
		e.checkFinite(ok, op.ID(o.X), i)
	}
}

func (e *executable) checkFinite(ok bool, x op.ID, row int) {
	if !ok {
		e.fail("NaN or infinity in %s, row %d: a weight is damaged, or numbers overflow", e.Buffers[x].Name, row)
	}
}

func (e *executable) hcSplit(o op.HCSplit) rowFunc {
	site := &kernel.HC{Base: e.vector(o.Base), Scale: e.vector(o.Scale), Streams: o.Streams, Iters: o.Iters, Eps: o.Eps}
	return func(e *executable, _ *scratch, i int) {
		var post, comb []float32
		if o.Comb != 0 {
			post, comb = e.f32(op.ID(o.Post), i), e.f32(op.ID(o.Comb), i)
		}
		rho := e.device.kernel.RowScale(e.f32(op.ID(o.X), i), o.NormEps)
		e.device.kernel.HCSplit(site, e.f32(op.ID(o.Pre), i), post, comb, e.f32(op.ID(o.M), i), rho)
	}
}

func (e *executable) topK(o op.TopK) rowFunc {
	return func(e *executable, s *scratch, i int) {
		if !e.device.kernel.TopK(e.ids(op.ID(o.Ids), i), e.f32(op.ID(o.X), i), o.Ascending, s.picks) {
			e.fail("NaN in %s, row %d: a weight is damaged, or numbers overflow", e.Buffers[o.X].Name, i)
		}
	}
}

func (e *executable) lookup(o op.Lookup) rowFunc {
	w := e.weight(o.W)
	return func(e *executable, s *scratch, i int) {
		token := e.table(o.Token)[i]
		if token < 0 || int(token) >= w.Rows {
			e.fail("row %d: token id out of range: %d: the model knows 0 to %d", i, token, w.Rows-1)
			return
		}
		if err := w.lookUpIDs(s, e.ids(op.ID(o.Ids), i), int(token)); err != nil {
			e.fail("%w", err)
		}
	}
}

func (e *executable) routeWeights(o op.RouteWeights) rowFunc {
	return func(e *executable, _ *scratch, i int) {
		a, ids := e.f32(op.ID(o.A), i), e.ids(op.ID(o.Ids), i)
		if !kernel.RouteWeights(e.f32(op.ID(o.W), i), a, ids, o.Scale) {
			e.fail("row %d: expert out of range: %d of %d: the routing table is damaged, or scores are infinite", i, ids, len(a))
		}
	}
}

func (e *executable) swiGLU(o op.SwiGLU) rowFunc {
	return func(e *executable, _ *scratch, i int) {
		g, u, h := e.f32(op.ID(o.G), i), e.f32(op.ID(o.U), i), e.f32(op.ID(o.H), i)
		if o.W == 0 {
			e.device.kernel.SwiGLU(h, g, u, 1, float32(o.Limit))
			return
		}
		w := e.f32(op.ID(o.W), i)
		width := len(h) / len(w)
		for slot, weight := range w {
			at := slot * width
			e.device.kernel.SwiGLU(h[at:][:width], g[at:][:width], u[at:][:width], weight, float32(o.Limit))
		}
	}
}

func (e *executable) combine(o op.Combine) rowFunc {
	return func(e *executable, s *scratch, i int) {
		ids, y := e.ids(op.ID(o.Ids), i), e.f32(op.ID(o.Y), i)
		order := s.order[:len(ids)]
		kernel.SlotOrder(order, ids)
		e.device.kernel.Combine(y, e.f32(op.ID(o.X), i), e.f32(op.ID(o.Shared), i), order, len(y))
	}
}
