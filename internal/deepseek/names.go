package deepseek

import (
	"fmt"
	"strconv"
	"strings"

	"baleen/internal/checkpoint"
	"baleen/internal/quant"
)

// Names, shapes and types of a release (formats spec 1.5). This is the only place that has them: binding looks up what
// Layout lists, and what writes checkpoints writes it.

// Layout returns the weights that a release of this shape has, without bytes: routed experts in FP4, other projections in
// FP8, or all of them in BF16 where the configuration announces no blocks. A program can be recorded from it.
func (c *Config) Layout() *Weights { return c.layout(true) }

func (c *Config) layout(drafter bool) *Weights {
	w := &Weights{Layers: make([]Layer, c.Layers), active: c.ActiveExperts}
	l := &layout{c: c, w: w}
	w.Embed = l.plain("embed.weight", c.Vocab, c.Hidden)
	for i := range w.Layers {
		l.at(fmt.Sprintf("layers.%d.", i)).layer(&w.Layers[i], c.Ratios[i], i < c.HashLayers)
	}
	w.Norm = l.norm("norm.weight", c.Hidden)
	w.Head = l.plain("head.weight", c.Vocab, c.Hidden)
	w.HCHead = l.site("hc_head_", c.Streams, 1)
	backbone := len(w.all)
	switch {
	case drafter && c.DSpark != nil:
		w.Drafter = l.drafter(c.DSpark)
	case drafter && c.MTP:
		w.MTP = l.at("mtp.0.").mtp()
	}
	w.drafts = len(w.all) - backbone
	return w
}

// layout adds weights at a place in the model.
type layout struct {
	c      *Config
	w      *Weights
	prefix string
}

func (l *layout) at(prefix string) *layout { return &layout{l.c, l.w, l.prefix + prefix} }

func (l *layout) add(w Weight) *Weight {
	w.Name = l.prefix + w.Name
	if w.Parts == 0 {
		w.Parts = 1
	}
	l.w.all = append(l.w.all, &w)
	return &w
}

var (
	formatF32  = quant.Format{Kind: quant.KindF32}
	formatBF16 = quant.Format{Kind: quant.KindBF16}
	formatFP4  = quant.Format{Kind: quant.KindE2M1, BlockRows: 1, BlockCols: 32}
	formatI64  = quant.Format{Kind: quant.KindI64}
)

func (l *layout) norm(name string, n int) *Weight {
	return l.add(Weight{Name: name, Format: formatBF16, Rows: 1, Cols: n, vector: true})
}

func (l *layout) vector(name string, n int) *Weight {
	return l.add(Weight{Name: name, Format: formatF32, Rows: 1, Cols: n, vector: true})
}

func (l *layout) plain(name string, rows, cols int) *Weight {
	return l.add(Weight{Name: name, Format: formatBF16, Rows: rows, Cols: cols})
}

func (l *layout) float(name string, rows, cols int) *Weight {
	return l.add(Weight{Name: name, Format: formatF32, Rows: rows, Cols: cols})
}

// projection is a matrix in FP8.
func (l *layout) projection(name string, rows, cols int) *Weight {
	format := formatBF16
	if l.c.BlockRows != 0 {
		format = l.c.fp8()
	}
	return l.add(Weight{Name: name + ".weight", Format: format, Rows: rows, Cols: cols, quantised: true})
}

// experts are the matrices of all routed experts.
func (l *layout) experts(name string, rows, cols int) *Weight {
	format := formatBF16
	if l.c.BlockRows != 0 {
		format = formatFP4
	}
	return l.add(Weight{Name: "ffn.experts." + name + ".weight", Format: format, Parts: l.c.Experts, Rows: rows, Cols: cols, quantised: true})
}

// fp8 is the format of FP8 matrices with scales of E8M0.
func (c *Config) fp8() quant.Format {
	return quant.Format{Kind: quant.KindE4M3, BlockRows: c.BlockRows, BlockCols: c.BlockCols}
}

func (l *layout) layer(w *Layer, ratio int, hash bool) {
	c := l.c
	w.AttnNorm, w.FFNNorm = l.norm("attn_norm.weight", c.Hidden), l.norm("ffn_norm.weight", c.Hidden)
	mixes := (2 + c.Streams) * c.Streams
	w.HCAttn, w.HCFFN = l.site("hc_attn_", mixes, 3), l.site("hc_ffn_", mixes, 3)
	l.at("attn.").attention(&w.Attn, ratio)
	l.moe(&w.FFN, hash)
}

func (l *layout) site(prefix string, mixes, scales int) HC {
	return HC{
		Fn:    l.float(prefix+"fn", mixes, l.c.Streams*l.c.Hidden),
		Base:  l.vector(prefix+"base", mixes),
		Scale: l.vector(prefix+"scale", scales),
	}
}

func (l *layout) attention(w *Attention, ratio int) {
	c := l.c
	w.WqA = l.projection("wq_a", c.QueryRank, c.Hidden)
	w.QNorm = l.norm("q_norm.weight", c.QueryRank)
	w.WqB = l.projection("wq_b", c.Heads*c.HeadDim, c.QueryRank)
	w.Wkv = l.projection("wkv", c.HeadDim, c.Hidden)
	w.KVNorm = l.norm("kv_norm.weight", c.HeadDim)
	w.Sink = l.vector("attn_sink", c.Heads)
	w.WoA = l.projection("wo_a", c.OutputGroups*c.OutputRank, c.Heads/c.OutputGroups*c.HeadDim)
	w.WoB = l.projection("wo_b", c.Hidden, c.OutputGroups*c.OutputRank)
	if ratio != 0 {
		w.Compressor = new(l.at("compressor.").compressor(c.HeadDim, ratio))
	}
	if ratio == overlapRatio {
		l := l.at("indexer.")
		w.Indexer = &Indexer{
			WqB:         l.projection("wq_b", c.IndexHeads*c.IndexDim, c.QueryRank),
			WeightsProj: l.plain("weights_proj.weight", c.IndexHeads, c.Hidden),
			Compressor:  l.at("compressor.").compressor(c.IndexDim, ratio),
		}
	}
}

func (l *layout) compressor(dim, ratio int) Compressor {
	width := dim
	if ratio == overlapRatio {
		width = 2 * dim
	}
	return Compressor{
		APE:   l.float("ape", ratio, width),
		Wkv:   l.plain("wkv.weight", width, l.c.Hidden),
		Wgate: l.plain("wgate.weight", width, l.c.Hidden),
		Norm:  l.norm("norm.weight", dim),
	}
}

func (l *layout) moe(w *MoE, hash bool) {
	c := l.c
	w.Gate = l.plain("ffn.gate.weight", c.Experts, c.Hidden)
	if hash {
		w.Table = l.add(Weight{Name: "ffn.gate.tid2eid", Format: formatI64, Rows: c.Vocab, Cols: c.ActiveExperts})
	} else {
		w.Bias = l.vector("ffn.gate.bias", c.Experts)
	}
	w.Shared.W1 = l.projection("ffn.shared_experts.w1", c.ExpertHidden, c.Hidden)
	w.Shared.W2 = l.projection("ffn.shared_experts.w2", c.Hidden, c.ExpertHidden)
	w.Shared.W3 = l.projection("ffn.shared_experts.w3", c.ExpertHidden, c.Hidden)
	w.W1 = l.experts("w1", c.ExpertHidden, c.Hidden)
	w.W2 = l.experts("w2", c.Hidden, c.ExpertHidden)
	w.W3 = l.experts("w3", c.ExpertHidden, c.Hidden)
}

func (l *layout) mtp() *MTP {
	d := l.c.Hidden
	w := &MTP{
		EProj: l.projection("e_proj", d, d), HProj: l.projection("h_proj", d, d),
		ENorm: l.norm("enorm.weight", d), HNorm: l.norm("hnorm.weight", d), Norm: l.norm("norm.weight", d),
		HCHead: l.site("hc_head_", l.c.Streams, 1),
	}
	l.layer(&w.Layer, 0, false)
	return w
}

func (l *layout) drafter(d *DSpark) *Drafter {
	c := l.c
	w := &Drafter{Stages: make([]Layer, d.Stages)}
	for i := range w.Stages {
		l := l.at(fmt.Sprintf("mtp.%d.", i))
		l.layer(&w.Stages[i], 0, false)
		if i == 0 {
			w.MainProj = l.projection("main_proj", c.Hidden, len(d.Targets)*c.Hidden)
			w.MainNorm = l.norm("main_norm.weight", c.Hidden)
		}
		if i == d.Stages-1 {
			w.Norm = l.norm("norm.weight", c.Hidden)
			w.HCHead = l.site("hc_head_", c.Streams, 1)
			w.MarkovIn = l.plain("markov_head.markov_w1.weight", c.Vocab, d.MarkovRank)
			w.MarkovOut = l.plain("markov_head.markov_w2.weight", c.Vocab, d.MarkovRank)
			w.Confidence = l.plain("confidence_head.proj.weight", 1, c.Hidden+d.MarkovRank)
		}
	}
	return w
}

// expertsMark stands in the names of routed experts, before the number where they are stored one by one.
const expertsMark = ".experts."

func (w *Weight) experts() bool { return strings.Contains(w.Name, expertsMark) }

// tensor names the tensor of a part.
func (w *Weight) tensor(part int) string {
	if before, after, ok := strings.Cut(w.Name, expertsMark); ok {
		return before + expertsMark + strconv.Itoa(part) + "." + after
	}
	return w.Name
}

// scaleOf names the scales of a tensor.
func scaleOf(tensor string) string { return strings.TrimSuffix(tensor, "weight") + "scale" }

// Entries returns how a release stores a part: its numbers, and its scales where the format has some.
func (w *Weight) Entries(part int) []checkpoint.Entry {
	name := w.tensor(part)
	entries := []checkpoint.Entry{{Name: name, DType: dtypeOf[w.Format.Kind], Shape: w.shape(dtypeOf[w.Format.Kind])}}
	if w.Format.BlockRows != 0 {
		dtype := checkpoint.F8_E8M0
		if w.Format.ScaleF32 {
			dtype = checkpoint.F32
		}
		entries = append(entries, checkpoint.Entry{Name: scaleOf(name), DType: dtype, Shape: w.scaleShape()})
	}
	return entries
}

// dtypeOf is the type that releases store a kind in.
var dtypeOf = [...]checkpoint.DType{
	quant.KindF32: checkpoint.F32, quant.KindBF16: checkpoint.BF16, quant.KindE4M3: checkpoint.F8_E4M3,
	quant.KindE2M1: checkpoint.I8, quant.KindI32: checkpoint.I32, quant.KindI64: checkpoint.I64,
}

// shape is that of a part's tensor in a type. FP4 as I8 counts bytes, each of two numbers.
func (w *Weight) shape(d checkpoint.DType) []int64 {
	switch {
	case w.vector:
		return []int64{int64(w.Cols)}
	case d == checkpoint.I8:
		return []int64{int64(w.Rows), int64(w.Cols+1) / 2}
	}
	return []int64{int64(w.Rows), int64(w.Cols)}
}

// scaleShape is that of a part's scales.
func (w *Weight) scaleShape() []int64 {
	blocks := func(n, block int) int64 { return int64((n + block - 1) / block) }
	return []int64{blocks(w.Rows, w.Format.BlockRows), blocks(w.Cols, w.Format.BlockCols)}
}
