package op

import "baleen/internal/quant"

// SqrtSoftplus is Y = sqrt(log(1 + exp(X))), element by element; above 20 the softplus is X itself (model spec 9).
type SqrtSoftplus struct {
	X In
	Y Out
}

func (SqrtSoftplus) Class() Class { return Elementwise }

func (o SqrtSoftplus) check(c *checker) {
	x := c.floats(ID(o.X), 0)
	c.same(x, c.floats(ID(o.Y), x.Cols))
}

func (SqrtSoftplus) cost(*costing) {}

// AddBias is Y = X + Bias for every row. Bias is [1, width].
type AddBias struct {
	X, Bias In
	Y       Out
}

func (AddBias) Class() Class { return Elementwise }

func (o AddBias) check(c *checker) {
	x := c.floats(ID(o.X), 0)
	c.plain(o.Bias, 1, x.Cols)
	c.same(x, c.floats(ID(o.Y), x.Cols))
}

func (o AddBias) cost(c *costing) { c.weight(o.Bias, 1) }

// Lookup is Ids[i] = W[Token[i]], rows of a table of integers: the experts of a hash-routed layer. W is [vocabulary, k].
type Lookup struct {
	Token, W In
	Ids      Out
}

func (Lookup) Class() Class { return Exact }

func (o Lookup) check(c *checker) {
	w := c.weight(o.W, 0, 0)
	c.that(w.Parts == 1, "%q is a weight of experts", w.Name)
	c.that(w.Format.Kind == quant.KindI64 || w.Format.Kind == quant.KindI32, "%q is no table of integers", w.Name)
	c.same(c.table(o.Token), c.ids(ID(o.Ids), w.Cols))
}

func (o Lookup) cost(c *costing) { c.weightRows(o.W, c.count(o.Ids)) }

// RouteWeights are the weights of the chosen experts: W[i][s] = A[i][Ids[i][s]] / sum_s A[i][Ids[i][s]] * Scale. A is [rows,
// E], Ids and W [rows, k].
type RouteWeights struct {
	A, Ids In
	W      Out
	Scale  float64
}

func (RouteWeights) Class() Class { return Elementwise }

func (o RouteWeights) check(c *checker) {
	ids := c.ids(ID(o.Ids), 0)
	c.same(ids, c.floats(ID(o.A), 0), c.floats(ID(o.W), ids.Cols))
}

func (RouteWeights) cost(*costing) {}

// SwiGLU is H = silu(min(G, Limit)) * clamp(U, -Limit, Limit), where Limit 0 clamps nothing. With W, slot s of row i is also
// multiplied by W[i][s]: a routed expert's weight comes in before the down projection (model spec 9). G, U and H are [rows,
// k*M], W [rows, k].
type SwiGLU struct {
	G, U, W In
	H       Out
	Limit   float64
}

func (SwiGLU) Class() Class { return Elementwise }

func (o SwiGLU) check(c *checker) {
	g := c.floats(ID(o.G), 0)
	c.that(o.Limit >= 0, "a limit of %v", o.Limit)
	c.same(g, c.floats(ID(o.U), g.Cols), c.floats(ID(o.H), g.Cols))
	if o.W != 0 {
		w := c.floats(ID(o.W), 0)
		c.divides(w.Cols, g.Cols)
		c.same(g, w)
	}
}

func (SwiGLU) cost(*costing) {}

// Combine adds the outputs of a row's experts in ascending order of expert id, and the shared expert's last: Y[i] = sum_s
// X[i][s] + Shared[i]. X is [rows, k*d], Ids [rows, k], Shared and Y [rows, d].
type Combine struct {
	X, Ids, Shared In
	Y              Out
}

func (Combine) Class() Class { return Sum }

func (o Combine) check(c *checker) {
	shared, ids := c.floats(ID(o.Shared), 0), c.ids(ID(o.Ids), 0)
	c.same(shared, ids, c.floats(ID(o.X), ids.Cols*shared.Cols), c.floats(ID(o.Y), shared.Cols))
}

func (Combine) cost(*costing) {}

// Experts is everything between a row's choice of experts and their combined output: for each slot, W2 * h with
// h = SwiGLU(W1 x, W3 x, weight), h quantised to E4M3 per Group channels unless Group is 0; then Combine with Shared.
type Experts struct {
	X, Ids, W, Shared In
	W1, W2, W3        In
	Y                 Out
	Limit             float64
	Group             int
}

func (Experts) Class() Class { return Sum }

func (o Experts) check(c *checker) {
	w1 := c.matrix(o.W1, 0, 0)
	x, ids := c.floats(ID(o.X), w1.Cols), c.ids(ID(o.Ids), 0)
	w3 := c.matrix(o.W3, w1.Rows, w1.Cols)
	w2 := c.matrix(o.W2, 0, w1.Rows)
	c.that(w1.Parts == w2.Parts && w1.Parts == w3.Parts, "%d, %d and %d experts", w1.Parts, w2.Parts, w3.Parts)
	c.that(o.Limit >= 0 && o.Group >= 0, "a limit of %v, groups of %d", o.Limit, o.Group)
	c.same(x, ids, c.floats(ID(o.W), ids.Cols), c.floats(ID(o.Shared), w2.Rows), c.floats(ID(o.Y), w2.Rows))
}

func (o Experts) cost(c *costing) {
	k, n := int64(c.p.Buffer(ID(o.Ids)).Cols), c.count(o.Y)
	for _, id := range []In{o.W1, o.W2, o.W3} {
		w := c.p.Buffer(ID(id))
		c.weight(id, Distinct(w.Parts, int(k), float64(n)))
		c.flops(2 * n * k * int64(w.Rows) * int64(w.Cols))
	}
}

func (o Experts) decompose(b *Builder) {
	ids, w1, w2 := b.p.Buffer(ID(o.Ids)), b.p.Buffer(ID(o.W1)), b.p.Buffer(ID(o.W2))
	k, dim := ids.Cols, ids.Dim
	g := b.Temp("experts.gate", dim, k*w1.Rows)
	u := b.Temp("experts.up", dim, k*w1.Rows)
	h := b.Temp("experts.hidden", dim, k*w1.Rows)
	y := b.Temp("experts.down", dim, k*w2.Rows)
	b.Add(ExpertLinear{o.X, o.Ids, o.W1, Out(g)})
	b.Add(ExpertLinear{o.X, o.Ids, o.W3, Out(u)})
	b.Add(SwiGLU{In(g), In(u), o.W, Out(h), o.Limit})
	if o.Group != 0 {
		b.Add(Quantise{In(h), Out(h), quant.KindE4M3, w1.Rows, w1.Rows, o.Group})
	}
	b.Add(ExpertLinear{In(h), o.Ids, o.W2, Out(y)})
	b.Add(Combine{In(y), o.Ids, o.Shared, o.Y})
}
