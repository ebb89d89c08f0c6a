package plan

import (
	"fmt"
	"math"
	"strings"

	"baleen/internal/deepseek"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// Shape is a model, as far as its cost goes. All of it is read off the programs that the model records, the very ones that
// devices run: what a step reads and computes, what it remembers, and how large the weights are.
type Shape struct {
	Name string

	forward stage
	prefill stage // of prompts; most models have the one program
	drafts  []stage
	drafter string // what drafts: MTP, DSpark, or nothing

	hidden int
	state  deepseek.StateSize
	size   sizes
	notes  []string // what a plan should say about this model
}

// sizes are bytes of stored weights by what they are.
type sizes struct {
	routed [kinds]float64 // experts that are chosen
	rest   [kinds]float64 // all else but the next
	embed  float64        // looked up by row
	table  float64        // rows of large tables that are looked up, too: Engram
	draft  float64        // what drafts, copies of others left out
}

const kinds = quant.KindI64 + 1

// stage is a program, cut into pieces.
type stage struct {
	pieces []piece
	layers int
	each   bool // run once for each draft, not once a step
	rows   int  // of a sequence; 0 is as many as it verifies
}

// piece is ops of a program that cost the same.
type piece struct {
	one    op.Program // of a single op
	group  string     // as deepseek.PartOf names it
	times  float64
	kind   quant.Kind // of the weight that it multiplies with
	table  bool       // it looks up a row of it
	routed bool       // of experts that are chosen
	parts  int        // experts of a layer
	active int        // of them, those that a row meets
	attend bool       // it computes with what is remembered
}

// work is what a piece reads and computes in a step, all its times together.
type work struct {
	*piece
	weights float64 // bytes as stored
	kv      float64 // bytes
	flops   float64
}

// load is what a step runs: rows of so many sequences, which see contexts like these.
type load struct {
	rows      float64
	sequences float64
	contexts  []int // a few of them, which stand for all; one or more
	logits    float64
	prompt    bool // the rows are of prompts: those of a sequence share what they remember
}

// longest is the longest context that shapes are recorded for.
const longest = 1 << 20

// recordCaps are the capacities of programs that nothing runs: of a row, so that slots hold what a sequence needs between runs.
var recordCaps = op.Caps{Rows: 1, Slots: 1, Pages: longest / op.PageSize, Context: longest}

// shapeOf takes a model of the family apart.
func shapeOf(name string, config *deepseek.Config) *Shape {
	m := &deepseek.Model{Config: config, Weights: config.Layout(), Numerics: deepseek.Fast}
	p := m.Forward(recordCaps)
	s := &Shape{Name: name, hidden: config.Hidden, forward: cut(p, config.Layers), state: m.StateSize(p)}
	s.prefill = s.forward
	s.size.count(p)
	if draft := m.Draft(recordCaps); draft != nil {
		s.drafter = "MTP"
		s.drafts = []stage{{pieces: cut(draft, 1).pieces, layers: 1, each: true, rows: 1}}
	}
	if context := m.DraftContext(recordCaps); context != nil {
		s.drafter = "DSpark"
		block := config.DSpark.BlockSize
		s.drafts = []stage{
			{pieces: cut(context, 1).pieces, layers: 1},
			{pieces: cut(m.DraftBlock(recordCaps, block), 3).pieces, layers: len(m.Weights.Drafter.Stages), rows: block},
			{pieces: cut(m.DraftChain(recordCaps, block), 1).pieces, layers: 1, each: true, rows: 1},
		}
	}
	_, drafter := m.Weights.Bytes()
	s.size.draft = float64(drafter)
	return s
}

// cut gathers the ops of a program that cost the same, whatever is run.
func cut(p *op.Program, layers int) stage {
	at := map[string]int{}
	st := stage{layers: layers}
	for i, o := range p.Ops {
		c := pieceOf(p, i, o)
		key := c.key()
		if n, ok := at[key]; ok {
			st.pieces[n].times++
			continue
		}
		at[key] = len(st.pieces)
		st.pieces = append(st.pieces, c)
	}
	return st
}

func pieceOf(p *op.Program, i int, o op.Op) piece {
	c := piece{one: *p, times: 1}
	c.one.Ops = p.Ops[i : i+1]
	_, c.group = deepseek.PartOf(p, o)
	switch o := o.(type) {
	case op.Attend, op.IndexScore, op.Select:
		c.attend = true
	case op.Experts:
		c.active = p.Buffer(op.ID(o.Ids)).Cols
	case op.Embed, op.Lookup:
		c.table = true
	}
	for _, operand := range op.Operands(o) {
		b := p.Buffer(operand.ID)
		if b.Space == op.Weight {
			c.kind, c.parts, c.routed = b.Format.Kind, b.Parts, b.Parts > 1
		}
	}
	return c
}

// key is the same for ops that cost the same.
func (c *piece) key() string {
	var s strings.Builder
	fmt.Fprint(&s, c.group, op.KindOf(c.one.Ops[0]), c.kind, c.parts)
	for _, contexts := range [][]int{{3}, {1<<17 + 3}, {longest - 1}, {5, 5, 5, 5}} {
		fmt.Fprint(&s, c.one.Cost(op.Load{Contexts: contexts, Logits: len(contexts)}))
	}
	return s.String()
}

// ops is how many ops a stage has.
func (s *stage) ops() (n float64) {
	for i := range s.pieces {
		n += s.pieces[i].times
	}
	return n
}

// of returns what the pieces of a stage cost under a load. Routed experts are those that rows are expected to choose.
func (s *stage) of(l load) []work {
	list := make([]work, 0, len(s.pieces))
	for i := range s.pieces {
		list = append(list, s.pieces[i].work(l))
	}
	return list
}

func (c *piece) work(l load) work {
	rows := l.rows
	if c.group == "head" {
		rows = l.logits
	}
	w := work{piece: c}
	var flops, kv, weights float64
	for _, context := range l.contexts {
		cost := c.one.Cost(op.Load{Contexts: []int{context}, Logits: 1})
		flops += float64(cost.Flops)
		kv += float64(cost.KV)
		weights += float64(cost.WeightBytes())
	}
	n := float64(len(l.contexts))
	w.flops = c.times * rows * flops / n
	w.kv = c.times * kv / n
	if l.prompt {
		w.kv *= l.sequences
	} else {
		w.kv *= rows
	}
	w.weights = c.times * weights / n * c.reads(rows)
	return w
}

// reads is how often the weights that one row reads are read for so many rows: matrices once, rows of tables by each, experts as many
// as rows are expected to choose.
func (c *piece) reads(rows float64) float64 {
	switch {
	case c.routed:
		return op.Distinct(c.parts, c.active, rows) / float64(c.active)
	case c.table:
		return rows
	}
	return math.Min(rows, 1)
}

// count adds up what a program's weights take.
func (s *sizes) count(p *op.Program) {
	looked := map[op.ID]bool{}
	for _, o := range p.Ops {
		if e, ok := o.(op.Embed); ok {
			looked[op.ID(e.W)] = true
		}
	}
	for i, b := range p.Buffers {
		if b.Space != op.Weight || b.Name == "" {
			continue
		}
		bytes := float64(p.Bytes(b))
		switch {
		case looked[op.ID(i)]:
			s.embed += bytes
		case b.Parts > 1:
			s.routed[b.Format.Kind] += bytes
		default:
			s.rest[b.Format.Kind] += bytes
		}
	}
}
