package cpu

import "baleen/internal/op"

// A program's ops are run in steps: all workers do the tasks of a step, in any order, and meet before the next. An op
// goes into the earliest step that its operands allow:
//
//   - row steps hold ops that work on each row by itself. Chains of them on the same rows are one task for each row: no
//     meeting between a norm, a rotation and a store;
//   - wide steps hold products, attention and selection, whose tasks are parts of one op. All that are ready together
//     share a step, so that workers wait once for several matrices.
type phase struct {
	rows map[op.Dim][]int // ops of a row step, by what they count, in order
	wide []int            // or ops of a wide step
}

// schedule orders the ops of a program into phases.
func schedule(p *op.Program) []phase {
	s := &scheduling{program: p, before: dependencies(p), when: make([]int, len(p.Ops))}
	for i := range s.when {
		s.when[i] = -1
	}
	for s.done < len(p.Ops) {
		s.rowPhase()
		s.widePhase()
	}
	return s.phases
}

type scheduling struct {
	program *op.Program
	before  [][]int // by op: those that must be done before it
	when    []int   // by op: its phase, or -1
	done    int
	phases  []phase
}

// rowPhase takes all ops on rows that are ready, and those that become so within the same row.
func (s *scheduling) rowPhase() {
	now := len(s.phases)
	p := phase{rows: map[op.Dim][]int{}}
	for i, o := range s.program.Ops {
		dim, ok := rowDim(s.program, o)
		if s.when[i] >= 0 || !ok {
			continue
		}
		ready := true
		for _, b := range s.before[i] {
			within, _ := rowDim(s.program, s.program.Ops[b])
			ready = ready && s.when[b] >= 0 && (s.when[b] < now || within == dim && sameRow(o))
		}
		if ready {
			p.rows[dim] = append(p.rows[dim], i)
			s.when[i] = now
			s.done++
		}
	}
	if len(p.rows) > 0 {
		s.phases = append(s.phases, p)
	}
}

func (s *scheduling) widePhase() {
	now := len(s.phases)
	p := phase{}
	for i, o := range s.program.Ops {
		if _, rows := rowDim(s.program, o); s.when[i] >= 0 || rows {
			continue
		}
		ready := true
		for _, b := range s.before[i] {
			ready = ready && s.when[b] >= 0 && s.when[b] < now
		}
		if ready {
			p.wide = append(p.wide, i)
		}
	}
	for _, i := range p.wide {
		s.when[i] = now
		s.done++
	}
	if len(p.wide) > 0 {
		s.phases = append(s.phases, p)
	}
}

// rowDim tells whether an op works on each row by itself, and what its rows count.
func rowDim(p *op.Program, o op.Op) (op.Dim, bool) {
	switch o := o.(type) {
	case op.Linear, op.ExpertLinear, op.Experts, op.IndexScore, op.Select, op.Attend:
		return 0, false
	case op.Store:
		return p.Buffer(op.ID(o.X)).Dim, true
	}
	for _, operand := range op.Operands(o) {
		if operand.Writes {
			return p.Buffer(operand.ID).Dim, true
		}
	}
	return 0, false
}

// sameRow tells whether an op on rows reads no other row than its own.
func sameRow(o op.Op) bool {
	switch o.(type) {
	case op.Gather, op.Pool:
		return false
	}
	return true
}

// dependencies lists for each op those before it that write what it uses, or use what it writes.
func dependencies(p *op.Program) [][]int {
	before := make([][]int, len(p.Ops))
	writer := map[op.ID]int{}
	readers := map[op.ID][]int{}
	for i, o := range p.Ops {
		operands := op.Operands(o)
		for _, operand := range operands {
			if w, ok := writer[operand.ID]; ok {
				before[i] = append(before[i], w)
			}
			if operand.Writes {
				before[i] = append(before[i], readers[operand.ID]...)
			}
		}
		for _, operand := range operands {
			if operand.Writes {
				writer[operand.ID], readers[operand.ID] = i, nil
			}
			if operand.Reads {
				readers[operand.ID] = append(readers[operand.ID], i)
			}
		}
		before[i] = without(before[i], i)
	}
	return before
}

func without(list []int, i int) []int {
	kept := list[:0]
	for _, v := range list {
		if v != i {
			kept = append(kept, v)
		}
	}
	return kept
}
