package deepseek

import (
	"fmt"
	"maps"
	"regexp"
	"testing"
)

// respell renames every tensor of a release by a table of formats spec 1.8, written down here a second time.
func respell(all stored, table [][2]string) stored {
	renamed := stored{}
	for name, b := range all {
		for _, row := range table {
			name = regexp.MustCompile(row[0]).ReplaceAllString(name, row[1])
		}
		renamed[name] = b
	}
	return renamed
}

// inTransformers is the table of spec 1.8, longer names first, but for routed experts.
var inTransformers = [][2]string{
	{`\.scale$`, ".weight_scale_inv"}, {`^embed\.`, "embed_tokens."}, {`^head\.`, "lm_head."}, {`hc_head_(fn|base|scale)$`, "hc_head.hc_$1"},
	{`hc_(attn|ffn)_(fn|base|scale)$`, "${1}_hc.$2"}, {`\.attn_norm\.`, ".input_layernorm."}, {`\.ffn_norm\.`, ".post_attention_layernorm."},
	{`\.attn\.indexer\.compressor\.`, ".attn.indexer."}, {`\.attn\.indexer\.`, ".attn.compressor.indexer."},
	{`\.attn\.wq_a\.`, ".attn.q_a_proj."}, {`\.wq_b\.`, ".q_b_proj."}, {`\.attn\.wkv\.`, ".attn.kv_proj."}, {`\.wo_(a|b)\.`, ".o_${1}_proj."},
	{`\.attn_sink$`, ".sinks"}, {`\.attn\.q_norm\.`, ".attn.q_a_norm."}, {`(compressor|indexer)\.norm\.`, "$1.kv_norm."},
	{`\.ape$`, ".position_bias"}, {`(compressor|indexer)\.wkv\.`, "$1.kv_proj."}, {`(compressor|indexer)\.wgate\.`, "$1.gate_proj."},
	{`gate\.bias$`, "gate.e_score_correction_bias"}, {`shared_experts\.w1\.`, "shared_experts.gate_proj."},
	{`shared_experts\.w2\.`, "shared_experts.down_proj."}, {`shared_experts\.w3\.`, "shared_experts.up_proj."},
	{`\.attn\.`, ".self_attn."}, {`\.ffn\.`, ".mlp."}, {`^`, "model."}, {`^model\.lm_head`, "lm_head"},
}

// inV3 is what the official converter accepts besides.
var inV3 = [][2]string{
	{`\.attn\.`, ".self_attn."}, {`\.ffn\.`, ".mlp."}, {`\.scale$`, ".weight_scale_inv"}, {`gate\.bias$`, "gate.e_score_correction_bias"},
	{`\.w1\.`, ".gate_proj."}, {`\.w2\.`, ".down_proj."}, {`\.w3\.`, ".up_proj."}, {`^head\.`, "lm_head."}, {`^embed\.`, "embed_tokens."},
	{`\.attn_norm\.`, ".input_layernorm."}, {`\.ffn_norm\.`, ".post_attention_layernorm."}, {`\.attn\.wq_a\.`, ".attn.q_a_proj."},
	{`^`, "model."}, {`^model\.lm_head`, "lm_head"},
}

// stackExperts puts the experts of each layer into one tensor, w1 above w3, as transformers does.
func stackExperts(all stored, c *Config, scaleSuffix string) stored {
	stacked := maps.Clone(all)
	one := regexp.MustCompile(`^(.*ffn\.experts)\.0\.w([12])\.(weight|scale)$`)
	for name, b := range all {
		m := one.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		to, matrices := m[1]+".gate_up_proj", []string{"1", "3"}
		if m[2] == "2" {
			to, matrices = m[1]+".down_proj", []string{"2"}
		}
		if m[3] == "scale" {
			to += scaleSuffix
		}
		whole := blob{dtype: b.dtype, shape: []int64{int64(c.Experts), b.shape[0] * int64(len(matrices)), b.shape[1]}}
		for e := range c.Experts {
			for _, matrix := range matrices {
				part := fmt.Sprintf("%s.%d.w%s.%s", m[1], e, matrix, m[3])
				whole.data = append(whole.data, all[part].data...)
				delete(stacked, part)
			}
		}
		stacked[to] = whole
	}
	return stacked
}

// All spellings lead to the same weights, with every type of experts.
func TestBindSpellings(t *testing.T) {
	whole := map[string]any{"moe_intermediate_size": 128}
	plain := map[string]any{"quantization_config": nil}
	for _, c := range []struct {
		name    string
		change  map[string]any
		fp8     bool
		respell func(stored, *Config) stored
	}{
		{"v3", nil, false, func(s stored, _ *Config) stored { return respell(s, inV3) }},
		{"transformers", nil, false, func(s stored, c *Config) stored { return respell(stackExperts(s, c, "_scale_inv"), inTransformers) }},
		{"transformers, other suffix", nil, false, func(s stored, c *Config) stored { return respell(stackExperts(s, c, ".scale"), inTransformers) }},
		{"transformers, fp8", whole, true, func(s stored, c *Config) stored { return respell(stackExperts(s, c, "_scale_inv"), inTransformers) }},
		{"transformers, plain", plain, false, func(s stored, c *Config) stored { return respell(stackExperts(s, c, ""), inTransformers) }},
		{"transformers, experts one by one", nil, false, func(s stored, c *Config) stored {
			return respell(respell(s, inTransformers), [][2]string{{`experts\.(\d+)\.w1\.`, "experts.$1.gate_proj."}, {`experts\.(\d+)\.w2\.`, "experts.$1.down_proj."}, {`experts\.(\d+)\.w3\.`, "experts.$1.up_proj."}})
		}},
		{"later transformers", nil, false, func(s stored, c *Config) stored {
			return respell(respell(stackExperts(s, c, "_scale_inv"), inTransformers), [][2]string{{`indexer\.weights_proj`, "indexer.scorer.weights_proj"}})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := tiny(t, c.change)
			all := storeAs(cfg, c.fp8)
			respelled := c.respell(all, cfg)
			if _, official := respelled["embed.weight"]; official {
				t.Fatal("nothing was renamed")
			}
			w, err := Bind(respelled.open(t), cfg)
			if err != nil {
				t.Fatal(err)
			}
			checkBytes(t, w, all)
			if w.MTP == nil {
				t.Error("no MTP")
			}
		})
	}
}
