package deepseek

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Config is the shape of a model and the constants of its arithmetic (model spec 1). Names of the paper's symbols are in
// brackets. What ParseConfig returns has been checked whole: no size is zero where that has no meaning, no product of
// sizes that the model needs overflows, and everything that the code takes for granted is so.
type Config struct {
	Vocab, Hidden, Layers   int // [V, d, L]
	Heads, HeadDim, RopeDim int // [H, D, R]; the last RopeDim channels of a head rotate, an even number
	QueryRank               int // [Q]
	OutputGroups            int // [G]; divides Heads
	OutputRank              int // [O], per group
	Window                  int // [W] positions that a sliding window sees, the present one included

	// Ratios has one entry per backbone layer [r]: 0 is a sliding window alone, 4 adds compressed sparse attention (CSA),
	// any other heavily compressed attention (HCA). Every one divides 128, the positions of a page.
	Ratios []int

	IndexHeads, IndexDim, IndexTopK int // [Hi, Di, K]; IndexDim is a power of two and at least RopeDim

	Experts, ActiveExperts, ExpertHidden int // [E, k, M]; the one shared expert is as wide as a routed one
	HashLayers                           int // the first layers, which route by token id

	RouteScale, SwigluLimit float64

	Streams, SinkhornIters int // [n]
	HCEps, NormEps         float64

	RopeTheta, CompressTheta float64 // of layers with ratio 0, and of the others
	YaRN                     YaRN    // of layers with a ratio

	MaxContext int
	BOS        int32
	EOS        []int32 // at least one

	// BlockRows and BlockCols are what config.json says about the blocks of FP8 weights: 128x128 or 32x32. Zero where it
	// says nothing, as for plain weights.
	BlockRows, BlockCols int

	MTP    bool    // a classic MTP block is announced; Weights.MTP tells whether it is stored
	DSpark *DSpark // the drafter of 0731 and 0813, or nil
}

// YaRN stretches rotary frequencies (model spec 3.6). A Factor of 0 or 1 is none.
type YaRN struct {
	Factor             float64
	Original           int // positions of the first training
	BetaFast, BetaSlow float64
}

// DSpark is the shape of a block drafter (model spec 11).
type DSpark struct {
	Stages, BlockSize int
	NoiseToken        int32
	Targets           []int // the layers whose outputs feed it
	MarkovRank        int
}

// DraftStages returns how many blocks are stored behind the backbone, as mtp.0, mtp.1 and so on.
func (c *Config) DraftStages() int {
	switch {
	case c.DSpark != nil:
		return c.DSpark.Stages
	case c.MTP:
		return 1
	}
	return 0
}

// Bounds that no release comes near. They keep every product of sizes far below 2^63, and a hostile config from costing
// more than its length.
const (
	maxVocab                = 1 << 22
	maxWidth                = 1 << 16 // of any vector
	maxCount                = 1 << 12 // of heads, groups, experts
	maxLayers               = 512
	maxStages               = 8
	maxContext              = 1 << 24     // float32 positions are exact up to here
	maxExperts              = 1 << 17     // in all layers together
	maxMatrix               = 1<<33 - 1   // elements of one matrix
	pagePositions           = 128         // positions; ratios divide it
	leastFactor, mostFactor = 1e-30, 1e12 // of factors
)

//go:embed configs/*.json
var releasedConfigs embed.FS

// ReleasedConfig returns the config.json of a release: v4-flash, v4-pro, v4-flash-0731 or v4-pro-0813 (formats spec 1.3).
func ReleasedConfig(name string) ([]byte, bool) {
	data, err := releasedConfigs.ReadFile("configs/" + name + ".json")
	return data, err == nil
}

// ParseConfig reads a config.json and checks it. Every error is one line: what, the key, what was found and expected,
// and how to mend it.
func ParseConfig(data []byte) (*Config, error) {
	o, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	r := &configReader{jsonObject: o}
	if err := r.checkKind(); err != nil {
		return nil, err
	}
	c := &Config{}
	for _, read := range []func(*configReader){
		c.readConstants, c.readSizes, c.readExperts, c.readRope, c.readTokens, c.readBlocks, c.readDrafter,
	} {
		if read(r); r.err != nil {
			return nil, r.err
		}
	}
	return c, c.check()
}

// checkKind looks at what the model says it is, before any key is missed that another kind does not have.
func (r *configReader) checkKind() error {
	name, _ := r.jsonObject["model_type"].(string)
	if list, ok := r.jsonObject["architectures"].([]any); ok && len(list) == 1 {
		name, _ = list[0].(string)
	}
	switch name {
	case "DeepseekV4ForCausalLM", "deepseek_v4":
	case "DeepseekV41ForCausalLM", "deepseek_v41":
		return configFault("cannot run this model yet", "architectures", name, "DeepseekV4ForCausalLM",
			"V4.1 is another architecture, recognised but not built yet; use a V4 release")
	case "":
		return configFault("unknown architecture", "architectures", "nothing", "DeepseekV4ForCausalLM", "give the config.json of a DeepSeek-V4 release")
	default:
		return configFault("unknown architecture", "architectures", shorten(name), "DeepseekV4ForCausalLM", notThisKind)
	}
	for _, foreign := range []string{"text_config", "vision_", "image_", "engram_", "candidate_", "kv_source_", "index_source_"} {
		if key := r.firstWith(foreign); key != "" {
			r.unsupported(key, "it", "no vision, no engram and no shared caches")
		}
	}
	return r.err
}

// readConstants reads what is the same in every release, and which the code has no other form of.
func (c *Config) readConstants(r *configReader) {
	r.optional("model_type", "deepseek_v4")
	r.one("hidden_act", "silu")
	r.one("scoring_func", "sqrtsoftplus")
	r.one("topk_method", "noaux_tc")
	r.one("norm_topk_prob", true)
	r.one("num_key_value_heads", json.Number("1"))
	r.one("n_shared_experts", json.Number("1"))
	r.one("tie_word_embeddings", false)
	r.optional("attention_bias", false)
}

func (c *Config) readSizes(r *configReader) {
	c.Vocab = r.integer("vocab_size", 1, maxVocab)
	c.Hidden = r.integer("hidden_size", 1, maxWidth)
	c.Layers = r.integer("num_hidden_layers", 1, maxLayers)
	c.Heads = r.integer("num_attention_heads", 1, maxCount)
	c.HeadDim = r.integer("head_dim", 2, maxWidth)
	c.RopeDim = r.integer("qk_rope_head_dim", 2, maxWidth)
	c.QueryRank = r.integer("q_lora_rank", 1, maxWidth)
	c.OutputGroups = r.integer("o_groups", 1, maxCount)
	c.OutputRank = r.integer("o_lora_rank", 1, maxWidth)
	c.Window = r.integer("sliding_window", 1, maxWidth)
	c.IndexHeads = r.integer("index_n_heads", 1, maxCount)
	c.IndexDim = r.integer("index_head_dim", 2, maxWidth)
	c.IndexTopK = r.integer("index_topk", 1, maxWidth)
	c.Streams = r.integer("hc_mult", 1, 16)
	c.SinkhornIters = r.integer("hc_sinkhorn_iters", 1, 1000)
	c.HCEps = r.float("hc_eps", leastFactor, 1)
	c.NormEps = r.float("rms_norm_eps", leastFactor, 1)
	c.MaxContext = r.integer("max_position_embeddings", 1, maxContext)
}

func (c *Config) readExperts(r *configReader) {
	c.Experts = r.integer("n_routed_experts", 1, maxCount)
	c.ActiveExperts = r.integer("num_experts_per_tok", 1, c.Experts)
	c.ExpertHidden = r.integer("moe_intermediate_size", 1, maxWidth)
	c.HashLayers = r.integer("num_hash_layers", 0, c.Layers)
	c.RouteScale = r.float("routed_scaling_factor", leastFactor, mostFactor)
	c.SwigluLimit = r.float("swiglu_limit", leastFactor, mostFactor)
}

// readRope reads the rotary constants. A rope_scaling of null is none; that the key is missing is an error, since to
// drop it changes every answer.
func (c *Config) readRope(r *configReader) {
	c.RopeTheta = r.float("rope_theta", 1.0001, mostFactor)
	c.CompressTheta = r.float("compress_rope_theta", 1.0001, mostFactor)
	if value := r.get("rope_scaling", "an object or null"); value == nil {
		return
	}
	scaling := r.inner("rope_scaling")
	kind := "type"
	if scaling.has("rope_type") {
		scaling.optional("type", "yarn")
		kind = "rope_type"
	}
	scaling.one(kind, "yarn")
	for _, temperature := range []string{"mscale", "mscale_all_dim", "attention_factor"} {
		scaling.optional(temperature, json.Number("1"), json.Number("1.0"))
	}
	y := &c.YaRN
	y.Factor = scaling.float("factor", 1, 1e6)
	y.Original = scaling.integer("original_max_position_embeddings", 1, maxContext)
	y.BetaSlow = scaling.float("beta_slow", leastFactor, mostFactor)
	y.BetaFast = scaling.float("beta_fast", y.BetaSlow, mostFactor)
	r.err = scaling.err
}

// readTokens reads the ids that begin and end a text. eos_token_id may be a number or a list.
func (c *Config) readTokens(r *configReader) {
	c.BOS = int32(r.integer("bos_token_id", 0, c.Vocab-1))
	if _, list := r.jsonObject["eos_token_id"].([]any); !list {
		c.EOS = []int32{int32(r.integer("eos_token_id", 0, c.Vocab-1))}
		return
	}
	for _, id := range r.integers("eos_token_id", 1, 64, 0, c.Vocab-1) {
		c.EOS = append(c.EOS, int32(id))
	}
}

// readBlocks reads how FP8 weights are scaled. What kind each matrix is stored in, the stored types say, not this.
func (c *Config) readBlocks(r *configReader) {
	if !r.has("quantization_config") {
		return
	}
	q := r.inner("quantization_config")
	q.one("quant_method", "fp8")
	q.optional("fmt", "e4m3")
	q.optional("activation_scheme", "dynamic")
	q.optional("scale_fmt", "ue8m0")
	if q.err == nil && q.has("weight_block_size") {
		block := q.integers("weight_block_size", 2, 2, 1, maxWidth)
		if q.err == nil && !slices.Equal(block, []int{128, 128}) && !slices.Equal(block, []int{32, 32}) {
			q.unsupported("weight_block_size", fmt.Sprint(block), "[128 128] or [32 32]")
		}
		if q.err == nil {
			c.BlockRows, c.BlockCols = block[0], block[1]
		}
	}
	r.err = q.err
}

// readDrafter reads the compression ratios, whose last entries belong to the drafter, and what kind that is.
// num_nextn_predict_layers stays 1 in the releases with DSpark, so it cannot tell (formats spec 1.3).
func (c *Config) readDrafter(r *configReader) {
	stages := r.integer("num_nextn_predict_layers", 0, maxStages)
	ratios := r.integers("compress_ratios", c.Layers, c.Layers+maxStages, 0, pagePositions)
	if r.err != nil {
		return
	}
	c.Ratios = ratios[:c.Layers:c.Layers]
	drafts := ratios[c.Layers:]
	if dspark := r.firstWith("dspark_"); dspark != "" {
		stages = c.readDSpark(r, len(drafts))
	} else {
		c.MTP = stages == 1
		if stages > 1 {
			r.unsupported("num_nextn_predict_layers", fmt.Sprint(stages), "0 or 1 where there are no dspark keys")
		}
	}
	if len(drafts) != stages {
		r.fail("compress_ratios", fmt.Sprintf("%d entries", len(ratios)), fmt.Sprintf("%d: one per layer and one per stage of the drafter", c.Layers+stages))
	}
	for i, ratio := range ratios {
		switch {
		case i < c.Layers && ratio != 0 && pagePositions%ratio != 0:
			r.unsupported(fmt.Sprintf("compress_ratios[%d]", i), fmt.Sprint(ratio), "0 or a divisor of 128")
		case i >= c.Layers && ratio != 0:
			r.unsupported(fmt.Sprintf("compress_ratios[%d]", i), fmt.Sprint(ratio), "0 for the drafter")
		}
	}
}

func (c *Config) readDSpark(r *configReader, stages int) int {
	for key := range r.jsonObject {
		known := []string{"dspark_block_size", "dspark_noise_token_id", "dspark_target_layer_ids", "dspark_markov_rank"}
		if strings.HasPrefix(key, "dspark_") && !slices.Contains(known, key) {
			r.unsupported(key, "it", strings.Join(known, ", ")+" alone")
		}
	}
	c.DSpark = &DSpark{
		Stages:     max(stages, 1),
		BlockSize:  r.integer("dspark_block_size", 1, 64),
		NoiseToken: int32(r.integer("dspark_noise_token_id", 0, c.Vocab-1)),
		Targets:    r.integers("dspark_target_layer_ids", 1, 64, 0, c.Layers-1),
		MarkovRank: r.integer("dspark_markov_rank", 1, maxWidth),
	}
	for i, layer := range c.DSpark.Targets {
		if i > 0 && layer <= c.DSpark.Targets[i-1] {
			r.fail(fmt.Sprintf("dspark_target_layer_ids[%d]", i), fmt.Sprint(layer), "layers in ascending order")
		}
	}
	return c.DSpark.Stages
}

// firstWith returns the first key, in order, with a prefix.
func (o jsonObject) firstWith(prefix string) string {
	first := ""
	for key := range o {
		if strings.HasPrefix(key, prefix) && (first == "" || key < first) {
			first = key
		}
	}
	return first
}

// check compares sizes with each other.
func (c *Config) check() error {
	for _, rule := range []struct {
		broken bool
		key    string
		found  int
		want   string
	}{
		{c.RopeDim%2 != 0, "qk_rope_head_dim", c.RopeDim, "an even number"},
		{c.RopeDim > c.HeadDim, "qk_rope_head_dim", c.RopeDim, fmt.Sprint("at most head_dim ", c.HeadDim)},
		{c.Heads%c.OutputGroups != 0, "o_groups", c.OutputGroups, fmt.Sprint("a divisor of num_attention_heads ", c.Heads)},
		{c.IndexDim&(c.IndexDim-1) != 0, "index_head_dim", c.IndexDim, "a power of two"},
		{c.IndexDim < c.RopeDim, "index_head_dim", c.IndexDim, fmt.Sprint("at least qk_rope_head_dim ", c.RopeDim)},
		{(c.Layers+c.DraftStages())*c.Experts > maxExperts, "n_routed_experts", c.Experts, fmt.Sprint("at most ", maxExperts, " in all layers")},
	} {
		if rule.broken {
			return configFault("wrong value", rule.key, fmt.Sprint(rule.found), rule.want, fetchConfig)
		}
	}
	return c.checkMatrices()
}

// checkMatrices bounds the largest products.
func (c *Config) checkMatrices() error {
	for _, m := range []struct {
		key        string
		rows, cols int
	}{
		{"vocab_size", c.Vocab, c.Hidden},
		{"num_attention_heads", c.Heads * c.HeadDim, max(c.QueryRank, c.OutputRank)},
		{"o_lora_rank", c.OutputGroups * c.OutputRank, c.Hidden},
		{"index_n_heads", c.IndexHeads * c.IndexDim, c.QueryRank},
		{"moe_intermediate_size", c.ExpertHidden, c.Hidden},
		{"hc_mult", (2 + c.Streams) * c.Streams, c.Streams * c.Hidden},
	} {
		if m.rows > maxMatrix/m.cols {
			return configFault("wrong value", m.key, fmt.Sprintf("a matrix of %d x %d", m.rows, m.cols), fmt.Sprint("at most ", maxMatrix, " elements"), fetchConfig)
		}
	}
	return nil
}
