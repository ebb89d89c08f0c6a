package op

import (
	"fmt"

	"baleen/internal/quant"
)

// checker tests the operands of one op against its definition.
type checker struct {
	p  *Program
	op Op
}

func (c *checker) fail(format string, args ...any) {
	panic(fmt.Sprintf("op: recording %s: %s: %s", c.p.Name, c.p.line(c.op), fmt.Sprintf(format, args...)))
}

func (c *checker) that(ok bool, format string, args ...any) {
	if !ok {
		c.fail(format, args...)
	}
}

// floats returns an activation of float32 and checks its width; width 0 takes any.
func (c *checker) floats(id ID, width int) Buffer { return c.activation(id, quant.KindF32, width) }

// ids does the same for int32.
func (c *checker) ids(id ID, width int) Buffer { return c.activation(id, quant.KindI32, width) }

func (c *checker) activation(id ID, kind quant.Kind, width int) Buffer {
	b := c.p.Buffer(id)
	c.that(id != 0 && (b.Space == Temp || b.Space == IO), "%q is no activation", b.Name)
	c.that(b.Kind == kind, "%q is %v, not %v", b.Name, b.Kind, kind)
	c.that(width == 0 || b.Cols == width, "%q is %d wide, not %d", b.Name, b.Cols, width)
	return b
}

// same checks that buffers have as many rows.
func (c *checker) same(buffers ...Buffer) {
	for _, b := range buffers[1:] {
		c.that(b.Dim == buffers[0].Dim, "%q counts %s and %q counts %s", buffers[0].Name, c.p.Dims[buffers[0].Dim].Name, b.Name, c.p.Dims[b.Dim].Name)
	}
}

// weight checks a matrix; rows or cols of 0 take any.
func (c *checker) weight(id In, rows, cols int) Buffer {
	b := c.p.Buffer(ID(id))
	c.that(id != 0 && b.Space == Weight, "%q is no weight", b.Name)
	c.that((rows == 0 || b.Rows == rows) && (cols == 0 || b.Cols == cols), "%q is [%d,%d], not [%d,%d]", b.Name, b.Rows, b.Cols, rows, cols)
	return b
}

// plain checks a weight that is numbers without scales: a norm, a bias, a table of positions.
func (c *checker) plain(id In, rows, cols int) Buffer {
	b := c.weight(id, rows, cols)
	c.that(b.Parts == 1 && (b.Format.Kind == quant.KindF32 || b.Format.Kind == quant.KindBF16), "%q is %v, not f32 or bf16", b.Name, b.Format)
	return b
}

func (c *checker) table(id In) Buffer {
	b := c.p.Buffer(ID(id))
	c.that(id != 0 && b.Space == Table, "%q is no table", b.Name)
	return b
}

func (c *checker) state(id ID, width int) Buffer {
	b := c.p.Buffer(id)
	c.that(id != 0 && b.Space == State, "%q is no state", b.Name)
	c.that(b.Row.Width == width, "%q has rows of %d, not %d", b.Name, b.Row.Width, width)
	return b
}

// matrix checks a weight that rows are multiplied with.
func (c *checker) matrix(id In, rows, cols int) Buffer {
	b := c.weight(id, rows, cols)
	c.that(b.Format.Kind != quant.KindI32 && b.Format.Kind != quant.KindI64, "%q is a table of integers", b.Name)
	return b
}

// ring checks state that holds behind rows by position besides those of a run, which may all be of one sequence.
func (c *checker) ring(id ID, width, behind int) {
	b := c.state(id, width)
	c.that(b.Ring >= behind+c.p.Caps.Rows, "%q is a ring of %d, not of %d behind a run of %d", b.Name, b.Ring, behind, c.p.Caps.Rows)
}

// pages checks state of compressed entries: a page of them stands for PageSize positions, as in the page tables.
func (c *checker) pages(id ID, width, ratio int) {
	b := c.state(id, width)
	c.that(b.PerPage > 0 && b.PerPage*ratio == PageSize, "%q has %d rows for a page, not %d positions / %d", b.Name, b.PerPage, PageSize, ratio)
}

// alone checks that an op writes nothing that it also names elsewhere. Only Quantise allows that.
func (c *checker) alone(operands []Operand) {
	if _, may := c.op.(Quantise); may {
		return
	}
	for i, a := range operands {
		for _, b := range operands[i+1:] {
			c.that(a.ID != b.ID || !a.Writes && !b.Writes, "%s and %s are one buffer", a.Field, b.Field)
		}
	}
}

// divides checks that width is made of whole parts.
func (c *checker) divides(part, width int) {
	c.that(part > 0 && width%part == 0, "%d is not made of whole parts of %d", width, part)
}
