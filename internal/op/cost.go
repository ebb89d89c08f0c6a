package op

import (
	"math"

	"baleen/internal/quant"
)

// Load is what a run does, as far as its cost depends on it.
type Load struct {
	Contexts []int // for each row, how many positions it sees: its own and those before
	Logits   int   // rows whose logits are wanted
}

// Cost is what one run of a program moves and computes.
type Cost struct {
	Weights [quant.KindI64 + 1]int64 // bytes read, by kind of the numbers, their scales included
	KV      int64                    // bytes of window, compressed and index rows read; rows of one sequence that share entries count each for itself
	Pooled  int64                    // bytes of compressor frontiers read, by rows that complete a window
	Written int64                    // bytes of state written
	Flops   int64                    // of matrix products, attention and index scores; a multiply-add is two
}

// WeightBytes returns the bytes of weights of all kinds.
func (c Cost) WeightBytes() (n int64) {
	for _, bytes := range c.Weights {
		n += bytes
	}
	return n
}

// Cost adds up what the ops of the program cost under a load (model spec 16). Experts count as often as they are expected to
// be read: E * (1 - (1 - k/E)^rows).
func (p *Program) Cost(load Load) Cost {
	c := costing{p: p, load: load}
	for _, o := range p.Ops {
		o.cost(&c)
	}
	return c.total
}

// costing adds up.
type costing struct {
	p     *Program
	load  Load
	total Cost
}

// rows returns how many members of a dimension the load has.
func (c *costing) rows(d Dim) int64 {
	switch d {
	case Rows:
		return int64(len(c.load.Contexts))
	case Logits:
		return int64(c.load.Logits)
	}
	n := int64(0)
	for _, context := range c.load.Contexts {
		if context%c.p.Dims[d].Ratio == 0 {
			n++
		}
	}
	return n
}

func (c *costing) count(y Out) int64 { return c.rows(c.p.Buffer(ID(y)).Dim) }

// weight adds parts of a weight's matrices.
func (c *costing) weight(id In, parts float64) {
	b := c.p.Buffer(ID(id))
	c.total.Weights[b.Format.Kind] += int64(math.Round(parts * float64(c.p.Bytes(b)) / float64(b.Parts)))
}

// weightRows adds n rows of a matrix without scales.
func (c *costing) weightRows(id In, n int64) {
	b := c.p.Buffer(ID(id))
	c.total.Weights[b.Format.Kind] += n * c.p.Bytes(b) / int64(b.Rows)
}

func (c *costing) flops(n int64) { c.total.Flops += n }

func (c *costing) read(state In, rows int64) {
	c.total.KV += rows * int64(c.p.Buffer(ID(state)).Row.Bytes())
}

func (c *costing) pooled(state In, rows int64) {
	c.total.Pooled += rows * int64(c.p.Buffer(ID(state)).Row.Bytes())
}

func (c *costing) written(state ID, rows int64) {
	c.total.Written += rows * int64(c.p.Buffer(state).Row.Bytes())
}

// index adds the scoring of all visible entries.
func (c *costing) index(q, keys In, ratio int) {
	for _, context := range c.load.Contexts {
		entries := int64(context / ratio)
		c.read(keys, entries)
		c.flops(2 * int64(c.p.Buffer(ID(q)).Cols) * entries)
	}
}

// Distinct is the expected number of different experts that n rows with k of e each choose, evenly (model spec 16).
func Distinct(e, k int, n float64) float64 {
	return float64(e) * (1 - math.Pow(1-float64(k)/float64(e), n))
}
