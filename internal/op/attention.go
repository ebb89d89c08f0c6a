package op

// Visible returns how many compressed entries of a ratio a query at position t sees: those whose last token is not after t
// (model spec 6.5).
func Visible(t, ratio int) int { return (t + 1) / ratio }

// IndexScore is the lightning indexer's score of every visible compressed entry: with heads h of Width channels,
//
//	Scores[i][c] = Scale * sum_h W[i][h] * max(0, Q[i][h] . Keys[c])        for c < Visible(Position[i], Ratio)
//
// and -Inf for the entries after (model spec 8). Q is [rows, heads*Width], W [rows, heads], Scores [rows, entries].
type IndexScore struct {
	Q, W           In
	Slot, Position In
	Keys           In
	Scores         Out
	Ratio          int
	Scale          float64
}

func (IndexScore) Class() Class { return Sum }

func (o IndexScore) check(c *checker) {
	scores, entries := c.floats(ID(o.Scores), 0), o.checkInputs(c)
	c.that(scores.Cols >= entries, "%q is %d wide, but a context has %d entries", scores.Name, scores.Cols, entries)
	c.same(c.p.Buffer(ID(o.Q)), scores)
}

// checkInputs returns how many entries a context can have.
func (o IndexScore) checkInputs(c *checker) int {
	q, w := c.floats(ID(o.Q), 0), c.floats(ID(o.W), 0)
	c.divides(w.Cols, q.Cols)
	c.pages(ID(o.Keys), q.Cols/w.Cols, o.Ratio)
	c.same(q, w, c.table(o.Slot), c.table(o.Position))
	return c.p.Caps.Context / o.Ratio
}

func (o IndexScore) cost(c *costing) { c.index(o.Q, o.Keys, o.Ratio) }

// TopK selects the K largest numbers of each row of X: Ids[i] are their indices, the rest -1 where there are fewer than K.
// -Inf is never selected. Equal scores go to the lower index, -0 equals +0, NaN fails the run. The indices are in
// descending order of score, the -1 behind, or ascending themselves, the -1 before them, if Ascending. Ids is [n, K].
type TopK struct {
	X         In
	Ids       Out
	Ascending bool
}

func (TopK) Class() Class { return Exact }

func (o TopK) check(c *checker) { c.same(c.floats(ID(o.X), 0), c.ids(ID(o.Ids), 0)) }

func (TopK) cost(*costing) {}

// Select is IndexScore and then TopK in ascending order, without the scores in memory: they are as wide as the context.
type Select struct {
	Q, W           In
	Slot, Position In
	Keys           In
	Ids            Out
	Ratio          int
	Scale          float64
}

// Class is that of the selection, given equal scores.
func (Select) Class() Class { return Exact }

func (o Select) check(c *checker) {
	score, _ := o.parts(0, 0)
	score.checkInputs(c)
	c.same(c.floats(ID(o.Q), 0), c.ids(ID(o.Ids), 0))
}

func (o Select) cost(c *costing) { c.index(o.Q, o.Keys, o.Ratio) }

func (o Select) parts(scores In, out Out) (IndexScore, TopK) {
	return IndexScore{o.Q, o.W, o.Slot, o.Position, o.Keys, out, o.Ratio, o.Scale}, TopK{scores, o.Ids, true}
}

func (o Select) decompose(b *Builder) {
	scores := b.Temp("scores", b.p.Buffer(ID(o.Q)).Dim, max(1, b.p.Caps.Context/o.Ratio))
	score, top := o.parts(In(scores), Out(scores))
	b.Add(score)
	b.Add(top)
}

// Attend is attention with one key-value vector shared by all heads (model spec 6, steps 5 to 7, without the inverse
// rotation). The keys of row i are the entries of Window at the last Span positions up to Position[i], and, where Ratio is not 0, entries
// of Compressed: those named in Ids (-1 is none), or without Ids all visible ones. Position is that of the row, or with
// Builder.Last that of the last row of its sequence: then the rows of a run see each other, whatever their order. For each head h, with
// s_j = Scale * Q[i][h] . key_j and m the largest s_j,
//
//	Y[i][h] = sum_j exp(s_j - m) * key_j / (sum_j exp(s_j - m) + exp(Sink[h] - m))
//
// Q and Y are [rows, heads*width], Sink [1, heads].
type Attend struct {
	Q              In
	Slot, Position In
	Window         In
	Compressed     In
	Ids            In
	Sink           In
	Y              Out
	Span           int
	Ratio          int
	Scale          float64
}

func (Attend) Class() Class { return Sum }

func (o Attend) check(c *checker) {
	q := c.floats(ID(o.Q), 0)
	width := c.p.Buffer(ID(o.Window)).Row.Width
	c.that(o.Span > 0, "a window of %d", o.Span)
	c.ring(ID(o.Window), width, o.Span-1)
	c.divides(width, q.Cols)
	c.plain(o.Sink, 1, q.Cols/width)
	c.that((o.Compressed != 0) == (o.Ratio != 0), "Compressed and Ratio come together")
	c.that(o.Ids == 0 || o.Compressed != 0, "Ids of no entries")
	if o.Compressed != 0 {
		c.pages(ID(o.Compressed), width, o.Ratio)
	}
	if o.Ids != 0 {
		c.same(q, c.ids(ID(o.Ids), 0))
	}
	c.same(q, c.table(o.Slot), c.table(o.Position), c.floats(ID(o.Y), q.Cols))
}

func (o Attend) cost(c *costing) {
	c.weight(o.Sink, 1)
	width := int64(c.p.Buffer(ID(o.Q)).Cols)
	for _, context := range c.load.Contexts {
		window, entries := min(context, o.Span), 0
		if o.Ratio != 0 {
			entries = context / o.Ratio
		}
		if o.Ids != 0 {
			entries = min(entries, c.p.Buffer(ID(o.Ids)).Cols)
		}
		c.read(o.Window, int64(window))
		c.read(o.Compressed, int64(entries))
		c.flops(4 * width * int64(window+entries))
	}
}
