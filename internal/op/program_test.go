package op_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// TestText pins the text form. Commands: program, lower without=(kinds), expose names=(names), and only=(words) to show only
// the lines with one of them. classes lists how near to its definition each op must come.
func TestText(t *testing.T) {
	datadriven.RunTest(t, "testdata/text", func(t *testing.T, d *datadriven.TestData) string {
		p := everyOp().Program()
		switch d.Cmd {
		case "program":
		case "classes":
			return classes(p)
		case "lower":
			lacks := values(d, "without")
			p = p.Lower(func(o op.Op) bool { return !slices.Contains(lacks, op.KindOf(o)) })
		case "expose":
			names := values(d, "names")
			p = p.Expose(func(name string) bool { return slices.Contains(names, name) })
		default:
			d.Fatalf(t, "unknown command")
		}
		return keep(p.String(), values(d, "only"))
	})
}

func classes(p *op.Program) string {
	kinds := map[string][]string{}
	for _, o := range p.Ops {
		class := o.Class().String()
		kinds[class] = append(kinds[class], op.KindOf(o))
	}
	var text strings.Builder
	for _, class := range slices.Sorted(maps.Keys(kinds)) {
		slices.Sort(kinds[class])
		fmt.Fprintf(&text, "%s: %s\n", class, strings.Join(slices.Compact(kinds[class]), " "))
	}
	return text.String()
}

func values(d *datadriven.TestData, key string) []string {
	for _, arg := range d.CmdArgs {
		if arg.Key == key {
			return arg.Vals
		}
	}
	return nil
}

// keep leaves the lines that hold one of the words.
func keep(text string, words []string) string {
	if words == nil {
		return text
	}
	var kept []string
	for line := range strings.Lines(text) {
		if slices.ContainsFunc(strings.Fields(line), func(word string) bool { return slices.Contains(words, word) }) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// TestTextHasOneLineForEachOp reads the text back as far as a person would: every op's kind, every operand's name and every
// constant that is not zero is in its line.
func TestTextHasOneLineForEachOp(t *testing.T) {
	p := everyOp().Program()
	lines := strings.Split(strings.TrimSuffix(p.String(), "\n"), "\n")
	lines = lines[len(lines)-len(p.Ops):]
	for i, o := range p.Ops {
		fields := strings.Fields(lines[i])
		if fields[0] != fmt.Sprint(i) || fields[1] != op.KindOf(o) {
			t.Errorf("op %d, %s, has line %q", i, op.KindOf(o), lines[i])
		}
		before, after, _ := strings.Cut(lines[i], "->")
		for _, operand := range op.Operands(o) {
			side, want := before, fmt.Sprintf(" %s=%s ", strings.ToLower(operand.Field), p.Buffer(operand.ID).Name)
			if operand.Writes {
				side, want = after, fmt.Sprintf(" %s:", p.Buffer(operand.ID).Name)
			}
			if !strings.Contains(side, want) {
				t.Errorf("%s has no %q", lines[i], want)
			}
		}
	}
}

func none(op.Op) bool { return false }
func all(op.Op) bool  { return true }

// TestLower takes the lowered program apart: it is the program with the ops of each fused one in its place, written here
// from the definitions in the doc comments.
func TestLower(t *testing.T) {
	p := everyOp().Program()
	before := p.String()
	low := p.Lower(none)
	if p.String() != before || len(p.Buffers) == len(low.Buffers) {
		t.Error("Lower changed the program")
	}
	id := func(name string) op.ID {
		n := low.Lookup(name)
		if n == 0 {
			t.Fatalf("the lowered program has no %q", name)
		}
		return n
	}
	in := func(name string) op.In { return op.In(id(name)) }
	out := func(name string) op.Out { return op.Out(id(name)) }
	var want []op.Op
	for _, o := range p.Ops {
		switch o := o.(type) {
		case op.Select:
			want = append(want,
				op.IndexScore{Q: o.Q, W: o.W, Slot: o.Slot, Position: o.Position, Keys: o.Keys, Scores: out("attn.index.scores"), Ratio: o.Ratio, Scale: o.Scale},
				op.TopK{X: in("attn.index.scores"), Ids: o.Ids, Ascending: true})
		case op.Experts:
			want = append(want,
				op.ExpertLinear{X: o.X, Ids: o.Ids, W: o.W1, Y: out("ffn.experts.gate")},
				op.ExpertLinear{X: o.X, Ids: o.Ids, W: o.W3, Y: out("ffn.experts.up")},
				op.SwiGLU{G: in("ffn.experts.gate"), U: in("ffn.experts.up"), W: o.W, H: out("ffn.experts.hidden"), Limit: o.Limit},
				op.Quantise{X: in("ffn.experts.hidden"), Y: out("ffn.experts.hidden"), Kind: quant.KindE4M3, Width: 32, Channels: 32, Group: o.Group},
				op.ExpertLinear{X: in("ffn.experts.hidden"), Ids: o.Ids, W: o.W2, Y: out("ffn.experts.down")},
				op.Combine{X: in("ffn.experts.down"), Ids: o.Ids, Shared: o.Shared, Y: o.Y})
		default:
			if _, fused := o.(op.Fused); fused {
				t.Errorf("a new fused op: %s: say here what it is made of", op.KindOf(o))
			}
			want = append(want, o)
		}
	}
	if !reflect.DeepEqual(low.Ops, want) {
		t.Errorf("lowered to\n%v\nnot\n%v", low.Ops, want)
	}
	if got := low.Buffer(id("attn.index.scores")); got.Cols != smallCaps.Context/4 || got.Dim != op.Rows || got.Space != op.Temp {
		t.Errorf("the scores are %+v", got)
	}
	names := map[string]bool{}
	for i, b := range low.Buffers {
		if names[b.Name] || low.Lookup(b.Name) != op.ID(i) {
			t.Errorf("%q is the name of two buffers, or of none", b.Name)
		}
		names[b.Name] = true
	}
	if !reflect.DeepEqual(low.Buffers[:len(p.Buffers)], p.Buffers) || !reflect.DeepEqual(low.Dims, p.Dims) {
		t.Error("Lower changed a buffer or a dimension")
	}
}

func TestLowerTwice(t *testing.T) {
	p := everyOp().Program()
	for name, has := range map[string]func(op.Op) bool{"none": none, "all": all, "no experts": func(o op.Op) bool { return op.KindOf(o) != "experts" }} {
		once := p.Lower(has)
		if twice := once.Lower(has); !reflect.DeepEqual(once, twice) {
			t.Errorf("%s: lowering twice gives\n%v\nonce\n%v", name, twice, once)
		}
	}
	if got := p.Lower(all); !reflect.DeepEqual(got, p) {
		t.Errorf("with every op, lowering gives\n%v", got)
	}
	if got, want := p.Lower(func(o op.Op) bool { return op.KindOf(o) != "experts" }).Lower(none), p.Lower(none); !slices.Equal(kindsOf(got), kindsOf(want)) {
		t.Errorf("in two steps:\n%v\nin one:\n%v", kindsOf(got), kindsOf(want))
	}
}

// TestLowerWithoutQuantiser is Experts in the wide mode: what meets W2 is not rounded.
func TestLowerWithoutQuantiser(t *testing.T) {
	b := everyOp()
	last := b.Program().Ops[len(b.Program().Ops)-1]
	for _, o := range b.Program().Ops {
		if e, ok := o.(op.Experts); ok {
			e.Group = 0
			e.Y = op.Out(b.At("wide").Temp("out", op.Rows, 8))
			b.Add(e)
		}
	}
	low := b.Program().Lower(none)
	at := slices.Index(low.Ops, last)
	if got, want := kindsOf(low)[at+1:], []string{"expertlinear", "expertlinear", "swiglu", "expertlinear", "combine"}; !slices.Equal(got, want) {
		t.Errorf("lowered to %v, not %v", got, want)
	}
}

func kindsOf(p *op.Program) (list []string) {
	for _, o := range p.Ops {
		list = append(list, op.KindOf(o))
	}
	return list
}

// TestExpose: activations of those names become IO, nothing else changes, and the program asked stays as it was.
func TestExpose(t *testing.T) {
	p := everyOp().Program()
	before := append([]op.Buffer(nil), p.Buffers...)
	wanted := []string{"attn.o", "ffn.ids", "embed.weight", "attn.window", "token", "logits", "absent"}
	q := p.Expose(func(name string) bool { return slices.Contains(wanted, name) })
	if !reflect.DeepEqual(p.Buffers, before) {
		t.Error("Expose changed the program")
	}
	for i, b := range q.Buffers {
		want := before[i]
		if want.Name == "attn.o" || want.Name == "ffn.ids" {
			want.Space = op.IO
		}
		if !reflect.DeepEqual(b, want) {
			t.Errorf("%+v, not %+v", b, want)
		}
	}
	if !reflect.DeepEqual(q.Ops, p.Ops) || q.Lookup("attn.o") != p.Lookup("attn.o") {
		t.Error("Expose changed ops or names")
	}
	low := q.Lower(none)
	if low.Buffer(low.Lookup("attn.o")).Space != op.IO {
		t.Error("Lower hid what was exposed")
	}
	inner := low.Expose(func(name string) bool { return name == "ffn.experts.down" })
	if inner.Buffer(inner.Lookup("ffn.experts.down")).Space != op.IO {
		t.Error("a buffer of a lowered op was not exposed")
	}
}
