package qualify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"baleen/internal/device"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// scene is a small program, mostly of one op, with the numbers of its weights and some runs of it. The last op is the one
// that is looked at; those before it are exact.
type scene struct {
	*op.Builder
	op, shape string
	rng       *rand.Rand
	parts     map[string][]matrix
	rounds    []*round
	cut       int             // ops at the beginning that only make ids that the caller gives
	given     map[string]bool // activations that the caller gives or sees
}

// round is one run of a scene.
type round struct {
	rows   []op.Row
	pages  [][]int32
	data   map[string][]byte
	exact  bool   // there is no room for rounding
	orZero bool   // but what is not right may be zero
	same   *round // has rows with other places and the same bits, or is nil
	refuse bool   // the device must say no, or show the NaN that it made
}

func newScene(seed uint64, opName, shape string, caps op.Caps) *scene {
	s := &scene{op: opName, shape: shape, parts: map[string][]matrix{}, given: map[string]bool{}}
	s.Builder = op.NewBuilder(opName, caps)
	s.rng = rand.New(rand.NewPCG(seed, hashOf(opName+"/"+shape)))
	return s
}

// hashOf is FNV-1a.
func hashOf(name string) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range []byte(name) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// in makes an activation that the caller gives.
func (s *scene) in(name string, cols int) op.In { return op.In(s.IO(name, op.Rows, cols)) }

// out makes one that the caller sees.
func (s *scene) out(name string, cols int) op.Out { return op.Out(s.IO(name, op.Rows, cols)) }

// idsOut makes ids that the caller sees.
func (s *scene) idsOut(name string, cols int) op.Out {
	s.given[name] = true
	return op.Out(s.Ids(name, op.Rows, cols))
}

// idsIn makes ids that the caller gives. A builder has no such thing, so an op that writes them is recorded and cut off.
func (s *scene) idsIn(name string, cols int) op.In {
	id := s.idsOut(name, cols)
	s.Add(op.TopK{X: s.in(name+".from", cols), Ids: id})
	s.cut++
	return op.In(id)
}

// weight makes a weight whose parts draw makes.
func (s *scene) weight(name string, f quant.Format, parts, rows, cols int, draw draw) op.In {
	for range parts {
		s.parts[name] = append(s.parts[name], draw(s.rng, f, rows, cols))
	}
	return s.Weight(name, f, parts, rows, cols)
}

// vector makes a weight of one row of float32.
func (s *scene) vector(name string, x []float32) op.In {
	s.parts[name] = []matrix{{quant.Format{}, 1, len(x), toBytes(x), nil}}
	return s.Weight(name, quant.Format{}, 1, 1, len(x))
}

// program is what the device runs: of activations, the caller holds only those that it gives or sees.
func (s *scene) program() *op.Program {
	p := *s.Program()
	p.Ops = slices.Clone(p.Ops[s.cut:])
	return p.Expose(func(name string) bool { return s.given[name] })
}

func (s *scene) sources() map[string][]device.Source {
	all := map[string][]device.Source{}
	for name, parts := range s.parts {
		for i := range parts {
			all[name] = append(all[name], parts[i].source(fmt.Sprintf("%s, part %d", name, i)))
		}
	}
	return all
}

// round adds a run.
func (s *scene) round(rows []op.Row, pages [][]int32) *round {
	r := &round{rows: rows, pages: pages, data: map[string][]byte{}}
	s.rounds = append(s.rounds, r)
	return r
}

// sequence adds a run of n rows of one sequence from its beginning, for ops that do not ask where rows stand.
func (s *scene) sequence(n int) *round {
	return s.round(sequenceRows(0, 0, n), [][]int32{countUp(s.Program().Caps.Pages)})
}

func sequenceRows(slot int32, start, n int) []op.Row {
	rows := make([]op.Row, n)
	for i := range rows {
		rows[i] = op.Row{Token: int32(i), Slot: slot, Position: int32(start + i), Logits: i%3 != 1}
	}
	return rows
}

func countUp(n int) []int32 {
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(i)
	}
	return list
}

func (r *round) floats(name string, x []float32) { r.data[name] = toBytes(x) }
func (r *round) ids(name string, x []int32)      { r.data[name] = idBytes(x) }

// alone is the part of a round that is one of its rows, or nil where the program has activations that count something
// else than rows.
func (r *round) alone(p *op.Program, row int) *round {
	one := &round{rows: r.rows[row : row+1], pages: r.pages, data: map[string][]byte{}}
	for name, data := range r.data {
		b := p.Buffer(p.Lookup(name))
		if b.Space == op.IO {
			data = data[4*b.Cols*row:][:4*b.Cols]
		}
		one.data[name] = data
	}
	return one
}

// rowwise tells whether every row of a program's results follows from its own row alone.
func rowwise(p *op.Program) bool {
	for _, o := range p.Ops {
		for _, operand := range op.Operands(o) {
			b := p.Buffer(operand.ID)
			if (b.Space == op.IO || b.Space == op.Temp) && b.Dim != op.Rows || b.Space == op.State && operand.Writes {
				return false
			}
		}
	}
	return true
}

// describe joins what a shape is made of.
func describe(parts ...any) string {
	words := make([]string, len(parts))
	for i, p := range parts {
		words[i] = fmt.Sprint(p)
	}
	return strings.Join(words, " ")
}
