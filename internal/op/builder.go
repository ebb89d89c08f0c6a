package op

import (
	"fmt"
	"reflect"

	"baleen/internal/quant"
)

// Builder records a Program. It checks every op while it is recorded; what it finds is a mistake in the recording code,
// so it panics.
type Builder struct {
	p       *Program
	prefix  string
	written map[ID]bool
	pending *[]Op // where the parts of a fused op go while it is decomposed
}

// NewBuilder begins a program with the tables that every program has: token, slot and position of each row, and the row
// of each wanted logit.
func NewBuilder(name string, caps Caps) *Builder {
	b := &Builder{p: &Program{Name: name, Caps: caps, byName: map[string]ID{}}, written: map[ID]bool{}}
	b.p.Dims = []DimInfo{Rows: {"rows", caps.Rows, 0}, Logits: {"logits", caps.Rows, 0}}
	for _, table := range []Buffer{
		{},
		{Name: "token", Space: Table, Dim: Rows},
		{Name: "slot", Space: Table, Dim: Rows},
		{Name: "position", Space: Table, Dim: Rows},
		{Name: "logit.row", Space: Table, Dim: Logits},
	} {
		table.Kind, table.Cols = quant.KindI32, 1
		b.buffer(table)
	}
	return b
}

// The tables of NewBuilder.
const (
	Token    In = 1 + iota // [rows] the token id at the row's position
	Slot                   // [rows] which sequence
	Position               // [rows] absolute, from 0
	LogitRow               // [logits] a row
)

// lastTable is the name of the table that Last makes.
const lastTable = "last"

// Last returns the table [rows] that holds, for each row, the position of the last row of its sequence in the run. A
// program that uses it has it once.
func (b *Builder) Last() In {
	return b.once(Buffer{Name: lastTable, Space: Table, Dim: Rows, Kind: quant.KindI32, Cols: 1})
}

// Program returns what was recorded.
func (b *Builder) Program() *Program { return b.p }

// Buffer returns the description of a buffer.
func (b *Builder) Buffer(id ID) Buffer { return b.p.Buffer(id) }

// At returns a builder of the same program whose names of new activations begin with prefix and a dot.
func (b *Builder) At(prefix string) *Builder {
	inner := *b
	inner.prefix += prefix + "."
	return &inner
}

// Add records an op.
func (b *Builder) Add(o Op) {
	c := &checker{p: b.p, op: o}
	o.check(c)
	c.alone(Operands(o))
	for _, operand := range Operands(o) {
		space := b.p.Buffer(operand.ID).Space
		if operand.Reads && space == Temp && !b.written[operand.ID] {
			c.fail("%s is read before it is written", operand.Field)
		}
		if operand.Writes && space < State {
			c.fail("%s is a %v, which nobody writes", operand.Field, space)
		}
		b.written[operand.ID] = b.written[operand.ID] || operand.Writes
	}
	if b.pending != nil {
		*b.pending = append(*b.pending, o)
		return
	}
	b.p.Ops = append(b.p.Ops, o)
}

func (b *Builder) buffer(buffer Buffer) ID {
	id := ID(len(b.p.Buffers))
	if _, twice := b.p.byName[buffer.Name]; twice {
		panic(fmt.Sprintf("op: recording %s: two buffers are named %q", b.p.Name, buffer.Name))
	}
	b.p.Buffers = append(b.p.Buffers, buffer)
	b.p.byName[buffer.Name] = id
	return id
}

// Temp makes an activation of float32.
func (b *Builder) Temp(name string, dim Dim, cols int) ID {
	return b.buffer(Buffer{Name: b.prefix + name, Space: Temp, Dim: dim, Kind: quant.KindF32, Cols: cols})
}

// Ids makes an activation of int32; -1 stands for none.
func (b *Builder) Ids(name string, dim Dim, cols int) ID {
	return b.buffer(Buffer{Name: b.prefix + name, Space: Temp, Dim: dim, Kind: quant.KindI32, Cols: cols})
}

// Beside makes an activation of the shape of x, named after it.
func (b *Builder) Beside(x ID, suffix string) ID {
	y := b.p.Buffer(x)
	y.Name, y.Space = y.Name+"."+suffix, Temp
	return b.buffer(y)
}

// IO makes an activation that the caller allocates. It is known by this name outside: the prefix does not apply.
func (b *Builder) IO(name string, dim Dim, cols int) ID {
	return b.buffer(Buffer{Name: name, Space: IO, Dim: dim, Kind: quant.KindF32, Cols: cols})
}

// once returns the buffer of that name, made at the first call; later calls must describe the same. The prefix does not
// apply.
func (b *Builder) once(buffer Buffer) In {
	if id, ok := b.p.byName[buffer.Name]; ok {
		if !reflect.DeepEqual(b.p.Buffer(id), buffer) {
			panic(fmt.Sprintf("op: recording %s: %q is described in two ways", b.p.Name, buffer.Name))
		}
		return In(id)
	}
	return In(b.buffer(buffer))
}

// Weight names a weight: parts matrices [rows, cols] in their stored format.
func (b *Builder) Weight(name string, f quant.Format, parts, rows, cols int) In {
	return b.once(Buffer{Name: name, Space: Weight, Format: f, Parts: parts, Rows: rows, Cols: cols})
}

// Const names a vector that the program carries.
func (b *Builder) Const(name string, values []float32) In {
	return b.once(Buffer{Name: name, Space: Const, Cols: len(values), Values: values})
}

// Ring names state that each slot has ring rows of.
func (b *Builder) Ring(name string, row quant.Row, ring int) ID {
	return ID(b.once(Buffer{Name: name, Space: State, Row: row, Ring: ring, Cols: row.Width}))
}

// Pages names state that each page has perPage rows of.
func (b *Builder) Pages(name string, row quant.Row, perPage int) ID {
	return ID(b.once(Buffer{Name: name, Space: State, Row: row, PerPage: perPage, Cols: row.Width}))
}

// Windows are the compression windows of one ratio that a run completes.
type Windows struct {
	Dim   Dim
	Slot  In // whose
	Start In // position of the first of its tokens
}

// Windows returns the dimension and the tables of a ratio's windows. Every program that uses a ratio has them once.
func (b *Builder) Windows(ratio int) Windows {
	name := fmt.Sprintf("windows.%d", ratio)
	if id := b.p.Lookup(name + ".slot"); id != 0 {
		return Windows{b.p.Buffer(id).Dim, In(id), In(b.p.Lookup(name + ".start"))}
	}
	dim := Dim(len(b.p.Dims))
	// n rows of one sequence complete at most ceil(n/ratio) windows, and so do n rows of many sequences, one each at most.
	capacity := min(b.p.Caps.Rows, b.p.Caps.Rows/ratio+b.p.Caps.Slots)
	b.p.Dims = append(b.p.Dims, DimInfo{name, capacity, ratio})
	table := Buffer{Space: Table, Dim: dim, Kind: quant.KindI32, Cols: 1}
	table.Name = name + ".slot"
	slot := b.buffer(table)
	table.Name = name + ".start"
	return Windows{dim, In(slot), In(b.buffer(table))}
}
