package deepseek

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"baleen/internal/checkpoint"
)

var shared = flag.String("shared", "", "the folder of shared material, with goldens and the demo model")

// The demo model and every golden of this architecture bind, and all their bytes are found.
func TestBindShared(t *testing.T) {
	if *shared == "" {
		t.Skip("needs -shared=DIR")
	}
	for _, dir := range []string{"demo-model", "goldens/micro-a/bf16", "goldens/micro-a/fp8fp4", "goldens/micro-a16/bf16", "goldens/block-a/fp8fp4", "goldens/dspark-a/fp8fp4"} {
		c, err := checkpoint.Open(filepath.Join(*shared, dir))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		text, err := c.Config()
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := ParseConfig(text)
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		w, err := Bind(c, cfg)
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		stored := int64(0)
		for t := range c.Tensors() {
			stored += t.Bytes()
		}
		if backbone, drafter := w.Bytes(); backbone+drafter != stored {
			t.Errorf("%s: %d bytes bound, %d stored", dir, backbone+drafter, stored)
		}
		if (w.MTP != nil) != cfg.MTP || (w.Drafter != nil) != (cfg.DSpark != nil) {
			t.Errorf("%s: MTP %v, drafter %v", dir, w.MTP, w.Drafter)
		}
	}
}

// tinyKeys are the keys of a model that has every mechanism, and edge blocks that are not whole, in 50 KB.
func tinyKeys(t testing.TB) map[string]any {
	t.Helper()
	text, err := os.ReadFile("testdata/tiny.json")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

func parseKeys(t testing.TB, keys map[string]any) (*Config, error) {
	t.Helper()
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	return ParseConfig(text)
}

func tiny(t testing.TB, change map[string]any) *Config {
	t.Helper()
	keys := tinyKeys(t)
	for key, value := range change {
		if value == nil {
			delete(keys, key)
		} else {
			keys[key] = value
		}
	}
	c, err := parseKeys(t, keys)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stored is a checkpoint in memory: tensors by name. Every byte of one is a hash of the name that it has in a release and
// of its place, so that a matrix that is cut from another shows.
type stored map[string]blob

type blob struct {
	dtype checkpoint.DType
	shape []int64
	data  []byte
}

func store(w *Weights) stored {
	all := stored{}
	for weight := range w.All() {
		for part := range weight.Parts {
			for _, e := range weight.Entries(part) {
				b := blob{e.DType, e.Shape, make([]byte, size(e.DType, e.Shape))}
				sum := byte(len(e.Name))
				for _, c := range []byte(e.Name) {
					sum = sum*31 + c
				}
				for i := range b.data {
					b.data[i] = sum + byte(i*7)
				}
				all[e.Name] = b
			}
		}
	}
	return all
}

func size(d checkpoint.DType, shape []int64) int64 {
	n := int64(d.Bits())
	for _, length := range shape {
		n *= length
	}
	return n / 8
}

// open writes the tensors to one file and opens it.
func (s stored) open(t testing.TB) *checkpoint.Checkpoint {
	t.Helper()
	var entries []checkpoint.Entry
	names := slices.Sorted(maps.Keys(s))
	for _, name := range names {
		entries = append(entries, checkpoint.Entry{Name: name, DType: s[name].dtype, Shape: s[name].shape})
	}
	var file bytes.Buffer
	w, err := checkpoint.NewWriter(&file, entries, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := w.Write(s[name].data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.OpenFS(fstest.MapFS{"model.safetensors": {Data: file.Bytes()}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// change gives a tensor another type and shape.
func (s stored) change(name string, d checkpoint.DType, shape ...int64) {
	s[name] = blob{d, shape, make([]byte, size(d, shape))}
}

func read(t *testing.T, s Span) []byte {
	t.Helper()
	data := make([]byte, s.Length)
	if _, err := s.From.ReadAt(data, s.Offset); err != nil {
		t.Fatal(err)
	}
	return data
}

// checkBytes compares what is bound with what was stored under the names of a release.
func checkBytes(t *testing.T, w *Weights, want stored) {
	t.Helper()
	for weight := range w.All() {
		if len(weight.Data) != weight.Parts || weight.Format.BlockRows != 0 && len(weight.Scale) != weight.Parts {
			t.Fatalf("%s: %d parts, data of %d, scales of %d", weight.Name, weight.Parts, len(weight.Data), len(weight.Scale))
		}
		dataSize, scaleSize := weight.Format.Size(weight.Rows, weight.Cols)
		for part := range weight.Parts {
			name := weight.tensor(part)
			if data := read(t, weight.Data[part]); int64(len(data)) != dataSize || !bytes.Equal(data, want[name].data) {
				t.Errorf("%s: other bytes than %s, %d of %d", weight.Data[part], name, len(data), dataSize)
			}
			if weight.Scale == nil {
				continue
			}
			if scale := read(t, weight.Scale[part]); int64(len(scale)) != scaleSize || !bytes.Equal(scale, want[scaleOf(name)].data) {
				t.Errorf("%s: other bytes than %s, %d of %d", weight.Scale[part], scaleOf(name), len(scale), scaleSize)
			}
		}
	}
}

// As released: FP4 and FP8 in either block size, plain, with MTP, with DSpark and with neither.
func TestBindReleased(t *testing.T) {
	dspark := map[string]any{
		"dspark_block_size": 5, "dspark_noise_token_id": 3, "dspark_target_layer_ids": []int{1, 2, 3}, "dspark_markov_rank": 8,
		"compress_ratios": []int{0, 4, 128, 4, 0, 0, 0},
	}
	plain := map[string]any{"quantization_config": nil}
	small := map[string]any{"quantization_config": map[string]any{"quant_method": "fp8", "weight_block_size": []int{32, 32}}}
	for name, change := range map[string]map[string]any{"mtp": {}, "dspark": dspark, "plain": plain, "32x32": small} {
		t.Run(name, func(t *testing.T) {
			c := tiny(t, change)
			all := store(c.Layout())
			w, err := Bind(all.open(t), c)
			if err != nil {
				t.Fatal(err)
			}
			checkBytes(t, w, all)
			if (w.MTP != nil) != c.MTP || (w.Drafter != nil) != (c.DSpark != nil) || w.Ignored != nil {
				t.Errorf("MTP %v, drafter %v, ignored %v", w.MTP, w.Drafter, w.Ignored)
			}
			for key := range all {
				if strings.HasPrefix(key, "mtp.") {
					delete(all, key)
				}
			}
			if w, err = Bind(all.open(t), c); err != nil {
				t.Fatalf("without drafter: %v", err)
			}
			if _, drafter := w.Bytes(); drafter != 0 || w.MTP != nil || w.Drafter != nil {
				t.Errorf("without drafter: MTP %v, drafter %v", w.MTP, w.Drafter)
			}
		})
	}
}

// storeAs stores experts in FP8 where a release has FP4.
func storeAs(c *Config, fp8 bool) stored {
	w := c.Layout()
	for weight := range w.All() {
		if fp8 && weight.experts() {
			weight.Format = c.fp8()
		}
	}
	return store(w)
}

// Other types than a release's: their formats are what they are, and every byte is found.
func TestBindTypes(t *testing.T) {
	const wkv, w2 = "layers.0.attn.wkv.weight", "layers.0.ffn.experts.w2.weight"
	c := tiny(t, nil)
	all := func(s stored, match string, d checkpoint.DType, wider int64) {
		for name, b := range s {
			if ok, _ := regexp.MatchString(match, name); ok {
				shape := slices.Clone(b.shape)
				shape[len(shape)-1] *= wider
				s.change(name, d, shape...)
			}
		}
	}
	for _, test := range []struct {
		name   string
		fp8    bool
		change func(stored)
		tensor string
		want   string
	}{
		{"F4", false, func(s stored) { all(s, `ffn\.experts.*weight`, checkpoint.F4, 2) }, w2, "fp4[1x32]"},
		{"base", true, func(stored) {}, w2, "fp8[128x128]"},
		{"base, F32 scales", true, func(s stored) { all(s, `ffn\.experts.*scale`, checkpoint.F32, 1) }, w2, "fp8[128x128 f32]"},
		{"U8 scales", false, func(s stored) { all(s, `\.scale`, checkpoint.U8, 1) }, "layers.0.attn.wkv.weight", "fp8[128x128]"},
		{"F32 scales", false, func(s stored) { all(s, `\.scale`, checkpoint.F32, 1) }, w2, "fp4[1x32 f32]"},
		{"I32 table", false, func(s stored) { all(s, `tid2eid`, checkpoint.I32, 1) }, "layers.0.ffn.gate.tid2eid", "i32"},
		{"F32 norms", false, func(s stored) { all(s, `norm\.weight`, checkpoint.F32, 1) }, "norm.weight", "f32"},
		{"BF16 hyper-connections", false, func(s stored) { all(s, `hc_`, checkpoint.BF16, 1) }, "layers.0.hc_attn_fn", "bf16"},
		{"F32 embedding", false, func(s stored) { all(s, `embed`, checkpoint.F32, 1) }, "embed.weight", "f32"},
		{"one BF16 projection", false, func(s stored) {
			delete(s, "layers.0.attn.wkv.scale")
			all(s, `layers\.0\.attn\.wkv\.weight`, checkpoint.BF16, 1)
		}, wkv, "bf16"},
	} {
		s := storeAs(c, test.fp8)
		test.change(s)
		w, err := Bind(s.open(t), c)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkBytes(t, w, s)
		for weight := range w.All() {
			if weight.Name == test.tensor && weight.Format.String() != test.want {
				t.Errorf("%s: %s is %v, want %s", test.name, weight.Name, weight.Format, test.want)
			}
		}
	}
}

// Copies of embedding and head beside the drafter, and tables of frequencies, are listed and not an error. Alone, the copies are
// no drafter.
func TestBindIgnores(t *testing.T) {
	c := tiny(t, nil)
	s := store(c.Layout())
	s["mtp.0.embed.weight"], s["mtp.0.head.weight"] = s["embed.weight"], s["head.weight"]
	s.change("layers.0.attn.rotary_emb.inv_freq", checkpoint.F32, 8)
	w, err := Bind(s.open(t), c)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(w.Ignored, " "); got != "layers.0.attn.rotary_emb.inv_freq mtp.0.embed.weight mtp.0.head.weight" {
		t.Errorf("ignored %s", got)
	}
	for name := range s {
		if strings.HasPrefix(name, "mtp.0.") && !ignorable(name) {
			delete(s, name)
		}
	}
	if w, err = Bind(s.open(t), c); err != nil || w.MTP != nil || len(w.Ignored) != 3 {
		t.Errorf("copies alone: %v, MTP %v", err, w)
	}
}

// Every fault names file, tensor, what is there and what should be, in one line.
func TestBindFaults(t *testing.T) {
	const expert = "layers.0.ffn.experts.1.w2.weight"
	const file = "model.safetensors: tensor "
	for _, test := range []struct {
		name   string
		config map[string]any
		change func(stored)
		want   string
	}{
		{"missing", nil, func(s stored) { delete(s, "layers.2.attn.q_norm.weight") }, `tensor missing: .: tensor "layers.2.attn.q_norm.weight": found none of that name, nor of its other spellings, expected it by config.json: config.json and weights are not of one release; fetch the whole set again`},
		{"missing expert", nil, func(s stored) { delete(s, expert) }, `tensor missing: .: tensor "layers.0.ffn.experts.1.w2.weight": `},
		{"missing scale", nil, func(s stored) { delete(s, "layers.0.attn.wkv.scale") }, `tensor missing: .: tensor "layers.0.attn.wkv.scale": `},
		{"missing expert scale", nil, func(s stored) { delete(s, "layers.0.ffn.experts.3.w1.scale") }, `tensor missing: .: tensor "layers.0.ffn.experts.3.w1.scale": `},
		{"missing embedding", nil, func(s stored) { delete(s, "embed.weight") }, `tensor missing: .: tensor "embed.weight": `},
		{"half of MTP", nil, func(s stored) { delete(s, "mtp.0.hnorm.weight") }, `tensor missing: .: tensor "mtp.0.hnorm.weight": `},
		{"little of MTP", nil, func(s stored) {
			for name := range s {
				if strings.HasPrefix(name, "mtp.") && name != "mtp.0.enorm.weight" {
					delete(s, name)
				}
			}
		}, `tensor missing: .: tensor "mtp.0.`},
		{"MTP without announcement", map[string]any{"num_nextn_predict_layers": 0, "compress_ratios": []int{0, 4, 128, 4}}, func(s stored) {}, `unknown tensor: ` + file + `"mtp.0.`},
		{"DSpark without announcement", nil, func(s stored) {
			delete(s, "mtp.0.e_proj.weight")
			s.change("mtp.0.main_proj.weight", checkpoint.BF16, 144, 432)
		}, `tensor missing: .: tensor "mtp.0.e_proj.weight": found none of that name, nor of its other spellings, expected it by config.json: these are weights with a DSpark drafter, and config.json has no dspark keys; `},
		{"unknown", nil, func(s stored) { s.change("layers.0.ffn.gate.bias_vl", checkpoint.F32, 4) }, `unknown tensor: ` + file + `"layers.0.ffn.gate.bias_vl": found F32 [4], expected only tensors that this model uses, by config.json: `},
		{"one layer too many", nil, func(s stored) { s.change("layers.4.attn_norm.weight", checkpoint.BF16, 144) }, `unknown tensor: ` + file + `"layers.4.attn_norm.weight": `},
		{"an expert too many", nil, func(s stored) { s[strings.Replace(expert, ".1.", ".4.", 1)] = s[expert] }, `unknown tensor: ` + file + `"layers.0.ffn.experts.4.w2.weight": `},
		{"bias of a hash layer", nil, func(s stored) { s.change("layers.0.ffn.gate.bias", checkpoint.F32, 4) }, `unknown tensor: ` + file + `"layers.0.ffn.gate.bias": `},
		{"scale of a plain matrix", nil, func(s stored) { s.change("layers.0.attn.wkv.weight", checkpoint.BF16, 72, 144) }, `unknown tensor: ` + file + `"layers.0.attn.wkv.scale": `},
		{"shape", nil, func(s stored) { s.change("layers.1.attn.wq_b.weight", checkpoint.F8_E4M3, 40, 288) }, `wrong shape: ` + file + `"layers.1.attn.wq_b.weight": found F8_E4M3 [40 288], expected [288 40] by config.json: `},
		{"rank", nil, func(s stored) { s.change("norm.weight", checkpoint.BF16, 1, 144) }, `wrong shape: ` + file + `"norm.weight": found BF16 [1 144], expected [144] by config.json: `},
		{"groups apart", nil, func(s stored) { s.change("layers.1.attn.wo_a.weight", checkpoint.F8_E4M3, 2, 20, 144) }, `wrong shape: ` + file + `"layers.1.attn.wo_a.weight": found F8_E4M3 [2 20 144], expected [40 144] by config.json: `},
		{"unpacked", nil, func(s stored) { s.change("layers.0.ffn.experts.0.w2.weight", checkpoint.I8, 144, 48) }, `wrong shape: ` + file + `"layers.0.ffn.experts.0.w2.weight": found I8 [144 48], expected [144 24] by config.json: `},
		{"packed F4", nil, func(s stored) { s.change("layers.0.ffn.experts.0.w2.weight", checkpoint.F4, 144, 24) }, `wrong shape: ` + file + `"layers.0.ffn.experts.0.w2.weight": found F4 [144 24], expected [144 48] by config.json: `},
		{"ape", nil, func(s stored) { s.change("layers.1.attn.compressor.ape", checkpoint.F32, 4, 72) }, `wrong shape: ` + file + `"layers.1.attn.compressor.ape": found F32 [4 72], expected [4 144] by config.json: `},
		{"scale of 32x32", nil, func(s stored) { s.change("layers.0.attn.wkv.scale", checkpoint.F8_E8M0, 3, 5) }, `wrong shape: ` + file + `"layers.0.attn.wkv.scale": found F8_E8M0 [3 5], expected [1 2], a scale for every block of 128x128: `},
		{"scale of whole blocks", nil, func(s stored) { s.change("layers.0.attn.wkv.scale", checkpoint.F8_E8M0, 0, 1) }, `wrong shape: ` + file + `"layers.0.attn.wkv.scale": found F8_E8M0 [0 1], expected [1 2], `},
		{"FP4 scale", nil, func(s stored) { s.change("layers.0.ffn.experts.0.w2.scale", checkpoint.F8_E8M0, 144, 1) }, `wrong shape: ` + file + `"layers.0.ffn.experts.0.w2.scale": found F8_E8M0 [144 1], expected [144 2], a scale for every block of 1x32: `},
		{"type", nil, func(s stored) { s.change("layers.1.attn.wq_b.weight", checkpoint.F16, 288, 40) }, `wrong type: ` + file + `"layers.1.attn.wq_b.weight": found F16, expected F8_E4M3, BF16 or F32: `},
		{"packed dense", nil, func(s stored) { s.change("layers.1.attn.wq_b.weight", checkpoint.I8, 288, 20) }, `wrong type: ` + file + `"layers.1.attn.wq_b.weight": found I8, expected F8_E4M3, BF16 or F32: `},
		{"quantised gate", nil, func(s stored) { s.change("layers.1.ffn.gate.weight", checkpoint.F8_E4M3, 4, 144) }, `wrong type: ` + file + `"layers.1.ffn.gate.weight": found F8_E4M3, expected BF16 or F32: `},
		{"expert type", nil, func(s stored) { s.change(expert, checkpoint.U8, 144, 24) }, `wrong type: ` + file + `"layers.0.ffn.experts.1.w2.weight": found U8, expected I8, F4, F8_E4M3, BF16 or F32: `},
		{"table of floats", nil, func(s stored) { s.change("layers.0.ffn.gate.tid2eid", checkpoint.F32, 64, 2) }, `wrong type: ` + file + `"layers.0.ffn.gate.tid2eid": found F32, expected I64 or I32: `},
		{"integers", nil, func(s stored) { s.change("norm.weight", checkpoint.I32, 144) }, `wrong type: ` + file + `"norm.weight": found I32, expected BF16 or F32: `},
		{"scale type", nil, func(s stored) { s.change("layers.0.attn.wkv.scale", checkpoint.BF16, 1, 2) }, `wrong type: ` + file + `"layers.0.attn.wkv.scale": found BF16, expected F8_E8M0, U8 or F32: `},
		{"mixed experts", nil, func(s stored) { s.change(expert, checkpoint.BF16, 144, 48) }, `mixed types: ` + file + `"layers.0.ffn.experts.1.w2.weight": found BF16, expected the type of the experts before it, fp4: `},
		{"mixed scales", nil, func(s stored) { s.change("layers.0.ffn.experts.1.w2.scale", checkpoint.F32, 144, 2) }, `mixed types: ` + file + `"layers.0.ffn.experts.1.w2.scale": found F32, expected the type of the scales before it: `},
		{"no block size", map[string]any{"quantization_config": nil}, func(stored) {}, `no block size: ` + file + `"layers.0.attn.wq_a.weight": found F8_E4M3, expected weight_block_size in config.json: `},
		{"other block size", map[string]any{"quantization_config": map[string]any{"quant_method": "fp8", "weight_block_size": []int{32, 32}}}, func(stored) {}, `wrong shape: ` + file + `"layers.0.attn.wq_a.scale": found F8_E8M0 [1 2], expected [2 5], a scale for every block of 32x32: `},
		{"two names", nil, func(s stored) {
			s["model.embed_tokens.weight"], s["model.layers.0.attn_norm.weight"] = s["embed.weight"], s["layers.0.attn_norm.weight"]
			delete(s, "embed.weight")
		}, `tensor under two names: ` + file + `"model.layers.0.attn_norm.weight": found it also as "layers.0.attn_norm.weight", expected it once: `},
		{"hostile name", nil, func(s stored) { s["x\n"+strings.Repeat("y", 500)] = s["norm.weight"] }, `unknown tensor: ` + file},
		{"stacked shape", nil, func(s stored) { s.change("layers.0.ffn.experts.w2.weight", checkpoint.I8, 4, 144, 25) }, `wrong shape: ` + file + `"layers.0.ffn.experts.w2.weight": found I8 [4 144 25], expected [4 144 24] by config.json: `},
		{"stacked without scale", nil, func(s stored) { s.change("layers.0.ffn.experts.w2.weight", checkpoint.I8, 4, 144, 24) }, `tensor missing: .: tensor "layers.0.ffn.experts.w2.scale": `},
		{"stacked scale", nil, func(s stored) {
			s.change("layers.0.ffn.experts.w2.weight", checkpoint.I8, 4, 144, 24)
			s.change("layers.0.ffn.experts.w2.scale", checkpoint.F8_E8M0, 4, 2, 144)
		}, `wrong shape: ` + file + `"layers.0.ffn.experts.w2.scale": found F8_E8M0 [4 2 144], expected [4 144 2], `},
		{"stacked and single", nil, func(s stored) {
			s.change("layers.0.ffn.experts.w2.weight", checkpoint.BF16, 4, 144, 48)
		}, `unknown tensor: ` + file + `"layers.0.ffn.experts.0.w2.scale": `},
		{"blocks across matrices", nil, func(s stored) {
			s.change("layers.0.ffn.experts.w13.weight", checkpoint.F8_E4M3, 4, 96, 144)
			s.change("layers.0.ffn.experts.w13.scale", checkpoint.F8_E8M0, 4, 1, 2)
		}, `blocks across matrices: ` + file + `"layers.0.ffn.experts.w13.weight": found 48 rows of each matrix in blocks of 128, expected whole blocks: `},
	} {
		s := store(tiny(t, nil).Layout())
		test.change(s)
		_, err := Bind(s.open(t), tiny(t, test.config))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.ContainsAny(err.Error(), "\n") || len(err.Error()) > 500 {
			t.Errorf("%s: %v\nwant %s", test.name, err, test.want)
		}
	}
}

// An empty checkpoint is an error, too.
func TestBindNothing(t *testing.T) {
	if _, err := Bind(stored{}.open(t), tiny(t, nil)); err == nil {
		t.Error("bound")
	}
}
