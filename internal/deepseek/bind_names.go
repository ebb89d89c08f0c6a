package deepseek

import "strings"

// spellings are the parts of names that transformers and V3 spell otherwise wherever they stand (formats spec 1.8).
var spellings = map[string]string{
	"embed_tokens": "embed", "lm_head": "head", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
	"self_attn": "attn", "mlp": "ffn", "sinks": "attn_sink",
	"q_a_proj": "wq_a", "q_b_proj": "wq_b", "kv_proj": "wkv", "o_a_proj": "wo_a", "o_b_proj": "wo_b", "q_a_norm": "q_norm",
	"position_bias": "ape", "e_score_correction_bias": "bias", "weight_scale_inv": "scale",
	"down_proj": "w2", "up_proj": "w3", "gate_up_proj": "w13",
	"gate_up_proj_scale_inv": "w13.scale", "down_proj_scale_inv": "w2.scale",
}

// releasedName turns a tensor's name as transformers or V3 spell it into that of a release. Of a release it changes none.
// Experts that share one tensor have no such name: they become "...ffn.experts.w13.weight" (w1 above w3) and
// "...ffn.experts.w2.weight".
func releasedName(name string) string {
	in := strings.Split(strings.TrimPrefix(name, "model."), ".")
	out := make([]string, 0, len(in)+1)
	compressor := false
	for i, part := range in {
		last := ""
		if len(out) > 0 {
			last = out[len(out)-1]
		}
		compressor = compressor || part == "compressor"
		compressed, ofCompressor := inCompressor[part]
		switch {
		case part == "indexer" && last == "compressor": // transformers has it the other way round
			out[len(out)-1] = "indexer"
			compressor = false
		case last == "indexer" && ofCompressor:
			out = append(out, "compressor", compressed)
		case part == "scorer" && last == "indexer":
		case compressor && ofCompressor:
			out = append(out, compressed)
		case part == "gate_proj":
			out = append(out, "w1")
		case strings.HasPrefix(part, "hc_") && last == "hc_head" && i == len(in)-1:
			out[len(out)-1] = "hc_head_" + strings.TrimPrefix(part, "hc_")
		case last == "attn_hc" || last == "ffn_hc":
			out[len(out)-1] = "hc_" + strings.TrimSuffix(last, "_hc") + "_" + part
		default:
			if released, ok := spellings[part]; ok {
				part = released
			}
			out = append(out, part)
		}
	}
	released := strings.Join(out, ".")
	if strings.HasSuffix(released, ".experts.w13") || strings.HasSuffix(released, ".experts.w2") {
		released += ".weight"
	}
	return released
}

// inCompressor are the parts of names that mean something else inside a compressor than outside.
var inCompressor = map[string]string{"kv_proj": "wkv", "gate_proj": "wgate", "kv_norm": "norm", "position_bias": "ape"}

// ignorable tells tensors that only repeat others: embedding and head beside a drafter, and tables of rotary frequencies
// (model spec 2).
func ignorable(name string) bool {
	if strings.HasPrefix(name, "mtp.") {
		_, what, _ := strings.Cut(name[len("mtp."):], ".")
		return what == "embed.weight" || what == "head.weight"
	}
	return strings.Contains(name, ".rotary_emb.") && strings.HasSuffix(name, "inv_freq")
}
