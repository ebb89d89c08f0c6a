package op

import (
	"fmt"
	"reflect"
	"strings"
)

// PageSize is how many positions a page of compressed rows stands for.
const PageSize = 128

// Caps are the capacities of a program.
type Caps struct {
	Rows    int // tokens in one run
	Slots   int // sequences that have state at the same time
	Pages   int // pages of compressed rows, all sequences together
	Context int // positions of one sequence
}

// Program is an ordered list of ops over named buffers. Nothing changes it once it is built.
//
//  1. An op reads only what an earlier op wrote, or what is a Weight, Const, Table, State or IO.
//  2. Names are unique; Buffers[0] is nobody's, so that ID 0 means none.
//  3. Every op passed its own check of shapes.
type Program struct {
	Name    string
	Caps    Caps
	Dims    []DimInfo
	Buffers []Buffer
	Ops     []Op

	byName map[string]ID
}

// DimInfo is a name and a capacity. Ratio is that of the windows it counts, or 0.
type DimInfo struct {
	Name     string
	Capacity int
	Ratio    int
}

// Buffer returns the description of a buffer.
func (p *Program) Buffer(id ID) Buffer { return p.Buffers[id] }

// Lookup finds a buffer by name; it returns 0 where there is none.
func (p *Program) Lookup(name string) ID { return p.byName[name] }

// Op is one step of a program: a struct of this package whose In, Out and InOut fields are its operands and whose other
// fields are its constants.
type Op interface {
	// Class says how near a device must come to the op's definition.
	Class() Class

	check(c *checker)
	cost(c *costing)
}

// Fused is an op that is defined by others. A device that lacks it runs those.
type Fused interface {
	Op
	decompose(b *Builder)
}

// Class is how near a device must come to device/ref, given the same inputs.
type Class uint8

const (
	Exact       Class = iota // the same bits: copies, selections, integers, and roundings of exact values
	Elementwise              // each element from a bounded number of float32 operations: a few units in the last place
	Sum                      // each element a sum of K products: (chain + tree depth + 2) * 2^-24 * sum |x*w| (design 5)
)

var classes = [...]string{Exact: "exact", Elementwise: "elementwise", Sum: "sum"}

func (c Class) String() string { return classes[c] }

// KindOf returns an op's name in the text form, such as "rmsnorm".
func KindOf(o Op) string { return strings.ToLower(reflect.TypeOf(o).Name()) }

// Operand is a buffer that an op uses.
type Operand struct {
	Field         string
	ID            ID
	Reads, Writes bool
}

var (
	inType    = reflect.TypeFor[In]()
	outType   = reflect.TypeFor[Out]()
	inOutType = reflect.TypeFor[InOut]()
)

// Operands lists the buffers that an op uses, in the order of its fields. Operands that are none are left out.
func Operands(o Op) []Operand {
	var list []Operand
	v := reflect.ValueOf(o)
	for i := range v.NumField() {
		reads, writes := direction(v.Field(i).Type())
		if (reads || writes) && v.Field(i).Int() != 0 {
			list = append(list, Operand{v.Type().Field(i).Name, ID(v.Field(i).Int()), reads, writes})
		}
	}
	return list
}

func direction(t reflect.Type) (reads, writes bool) {
	return t == inType || t == inOutType, t == outType || t == inOutType
}

// Expose returns the program with the named activations as IO, so that the caller allocates them and can look at them
// after a run. wanted is asked for every Temp.
func (p *Program) Expose(wanted func(name string) bool) *Program {
	q := *p
	q.Buffers = append([]Buffer(nil), p.Buffers...)
	for i := range q.Buffers {
		if b := &q.Buffers[i]; b.Space == Temp && wanted(b.Name) {
			b.Space = IO
		}
	}
	return &q
}

// Lower returns the program with every fused op that has() denies replaced by what it is made of.
func (p *Program) Lower(has func(Op) bool) *Program {
	b := &Builder{p: &Program{Name: p.Name, Caps: p.Caps, Dims: p.Dims, byName: map[string]ID{}}, written: map[ID]bool{}}
	for _, buffer := range p.Buffers {
		b.buffer(buffer)
	}
	for _, o := range p.Ops {
		b.lower(o, has)
	}
	return b.Program()
}

func (b *Builder) lower(o Op, has func(Op) bool) {
	fused, ok := o.(Fused)
	if !ok || has(o) {
		b.Add(o)
		return
	}
	name := b.p.Buffer(firstOutput(o)).Name
	inner := &Builder{p: b.p, written: b.written, prefix: name[:strings.LastIndexByte(name, '.')+1], pending: &[]Op{}}
	fused.decompose(inner)
	for _, part := range *inner.pending {
		b.lower(part, has)
	}
}

// firstOutput is the buffer beside which the inner buffers of a fused op are named.
func firstOutput(o Op) ID {
	for _, operand := range Operands(o) {
		if operand.Writes {
			return operand.ID
		}
	}
	panic(fmt.Sprintf("op: %s writes nothing", KindOf(o)))
}
