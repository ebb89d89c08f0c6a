package deepseek

import (
	"fmt"
	"io"
	"iter"
	"slices"

	"baleen/internal/quant"
)

// Weight is a matrix [Rows, Cols] as it is stored, or several of one shape and format: the experts of a layer are one
// Weight. Norms, biases, sinks and scales of one dimension are [1, n]. What Bind returns says where the bytes lie; what
// Layout returns has no bytes.
type Weight struct {
	Name              string // of the tensor in a release; of experts, without their numbers: "layers.0.ffn.experts.w1.weight"
	Format            quant.Format
	Parts, Rows, Cols int

	Data  []Span // one for each part
	Scale []Span // likewise, or none where the format has no scales

	vector    bool // the tensor has one dimension
	quantised bool // releases store it quantised
}

// Span is a part of a file.
type Span struct {
	From           io.ReaderAt
	Offset, Length int64
	File, Tensor   string // for messages
}

// String names the file and the tensor.
func (s Span) String() string { return fmt.Sprintf("%s: tensor %q", s.File, s.Tensor) }

// Params returns how many trained numbers the weight has. Tables of integers have none.
func (w *Weight) Params() int64 {
	if w.Format.Kind == quant.KindI64 || w.Format.Kind == quant.KindI32 {
		return 0
	}
	return int64(w.Parts) * int64(w.Rows) * int64(w.Cols)
}

// Bytes returns the stored size, scales included.
func (w *Weight) Bytes() int64 {
	data, scale := w.Format.Size(w.Rows, w.Cols)
	return int64(w.Parts) * (data + scale)
}

// Weights are all weights of a model (model spec 2). Nothing changes them after they are bound.
type Weights struct {
	Embed, Norm, Head *Weight
	HCHead            HC
	Layers            []Layer
	MTP               *MTP     // nil where none is stored
	Drafter           *Drafter // nil where none is stored

	// Ignored are tensors of the checkpoint that repeat what others say: copies of embedding and head beside the drafter,
	// tables of rotary frequencies.
	Ignored []string

	all    []*Weight // backbone, then what drafts
	drafts int       // how many of all draft
	active int       // experts that a token meets
}

// HC is one site of hyper-connections: Fn is [(2+n)n, n*d], or [n, n*d] before the head.
type HC struct{ Fn, Base, Scale *Weight }

// Layer is one block.
type Layer struct {
	AttnNorm, FFNNorm *Weight
	HCAttn, HCFFN     HC
	Attn              Attention
	FFN               MoE
}

// Attention is what every layer has, and what compression adds: nil where there is none.
type Attention struct {
	WqA, QNorm, WqB *Weight
	Wkv, KVNorm     *Weight
	Sink            *Weight
	WoA, WoB        *Weight // WoA is the matrices of OutputGroups groups, one below the other
	Compressor      *Compressor
	Indexer         *Indexer
}

// Compressor pools windows of tokens. Its matrices and APE have two halves where windows overlap.
type Compressor struct{ Wkv, Wgate, APE, Norm *Weight }

// Indexer selects compressed entries.
type Indexer struct {
	WqB, WeightsProj *Weight
	Compressor       Compressor
}

// MoE is the experts of a layer. Exactly one of Bias and Table, the experts of every token id, is there.
type MoE struct {
	Gate, Bias, Table *Weight
	W1, W2, W3        *Weight // gate, down and up, of all routed experts
	Shared            struct{ W1, W2, W3 *Weight }
}

// MTP is the multi-token prediction block of the previews.
type MTP struct {
	Layer
	EProj, HProj, ENorm, HNorm, Norm *Weight
	HCHead                           HC
}

// Drafter is the block drafter of 0731 and 0813 (model spec 11).
type Drafter struct {
	Stages             []Layer
	MainProj, MainNorm *Weight // before the first stage
	Norm               *Weight // behind the last
	HCHead             HC
	MarkovIn           *Weight // [vocabulary, rank], looked up by the token before
	MarkovOut          *Weight // [vocabulary, rank]
	Confidence         *Weight // [1, d+rank]
}

// All yields every weight: the backbone, then what drafts.
func (w *Weights) All() iter.Seq[*Weight] { return slices.Values(w.all) }

// Params counts the trained numbers: of the backbone, of what drafts, and of what a token meets in the backbone without
// the embedding, of which it needs one row (model spec 16).
func (w *Weights) Params() (backbone, drafter, active int64) {
	for i, weight := range w.all {
		n := weight.Params()
		if i >= len(w.all)-w.drafts {
			drafter += n
			continue
		}
		backbone += n
		switch {
		case weight == w.Embed:
		case weight.experts():
			active += n / int64(weight.Parts) * int64(w.active)
		default:
			active += n
		}
	}
	return backbone, drafter, active
}

// Bytes adds up stored sizes, of the backbone and of what drafts.
func (w *Weights) Bytes() (backbone, drafter int64) {
	for i, weight := range w.all {
		if i >= len(w.all)-w.drafts {
			drafter += weight.Bytes()
		} else {
			backbone += weight.Bytes()
		}
	}
	return backbone, drafter
}
