package ref

import (
	"fmt"

	"baleen/internal/device"
	"baleen/internal/op"
)

// executable is a program whose buffers are bound.
type executable struct {
	*op.Program
	bound []device.Buffer // by ID; nil for what a run makes itself
	last  []int           // by ID: the op after which a Temp is not needed any more
}

// Load binds a program's buffers.
func (d *Device) Load(p *op.Program, bind map[op.ID]device.Buffer) (device.Executable, error) {
	e := &executable{p, make([]device.Buffer, len(p.Buffers)), make([]int, len(p.Buffers))}
	for i, o := range p.Ops {
		if !d.Info().Has(o) {
			return nil, fmt.Errorf("cannot load: program %s: %s is no op of this device: lower the program first", p.Name, op.KindOf(o))
		}
		for _, operand := range op.Operands(o) {
			e.last[operand.ID] = i
			b := p.Buffer(operand.ID)
			if b.Space != op.Weight && b.Space != op.State && b.Space != op.IO {
				continue
			}
			if err := fits(p, b, bind[operand.ID]); err != nil {
				return nil, fmt.Errorf("cannot load: program %s: buffer %s: %w", p.Name, b.Name, err)
			}
			e.bound[operand.ID] = bind[operand.ID]
		}
	}
	return e, nil
}

// fits tells what is wrong with a buffer that is bound to a description.
func fits(p *op.Program, b op.Buffer, bound device.Buffer) error {
	switch bound := bound.(type) {
	case nil:
		return fmt.Errorf("nothing is bound to it: allocate it and bind it")
	case *weight:
		if b.Space == op.Weight && len(bound.parts) == b.Parts && bound.Format == b.Format && bound.Rows == b.Rows && bound.Cols == b.Cols {
			return nil
		}
	default:
		if b.Space != op.Weight && byteSize(bound) == p.Bytes(b) {
			return nil
		}
	}
	return fmt.Errorf("what is bound to it has another shape, or was not uploaded: allocate it from this description")
}

// run is one run of a program.
type run struct {
	*executable
	args  *op.Args
	temps []*activation // by ID; of Temps those that live
}

// Run runs all ops in order.
func (*Device) Run(exe device.Executable, args *op.Args) error {
	e := exe.(*executable)
	r := &run{e, args, make([]*activation, len(e.Buffers))}
	for i, o := range e.Ops {
		operands := op.Operands(o)
		for _, operand := range operands {
			if b := r.Buffer(operand.ID); b.Space == op.Temp && r.temps[operand.ID] == nil {
				r.temps[operand.ID] = newActivation(b.Kind, r.rows(operand.ID)*b.Cols)
			}
		}
		if err := r.do(o); err != nil {
			return fmt.Errorf("run failed: program %s: op %d, %s: %w", e.Name, i, op.KindOf(o), err)
		}
		for _, operand := range operands {
			if err := r.check(operand); err != nil {
				return fmt.Errorf("run failed: program %s: op %d, %s: %w", e.Name, i, op.KindOf(o), err)
			}
			if e.last[operand.ID] == i {
				r.temps[operand.ID] = nil
			}
		}
	}
	return nil
}

// check looks for what is no number in what an op wrote.
func (r *run) check(operand op.Operand) error {
	b := r.Buffer(operand.ID)
	if !operand.Writes || b.Space == op.State {
		return nil
	}
	for i := range r.rows(operand.ID) * b.Cols {
		if a := r.activation(operand.ID); a.floats != nil && a.floats[i] != a.floats[i] {
			return fmt.Errorf("NaN in %s, row %d, channel %d: a weight is damaged, or numbers overflow", b.Name, i/b.Cols, i%b.Cols)
		}
	}
	return nil
}

// do runs one op.
func (r *run) do(o op.Op) error {
	switch o := o.(type) {
	case op.Embed:
		return r.embed(o)
	case op.Linear:
		return r.linear(o)
	case op.ExpertLinear:
		return r.expertLinear(o)
	case op.Gather:
		return r.gather(o)
	case op.Add:
		return r.add(o)
	case op.Mean:
		return r.mean(o)
	case op.Join:
		return r.join(o)
	case op.RMSNorm:
		return r.rmsNorm(o)
	case op.RoPE:
		return r.rope(o)
	case op.Hadamard:
		return r.hadamard(o)
	case op.Quantise:
		return r.quantise(o)
	case op.HCSplit:
		return r.hcSplit(o)
	case op.HCCollapse:
		return r.hcCollapse(o)
	case op.HCExpand:
		return r.hcExpand(o)
	case op.Store:
		return r.store(o)
	case op.Pool:
		return r.pool(o)
	case op.IndexScore:
		return r.indexScore(o)
	case op.TopK:
		return r.topK(o)
	case op.Select:
		return r.selectEntries(o)
	case op.Attend:
		return r.attend(o)
	case op.SqrtSoftplus:
		return r.sqrtSoftplus(o)
	case op.AddBias:
		return r.addBias(o)
	case op.Lookup:
		return r.lookup(o)
	case op.RouteWeights:
		return r.routeWeights(o)
	case op.SwiGLU:
		return r.swiGLU(o)
	case op.Combine:
		return r.combine(o)
	}
	return fmt.Errorf("no such op: Load should have refused it")
}

// rows returns how many rows an activation or a table has in this run.
func (r *run) rows(id op.ID) int { return r.args.Counts[r.Buffer(id).Dim] }

func (r *run) activation(id op.ID) *activation {
	if a, bound := r.bound[id].(*activation); bound {
		return a
	}
	return r.temps[id]
}

// row returns row i of an activation of float32, to read or to write.
func (r *run) row(id op.ID, i int) []float32 {
	cols := r.Buffer(id).Cols
	return r.activation(id).floats[i*cols:][:cols]
}

// in and out are row for the operands of an op.
func (r *run) in(id op.In, i int) []float32   { return r.row(op.ID(id), i) }
func (r *run) out(id op.Out, i int) []float32 { return r.row(op.ID(id), i) }

// ids returns row i of an activation of int32.
func (r *run) ids(id op.ID, i int) []int32 {
	cols := r.Buffer(id).Cols
	return r.activation(id).ints[i*cols:][:cols]
}

func (r *run) table(id op.In) []int32  { return r.args.Tables[id] }
func (r *run) weight(id op.In) *weight { return r.bound[id].(*weight) }
func (r *run) cols(id op.In) int       { return r.Buffer(op.ID(id)).Cols }
func (r *run) outputs(id op.Out) int   { return r.rows(op.ID(id)) }

// vector decodes a small weight whole.
func (r *run) vector(id op.In) ([]float32, error) { return r.weight(id).all() }
