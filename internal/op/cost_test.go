package op_test

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// costOf is the cost of the ops of the small program whose first output has that name.
func costOf(t *testing.T, output string, load op.Load) op.Cost {
	t.Helper()
	p := everyOp().Program()
	q := *p
	q.Ops = nil
	for _, o := range p.Ops {
		for _, operand := range op.Operands(o) {
			if operand.Writes {
				if p.Buffer(operand.ID).Name == output {
					q.Ops = append(q.Ops, o)
				}
				break
			}
		}
	}
	if len(q.Ops) == 0 {
		t.Fatalf("nothing writes %q", output)
	}
	return q.Cost(load)
}

func weights(kind quant.Kind, bytes int64) (w [quant.KindI64 + 1]int64) {
	w[kind] = bytes
	return w
}

// TestCostOfSingleOps has a run of three rows that see 3, 8 and 100 positions; one wants its logits. The second and third
// complete a window of 4.
func TestCostOfSingleOps(t *testing.T) {
	load := op.Load{Contexts: []int{3, 8, 100}, Logits: 1}
	for output, want := range map[string]op.Cost{
		// three rows of 8 bf16
		"embed": {Weights: weights(quant.KindBF16, 48)},
		// [8,16] f32: 512 bytes; 2 * 3 rows * 8 * 16
		"mix": {Weights: weights(quant.KindF32, 512), Flops: 768},
		// base 8 and scale 3, f32
		"pre": {Weights: weights(quant.KindF32, 44)},
		// [1,8] bf16
		"in": {Weights: weights(quant.KindBF16, 16)},
		// [16,8] fp8 and one scale; 2 * 3 * 16 * 8. The rotation in place costs nothing.
		"attn.q": {Weights: weights(quant.KindE4M3, 129), Flops: 768},
		// two groups of [4,8] bf16: 128 bytes; 2 * 3 rows * 8 outputs * 8 inputs each
		"attn.out": {Weights: weights(quant.KindBF16, 128), Flops: 384},
		// a row is 4 codes, 1 scale and 4 f32: 21 bytes; one for each token
		"window": {Written: 63},
		// one for each of the two windows that are complete
		"pages": {Written: 42},
		// two windows of 8 tokens (4 and the 4 before), values and scores, 8 of the 16 f32 of a row: 2*8*2*32; APE [4,16] f32.
		// The quantiser in place costs nothing.
		"attn.pooled": {Weights: weights(quant.KindF32, 256), Pooled: 1024},
		// keys of 4 fp4 and 1 scale, 3 bytes; 0 + 2 + 25 of them; 2 heads of 4 channels: 2 * 8 each
		"attn.index.scores.apart": {KV: 81, Flops: 432},
		"attn.index.ids":          {KV: 81, Flops: 432},
		// 3 + 8 + 8 of the window; 0, 2 and 25 complete, of which at most 3 are chosen: 24 keys of 21 bytes; two products
		// of 16 channels: 2 * 2 * 16 each. The sink is 2 f32.
		"attn.o": {Weights: weights(quant.KindF32, 8), KV: 504, Flops: 1536},
		// [1,4] f32
		"ffn.biased": {Weights: weights(quant.KindF32, 16)},
		// three rows of 2 i64
		"ffn.hashed": {Weights: weights(quant.KindI64, 48)},
		// 4 experts, 2 active, 3 rows: 4 * (1 - 1/2^3) = 3.5 of them are read. [32,8] fp4: 128 bytes and 32 scales each; 2 *
		// 3 rows * 2 slots * 32 * 8
		"ffn.e.g": {Weights: weights(quant.KindE2M1, 560), Flops: 3072},
		// w1 and w3 as above, w2 [8,32]: 128 and 8; 3.5 * (160 + 160 + 136); three products
		"ffn.out": {Weights: weights(quant.KindE2M1, 1596), Flops: 9216},
		// [32,16] bf16 for the one row that wants logits
		"logits": {Weights: weights(quant.KindBF16, 1024), Flops: 1024},
		// what has no weights, no state and no product counts nothing
		"x": {}, "ffn.affinity": {}, "ffn.ids": {}, "ffn.weights": {}, "ffn.e.h": {}, "ffn.e.out": {}, "sum": {}, "out": {}, "wanted": {},
	} {
		if got := costOf(t, output, load); got != want {
			t.Errorf("%s: %+v, not %+v", output, got, want)
		}
	}
}

// TestCostOfNothing: a run that completes no window and wants no logits reads nothing for them.
func TestCostOfNothing(t *testing.T) {
	load := op.Load{Contexts: []int{1, 2, 3}}
	for _, output := range []string{"attn.pooled", "pages", "logits", "wanted"} {
		if got := costOf(t, output, load); got != (op.Cost{}) {
			t.Errorf("%s: %+v", output, got)
		}
	}
	b := op.NewBuilder("head", smallCaps)
	r := recorder{b}
	x := op.In(b.IO("x", op.Logits, 8))
	b.Add(op.RMSNorm{X: x, W: b.Weight("norm", f32, 1, 1, 8), Y: op.Out(b.Temp("y", op.Logits, 8)), Width: 8})
	b.Add(op.HCSplit{X: x, M: op.In(b.IO("m", op.Logits, 2)), Base: b.Weight("b", f32, 1, 1, 2), Scale: b.Weight("s", f32, 1, 1, 1),
		Pre: op.Out(b.Temp("pre", op.Logits, 2)), Streams: 2})
	r.linear("l", x, b.Weight("w", f32, 1, 3, 8), 3, 1)
	if got := b.Program().Cost(load); got != (op.Cost{}) {
		t.Errorf("a head without logits: %+v", got)
	}
}

// TestExpectedExperts compares the experts that a cost counts with draws of k different ones for each row.
func TestExpectedExperts(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct{ e, k, rows int }{{16, 3, 1}, {16, 3, 5}, {16, 16, 2}, {64, 6, 20}, {8, 1, 30}} {
		total, draws := 0, 4000
		for range draws {
			seen := map[int]bool{}
			for range c.rows {
				for _, id := range rng.Perm(c.e)[:c.k] {
					seen[id] = true
				}
			}
			total += len(seen)
		}
		b := op.NewBuilder("experts", op.Caps{Rows: 64, Slots: 1, Pages: 1, Context: 128})
		ids := b.Ids("ids", op.Rows, c.k)
		b.Add(op.TopK{X: op.In(b.IO("scores", op.Rows, c.e)), Ids: op.Out(ids)})
		const bytes = 1000 * 4 // of one expert
		b.Add(op.ExpertLinear{X: op.In(b.IO("x", op.Rows, 1000)), Ids: op.In(ids), W: b.Weight("w", f32, c.e, 1, 1000), Y: op.Out(b.Temp("y", op.Rows, c.k))})
		got := float64(b.Program().Cost(op.Load{Contexts: make([]int, c.rows)}).WeightBytes()) / bytes
		if want := float64(total) / float64(draws); math.Abs(got-want) > 0.02*want {
			t.Errorf("%+v: %v experts, drawn %v", c, got, want)
		}
	}
}

// release is what the state of a release costs to read (model spec 16).
type release struct {
	name                   string
	sliding, csa, hca      int // layers
	heads, topK            int
	experts, hidden, inner int
	megabytes, gigaflops   [3]string // at 4k, 64k and 1M
	routed                 string    // GB of routed experts for one token
}

// TestCostOfReleases compares with the figures of model spec 16, which come from the published configurations: KV bytes and
// attention FLOPs of a decoded token, rows packed as 583 and 68 bytes, and the routed experts' bytes.
func TestCostOfReleases(t *testing.T) {
	for _, r := range []release{
		{"Flash", 2, 21, 20, 64, 512, 256, 4096, 2048, [3]string{"11.3", "38.8", "479"}, [3]string{"2.6", "9.1", "113.8"}, "3.45"},
		{"Pro", 0, 30, 31, 128, 1024, 384, 7168, 3072, [3]string{"25.1", "65.1", "705"}, [3]string{"10.9", "22.3", "205.5"}, "12.8"},
	} {
		p := r.attention()
		for i, context := range []int{1 << 12, 1 << 16, 1 << 20} {
			got := p.Cost(op.Load{Contexts: []int{context}})
			near(t, r.name+" MB", float64(got.KV)/1e6, r.megabytes[i])
			near(t, r.name+" GFLOP", float64(got.Flops)/1e9, r.gigaflops[i])
		}
		one, two := p.Cost(op.Load{Contexts: []int{1000}}), p.Cost(op.Load{Contexts: []int{1000, 70000}})
		if other := p.Cost(op.Load{Contexts: []int{70000}}); two.KV != one.KV+other.KV || two.Flops != one.Flops+other.Flops {
			t.Errorf("%s: two rows cost %+v, each alone %+v and %+v", r.name, two, one, other)
		}
		routed := r.moe().Cost(op.Load{Contexts: []int{1}})
		near(t, r.name+" GB", float64(routed.WeightBytes())/1e9, r.routed)
	}
}

// near compares with a figure in as many digits as it was printed with.
func near(t *testing.T, what string, got float64, want string) {
	t.Helper()
	_, decimals, _ := strings.Cut(want, ".")
	if got := strconv.FormatFloat(got, 'f', len(decimals), 64); got != want {
		t.Errorf("%s: %s, not %s", what, got, want)
	}
}

func (r release) attention() *op.Program {
	b := op.NewBuilder(r.name, op.Caps{Rows: 2, Slots: 1, Pages: 8192, Context: 1 << 20})
	row := quant.Row{Width: 512, Kind: quant.KindE4M3, Group: 64, Quantised: 448, Tail: quant.KindBF16}
	key := quant.Row{Width: 128, Kind: quant.KindE2M1, Group: 32, Quantised: 128, Tail: quant.KindBF16}
	attend := op.Attend{
		Q: op.In(b.IO("q", op.Rows, r.heads*512)), Slot: op.Slot, Position: op.Position, Window: op.In(b.Ring("window", row, 129)),
		Sink: b.Weight("sink", f32, 1, 1, r.heads), Y: op.Out(b.Temp("o", op.Rows, r.heads*512)), Span: 128, Scale: 1,
	}
	for range r.sliding {
		b.Add(attend)
	}
	attend.Compressed, attend.Ratio = op.In(b.Pages("hca", row, 1)), 128
	for range r.hca {
		b.Add(attend)
	}
	attend.Compressed, attend.Ratio = op.In(b.Pages("csa", row, 32)), 4
	ids := b.Ids("ids", op.Rows, r.topK)
	attend.Ids = op.In(ids)
	q, w := op.In(b.IO("index.q", op.Rows, 64*128)), op.In(b.IO("index.w", op.Rows, 64))
	for range r.csa {
		b.Add(op.Select{Q: q, W: w, Slot: op.Slot, Position: op.Position,
			Keys: op.In(b.Pages("keys", key, 32)), Ids: op.Out(ids), Ratio: 4, Scale: 1})
		b.Add(attend)
	}
	return b.Program()
}

// moe has the routed experts of all layers.
func (r release) moe() *op.Program {
	b := op.NewBuilder(r.name, op.Caps{Rows: 1, Slots: 1, Pages: 1, Context: 1})
	ids := b.Ids("ids", op.Rows, 6)
	b.Add(op.TopK{X: op.In(b.IO("scores", op.Rows, r.experts)), Ids: op.Out(ids)})
	x, w, y := op.In(b.IO("x", op.Rows, r.hidden)), op.In(b.IO("weights", op.Rows, 6)), op.Out(b.Temp("y", op.Rows, r.hidden))
	for range r.sliding + r.csa + r.hca {
		b.Add(op.Experts{X: x, Ids: op.In(ids), W: w, Shared: x, Y: y,
			W1: b.Weight("w1", fp4, r.experts, r.inner, r.hidden), W2: b.Weight("w2", fp4, r.experts, r.hidden, r.inner), W3: b.Weight("w3", fp4, r.experts, r.inner, r.hidden)})
	}
	return b.Program()
}

// TestBytes at the capacities of 6 rows, 2 slots and 16 pages.
func TestBytes(t *testing.T) {
	p := everyOp().Program()
	for name, want := range map[string]int64{
		"embed.weight":   32 * 8 * 2,
		"wq":             16*8 + 1,
		"ffn.absent":     0,
		"w1":             4 * (32*4 + 32), // four experts
		"tid2eid":        32 * 2 * 8,
		"rope.freq":      2 * 4,
		"token":          6 * 4,
		"windows.4.slot": 3 * 4,       // 6/4 + 2
		"window":         13 * 2 * 21, // rows of 21 bytes for each slot
		"pages":          32 * 16 * 21,
		"attn.q":         6 * 16 * 4,
		"ffn.ids":        6 * 2 * 4,
		"attn.pooled":    3 * 8 * 4,
		"logits":         6 * 32 * 4,
	} {
		if got := p.Bytes(p.Buffer(p.Lookup(name))); got != want {
			t.Errorf("%s: %d bytes, not %d", name, got, want)
		}
	}
}
