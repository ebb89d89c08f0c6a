package plan

import (
	"fmt"
	"math"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// V3, R1 and V3.2 are recorded for their cost alone, in the ops that V4 has: the measurements of these models say what hardware
// does. Sizes are those of their config.json and of their papers (arXiv 2412.19437, section 2.1; V3.2-Exp for the indexer).
const (
	mlaLayers = 61
	mlaDense  = 3 // layers at the beginning whose feed-forward part is one
	mlaHidden = 7168
	mlaHeads  = 128
	mlaQuery  = 1536 // rank of queries
	mlaLatent = 512  // rank of keys and values: what is remembered, with the part that rotates
	mlaRope   = 64
	mlaNope   = 128 // channels of a head's keys and queries that do not rotate
	mlaValue  = 128
	mlaWide   = 18432
	mlaExpert = 2048
	mlaRouted = 256
	mlaActive = 8
	mlaVocab  = 129280
	mlaIndex  = 64 // heads of V3.2's indexer
	mlaKey    = 128
	mlaTopK   = 2048
)

var (
	mlaBlocks = quant.Format{Kind: quant.KindE4M3, BlockRows: 128, BlockCols: 128, ScaleF32: true}
	mlaPlain  = quant.Format{Kind: quant.KindBF16}
	mlaRow    = quant.Row{Width: mlaLatent + mlaRope, Kind: quant.KindE4M3, Group: 128, Quantised: mlaLatent, Tail: quant.KindBF16}
	mlaKeyRow = quant.Row{Width: mlaKey, Kind: quant.KindE4M3, Group: 32, Quantised: mlaKey, Tail: quant.KindBF16}
)

// mla records such a model.
type mla struct {
	b      *op.Builder
	prefix string
	sparse bool // the indexer chooses what a token sees: V3.2
	whole  bool // keys and values are made for every head, as in reading prompts, not met in the latent space, as in decoding
}

// mlaProgram records a step.
func mlaProgram(sparse, whole bool) *op.Program {
	b := op.NewBuilder("forward", recordCaps)
	m := mla{b: b, sparse: sparse, whole: whole && !sparse}
	x := m.embed("embed")
	for i := range mlaLayers {
		x = m.at(fmt.Sprintf("layers.%d.", i)).layer(x, i < mlaDense)
	}
	m.head(x)
	return b.Program()
}

// mlaDraft records the block that predicts the token after the next.
func mlaDraft(sparse bool) *op.Program {
	b := op.NewBuilder("draft", recordCaps)
	m := mla{b: b, sparse: sparse}
	both := b.Temp("both", op.Rows, 2*mlaHidden)
	b.Add(op.Join{A: m.embed("embed"), B: m.embed("hidden"), Y: op.Out(both)})
	m = m.at("mtp.0.")
	m.head(m.layer(m.linear("eh_proj", op.In(both), mlaBlocks, mlaHidden), false))
	return b.Program()
}

func (m mla) at(prefix string) mla {
	m.prefix += prefix
	return m
}

func (m mla) embed(name string) op.In {
	y := m.b.Temp(name, op.Rows, mlaHidden)
	m.b.Add(op.Embed{Token: op.Token, W: m.b.Weight("embed.weight", mlaPlain, 1, mlaVocab, mlaHidden), Y: op.Out(y), Copies: 1})
	return op.In(y)
}

// linear multiplies rows, or parts of them as wide as a matrix's share of the columns.
func (m mla) linear(name string, x op.In, f quant.Format, rows int) op.In {
	return m.grouped(name, x, f, rows, 1)
}

// grouped is linear with a matrix for each of so many parts of a row.
func (m mla) grouped(name string, x op.In, f quant.Format, rows, groups int) op.In {
	b := m.b.Buffer(op.ID(x))
	y := m.b.Temp(m.prefix+name, b.Dim, rows)
	w := m.b.Weight(m.prefix+name+".weight", f, 1, rows, b.Cols/groups)
	m.b.Add(op.Linear{X: x, W: w, Y: op.Out(y), Groups: groups})
	return op.In(y)
}

func (m mla) norm(name string, x op.In) op.In {
	b := m.b.Buffer(op.ID(x))
	y := m.b.Temp(m.prefix+name, b.Dim, b.Cols)
	m.b.Add(op.RMSNorm{X: x, W: m.b.Weight(m.prefix+name+".weight", mlaPlain, 1, 1, b.Cols), Y: op.Out(y), Width: b.Cols, Eps: 1e-6})
	return op.In(y)
}

func (m mla) add(name string, x, y op.In) op.In {
	sum := m.b.Temp(m.prefix+name, op.Rows, mlaHidden)
	m.b.Add(op.Add{A: x, B: y, Y: op.Out(sum)})
	return op.In(sum)
}

func (m mla) layer(x op.In, dense bool) op.In {
	x = m.add("attn.sum", m.attention(m.norm("attn.norm", x)), x)
	in := m.norm("ffn.norm", x)
	if dense {
		return m.add("ffn.sum", m.at("ffn.shared.").feedForward(in, mlaWide), x)
	}
	return m.add("ffn.sum", m.experts(in), x)
}

// attention is over all positions, or those that the indexer chooses. In the latent space a head's query is as wide as what is
// remembered, which all heads share. Values are as wide there as keys, which counts the part that rotates in vain: 6 % of the operations of attention itself.
func (m mla) attention(x op.In) op.In {
	u := m.norm("attn.u", m.linear("attn.wq_a", x, mlaBlocks, mlaQuery))
	q := m.linear("attn.wq_b", u, mlaBlocks, mlaHeads*(mlaNope+mlaRope))
	latent := m.linear("attn.wkv_a", x, mlaBlocks, mlaLatent+mlaRope)
	width := mlaLatent + mlaRope
	row := mlaRow
	if m.whole {
		width = (mlaNope + mlaRope + mlaValue) / 2 // of keys and values on average
		row = quant.Row{Width: width, Tail: quant.KindBF16}
		q = m.rest("attn.q", m.linear("attn.wkv_b", latent, mlaBlocks, mlaHeads*(mlaNope+mlaValue)), mlaHeads*width)
		latent = m.rest("attn.kv", latent, width)
	} else {
		q = m.grouped("attn.w_uk", m.rest("attn.nope", q, mlaHeads*mlaNope), mlaBlocks, mlaHeads*mlaLatent, mlaHeads)
		q = m.rest("attn.q", q, mlaHeads*width)
	}
	window := m.b.Ring(m.prefix+"window", row, 1)
	pages := m.b.Pages(m.prefix+"pages", row, op.PageSize)
	m.b.Add(op.Store{X: latent, Slot: op.Slot, Entry: op.Position, S: op.InOut(pages), Divide: 1})
	o := m.b.Temp(m.prefix+"attn.o", op.Rows, mlaHeads*width)
	m.b.Add(op.Attend{
		Q: q, Slot: op.Slot, Position: op.Position, Window: op.In(window), Compressed: op.In(pages), Ids: m.index(x, u),
		Sink: m.b.Weight("sink", quant.Format{Kind: quant.KindF32}, 1, 1, mlaHeads), Y: op.Out(o), Span: 1, Ratio: 1, Scale: 1 / math.Sqrt(mlaNope+mlaRope),
	})
	y := op.In(o)
	if m.whole {
		y = m.rest("attn.values", y, mlaHeads*mlaValue)
	} else {
		y = m.grouped("attn.w_uv", m.rest("attn.latent", y, mlaHeads*mlaLatent), mlaBlocks, mlaHeads*mlaValue, mlaHeads)
	}
	return m.linear("attn.wo", y, mlaBlocks, mlaHidden)
}

// rest stands for the copies that make rows of another width; they cost nothing.
func (m mla) rest(name string, x op.In, cols int) op.In {
	y := m.b.IO(m.prefix+name, m.b.Buffer(op.ID(x)).Dim, cols)
	return op.In(y)
}

// index chooses the positions that a token sees, or none where it sees all.
func (m mla) index(x, u op.In) op.In {
	if !m.sparse {
		return 0
	}
	keys := m.b.Pages(m.prefix+"keys", mlaKeyRow, op.PageSize)
	k := m.linear("attn.indexer.wk", x, mlaBlocks, mlaKey)
	m.b.Add(op.Store{X: k, Slot: op.Slot, Entry: op.Position, S: op.InOut(keys), Divide: 1})
	q := m.linear("attn.indexer.wq_b", u, mlaBlocks, mlaIndex*mlaKey)
	weights := m.linear("attn.indexer.weights", x, mlaPlain, mlaIndex)
	ids := m.b.Ids(m.prefix+"attn.indexer.ids", op.Rows, mlaTopK)
	m.b.Add(op.Select{Q: q, W: weights, Slot: op.Slot, Position: op.Position, Keys: op.In(keys), Ids: op.Out(ids), Ratio: 1, Scale: 1 / math.Sqrt(mlaKey)})
	return op.In(ids)
}

func (m mla) feedForward(x op.In, wide int) op.In {
	g, u := m.linear("w1", x, mlaBlocks, wide), m.linear("w3", x, mlaBlocks, wide)
	h := m.b.Temp(m.prefix+"hidden", op.Rows, wide)
	m.b.Add(op.SwiGLU{G: g, U: u, H: op.Out(h)})
	return m.linear("w2", op.In(h), mlaBlocks, mlaHidden)
}

func (m mla) experts(x op.In) op.In {
	logits := m.linear("ffn.gate.logits", x, mlaPlain, mlaRouted)
	ids := m.b.Ids(m.prefix+"ffn.gate.indices", op.Rows, mlaActive)
	m.b.Add(op.TopK{X: logits, Ids: op.Out(ids)})
	weights := m.b.Temp(m.prefix+"ffn.gate.weights", op.Rows, mlaActive)
	m.b.Add(op.RouteWeights{A: logits, Ids: op.In(ids), W: op.Out(weights), Scale: 1})
	shared := m.at("ffn.shared.").feedForward(x, mlaExpert)
	y := m.b.Temp(m.prefix+"ffn.out", op.Rows, mlaHidden)
	expert := func(name string, rows, cols int) op.In {
		return m.b.Weight(m.prefix+"ffn.experts."+name, mlaBlocks, mlaRouted, rows, cols)
	}
	m.b.Add(op.Experts{
		X: x, Ids: op.In(ids), W: op.In(weights), Shared: shared, Y: op.Out(y),
		W1: expert("w1", mlaExpert, mlaHidden), W2: expert("w2", mlaHidden, mlaExpert), W3: expert("w3", mlaExpert, mlaHidden),
	})
	return op.In(y)
}

func (m mla) head(x op.In) {
	wanted := m.b.Temp(m.prefix+"head.in", op.Logits, mlaHidden)
	m.b.Add(op.Gather{X: x, Row: op.LogitRow, Y: op.Out(wanted)})
	y := m.b.IO("logits", op.Logits, mlaVocab)
	m.b.Add(op.Linear{X: op.In(wanted), W: m.b.Weight("head.weight", mlaPlain, 1, mlaVocab, mlaHidden), Y: op.Out(y), Groups: 1})
}
