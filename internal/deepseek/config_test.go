package deepseek

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// The releases, as formats spec 1.3 and model spec 1 have them.
func TestReleasedConfigs(t *testing.T) {
	ratios := func(first, pairs, behind int) []int {
		list := []int{first, first}
		for range pairs {
			list = append(list, 4, 128)
		}
		return append(list, behind)
	}
	for name, want := range map[string]Config{
		"v4-flash": {
			Vocab: 129280, Hidden: 4096, Layers: 43, Heads: 64, HeadDim: 512, RopeDim: 64, QueryRank: 1024, OutputGroups: 8, OutputRank: 1024,
			Window: 128, Ratios: ratios(0, 20, 4), IndexHeads: 64, IndexDim: 128, IndexTopK: 512, Experts: 256, ActiveExperts: 6,
			ExpertHidden: 2048, HashLayers: 3, RouteScale: 1.5, MTP: true,
		},
		"v4-pro": {
			Vocab: 129280, Hidden: 7168, Layers: 61, Heads: 128, HeadDim: 512, RopeDim: 64, QueryRank: 1536, OutputGroups: 16, OutputRank: 1024,
			Window: 128, Ratios: ratios(128, 29, 4), IndexHeads: 64, IndexDim: 128, IndexTopK: 1024, Experts: 384, ActiveExperts: 6,
			ExpertHidden: 3072, HashLayers: 3, RouteScale: 2.5, MTP: true,
		},
	} {
		want.SwigluLimit, want.Streams, want.SinkhornIters, want.HCEps, want.NormEps = 10, 4, 20, 1e-6, 1e-6
		want.RopeTheta, want.CompressTheta, want.YaRN = 10000, 160000, YaRN{16, 65536, 32, 1}
		want.MaxContext, want.EOS, want.BlockRows, want.BlockCols = 1048576, []int32{1}, 128, 128
		checkConfig(t, name, want)

		refreshed := map[string]string{"v4-flash": "v4-flash-0731", "v4-pro": "v4-pro-0813"}[name]
		want.MTP, want.DSpark = false, &DSpark{Stages: 3, BlockSize: 5, NoiseToken: 128799, Targets: []int{40, 41, 42}, MarkovRank: 256}
		if name == "v4-pro" {
			want.DSpark.Targets, want.DSpark.MarkovRank = []int{58, 59, 60}, 512
		}
		checkConfig(t, refreshed, want)
	}
	if _, ok := ReleasedConfig("v5"); ok {
		t.Error("a config of v5")
	}
}

func checkConfig(t *testing.T, name string, want Config) {
	t.Helper()
	got, expected := asText(t, released(t, name)), asText(t, &want)
	if got != expected {
		t.Errorf("%s:\n%s\nwant\n%s", name, got, expected)
	}
}

func asText(t *testing.T, c *Config) string {
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDraftStages(t *testing.T) {
	for name, want := range map[string]int{"v4-flash": 1, "v4-flash-0731": 3} {
		if got := released(t, name).DraftStages(); got != want {
			t.Errorf("%s: %d stages, want %d", name, got, want)
		}
	}
	none := tiny(t, map[string]any{"num_nextn_predict_layers": 0, "compress_ratios": []int{0, 4, 128, 4}})
	if none.DraftStages() != 0 || none.MTP {
		t.Errorf("no drafter: %d stages, MTP %t", none.DraftStages(), none.MTP)
	}
}

// What differs without meaning something else is read.
func TestConfigVariants(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]any
		holds  func(*Config) bool
	}{
		"list of ends":        {map[string]any{"eos_token_id": []int{1, 2}}, func(c *Config) bool { return slices.Equal(c.EOS, []int32{1, 2}) }},
		"no scaling":          {map[string]any{"rope_scaling": json.RawMessage("null")}, func(c *Config) bool { return c.YaRN == YaRN{} }},
		"rope_type":           {map[string]any{"rope_scaling": map[string]any{"rope_type": "yarn", "factor": 2, "beta_fast": 32, "beta_slow": 1, "original_max_position_embeddings": 64}}, func(c *Config) bool { return c.YaRN == YaRN{2, 64, 32, 1} }},
		"plain weights":       {map[string]any{"quantization_config": nil}, func(c *Config) bool { return c.BlockRows == 0 && c.BlockCols == 0 }},
		"small blocks":        {map[string]any{"quantization_config": map[string]any{"quant_method": "fp8", "weight_block_size": []int{32, 32}}}, func(c *Config) bool { return c.BlockRows == 32 && c.BlockCols == 32 }},
		"no model_type":       {map[string]any{"model_type": nil}, func(c *Config) bool { return c.Layers == 4 }},
		"unknown key":         {map[string]any{"use_cache": true}, func(c *Config) bool { return c.Layers == 4 }},
		"ratio of no release": {map[string]any{"compress_ratios": []int{0, 4, 16, 4, 0}}, func(c *Config) bool { return c.Ratios[2] == 16 }},
	} {
		if got := tiny(t, c.change); !c.holds(got) {
			t.Errorf("%s: %s", name, asText(t, got))
		}
	}
}

// Every fault is one line that names the key, what is there and what should be.
func TestConfigFaults(t *testing.T) {
	dspark := func(more map[string]any) map[string]any {
		keys := map[string]any{"dspark_block_size": 5, "dspark_noise_token_id": 3, "dspark_target_layer_ids": []int{1, 2, 3}, "dspark_markov_rank": 8, "compress_ratios": []int{0, 4, 128, 4, 0, 0, 0}}
		for key, value := range more {
			keys[key] = value
		}
		return keys
	}
	for _, c := range []struct {
		change map[string]any
		want   string
	}{
		{map[string]any{"architectures": []string{"DeepseekV41ForCausalLM"}}, "cannot run this model yet: config.json: architectures: found DeepseekV41ForCausalLM, "},
		{map[string]any{"architectures": []string{"LlamaForCausalLM"}}, "unknown architecture: config.json: architectures: found LlamaForCausalLM, "},
		{map[string]any{"architectures": nil, "model_type": nil}, "unknown architecture: config.json: architectures: found nothing, "},
		{map[string]any{"vision_config": map[string]any{}}, "cannot run this model: config.json: vision_config: "},
		{map[string]any{"engram_layer_ids": []int{1}}, "cannot run this model: config.json: engram_layer_ids: "},
		{map[string]any{"scoring_func": "sigmoid"}, `cannot run this model: config.json: scoring_func: found "sigmoid", expected "sqrtsoftplus": `},
		{map[string]any{"norm_topk_prob": false}, "cannot run this model: config.json: norm_topk_prob: found false, expected true: "},
		{map[string]any{"tie_word_embeddings": true}, "cannot run this model: config.json: tie_word_embeddings: "},
		{map[string]any{"n_shared_experts": 2}, "cannot run this model: config.json: n_shared_experts: found 2, expected 1: "},
		{map[string]any{"attention_bias": true}, "cannot run this model: config.json: attention_bias: "},
		{map[string]any{"hidden_act": nil}, `missing key: config.json: hidden_act: found nothing, expected "silu": `},
		{map[string]any{"hidden_size": nil}, "missing key: config.json: hidden_size: found nothing, expected a whole number from 1 to 65536: "},
		{map[string]any{"hidden_size": 0}, "wrong value: config.json: hidden_size: found 0, expected a whole number from 1 to 65536: "},
		{map[string]any{"hidden_size": 1.5}, "wrong value: config.json: hidden_size: found 1.5, "},
		{map[string]any{"hidden_size": "144"}, `wrong value: config.json: hidden_size: found "144", `},
		{map[string]any{"hidden_size": json.RawMessage("1e2")}, "wrong value: config.json: hidden_size: found 1e2, "},
		{map[string]any{"hidden_size": json.RawMessage("99999999999999999999")}, "wrong value: config.json: hidden_size: found 99999999999999999999, "},
		{map[string]any{"rms_norm_eps": json.RawMessage("1e999")}, "wrong value: config.json: rms_norm_eps: found 1e999, "},
		{map[string]any{"rms_norm_eps": 0}, "wrong value: config.json: rms_norm_eps: found 0, "},
		{map[string]any{"num_experts_per_tok": 5}, "wrong value: config.json: num_experts_per_tok: found 5, expected a whole number from 1 to 4: "},
		{map[string]any{"num_hash_layers": 5}, "wrong value: config.json: num_hash_layers: found 5, expected a whole number from 0 to 4: "},
		{map[string]any{"rope_scaling": nil}, "missing key: config.json: rope_scaling: found nothing, expected an object or null: "},
		{map[string]any{"rope_scaling": map[string]any{"type": "linear", "factor": 2}}, `cannot run this model: config.json: rope_scaling.type: found "linear", expected "yarn": `},
		{map[string]any{"rope_scaling": map[string]any{"type": "yarn"}}, "missing key: config.json: rope_scaling.factor: "},
		{map[string]any{"rope_scaling": map[string]any{"type": "yarn", "mscale": 2}}, "cannot run this model: config.json: rope_scaling.mscale: found 2, "},
		{map[string]any{"rope_scaling": 4}, "wrong value: config.json: rope_scaling: found 4, expected an object: "},
		{map[string]any{"quantization_config": map[string]any{"quant_method": "awq"}}, `cannot run this model: config.json: quantization_config.quant_method: found "awq", expected "fp8": `},
		{map[string]any{"quantization_config": map[string]any{"quant_method": "fp8", "weight_block_size": []int{64, 64}}}, "cannot run this model: config.json: quantization_config.weight_block_size: found [64 64], expected [128 128] or [32 32]: "},
		{map[string]any{"quantization_config": map[string]any{"quant_method": "fp8", "weight_block_size": []int{128}}}, "wrong value: config.json: quantization_config.weight_block_size: found a list of 1, "},
		{map[string]any{"eos_token_id": 64}, "wrong value: config.json: eos_token_id: found 64, expected a whole number from 0 to 63: "},
		{map[string]any{"eos_token_id": []int{}}, "wrong value: config.json: eos_token_id: found a list of 0, "},
		{map[string]any{"eos_token_id": []int{1, -1}}, "wrong value: config.json: eos_token_id[1]: found -1, "},
		{map[string]any{"compress_ratios": []int{0, 4, 128}}, "wrong value: config.json: compress_ratios: found a list of 3, expected a list of 4 to 12 "},
		{map[string]any{"compress_ratios": []int{0, 4, 128, 4}}, "wrong value: config.json: compress_ratios: found 4 entries, expected 5: "},
		{map[string]any{"compress_ratios": []int{0, 3, 128, 4, 0}}, "cannot run this model: config.json: compress_ratios[1]: found 3, expected 0 or a divisor of 128: "},
		{map[string]any{"compress_ratios": []int{0, 4, 128, 4, 4}}, "cannot run this model: config.json: compress_ratios[4]: found 4, expected 0 for the drafter: "},
		{map[string]any{"num_nextn_predict_layers": 2, "compress_ratios": []int{0, 4, 128, 4, 0, 0}}, "cannot run this model: config.json: num_nextn_predict_layers: found 2, "},
		{dspark(map[string]any{"dspark_noise_token_id": 64}), "wrong value: config.json: dspark_noise_token_id: found 64, "},
		{dspark(map[string]any{"dspark_target_layer_ids": []int{4}}), "wrong value: config.json: dspark_target_layer_ids[0]: found 4, expected a whole number from 0 to 3: "},
		{dspark(map[string]any{"dspark_markov_rank": nil}), "missing key: config.json: dspark_markov_rank: "},
		{dspark(map[string]any{"dspark_n_routed_experts": 8}), "cannot run this model: config.json: dspark_n_routed_experts: "},
		{dspark(map[string]any{"compress_ratios": []int{0, 4, 128, 4}}), "wrong value: config.json: compress_ratios: found 4 entries, expected 5: "},
		{map[string]any{"qk_rope_head_dim": 15}, "wrong value: config.json: qk_rope_head_dim: found 15, expected an even number: "},
		{map[string]any{"qk_rope_head_dim": 74}, "wrong value: config.json: qk_rope_head_dim: found 74, expected at most head_dim 72: "},
		{map[string]any{"o_groups": 3}, "wrong value: config.json: o_groups: found 3, expected a divisor of num_attention_heads 4: "},
		{map[string]any{"index_head_dim": 48}, "wrong value: config.json: index_head_dim: found 48, expected a power of two: "},
		{map[string]any{"index_head_dim": 8}, "wrong value: config.json: index_head_dim: found 8, expected at least qk_rope_head_dim 16: "},
		{map[string]any{"hidden_size": 65536, "vocab_size": 1 << 20}, "wrong value: config.json: vocab_size: found a matrix of 1048576 x 65536, "},
		{map[string]any{"num_hidden_layers": 100, "n_routed_experts": 2000, "compress_ratios": make([]int, 101)}, "wrong value: config.json: n_routed_experts: found 2000, expected at most 131072 in all layers: "},
	} {
		keys := tinyKeys(t)
		for key, value := range c.change {
			if keys[key] = value; value == nil {
				delete(keys, key)
			}
		}
		_, err := parseKeys(t, keys)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v\nwant %s", c.change, err, c.want)
		}
	}
}

// What is no JSON object of one value per key is an error.
func TestConfigText(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "bad config: config.json: found the end of the text at byte 0, expected JSON: ",
		"\xff{}":                "bad config: config.json: found bytes that are no UTF-8, ",
		"[]":                    "bad config: config.json: found a list of 0, expected a JSON object: ",
		"{} {}":                 "bad config: config.json: found more text at byte ",
		`{"a":1,"a":2}`:         "bad config: config.json: a: found the key twice, ",
		`{"a":{"b":1,"b":2}}`:   "bad config: config.json: a.b: found the key twice, ",
		`{"a":`:                 "bad config: config.json: found the end of the text at byte 5, ",
		`{"a":1,}`:              "bad config: config.json: found ",
		strings.Repeat("[", 99): "bad config: config.json: found values nested deeper than that, ",
	} {
		_, err := ParseConfig([]byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
