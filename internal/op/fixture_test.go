package op_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// The small model of these tests: 2 streams of 8, 2 heads of 8 of which 4 channels rotate, a window of 8, one ratio of 4
// with an indexer of 2 heads of 4, 4 experts of which 2 are active, 32 tokens.
var (
	f32  = quant.Format{Kind: quant.KindF32}
	bf16 = quant.Format{Kind: quant.KindBF16}
	fp8  = quant.Format{Kind: quant.KindE4M3, BlockRows: 128, BlockCols: 128}
	fp4  = quant.Format{Kind: quant.KindE2M1, BlockRows: 1, BlockCols: 32}
	i64  = quant.Format{Kind: quant.KindI64}

	kvRow  = quant.Row{Width: 8, Kind: quant.KindE4M3, Group: 4, Quantised: 4, Tail: quant.KindF32}
	keyRow = quant.Row{Width: 4, Kind: quant.KindE2M1, Group: 4, Quantised: 4, Tail: quant.KindF32}

	smallCaps = op.Caps{Rows: 6, Slots: 2, Pages: 16, Context: 512}
)

// recorder shortens recording: activations are made where they are written.
type recorder struct{ *op.Builder }

func (r recorder) rows(name string, cols int) op.Out { return op.Out(r.Temp(name, op.Rows, cols)) }

func (r recorder) linear(name string, x op.In, w op.In, cols, groups int) op.In {
	y := op.Out(r.Temp(name, r.Buffer(op.ID(x)).Dim, cols))
	r.Add(op.Linear{X: x, W: w, Y: y, Groups: groups})
	return op.In(y)
}

// everyOp records a program in which each op occurs, in an order that a model could have.
func everyOp() *op.Builder {
	b := op.NewBuilder("every", smallCaps)
	r := recorder{b}
	streams, y := r.rows("embed", 16), r.rows("out", 16)
	b.Add(op.Embed{Token: op.Token, W: b.Weight("embed.weight", bf16, 1, 32, 8), Y: streams, Copies: 2, ZeroFirst: op.Position})
	mix := r.linear("mix", op.In(streams), b.Weight("hc.fn", f32, 1, 8, 16), 8, 1)
	pre, post, comb := r.rows("pre", 2), r.rows("post", 2), r.rows("comb", 4)
	b.Add(op.HCSplit{X: op.In(streams), M: mix, Base: b.Weight("hc.base", f32, 1, 1, 8), Scale: b.Weight("hc.scale", f32, 1, 1, 3),
		Pre: pre, Post: post, Comb: comb, Streams: 2, Iters: 20, NormEps: 1e-6, Eps: 1e-6})
	x, normed := r.rows("x", 8), r.rows("in", 8)
	b.Add(op.HCCollapse{X: op.In(streams), Pre: op.In(pre), Y: x})
	b.Add(op.RMSNorm{X: op.In(x), W: b.Weight("norm", bf16, 1, 1, 8), Y: normed, Width: 8, Eps: 1e-6})
	a := recorder{b.At("attn")}.attention(op.In(normed))
	m := recorder{b.At("ffn")}.experts(op.In(normed))
	sum := r.rows("sum", 8)
	b.Add(op.Add{A: a, B: m, Y: sum})
	b.Add(op.HCExpand{A: op.In(sum), X: op.In(streams), Post: op.In(post), Comb: op.In(comb), Y: y})
	mean, joined, behind := r.rows("mean", 8), r.rows("joined", 16), r.rows("behind", 16)
	b.Add(op.Mean{X: op.In(y), Y: mean})
	b.Add(op.Join{A: op.In(mean), B: op.In(normed), Y: joined})
	known := func(name string) op.In { return op.In(b.Program().Lookup(name)) }
	b.Add(op.Attend{Q: op.In(joined), Slot: op.Slot, Position: b.Last(), Window: known("window"), Compressed: known("pages"),
		Ids: known("attn.index.ids"), Sink: known("sink"), Y: behind, Span: 8, Ratio: 4, Scale: 0.5})
	wanted := b.Temp("wanted", op.Logits, 16)
	b.Add(op.Gather{X: op.In(y), Row: op.LogitRow, Y: op.Out(wanted)})
	b.Add(op.Linear{X: op.In(wanted), W: b.Weight("head", bf16, 1, 32, 16), Y: op.Out(b.IO("logits", op.Logits, 32)), Groups: 1})
	return b
}

func (r recorder) attention(x op.In) op.In {
	freq := r.Const("rope.freq", []float32{1, 0.01})
	q := r.linear("q", x, r.Weight("wq", fp8, 1, 16, 8), 16, 1)
	r.Add(op.RoPE{X: op.InOut(q), Position: op.Position, Freq: freq, Width: 8})
	kv := r.linear("kv", x, r.Weight("wkv", fp8, 1, 8, 8), 8, 1)
	r.Add(op.Quantise{X: kv, Y: op.Out(kv), Kind: quant.KindE4M3, Width: 8, Channels: 4, Group: 4})
	window := r.Ring("window", kvRow, 13)
	r.Add(op.Store{X: kv, Slot: op.Slot, Entry: op.Position, S: op.InOut(window), Divide: 1})
	pages := r.compress(x)
	ids := r.indexer(x)
	o := r.rows("o", 16)
	r.Add(op.Attend{Q: q, Slot: op.Slot, Position: op.Position, Window: op.In(window), Compressed: pages, Ids: ids,
		Sink: r.Weight("sink", f32, 1, 1, 2), Y: o, Span: 8, Ratio: 4, Scale: 0.5})
	r.Add(op.RoPE{X: op.InOut(o), Position: op.Position, Freq: freq, Width: 8, Inverse: true})
	return r.linear("out", op.In(o), r.Weight("wo", bf16, 1, 8, 8), 8, 2)
}

func (r recorder) compress(x op.In) op.In {
	windows := r.Windows(4)
	row := quant.Row{Width: 16, Tail: quant.KindF32}
	values, scores := r.Ring("values", row, 13), r.Ring("scores", row, 13)
	for _, side := range []struct {
		name string
		s    op.ID
	}{{"u", values}, {"z", scores}} {
		y := r.linear(side.name, x, r.Weight("w"+side.name, bf16, 1, 16, 8), 16, 1)
		r.Add(op.Store{X: y, Slot: op.Slot, Entry: op.Position, S: op.InOut(side.s), Divide: 1})
	}
	pooled := r.Temp("pooled", windows.Dim, 8)
	r.Add(op.Pool{U: op.In(values), Z: op.In(scores), APE: r.Weight("ape", f32, 1, 4, 16), Slot: windows.Slot, Start: windows.Start,
		Y: op.Out(pooled), Ratio: 4, Overlap: true})
	r.Add(op.Quantise{X: op.In(pooled), Y: op.Out(pooled), Kind: quant.KindE4M3, Width: 8, Channels: 4, Group: 4})
	pages := r.Pages("pages", kvRow, 32)
	r.Add(op.Store{X: op.In(pooled), Slot: windows.Slot, Entry: windows.Start, S: op.InOut(pages), Divide: 4})
	return op.In(pages)
}

// indexer chooses twice: in two steps, and fused.
func (r recorder) indexer(x op.In) op.In {
	q := r.linear("index.q", x, r.Weight("index.wq", fp8, 1, 8, 8), 8, 1)
	r.Add(op.Hadamard{X: op.InOut(q), Width: 4})
	w := r.linear("index.w", x, r.Weight("index.ww", bf16, 1, 2, 8), 2, 1)
	keys := op.In(r.Pages("keys", keyRow, 32))
	scores, two := r.rows("index.scores.apart", 128), op.Out(r.Ids("index.apart", op.Rows, 3))
	r.Add(op.IndexScore{Q: q, W: w, Slot: op.Slot, Position: op.Position, Keys: keys, Scores: scores, Ratio: 4, Scale: 0.25})
	r.Add(op.TopK{X: op.In(scores), Ids: two, Ascending: true})
	one := op.Out(r.Ids("index.ids", op.Rows, 3))
	r.Add(op.Select{Q: q, W: w, Slot: op.Slot, Position: op.Position, Keys: keys, Ids: one, Ratio: 4, Scale: 0.25})
	return op.In(one)
}

// experts does the first slots in single ops, and then all of it fused.
func (r recorder) experts(x op.In) op.In {
	logits := r.linear("logits", x, r.Weight("gate", bf16, 1, 4, 8), 4, 1)
	a, biased := r.rows("affinity", 4), r.rows("biased", 4)
	r.Add(op.SqrtSoftplus{X: logits, Y: a})
	r.Add(op.AddBias{X: op.In(a), Bias: r.Weight("bias", f32, 1, 1, 4), Y: biased})
	chosen, hashed := op.Out(r.Ids("ids", op.Rows, 2)), op.Out(r.Ids("hashed", op.Rows, 2))
	r.Add(op.TopK{X: op.In(biased), Ids: chosen})
	r.Add(op.Lookup{Token: op.Token, W: r.Weight("tid2eid", i64, 1, 32, 2), Ids: hashed})
	weights := r.rows("weights", 2)
	r.Add(op.RouteWeights{A: op.In(a), Ids: op.In(chosen), W: weights, Scale: 1.5})

	g := r.linear("shared.g", x, r.Weight("shared.w1", fp8, 1, 32, 8), 32, 1)
	u := r.linear("shared.u", x, r.Weight("shared.w3", fp8, 1, 32, 8), 32, 1)
	h := r.rows("shared.h", 32)
	r.Add(op.SwiGLU{G: g, U: u, H: h, Limit: 10})
	shared := r.linear("shared.out", op.In(h), r.Weight("shared.w2", fp8, 1, 8, 32), 8, 1)

	w1, w2, w3 := r.Weight("w1", fp4, 4, 32, 8), r.Weight("w2", fp4, 4, 8, 32), r.Weight("w3", fp4, 4, 32, 8)
	eg, eu, eh, ey, alone := r.rows("e.g", 64), r.rows("e.u", 64), r.rows("e.h", 64), r.rows("e.y", 16), r.rows("e.out", 8)
	r.Add(op.ExpertLinear{X: x, Ids: op.In(hashed), W: w1, Y: eg})
	r.Add(op.ExpertLinear{X: x, Ids: op.In(hashed), W: w3, Y: eu})
	r.Add(op.SwiGLU{G: op.In(eg), U: op.In(eu), W: op.In(weights), H: eh, Limit: 10})
	r.Add(op.ExpertLinear{X: op.In(eh), Ids: op.In(hashed), W: w2, Y: ey})
	r.Add(op.Combine{X: op.In(ey), Ids: op.In(hashed), Shared: shared, Y: alone})
	y := r.rows("out", 8)
	r.Add(op.Experts{X: x, Ids: op.In(chosen), W: op.In(weights), Shared: op.In(alone), W1: w1, W2: w2, W3: w3, Y: y, Limit: 10, Group: 32})
	return op.In(y)
}

// kinds lists the ops that the package declares: the receivers of check methods.
func kinds(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "check" && f.Recv != nil {
				names = append(names, strings.ToLower(f.Recv.List[0].Type.(*ast.Ident).Name))
			}
		}
	}
	slices.Sort(names)
	return names
}

func TestFixtureHasEveryOp(t *testing.T) {
	var got []string
	for _, o := range everyOp().Program().Ops {
		got = append(got, op.KindOf(o))
	}
	slices.Sort(got)
	if got, want := slices.Compact(got), kinds(t); !slices.Equal(got, want) {
		t.Errorf("the program of the tests has\n%v, the package\n%v", got, want)
	}
}
