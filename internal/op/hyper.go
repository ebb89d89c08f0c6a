package op

// HCSplit makes the mixing weights of a hyper-connection site from the n streams X and their projection M = F X (model
// spec 5, steps 2 to 6). With rho = 1/sqrt(mean(X^2) + NormEps) over all n*d numbers and m = M*rho:
//
//	Pre[j]    = sigmoid(m[j]*Scale[0] + Base[j]) + Eps
//	Post[j]   = 2*sigmoid(m[n+j]*Scale[1] + Base[n+j])
//	Comb[j,k] = Sinkhorn of m[2n+j*n+k]*Scale[2] + Base[2n+j*n+k]
//
// Sinkhorn: softmax over k of each row, plus Eps; each column divided by (its sum + Eps); then Iters-1 times each row by
// (its sum + Eps) and each column by (its sum + Eps). Post and Comb may be none: the final head has only Pre, and M, Base
// and Scale are then n, n and 1 wide. Pre and Post are [rows, n], Comb [rows, n*n].
type HCSplit struct {
	X, M, Base, Scale In
	Pre, Post, Comb   Out
	Streams, Iters    int
	NormEps, Eps      float64
}

func (HCSplit) Class() Class { return Elementwise }

func (o HCSplit) check(c *checker) {
	n := o.Streams
	width, scales := n, 1
	x, pre := c.floats(ID(o.X), 0), c.floats(ID(o.Pre), n)
	if o.Comb != 0 {
		width, scales = 2*n+n*n, 3
		c.same(x, c.floats(ID(o.Post), n), c.floats(ID(o.Comb), n*n))
	}
	c.that((o.Post == 0) == (o.Comb == 0), "Post and Comb come together")
	c.divides(n, x.Cols)
	c.plain(o.Base, 1, width)
	c.plain(o.Scale, 1, scales)
	c.same(x, pre, c.floats(ID(o.M), width))
}

func (o HCSplit) cost(c *costing) {
	if c.count(o.Pre) > 0 {
		c.weight(o.Base, 1)
		c.weight(o.Scale, 1)
	}
}

// HCCollapse makes one stream of n: Y = sum_j Pre[j] * X_j. X is [rows, n*d], Y [rows, d].
type HCCollapse struct {
	X, Pre In
	Y      Out
}

func (HCCollapse) Class() Class { return Sum }

func (o HCCollapse) check(c *checker) {
	x, pre := c.floats(ID(o.X), 0), c.floats(ID(o.Pre), 0)
	c.divides(pre.Cols, x.Cols)
	c.same(x, pre, c.floats(ID(o.Y), x.Cols/pre.Cols))
}

func (HCCollapse) cost(*costing) {}

// HCExpand makes n streams of a sublayer's output A and the streams X before it: Y_k = Post[k]*A + sum_j Comb[j,k] * X_j. The
// sum is over the first index of Comb (model spec 5). A is [rows, d], X and Y [rows, n*d].
type HCExpand struct {
	A, X, Post, Comb In
	Y                Out
}

func (HCExpand) Class() Class { return Sum }

func (o HCExpand) check(c *checker) {
	a, post := c.floats(ID(o.A), 0), c.floats(ID(o.Post), 0)
	n := post.Cols
	c.same(a, post, c.floats(ID(o.X), n*a.Cols), c.floats(ID(o.Comb), n*n), c.floats(ID(o.Y), n*a.Cols))
}

func (HCExpand) cost(*costing) {}
