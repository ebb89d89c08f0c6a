package ref

import (
	"math"

	"baleen/internal/op"
)

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func (r *run) hcSplit(o op.HCSplit) error {
	base, err := r.vector(o.Base)
	if err != nil {
		return err
	}
	scale, err := r.vector(o.Scale)
	if err != nil {
		return err
	}
	n := o.Streams
	for i := range r.outputs(o.Pre) {
		rho, m := scaleOf(r.in(o.X, i), o.NormEps), r.in(o.M, i)
		mixed := func(j, kind int) float64 { return float64(m[j])*rho*float64(scale[kind]) + float64(base[j]) }
		for j := range n {
			r.out(o.Pre, i)[j] = float32(sigmoid(mixed(j, 0)) + o.Eps)
		}
		if o.Comb == 0 {
			continue
		}
		comb := make([]float64, n*n)
		for j := range n {
			r.out(o.Post, i)[j] = float32(2 * sigmoid(mixed(n+j, 1)))
			for k := range n {
				comb[j*n+k] = mixed(2*n+j*n+k, 2)
			}
		}
		sinkhorn(comb, n, o.Iters, o.Eps)
		for j, v := range comb {
			r.out(o.Comb, i)[j] = float32(v)
		}
	}
	return nil
}

// sinkhorn makes an [n, n] matrix nearly doubly stochastic: softmax of each row plus eps, then columns and rows by turns;
// the last are columns.
func sinkhorn(c []float64, n, iters int, eps float64) {
	for j := range n {
		softmax(c[j*n:][:n])
	}
	for j := range c {
		c[j] += eps
	}
	divide(c, n, n, 1, eps)
	for range iters - 1 {
		divide(c, n, 1, n, eps)
		divide(c, n, n, 1, eps)
	}
}

func softmax(x []float64) {
	most, sum := math.Inf(-1), 0.0
	for _, v := range x {
		most = math.Max(most, v) // NaN stays NaN
	}
	for i, v := range x {
		x[i] = math.Exp(v - most)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}

// divide divides each of n lines by its sum plus eps. Elements of a line are step apart, lines themselves apart.
func divide(c []float64, n, step, apart int, eps float64) {
	for line := range n {
		sum := eps
		for i := range n {
			sum += c[line*apart+i*step]
		}
		for i := range n {
			c[line*apart+i*step] /= sum
		}
	}
}

func (r *run) hcCollapse(o op.HCCollapse) error {
	for i := range r.outputs(o.Y) {
		x, pre, y := r.in(o.X, i), r.in(o.Pre, i), r.out(o.Y, i)
		for c := range y {
			sum := 0.0
			for j, p := range pre {
				sum += float64(p) * float64(x[j*len(y)+c])
			}
			y[c] = float32(sum)
		}
	}
	return nil
}

func (r *run) hcExpand(o op.HCExpand) error {
	for i := range r.outputs(o.Y) {
		a, x, y := r.in(o.A, i), r.in(o.X, i), r.out(o.Y, i)
		post, comb := r.in(o.Post, i), r.in(o.Comb, i)
		n, d := len(post), len(a)
		for k := range n {
			for c := range d {
				sum := float64(post[k]) * float64(a[c])
				for j := range n {
					sum += float64(comb[j*n+k]) * float64(x[j*d+c])
				}
				y[k*d+c] = float32(sum)
			}
		}
	}
	return nil
}
