package deepseek

import (
	"math"
	"slices"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// V4.1-Flash is recorded for its cost alone: ParseConfig refuses to run it. What moves bytes and multiplies is all there, in
// the ops that V4 has; what costs nothing in that account (splitting a row, the elements of a gate, masks) is left out, and
// where an activation comes from it, it is an IO. Sections are those of model spec 19, sizes those of formats spec 1.4.
//
// An indexer that re-selects among candidates is recorded as the released code runs it: it scores all that is visible and
// masks. Engines that score the candidates alone read less from 16,384 positions on.

// V41 are the programs of a model of that kind.
type V41 struct {
	Config  *Config     // of what all layers have
	Forward *op.Program // every layer: of a decoded token, and of prompts as the released code reads them
	Encode  *op.Program // what all but the last tokens of a prompt need: layers 0 to 19, keys and values of 20 (19.7)

	DraftContext, DraftBlock, DraftChain *op.Program // as those of Model
}

// The roles of layers (19.2). Other layers with a cache reuse what the nearest before them has.
const (
	v41Decoder    = 20 // the first layer of the decoder: it makes keys and values of every position
	v41Rows       = 24 // of an Engram table, for each token: 8 heads of 2-, 3- and 4-grams
	v41EngramCols = v41Rows * 256
	v41EngramRow  = 256 + 8 // bytes
)

var (
	v41Full    = []int{2, 8, 14, v41Decoder}
	v41Reindex = []int{24, 28, 32, 36}

	// v41Engram is how many rows the table before a layer has, of 256 numbers in FP8 and their 8 scales (19.6).
	v41Engram = map[int]int{1: 384_006_168, 14: 384_016_682}

	v41WindowRow = quant.Row{Width: 512, Kind: quant.KindE4M3, Group: 32, Quantised: 512, Tail: quant.KindBF16} // 528 bytes
	v41PageRow   = quant.Row{Width: 512, Kind: quant.KindE2M1, Group: 16, Quantised: 512, Tail: quant.KindBF16} // 288; its scales are E4M3
	v41FrontRow  = quant.Row{Width: 512, Tail: quant.KindF32}
)

// v41Config is what V4.1-Flash has in common with V4. The ratios are those of what each layer has of its own beside Full and Reindex.
func v41Config() *Config {
	return &Config{
		Vocab: 129280, Hidden: 5120, Layers: 40, Heads: 64, HeadDim: 512, RopeDim: 64, QueryRank: 1280, OutputGroups: 8, OutputRank: 1024,
		Window: 128, Ratios: make([]int, 40), IndexHeads: 32, IndexDim: 128, IndexTopK: 512, Experts: 384, ActiveExperts: 6, ExpertHidden: 2304,
		RouteScale: 1.5, SwigluLimit: 10, Streams: 4, SinkhornIters: 20, HCEps: 1e-6, NormEps: 1e-20, RopeTheta: 10000, CompressTheta: 160000,
		YaRN: YaRN{16, 65536, 32, 1}, MaxContext: 1 << 20, EOS: []int32{1}, BlockRows: 32, BlockCols: 32,
		DSpark: &DSpark{Stages: 3, BlockSize: 5, NoiseToken: 128799, Targets: []int{37, 38, 39}, MarkovRank: 256},
	}
}

// RecordV41 records V4.1-Flash.
func RecordV41(caps op.Caps) *V41 {
	c := v41Config()
	m := &Model{Config: c, Weights: c.layout(false), Numerics: Fast}
	v := &V41{Config: c, Forward: m.v41Forward(caps), Encode: m.v41Encode(caps)}

	stage := *c // experts of the drafter are fewer (19.8)
	stage.Experts, stage.ActiveExperts, stage.Layers = 128, 3, c.DSpark.Stages
	drafts := &Model{Config: &stage, Weights: &Weights{Embed: m.Weights.Embed, Head: m.Weights.Head}, Numerics: Fast}
	drafts.Weights.Layers = make([]Layer, stage.Layers)
	for i := range stage.Layers {
		l := &layout{&stage, drafts.Weights, stageName(i) + "."}
		l.layer(&drafts.Weights.Layers[i], 0, false)
	}
	v.DraftContext, v.DraftBlock, v.DraftChain = drafts.v41DraftContext(caps), drafts.v41DraftBlock(caps), drafts.v41DraftChain(caps)
	return v
}

// carried is what goes from layer to layer.
type carried struct {
	streams, pre op.In // pre is of the site before: it collapses the streams at the next (19.5)

	ratio            int // of what the nearest Full layer remembers
	pages, keys, ids op.In
}

func (r recorder) v41Start() carried {
	first := r.b.IO("hc_first", op.Rows, r.Config.Streams) // one-hot
	return carried{streams: r.embed(), pre: op.In(first)}
}

func (m *Model) v41Forward(caps op.Caps) *op.Program {
	r := m.record(op.NewBuilder("forward", caps))
	f := r.v41Start()
	for i := range m.Weights.Layers {
		f = r.v41Layer(f, i)
	}
	wanted := r.wanted(r.b.Temp("head.streams", op.Logits, m.Config.Streams*m.Config.Hidden), f.streams)
	r.v41Head(wanted, r.wanted(r.b.Temp("head.pre", op.Logits, m.Config.Streams), f.pre), m.Weights.Norm, LogitsName)
	return r.b.Program()
}

func (m *Model) v41Encode(caps op.Caps) *op.Program {
	r := m.record(op.NewBuilder("encode", caps))
	f := r.v41Start()
	for i := range v41Decoder {
		f = r.v41Layer(f, i)
	}
	w := &m.Weights.Layers[v41Decoder]
	at := r.at(layerName(v41Decoder))
	x, _ := at.v41Collapse("hc_attn", &f, w.HCAttn)
	at.at("attn").v41Source(r.input(at.rmsnorm("attn.in", x, w.AttnNorm)), &f, v41Decoder)
	return r.b.Program()
}

// v41Layer records a layer of the backbone.
func (r recorder) v41Layer(f carried, i int) carried {
	at := r.at(layerName(i))
	if rows, ok := v41Engram[i]; ok {
		f.streams = at.v41Lookup(f.streams, rows)
	}
	return at.v41Block(f, &r.Weights.Layers[i], i)
}

// v41Block is block with the roles of V4.1; a layer of -1 is one of the drafter, without a cache.
func (r recorder) v41Block(f carried, w *Layer, layer int) carried {
	width := r.Config.Streams * r.Config.Hidden
	x, site := r.v41Collapse("hc_attn", &f, w.HCAttn)
	a := r.at("attn").v41Attention(r.rmsnorm("attn.in", x, w.AttnNorm), &w.Attn, &f, layer)
	f.streams = r.expand(r.b.Temp("attn.streams", op.Rows, width), a, site)

	x, site = r.v41Collapse("hc_ffn", &f, w.HCFFN)
	m := r.at("ffn").moe(r.rmsnorm("ffn.in", x, w.FFNNorm), &w.FFN)
	f.streams = r.expand(r.b.Temp("out", op.Rows, width), m, site)
	return f
}

// v41Collapse is collapse with the weights that the site before made; those that this one makes are carried on.
func (r recorder) v41Collapse(name string, f *carried, w HC) (op.In, site) {
	n := r.Config.Streams
	m := r.linear(name+"_mix", r.input(f.streams), w.Fn)
	pre, post, comb := r.b.Temp(name+"_pre", op.Rows, n), r.b.Temp(name+"_post", op.Rows, n), r.b.Temp(name+"_comb", op.Rows, n*n)
	r.b.Add(op.HCSplit{
		X: f.streams, M: m, Base: r.weight(w.Base), Scale: r.weight(w.Scale), Pre: op.Out(pre), Post: op.Out(post), Comb: op.Out(comb),
		Streams: n, Iters: r.Config.SinkhornIters, NormEps: r.Config.NormEps, Eps: r.Config.HCEps,
	})
	x := r.b.Temp(name+"_x", op.Rows, r.Config.Hidden)
	r.b.Add(op.HCCollapse{X: f.streams, Pre: f.pre, Y: op.Out(x)})
	f.pre = op.In(pre)
	return op.In(x), site{f.streams, op.In(post), op.In(comb)}
}

// v41Attention is attention without a norm of queries, over the window and what the nearest sources before the layer give.
func (r recorder) v41Attention(x op.In, w *Attention, f *carried, layer int) op.In {
	c := r.Config
	in := r.input(x)
	u := r.input(r.rmsnorm("u", r.linear("wq_a", in, w.WqA), w.QNorm))
	full := slices.Contains(v41Full, layer)
	if full {
		r.v41Source(in, f, layer)
	}
	if full || slices.Contains(v41Reindex, layer) {
		f.ids = r.at("indexer").v41Select(in, u, f)
	}
	q := r.linear("q", u, w.WqB)
	r.rope(q, op.Position, f.ratio, c.HeadDim, false)
	window := r.v41StoreKV(in, w, f.ratio)
	o := r.like("o", q)
	upTo := op.Position
	if r.ahead > 0 {
		upTo = r.b.Last()
	}
	r.b.Add(op.Attend{
		Q: q, Slot: op.Slot, Position: upTo, Window: window, Compressed: f.pages, Ids: f.ids, Sink: r.weight(w.Sink),
		Y: op.Out(o), Span: c.Window + r.ahead, Ratio: f.ratio, Scale: 1 / math.Sqrt(float64(c.HeadDim)),
	})
	r.rope(op.In(o), op.Position, f.ratio, c.HeadDim, true)
	groups := r.b.Temp("wo_a", op.Rows, w.WoA.Rows)
	r.b.Add(op.Linear{X: op.In(o), W: r.weight(w.WoA), Y: op.Out(groups), Groups: c.OutputGroups})
	return r.linear("out", r.input(op.In(groups)), w.WoB)
}

func (r recorder) v41StoreKV(in *input, w *Attention, ratio int) op.In {
	kv := r.rmsnorm("kv", r.linear("wkv", in, w.Wkv), w.KVNorm)
	r.rope(kv, op.Position, ratio, r.Config.HeadDim, false)
	window := r.ring("window", v41WindowRow, r.Config.Window-1+r.ahead)
	r.b.Add(op.Store{X: kv, Slot: op.Slot, Entry: op.Position, S: op.InOut(window), Divide: 1})
	return op.In(window)
}

// v41Source records what a Full layer remembers for itself and those behind it: latents, rotated, and keys made of them (19.3, 19.4).
func (r recorder) v41Source(in *input, f *carried, layer int) {
	c, at := r.Config, r.at("compressor")
	l := &layout{c, r.Weights, r.prefix}
	start, slot := op.Position, op.Slot
	x := at.linear("wkv", in, l.plain("compressor.wkv.weight", c.HeadDim, c.Hidden))
	f.ratio = 1
	if layer != v41Decoder {
		f.ratio = 2
		z := at.linear("wgate", in, l.plain("compressor.wgate.weight", c.HeadDim, c.Hidden))
		windows := r.b.Windows(f.ratio)
		x, start, slot = at.v41Pool(x, z, windows), windows.Start, windows.Slot
	}
	latent := at.rmsnorm("latent", x, l.norm("compressor.norm.weight", c.HeadDim))
	key := at.linear("wk", r.input(latent), l.plain("indexer.wk.weight", c.IndexDim, c.HeadDim))
	key = at.rmsnorm("key", key, l.norm("indexer.k_norm.weight", c.IndexDim))
	pages := r.b.Pages(r.prefix+"pages", v41PageRow, op.PageSize/f.ratio)
	keys := r.b.Pages(r.prefix+"keys", r.indexRow(), op.PageSize/f.ratio)
	for _, side := range []struct {
		x op.In
		s op.ID
	}{{latent, pages}, {key, keys}} {
		r.rope(side.x, start, f.ratio, r.b.Buffer(op.ID(side.x)).Cols, false)
		at.b.Add(op.Store{X: side.x, Slot: slot, Entry: start, S: op.InOut(side.s), Divide: f.ratio})
	}
	f.pages, f.keys = op.In(pages), op.In(keys)
}

// v41Pool makes one of two tokens. There is no bias of positions; the op wants one, which is one row of zeros for all layers.
func (r recorder) v41Pool(u, z op.In, windows op.Windows) op.In {
	values, scores := r.ring("values", v41FrontRow, 1), r.ring("scores", v41FrontRow, 1)
	r.b.Add(op.Store{X: u, Slot: op.Slot, Entry: op.Position, S: op.InOut(values), Divide: 1})
	r.b.Add(op.Store{X: z, Slot: op.Slot, Entry: op.Position, S: op.InOut(scores), Divide: 1})
	pooled := r.b.Temp("pooled", windows.Dim, v41FrontRow.Width)
	r.b.Add(op.Pool{
		U: op.In(values), Z: op.In(scores), APE: r.b.Weight("no_ape", formatBF16, 1, 2, v41FrontRow.Width),
		Slot: windows.Slot, Start: windows.Start, Y: op.Out(pooled), Ratio: 2,
	})
	return op.In(pooled)
}

// v41Select records the queries and the choice of a Full or a Reindex layer.
func (r recorder) v41Select(in, u *input, f *carried) op.In {
	c := r.Config
	l := &layout{c, r.Weights, r.prefix}
	q := r.linear("wq_b", u, l.projection("wq_b", c.IndexHeads*c.IndexDim, c.QueryRank))
	r.rope(q, op.Position, f.ratio, c.IndexDim, false)
	weights := r.linear("weights", in, l.plain("weights_proj.weight", c.IndexHeads, c.Hidden))
	ids := r.b.Ids("topk_sorted", op.Rows, c.IndexTopK)
	r.b.Add(op.Select{
		Q: q, W: weights, Slot: op.Slot, Position: op.Position, Keys: f.keys, Ids: op.Out(ids), Ratio: f.ratio,
		Scale: 1 / math.Sqrt(float64(c.IndexDim)*float64(c.IndexHeads)),
	})
	return op.In(ids)
}

// v41Lookup records Engram (19.6): rows of a table, which n-grams choose, become keys and a value that gates add to the streams. A
// row is opaque here, as words of four bytes. Its heads' buckets stand side by side, so that one lookup is of all 24 rows; the table
// is the only weight of that kind, which tells its bytes from others'. It may lie in the host's memory or on disk.
func (r recorder) v41Lookup(streams op.In, rows int) op.In {
	d, width := r.Config.Hidden, r.Config.Streams*r.Config.Hidden
	e := r.at("hc_engram")
	l := &layout{r.Config, r.Weights, r.prefix + "engram."}
	words := v41Rows * v41EngramRow / 4
	table := r.b.Weight(r.prefix+"engram.embed.weight", quant.Format{Kind: quant.KindI32}, 1, (rows+v41Rows-1)/v41Rows, words)
	e.b.Add(op.Lookup{Token: op.Token, W: table, Ids: op.Out(e.b.Ids("rows", op.Rows, words))})

	found := e.b.IO(e.prefix+"found", op.Rows, v41EngramCols)
	e.linear("wkv", r.input(op.In(found)), l.projection("wkv", width+d, v41EngramCols))
	e.rmsnorm("query", streams, l.norm("q_weight", width))
	e.rmsnorm("key", op.In(e.b.IO(e.prefix+"keys", op.Rows, width)), l.norm("k_weight", width))
	y := e.b.Temp("out", op.Rows, width)
	e.b.Add(op.Add{A: op.In(e.b.IO(e.prefix+"value", op.Rows, d)), B: streams, Y: op.Out(y)})
	return op.In(y)
}

// v41Head collapses streams with the weights that the last site made, and makes logits.
func (r recorder) v41Head(streams, pre op.In, norm *Weight, logits string) {
	hidden := r.b.Temp("head.x", op.Logits, r.Config.Hidden)
	r.b.Add(op.HCCollapse{X: streams, Pre: pre, Y: op.Out(hidden)})
	y := r.rmsnorm("head.in", op.In(hidden), norm)
	r.b.Add(op.Linear{X: y, W: r.weight(r.Weights.Head), Y: op.Out(r.b.IO(logits, op.Logits, r.Config.Vocab)), Groups: 1})
}
