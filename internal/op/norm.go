package op

import "baleen/internal/quant"

// RMSNorm normalises each part of Width numbers: Y = W * (x / sqrt(mean(x^2) + Eps)), normalised first, then times W (model
// spec 3.1). Without W it only normalises. W is [1, Width].
type RMSNorm struct {
	X, W  In
	Y     Out
	Width int
	Eps   float64
}

func (RMSNorm) Class() Class { return Elementwise }

func (o RMSNorm) check(c *checker) {
	x := c.floats(ID(o.X), 0)
	c.divides(o.Width, x.Cols)
	c.same(x, c.floats(ID(o.Y), x.Cols))
	if o.W != 0 {
		c.plain(o.W, 1, o.Width)
	}
}

func (o RMSNorm) cost(c *costing) {
	if o.W != 0 && c.count(o.Y) > 0 {
		c.weight(o.W, 1)
	}
}

// RoPE rotates the last 2*len(Freq) channels of each part of Width numbers in place, by adjacent pairs: (a + jb) times
// cos(t) + j sin(t), with t = float32(position) * Freq[i], rounded to float32 before cosine and sine are taken (model spec
// 3.6, 3.7). Inverse rotates back.
type RoPE struct {
	X        InOut
	Position In
	Freq     In
	Width    int
	Inverse  bool
}

func (RoPE) Class() Class { return Elementwise }

func (o RoPE) check(c *checker) {
	x, freq := c.floats(ID(o.X), 0), c.p.Buffer(ID(o.Freq))
	c.that(freq.Space == Const && 2*freq.Cols <= o.Width, "%q is no table of at most %d frequencies", freq.Name, o.Width/2)
	c.divides(o.Width, x.Cols)
	c.same(x, c.table(o.Position))
}

func (RoPE) cost(*costing) {}

// Hadamard multiplies each part of Width numbers, a power of two, with the Walsh-Hadamard matrix in natural (Sylvester)
// order times Width^-0.5, in place (model spec 3.8). It is its own inverse.
type Hadamard struct {
	X     InOut
	Width int
}

func (Hadamard) Class() Class { return Sum }

func (o Hadamard) check(c *checker) {
	c.that(o.Width&(o.Width-1) == 0, "the width %d is no power of two", o.Width)
	c.divides(o.Width, c.floats(ID(o.X), 0).Cols)
}

func (Hadamard) cost(*costing) {}

// Quantise rounds to what codes of Kind can hold with one power-of-two scale for every Group channels: of each part of
// Width numbers the first Channels, while the others are copied (model spec 3.3, 3.4; a last group may be short). A group
// with a NaN or an infinity fails the run. KindBF16 has no scale and no groups: each channel is rounded to bfloat16, ties to
// even. Y may be X.
type Quantise struct {
	X        In
	Y        Out
	Kind     quant.Kind // KindE4M3, KindE2M1 or KindBF16
	Width    int
	Channels int
	Group    int
}

func (Quantise) Class() Class { return Exact }

func (o Quantise) check(c *checker) {
	x := c.floats(ID(o.X), 0)
	c.divides(o.Width, x.Cols)
	c.that(o.Kind == quant.KindE4M3 || o.Kind == quant.KindE2M1 || o.Kind == quant.KindBF16, "there is no quantiser to %v", o.Kind)
	c.that(0 < o.Channels && o.Channels <= o.Width && o.Group > 0, "%d of %d channels in groups of %d", o.Channels, o.Width, o.Group)
	c.same(x, c.floats(ID(o.Y), x.Cols))
}

func (Quantise) cost(*costing) {}
