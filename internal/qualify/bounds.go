package qualify

import (
	"math"
	"slices"

	"baleen/internal/op"
)

// bounds derives the bound of each element of an output from the op's definition and inputs (study/bug-corpus, 3).
func (v *view) bounds(o op.Op, id op.ID) []float64 {
	switch o := o.(type) {
	case op.Linear:
		return v.linear(o)
	case op.ExpertLinear:
		return v.expertLinear(o)
	case op.Add:
		return v.add(o)
	case op.Mean:
		return v.mean(o)
	case op.AddBias:
		x, bias := v.floats(o.X), v.numbers(o.Bias, 0)
		return v.each(id, func(i, j int) float64 { return u * math.Abs(float64(x[i*len(bias)+j])+float64(bias[j])) })
	case op.RMSNorm:
		return v.rmsNorm(o)
	case op.RoPE:
		return v.rope(o)
	case op.Hadamard:
		return v.hadamard(o)
	case op.HCSplit:
		return v.hcSplit(o, id)
	case op.HCCollapse:
		return v.hcCollapse(o)
	case op.HCExpand:
		return v.hcExpand(o)
	case op.SqrtSoftplus:
		x := v.floats(o.X)
		return v.each(id, func(i, j int) float64 {
			s := float64(x[i*v.cols(id)+j])
			if s <= 20 {
				s = math.Log1p(math.Exp(s))
			}
			return 10*u*math.Sqrt(s) + 0x1p-149
		})
	case op.RouteWeights:
		return v.routeWeights(o)
	case op.SwiGLU:
		return v.swiGLU(o)
	case op.Combine:
		return v.combine(o)
	case op.Experts:
		return v.experts(o)
	case op.Pool:
		return v.pool(o)
	case op.IndexScore:
		return v.indexScore(o)
	case op.Attend:
		return v.attend(o)
	}
	return nil // equality
}

func (v *view) linear(o op.Linear) []float64 {
	w, x := v.numbers(o.W, 0), v.floats(o.X)
	k, n := v.cols(op.ID(o.W)), v.p.Buffer(op.ID(o.W)).Rows
	wide := v.cols(op.ID(o.X))
	return v.each(op.ID(o.Y), func(i, j int) float64 {
		part, row := j/n, j%n
		if o.Groups > 1 {
			part = j / (n / o.Groups)
		}
		return dotBound(x[i*wide+part*k:][:k], w[row*k:][:k])
	})
}

func (v *view) expertLinear(o op.ExpertLinear) []float64 {
	x, ids := v.floats(o.X), v.ids(o.Ids)
	k, n := v.cols(op.ID(o.W)), v.p.Buffer(op.ID(o.W)).Rows
	wide, slots := v.cols(op.ID(o.X)), v.cols(op.ID(o.Ids))
	return v.each(op.ID(o.Y), func(i, j int) float64 {
		s, row, at := j/n, j%n, i*wide
		if wide > k {
			at += s * k
		}
		return dotBound(x[at:][:k], v.numbers(o.W, int(ids[i*slots+s]))[row*k:][:k])
	})
}

func (v *view) add(o op.Add) []float64 {
	a, b := v.floats(o.A), v.floats(o.B)
	n, wide := v.cols(op.ID(o.A)), v.cols(op.ID(o.B))
	return v.each(op.ID(o.Y), func(i, j int) float64 { return u * math.Abs(float64(a[i*n+j%n])+float64(b[i*wide+j])) })
}

func (v *view) mean(o op.Mean) []float64 {
	x, d, wide := v.floats(o.X), v.cols(op.ID(o.Y)), v.cols(op.ID(o.X))
	return v.each(op.ID(o.Y), func(i, j int) float64 {
		sum := 0.0
		for at := j; at < wide; at += d {
			sum += math.Abs(float64(x[i*wide+at]))
		}
		parts := float64(wide / d)
		return (parts+2)*u*sum/parts + 0x1p-149
	})
}

// rho is 1/sqrt(mean(x^2) + eps) and its relative error.
func rho(x []float32, eps float64) (value, err float64) {
	return 1 / math.Sqrt(product(x, x)/float64(len(x))+eps), (float64(len(x))/16 + 12) * u
}

func (v *view) rmsNorm(o op.RMSNorm) []float64 {
	x, cols := v.floats(o.X), v.cols(op.ID(o.X))
	var w []float32
	if o.W != 0 {
		w = v.numbers(o.W, 0)
	}
	all := make([]float64, len(x))
	for at := 0; at < len(x); at += o.Width {
		r, err := rho(x[at:][:o.Width], o.Eps)
		for j := range o.Width {
			y := math.Abs(float64(x[at+j])) * r
			if w != nil {
				y *= math.Abs(float64(w[(at%cols+j)%o.Width]))
			}
			all[at+j] = y*err + 0x1p-149
		}
	}
	return all
}

func (v *view) rope(o op.RoPE) []float64 {
	x, cols := v.floats(op.In(o.X)), v.cols(op.ID(o.X))
	freq, position := v.p.Buffer(op.ID(o.Freq)).Values, v.table(o.Position)
	return v.each(op.ID(o.X), func(i, j int) float64 {
		rotating := j%o.Width - (o.Width - 2*len(freq))
		if rotating < 0 {
			return 0
		}
		pair := rotating / 2
		sin, cos := math.Sincos(float64(float32(position[i]) * freq[pair]))
		at := i*cols + j
		self, other := float64(x[at]), float64(x[at+1-rotating%2*2])
		return 4*u*(math.Abs(self*cos)+math.Abs(other*sin)) + 0x1p-148
	})
}

func (v *view) hadamard(o op.Hadamard) []float64 {
	x, cols := v.floats(op.In(o.X)), v.cols(op.ID(o.X))
	return v.each(op.ID(o.X), func(i, j int) float64 {
		sum := 0.0
		for _, y := range x[i*cols+j/o.Width*o.Width:][:o.Width] {
			sum += math.Abs(float64(y))
		}
		return (math.Log2(float64(o.Width))+3)*u*sum/math.Sqrt(float64(o.Width)) + 0x1p-149
	})
}

// hcSplit: sigmoids and the balanced matrix, from logits that are off by delta. Row and column scaling do not amplify
// relative errors.
func (v *view) hcSplit(o op.HCSplit, id op.ID) []float64 {
	n := o.Streams
	x, m := v.floats(o.X), v.floats(o.M)
	base, scale := v.numbers(o.Base, 0), v.numbers(o.Scale, 0)
	wide, cols := v.cols(op.ID(o.X)), v.cols(op.ID(o.M))
	var norms [][2]float64
	for row := range slices.Chunk(x, wide) {
		r, e := rho(row, o.NormEps)
		norms = append(norms, [2]float64{r, e})
	}
	delta := func(i, j, kind int) (logit, err float64) {
		r, e := norms[i][0], norms[i][1]
		term := float64(m[i*cols+j]) * r * float64(scale[kind])
		logit = term + float64(base[j])
		return logit, math.Abs(term)*(e+3*u) + math.Abs(logit)*u
	}
	return v.each(id, func(i, j int) float64 {
		switch id {
		case op.ID(o.Pre):
			logit, err := delta(i, j, 0)
			return (err+(8+2*math.Abs(logit))*u)*sigmoid(logit) + 2*u*o.Eps
		case op.ID(o.Post):
			logit, err := delta(i, n+j, 1)
			return 2*(err+(8+2*math.Abs(logit))*u)*sigmoid(logit) + 0x1p-140
		}
		worst := 0.0
		for k := 2 * n; k < cols; k++ {
			logit, err := delta(i, k, 2)
			worst = max(worst, err+2*math.Abs(logit)*u)
		}
		return (2*worst + float64(2*o.Iters*(n+2)+16)*u) * math.Abs(float64(v.want[i*n*n+j]))
	})
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func (v *view) hcCollapse(o op.HCCollapse) []float64 {
	x, pre := v.floats(o.X), v.floats(o.Pre)
	n, d := v.cols(op.ID(o.Pre)), v.cols(op.ID(o.Y))
	return v.each(op.ID(o.Y), func(i, c int) float64 {
		sum := 0.0
		for j := range n {
			sum += math.Abs(float64(pre[i*n+j]) * float64(x[i*n*d+j*d+c]))
		}
		return float64(n+2)*u*sum + float64(n)*tiny
	})
}

func (v *view) hcExpand(o op.HCExpand) []float64 {
	a, x, post, comb := v.floats(o.A), v.floats(o.X), v.floats(o.Post), v.floats(o.Comb)
	n, d := v.cols(op.ID(o.Post)), v.cols(op.ID(o.A))
	return v.each(op.ID(o.Y), func(i, at int) float64 {
		k, c := at/d, at%d
		sum := math.Abs(float64(post[i*n+k]) * float64(a[i*d+c]))
		for j := range n {
			sum += math.Abs(float64(comb[i*n*n+j*n+k]) * float64(x[i*n*d+j*d+c]))
		}
		return float64(n+3)*u*sum + float64(n+1)*tiny
	})
}

func (v *view) routeWeights(o op.RouteWeights) []float64 {
	a, ids := v.floats(o.A), v.ids(o.Ids)
	experts, k := v.cols(op.ID(o.A)), v.cols(op.ID(o.Ids))
	return v.each(op.ID(o.W), func(i, s int) float64 {
		sum := 0.0
		for _, e := range ids[i*k:][:k] {
			sum += float64(a[i*experts+int(e)])
		}
		return float64(k+4) * u * math.Abs(float64(a[i*experts+int(ids[i*k+s])])/sum*o.Scale)
	})
}

// gated is silu(min(g, limit)) * clamp(x) and its error, given those of g and x.
func gated(g, x, limit, gErr, xErr float64) (h, err float64) {
	if limit > 0 {
		g, x = math.Min(g, limit), math.Max(-limit, math.Min(x, limit))
	}
	silu := g * sigmoid(g)
	// the slope of silu is at most 1.1
	err = math.Abs(silu*x)*(10+2*math.Abs(g))*u + 1.1*gErr*math.Abs(x) + math.Abs(silu)*xErr + 1.1*gErr*xErr
	return silu * x, err + math.Abs(x)*0x1p-120
}

func (v *view) swiGLU(o op.SwiGLU) []float64 {
	g, x := v.floats(o.G), v.floats(o.U)
	cols := v.cols(op.ID(o.H))
	slots, w := 1, []float32(nil)
	if o.W != 0 {
		w, slots = v.floats(o.W), v.cols(op.ID(o.W))
	}
	return v.each(op.ID(o.H), func(i, j int) float64 {
		_, err := gated(float64(g[i*cols+j]), float64(x[i*cols+j]), o.Limit, 0, 0)
		if w != nil {
			err *= math.Abs(float64(w[i*slots+j/(cols/slots)]))
		}
		return err + 0x1p-148
	})
}

func (v *view) combine(o op.Combine) []float64 {
	x, shared := v.floats(o.X), v.floats(o.Shared)
	k, d := v.cols(op.ID(o.Ids)), v.cols(op.ID(o.Y))
	return v.each(op.ID(o.Y), func(i, c int) float64 {
		sum := math.Abs(float64(shared[i*d+c]))
		for s := range k {
			sum += math.Abs(float64(x[(i*k+s)*d+c]))
		}
		return float64(k+2) * u * sum
	})
}
