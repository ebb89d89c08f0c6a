package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBadInput damages a checkpoint in every way that a download, a disk or a person may, and wants one line that says
// what and where.
func TestBadInput(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		says   []string // in the message
	}{
		{"truncated header", func(t *testing.T, dir string) { truncate(t, shard(dir, 2), 100) }, []string{"00002-of-00011"}},
		{"no header", func(t *testing.T, dir string) { truncate(t, shard(dir, 2), 3) }, []string{"00002-of-00011"}},
		{"header of 2^63 bytes", func(t *testing.T, dir string) {
			edit(t, shard(dir, 2), func(b []byte) []byte { binary.LittleEndian.PutUint64(b, 1<<63); return b })
		}, []string{"00002-of-00011"}},
		{"header of 2^64-1 bytes", func(t *testing.T, dir string) {
			edit(t, shard(dir, 2), func(b []byte) []byte { binary.LittleEndian.PutUint64(b, ^uint64(0)); return b })
		}, []string{"00002-of-00011"}},
		{"truncated data", func(t *testing.T, dir string) { truncate(t, shard(dir, 2), 50000) }, []string{"00002-of-00011"}},
		{"overlapping offsets", func(t *testing.T, dir string) {
			editTensor(t, shard(dir, 2), "layers.0.attn.wkv.weight", func(tensor map[string]any) {
				o := tensor["data_offsets"].([]any)
				tensor["data_offsets"] = []any{number(o[0]) - 4, number(o[1]) - 4}
			})
		}, []string{"00002-of-00011"}},
		{"wrong dtype", func(t *testing.T, dir string) {
			editTensor(t, shard(dir, 2), "layers.0.attn_norm.weight", func(tensor map[string]any) { tensor["dtype"] = "F16" })
		}, []string{"00002-of-00011", "layers.0.attn_norm.weight"}},
		{"no such dtype", func(t *testing.T, dir string) {
			editTensor(t, shard(dir, 2), "layers.0.attn_norm.weight", func(tensor map[string]any) { tensor["dtype"] = "F17" })
		}, []string{"00002-of-00011", "layers.0.attn_norm.weight", "F17"}},
		{"missing tensor", func(t *testing.T, dir string) {
			const name = "layers.0.attn.wkv.weight"
			editHeader(t, shard(dir, 2), func(h map[string]any) { h["other"] = h[name]; delete(h, name) })
			editJSON(t, filepath.Join(dir, "model.safetensors.index.json"), func(index map[string]any) {
				files := index["weight_map"].(map[string]any)
				files["other"] = files[name]
				delete(files, name)
			})
		}, []string{"layers.0.attn.wkv.weight"}},
		{"shape that does not match the config", func(t *testing.T, dir string) {
			editJSON(t, filepath.Join(dir, "config.json"), func(c map[string]any) { c["q_lora_rank"] = 48 })
		}, []string{"safetensors", "wq_a"}},
		{"unknown architecture", func(t *testing.T, dir string) {
			editJSON(t, filepath.Join(dir, "config.json"), func(c map[string]any) { c["architectures"] = []any{"LlamaForCausalLM"} })
		}, []string{"config.json", "LlamaForCausalLM"}},
		{"V4.1", func(t *testing.T, dir string) {
			editJSON(t, filepath.Join(dir, "config.json"), func(c map[string]any) { c["architectures"] = []any{"DeepseekV41ForCausalLM"} })
		}, []string{"config.json", "V4.1"}},
		{"scale of the wrong shape", func(t *testing.T, dir string) {
			editTensor(t, shard(dir, 4), "layers.2.attn.wq_b.scale", func(tensor map[string]any) {
				tensor["shape"] = []any{1, 1, 1}
			})
		}, []string{"00004-of-00011", "layers.2.attn.wq_b"}},
		{"scale of experts lying down", func(t *testing.T, dir string) {
			editTensor(t, shard(dir, 4), "layers.2.ffn.experts.1.w1.scale", func(tensor map[string]any) {
				s := tensor["shape"].([]any)
				tensor["shape"] = []any{number(s[0]) * number(s[1]), 1}
			})
		}, []string{"00004-of-00011", "layers.2.ffn.experts.1.w1"}},
		{"NaN scale", func(t *testing.T, dir string) {
			editData(t, shard(dir, 2), "layers.0.ffn.experts.3.w1.scale", func(b []byte) { b[len(b)/2] = 255 })
		}, []string{"00002-of-00011", "layers.0.ffn.experts.3.w1"}},
		{"NaN weight", func(t *testing.T, dir string) {
			editData(t, shard(dir, 2), "layers.0.attn.wkv.weight", func(b []byte) { b[7] = 0x7f })
		}, []string{"NaN", "layers.0.attn."}},
		{"expert out of range in the table", func(t *testing.T, dir string) {
			editData(t, shard(dir, 2), "layers.0.ffn.gate.tid2eid", func(b []byte) {
				for i := range b {
					b[i] = 0x77
				}
			})
		}, []string{"expert"}},
		{"index that names a missing shard", func(t *testing.T, dir string) {
			if err := os.Remove(shard(dir, 5)); err != nil {
				t.Fatal(err)
			}
		}, []string{"00005-of-00011"}},
		{"index that names a file elsewhere", func(t *testing.T, dir string) {
			editJSON(t, filepath.Join(dir, "model.safetensors.index.json"), func(index map[string]any) {
				index["weight_map"].(map[string]any)["embed.weight"] = "../../etc/passwd"
			})
		}, []string{"index.json", "passwd"}},
		{"symlink loop", func(t *testing.T, dir string) {
			if err := os.Remove(shard(dir, 5)); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Base(shard(dir, 5)), shard(dir, 5)); err != nil {
				t.Fatal(err)
			}
		}, []string{"00005-of-00011"}},
		{"config with a negative size", func(t *testing.T, dir string) {
			editJSON(t, filepath.Join(dir, "config.json"), func(c map[string]any) { c["hidden_size"] = -64 })
		}, []string{"config.json", "hidden_size", "-64"}},
		{"config with a huge size", func(t *testing.T, dir string) {
			editJSON(t, filepath.Join(dir, "config.json"), func(c map[string]any) { c["vocab_size"] = json.Number("9000000000000000000") })
		}, []string{"config.json", "vocab_size"}},
		{"no config", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
				t.Fatal(err)
			}
		}, []string{"config.json"}},
		{"config that is no JSON", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "config.json"), func([]byte) []byte { return []byte("<!doctype html>") })
		}, []string{"config.json"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("../../internal/deepseek/testdata/goldens/micro-a/fp8fp4")); err != nil {
				t.Fatal(err)
			}
			c.damage(t, dir)
			wantError(t, c.says, logitsOf(t, dir, "[1,2,3]")...)
		})
	}
}

// TestBadRequest gives a good checkpoint bad arguments, and none at all.
func TestBadRequest(t *testing.T) {
	const good = "../../internal/deepseek/testdata/goldens/micro-a/fp8fp4"
	empty := t.TempDir()
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"token id out of range", logitsOf(t, good, "[1,256]"), []string{"256", "255"}},
		{"negative token id", logitsOf(t, good, "[-1]"), []string{"-1"}},
		{"fraction", logitsOf(t, good, "[1.5]"), []string{"1.5"}},
		{"no ids", logitsOf(t, good, "[]"), []string{"ids"}},
		{"null", logitsOf(t, good, "null"), []string{"ids"}},
		{"object", logitsOf(t, good, "{}"), []string{"ids"}},
		{"too long", logitsOf(t, good, "["+strings.Repeat("1,", 2048)+"1]"), []string{"context", "2048"}},
		{"empty directory", logitsOf(t, empty, "[1]"), []string{empty}},
		{"no directory", logitsOf(t, filepath.Join(empty, "none"), "[1]"), []string{"none"}},
		{"random tokenizer", []string{"tokenize", randomTokenizer(t), "hello"}, []string{"tokenizer.json"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, c.says, c.args...) })
	}
}

func wantError(t *testing.T, says []string, args ...string) {
	t.Helper()
	var out, stderr bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	status := execute(root, args, &stderr)
	message := stderr.String()
	t.Log(message)
	if status != 1 || strings.Count(message, "\n") != 1 || !strings.HasPrefix(message, "baleen: ") || strings.Count(message, ": ") < 3 {
		t.Errorf("status %d, message %q", status, message)
	}
	if strings.Contains(message, "internal fault") {
		t.Errorf("it panicked: %s", message)
	}
	for _, s := range says {
		if !strings.Contains(message, s) {
			t.Errorf("no %q in %q", s, message)
		}
	}
}

// logitsOf is a command line that runs ids.
func logitsOf(t *testing.T, dir, ids string) []string {
	t.Helper()
	temp := t.TempDir()
	file := filepath.Join(temp, "ids.json")
	if err := os.WriteFile(file, []byte(ids), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"logits", dir, "--ids-file", file, "--out", filepath.Join(temp, "out.safetensors")}
}

func randomTokenizer(t *testing.T) string {
	dir := t.TempDir()
	data := make([]byte, 2<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func shard(dir string, i int) string {
	return filepath.Join(dir, fmt.Sprintf("model-%05d-of-00011.safetensors", i))
}

func truncate(t *testing.T, path string, size int64) {
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func editJSON(t *testing.T, path string, change func(map[string]any)) {
	edit(t, path, func(data []byte) []byte {
		object := map[string]any{}
		if err := json.Unmarshal(data, &object); err != nil {
			t.Fatal(err)
		}
		change(object)
		data, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		return data
	})
}

// editHeader changes the header of a safetensors file and leaves its data.
func editHeader(t *testing.T, path string, change func(map[string]any)) {
	edit(t, path, func(data []byte) []byte {
		n := binary.LittleEndian.Uint64(data)
		header := map[string]any{}
		if err := json.Unmarshal(data[8:8+n], &header); err != nil {
			t.Fatal(err)
		}
		change(header)
		text, err := json.Marshal(header)
		if err != nil {
			t.Fatal(err)
		}
		for len(text)%8 != 0 {
			text = append(text, ' ')
		}
		return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, data[8+n:])
	})
}

func editTensor(t *testing.T, path, name string, change func(map[string]any)) {
	editHeader(t, path, func(header map[string]any) {
		tensor, ok := header[name].(map[string]any)
		if !ok {
			t.Fatalf("no tensor %s among %v", name, slices.Sorted(maps.Keys(header)))
		}
		change(tensor)
	})
}

func editData(t *testing.T, path, name string, change func([]byte)) {
	edit(t, path, func(data []byte) []byte {
		n := binary.LittleEndian.Uint64(data)
		header := map[string]struct {
			Offsets []int `json:"data_offsets"`
		}{}
		if err := json.Unmarshal(data[8:8+n], &header); err != nil {
			t.Fatal(err)
		}
		o := header[name].Offsets
		if len(o) != 2 {
			t.Fatalf("no tensor %s", name)
		}
		change(data[8+int(n)+o[0] : 8+int(n)+o[1]])
		return data
	})
}

func number(v any) float64 { return v.(float64) }
