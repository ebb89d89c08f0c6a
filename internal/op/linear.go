package op

// Embed looks tokens up: Y[i] = W[Token[i]], written Copies times side by side (the streams of a hyper-connection start
// equal). Where ZeroFirst, a table of positions, is given, rows at position 0 are zeros instead. W is [vocabulary, d], Y
// [rows, Copies*d].
type Embed struct {
	Token, W  In
	Y         Out
	Copies    int
	ZeroFirst In
}

func (Embed) Class() Class { return Exact }

func (o Embed) check(c *checker) {
	w := c.plain(o.W, 0, 0)
	c.that(o.Copies > 0, "%d copies", o.Copies)
	c.same(c.table(o.Token), c.floats(ID(o.Y), o.Copies*w.Cols))
	if o.ZeroFirst != 0 {
		c.same(c.table(o.Token), c.table(o.ZeroFirst))
	}
}

func (o Embed) cost(c *costing) { c.weightRows(o.W, c.count(o.Y)) }

// Linear is Y = X * W^T. With Groups G > 1, X is G parts of K side by side and W is G matrices [N, K] one below the other:
// part g of Y is the product of part g of X and matrix g. W is [G*N, K], X [n, G*K], Y [n, G*N]. Without groups (Groups 1) X
// may be m parts of K side by side, which all meet the one matrix: X is [n, m*K], Y [n, m*N].
type Linear struct {
	X, W   In
	Y      Out
	Groups int
}

func (Linear) Class() Class { return Sum }

func (o Linear) check(c *checker) {
	w := c.matrix(o.W, 0, 0)
	c.that(w.Parts == 1, "%q is a weight of experts", w.Name)
	c.divides(o.Groups, w.Rows)
	x, y := c.floats(ID(o.X), 0), c.floats(ID(o.Y), 0)
	c.same(x, y)
	if o.Groups > 1 {
		c.that(x.Cols == o.Groups*w.Cols && y.Cols == w.Rows, "%d groups take %d to %d, not %d to %d", o.Groups, o.Groups*w.Cols, w.Rows, x.Cols, y.Cols)
		return
	}
	c.divides(w.Cols, x.Cols)
	c.that(y.Cols == x.Cols/w.Cols*w.Rows, "%d parts of %d are %d wide, not %d", x.Cols/w.Cols, w.Rows, x.Cols/w.Cols*w.Rows, y.Cols)
}

func (o Linear) cost(c *costing) {
	if n := c.count(o.Y); n > 0 {
		c.weight(o.W, 1)
		c.flops(2 * n * int64(c.p.Buffer(ID(o.Y)).Cols) * int64(c.p.Buffer(ID(o.W)).Cols))
	}
}

// ExpertLinear is a Linear whose matrix is chosen for each row and slot: slot s of Y[i] is W[Ids[i,s]] * x, where x is slot
// s of X[i], or all of X[i] if X is one slot wide. W is E matrices [N, K], Ids [n, k], X [n, K] or [n, k*K], Y [n, k*N].
type ExpertLinear struct {
	X, Ids, W In
	Y         Out
}

func (ExpertLinear) Class() Class { return Sum }

func (o ExpertLinear) check(c *checker) {
	w, ids := c.matrix(o.W, 0, 0), c.ids(ID(o.Ids), 0)
	x, y := c.floats(ID(o.X), 0), c.floats(ID(o.Y), ids.Cols*w.Rows)
	c.that(x.Cols == w.Cols || x.Cols == ids.Cols*w.Cols, "%q is %d wide, not one or %d slots of %d", x.Name, x.Cols, ids.Cols, w.Cols)
	c.same(ids, x, y)
}

func (o ExpertLinear) cost(c *costing) {
	w, n, k := c.p.Buffer(ID(o.W)), c.count(o.Y), int64(c.p.Buffer(ID(o.Ids)).Cols)
	c.weight(o.W, Distinct(w.Parts, int(k), float64(n)))
	c.flops(2 * n * k * int64(w.Rows) * int64(w.Cols))
}

// Gather picks rows: Y[i] = X[Row[i]].
type Gather struct {
	X, Row In
	Y      Out
}

func (Gather) Class() Class { return Exact }

func (o Gather) check(c *checker) {
	x := c.floats(ID(o.X), 0)
	c.that(x.Dim == Rows, "%q counts %s, not rows", x.Name, c.p.Dims[x.Dim].Name)
	c.same(c.table(o.Row), c.floats(ID(o.Y), x.Cols))
}

func (Gather) cost(*costing) {}

// Add is Y = A + B, where A, if it is narrower, is added to every part of B of its width. A is [n, d], B and Y [n, m*d].
type Add struct {
	A, B In
	Y    Out
}

func (Add) Class() Class { return Elementwise }

func (o Add) check(c *checker) {
	a, b := c.floats(ID(o.A), 0), c.floats(ID(o.B), 0)
	c.divides(a.Cols, b.Cols)
	c.same(a, b, c.floats(ID(o.Y), b.Cols))
}

func (Add) cost(*costing) {}

// Mean is the mean of parts side by side: Y = (X_0 + ... + X_{m-1}) / m. X is [n, m*d], Y [n, d].
type Mean struct {
	X In
	Y Out
}

func (Mean) Class() Class { return Sum }

func (o Mean) check(c *checker) {
	x, y := c.floats(ID(o.X), 0), c.floats(ID(o.Y), 0)
	c.divides(y.Cols, x.Cols)
	c.same(x, y)
}

func (Mean) cost(*costing) {}

// Join puts rows side by side: Y[i] is A[i], then B[i].
type Join struct {
	A, B In
	Y    Out
}

func (Join) Class() Class { return Exact }

func (o Join) check(c *checker) {
	a, b := c.floats(ID(o.A), 0), c.floats(ID(o.B), 0)
	c.same(a, b, c.floats(ID(o.Y), a.Cols+b.Cols))
}

func (Join) cost(*costing) {}
