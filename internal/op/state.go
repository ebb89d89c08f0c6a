package op

// Store packs rows into state: row i of X becomes entry Entry[i]/Divide of slot Slot[i]. A bfloat16 tail is rounded; what codes
// of S cannot hold exactly fails the run: a Quantise before has to round it.
type Store struct {
	X, Slot, Entry In
	S              InOut
	Divide         int
}

func (Store) Class() Class { return Exact }

func (o Store) check(c *checker) {
	x := c.floats(ID(o.X), 0)
	c.that(o.Divide > 0, "entries are divided by %d", o.Divide)
	if c.state(ID(o.S), x.Cols).PerPage > 0 {
		c.pages(ID(o.S), x.Cols, o.Divide)
	}
	c.same(x, c.table(o.Slot), c.table(o.Entry))
}

func (o Store) cost(c *costing) { c.written(ID(o.S), c.rows(c.p.Buffer(ID(o.X)).Dim)) }

// Pool compresses the Ratio tokens from position Start[i] of slot Slot[i] into Y[i], channel by channel, from the rows that
// a frontier remembers by position: values U and scores Z, to which row (position mod Ratio) of APE is added first.
//
//	Y[i][j] = sum_p softmax_p(Z_p[j] + APE[p mod Ratio][j]) * U_p[j]        over the tokens of the window
//
// With Overlap, U, Z and APE are twice as wide as Y: the tokens of the window take part with the second half of their
// channels, and the Ratio tokens before it, if there are any, with the first (model spec 7).
type Pool struct {
	U, Z, APE   In
	Slot, Start In
	Y           Out
	Ratio       int
	Overlap     bool
}

func (Pool) Class() Class { return Sum }

func (o Pool) check(c *checker) {
	y := c.floats(ID(o.Y), 0)
	width, tokens := y.Cols, o.Ratio
	if o.Overlap {
		width, tokens = 2*width, 2*tokens
	}
	c.that(o.Ratio > 0 && c.p.Dims[y.Dim].Ratio == o.Ratio, "%q counts %s, not windows of %d", y.Name, c.p.Dims[y.Dim].Name, o.Ratio)
	c.ring(ID(o.U), width, tokens-1)
	c.ring(ID(o.Z), width, tokens-1)
	c.plain(o.APE, o.Ratio, width)
	c.same(y, c.table(o.Slot), c.table(o.Start))
}

func (o Pool) cost(c *costing) {
	n := c.count(o.Y)
	if n > 0 {
		c.weight(o.APE, 1)
	}
	c.pooled(o.U, n*int64(o.Ratio)) // with overlap twice the tokens, half of each
	c.pooled(o.Z, n*int64(o.Ratio))
}
