package ref

import (
	"errors"
	"math"
	"slices"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// scaleOf returns 1/sqrt(mean(x^2) + eps).
func scaleOf(x []float32, eps float64) float64 {
	return 1 / math.Sqrt(dot(x, x)/float64(len(x))+eps)
}

func (r *run) rmsNorm(o op.RMSNorm) error {
	var w []float32
	if o.W != 0 {
		var err error
		if w, err = r.vector(o.W); err != nil {
			return err
		}
	}
	for i := range r.outputs(o.Y) {
		y := r.out(o.Y, i)
		copy(y, r.in(o.X, i))
		for part := range slices.Chunk(y, o.Width) {
			normalise(part, w, o.Eps)
		}
	}
	return nil
}

func normalise(x, w []float32, eps float64) {
	rho := scaleOf(x, eps)
	for j, v := range x {
		y := float64(v) * rho
		if w != nil {
			y *= float64(w[j])
		}
		x[j] = float32(y)
	}
}

func (r *run) rope(o op.RoPE) error {
	freq := r.Buffer(op.ID(o.Freq)).Values
	for i, position := range r.table(o.Position) {
		for part := range slices.Chunk(r.row(op.ID(o.X), i), o.Width) {
			rotate(part[o.Width-2*len(freq):], freq, position, o.Inverse)
		}
	}
	return nil
}

func rotate(x, freq []float32, position int32, inverse bool) {
	for i, f := range freq {
		angle := float32(position) * f
		sin, cos := math.Sincos(float64(angle))
		if inverse {
			sin = -sin
		}
		a, b := float64(x[2*i]), float64(x[2*i+1])
		x[2*i], x[2*i+1] = float32(a*cos-b*sin), float32(a*sin+b*cos)
	}
}

func (r *run) hadamard(o op.Hadamard) error {
	for i := range r.rows(op.ID(o.X)) {
		for part := range slices.Chunk(r.row(op.ID(o.X), i), o.Width) {
			transform(part)
		}
	}
	return nil
}

// transform multiplies x with the Walsh-Hadamard matrix in natural order and len(x)^-0.5, by butterflies.
func transform(x []float32) {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	for half := 1; half < len(y); half *= 2 {
		for i := range y {
			if i&half == 0 {
				a, b := y[i], y[i+half]
				y[i], y[i+half] = a+b, a-b
			}
		}
	}
	for i, v := range y {
		x[i] = float32(v / math.Sqrt(float64(len(x))))
	}
}

func (r *run) quantise(o op.Quantise) error {
	for i := range r.outputs(o.Y) {
		y := r.out(o.Y, i)
		copy(y, r.in(o.X, i))
		if slices.ContainsFunc(y, func(v float32) bool { return math.IsInf(float64(v), 0) }) {
			return errors.New("infinity: a weight is damaged, or numbers overflow")
		}
		for part := range slices.Chunk(y, o.Width) {
			round(part[:o.Channels], o)
		}
	}
	return nil
}

func round(x []float32, o op.Quantise) {
	switch o.Kind {
	case quant.KindE4M3:
		quant.FakeE4M3(x, o.Group)
	case quant.KindE2M1:
		quant.FakeE2M1(x, o.Group)
	case quant.KindBF16:
		for i, v := range x {
			x[i] = quant.BF16(quant.ToBF16(v))
		}
	}
}
