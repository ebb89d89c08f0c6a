package deepseek

import (
	"math"

	"baleen/internal/op"
)

// rotation is the frequency table of a layer: layers with compression have their own base and YaRN (model spec 3.6).
func (r recorder) rotation(ratio int) op.In {
	if ratio == 0 {
		return r.b.Const("rope.plain", r.Config.frequencies(r.Config.RopeTheta, YaRN{}))
	}
	return r.b.Const("rope.compressed", r.Config.frequencies(r.Config.CompressTheta, r.Config.YaRN))
}

// frequencies are the angles per position of the RopeDim/2 pairs. YaRN divides the slow ones by its factor and blends in
// between; it changes no magnitude and no softmax scale.
func (c *Config) frequencies(base float64, y YaRN) []float32 {
	f := make([]float32, c.RopeDim/2)
	low, high := c.yarnRange(base, y)
	for i := range f {
		plain := float32(1 / math.Pow(base, float64(2*i)/float64(c.RopeDim)))
		f[i] = plain
		if y.Factor > 1 {
			ramp := float32(min(max((float64(i)-low)/(high-low), 0), 1))
			f[i] = float32(plain/float32(y.Factor)*ramp) + float32(plain*(1-ramp))
		}
	}
	return f
}

// yarnRange returns the pairs between which YaRN blends: those that turn BetaFast and BetaSlow times in the original
// context.
func (c *Config) yarnRange(base float64, y YaRN) (low, high float64) {
	if y.Factor <= 1 {
		return 0, 1
	}
	pair := func(turns float64) float64 {
		return float64(c.RopeDim) * math.Log(float64(y.Original)/(turns*2*math.Pi)) / (2 * math.Log(base))
	}
	last := float64(c.RopeDim - 1)
	low = max(math.Floor(pair(y.BetaFast)), 0)
	high = min(math.Ceil(pair(y.BetaSlow)), last)
	if low == high {
		high += 0.001 // the official code's guard against a division by zero
	}
	return low, high
}

// rope rotates every head of x in place.
func (r recorder) rope(x, position op.In, ratio, width int, inverse bool) {
	r.b.Add(op.RoPE{X: op.InOut(x), Position: position, Freq: r.rotation(ratio), Width: width, Inverse: inverse})
}
