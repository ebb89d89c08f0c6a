package deepseek

import "strings"

// traceAxes says how the rows of a traced activation are laid out.
type traceAxes uint8

const (
	plain      traceAxes = iota // [n, width]
	sequence                    // [1, n, width]
	withStream                  // [1, n, streams, width/streams]
)

// traced are the activations that a trace holds, by what follows the block in their names. Programs call them so, and
// names and axes are those of the goldens.
var traced = map[string]traceAxes{
	"in": withStream, "out": withStream,
	"hc_attn_pre": sequence, "hc_attn_post": sequence, "hc_attn_comb": withStream,
	"hc_ffn_pre": sequence, "hc_ffn_post": sequence, "hc_ffn_comb": withStream,
	"attn.in": sequence, "attn.out": sequence, "attn.kv": sequence, "attn.compressor.rows": sequence,
	"attn.indexer.compressor.rows": sequence, "attn.indexer.scores": sequence, "attn.indexer.topk_sorted": sequence,
	"ffn.in": sequence, "ffn.out": sequence,
	"ffn.gate.indices": plain, "ffn.gate.weights": plain, "ffn.gate.scores_biased": plain,
}

// Traced tells whether a trace holds the activation of this name.
func Traced(name string) bool {
	_, ok := traced[withinBlock(name)]
	return ok
}

// TraceShape returns the shape of n rows of a traced activation or of logits.
func (c *Config) TraceShape(name string, n, width int) []int64 {
	switch traced[withinBlock(name)] {
	case sequence:
		return []int64{1, int64(n), int64(width)}
	case withStream:
		return []int64{1, int64(n), int64(c.Streams), int64(width / c.Streams)}
	}
	return []int64{int64(n), int64(width)}
}

// withinBlock cuts "layers.7." or "mtp.0." off; it returns "" for names outside blocks.
func withinBlock(name string) string {
	parts := strings.SplitN(name, ".", 3)
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}
