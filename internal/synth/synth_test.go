package synth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/quant"
)

// write writes, opens and binds.
func write(t testing.TB, o Options) (string, *checkpoint.Checkpoint, *deepseek.Config, *deepseek.Weights) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "m")
	if err := Write(t.Context(), dir, o, nil); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	text, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	config, err := deepseek.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	w, err := deepseek.Bind(c, config)
	if err != nil {
		t.Fatal(err)
	}
	return dir, c, config, w
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[entry.Name()] = string(data)
	}
	return all
}

// A file has the same bytes on one processor and on many; another seed gives others.
func TestSameBytes(t *testing.T) {
	o := Options{Shape: "demo", MTP: true, Seed: 7, Files: map[string][]byte{"tokenizer.json": []byte("{}")}}
	many, _, _, _ := write(t, o)
	old := runtime.GOMAXPROCS(1)
	one, _, _, _ := write(t, o)
	runtime.GOMAXPROCS(old)
	if !maps.Equal(files(t, many), files(t, one)) {
		t.Error("one processor writes other bytes than many")
	}
	if got := slices.Sorted(maps.Keys(files(t, many))); !slices.Equal(got, []string{"config.json", "generation_config.json", "model-00001-of-00001.safetensors", "model.safetensors.index.json", "tokenizer.json"}) {
		t.Errorf("files %v", got)
	}
	o.Seed = 8
	other, _, _, _ := write(t, o)
	const shard = "model-00001-of-00001.safetensors"
	if files(t, other)[shard] == files(t, many)[shard] {
		t.Error("two seeds write the same bytes")
	}
}

func read(t *testing.T, s deepseek.Span) []byte {
	t.Helper()
	data := make([]byte, s.Length)
	if _, err := s.From.ReadAt(data, s.Offset); err != nil {
		t.Fatal(err)
	}
	return data
}

// moments reads the first part of a weight.
func moments(t *testing.T, w *deepseek.Weight) (mean, sigma float64) {
	data := read(t, w.Data[0])
	var scale []byte
	if w.Scale != nil {
		scale = read(t, w.Scale[0])
		if err := w.Format.CheckScale(scale); err != nil {
			t.Fatalf("%s: %v", w.Name, err)
		}
	}
	row, sum, squares := make([]float32, w.Cols), 0.0, 0.0
	for i := range w.Rows {
		w.Format.DecodeRow(row, data, scale, i, w.Cols)
		for _, x := range row {
			sum += float64(x)
			squares += float64(x) * float64(x)
		}
	}
	n := float64(w.Rows * w.Cols)
	return sum / n, math.Sqrt(squares/n - sum/n*sum/n)
}

// Numbers are spread as they are meant to be, within what the powers of two of the scales allow; tables of experts hold
// different valid ids.
func TestSpread(t *testing.T) {
	_, _, config, w := write(t, Options{Shape: "demo", MTP: true, Experts: 12, Vocab: 1000, Seed: 1})
	if config.Experts != 12 || config.Vocab != 1000 || w.MTP == nil {
		t.Fatalf("%d experts, vocabulary %d, MTP %v", config.Experts, config.Vocab, w.MTP)
	}
	for weight := range w.All() {
		if weight.Format.Kind == quant.KindI64 || weight.Rows*weight.Cols < 2048 {
			continue
		}
		mean, sigma := moments(t, weight)
		want := 1 / math.Sqrt(float64(weight.Cols))
		switch weight.Name {
		case "embed.weight":
			want = 1
		case "head.weight":
			want *= 2.5
		}
		if strings.HasSuffix(weight.Name, ".ape") {
			want = 0.5
		}
		within := 1.6
		if weight.Format.Kind == quant.KindE4M3 {
			within = 4 // a small matrix has few scales, which may all be halves or doubles
		}
		if !(math.Abs(mean) < want/4 && sigma > want/within && sigma < want*within) {
			t.Errorf("%s: mean %g, deviation %g, want 0 and about %g", weight.Name, mean, sigma, want)
		}
	}
	for i := range w.Layers {
		table := w.Layers[i].FFN.Table
		if (table != nil) != (i < config.HashLayers) {
			t.Fatalf("layer %d: table %v", i, table)
		}
		if table != nil {
			checkTable(t, read(t, table.Data[0]), config)
		}
	}
}

func checkTable(t *testing.T, data []byte, c *deepseek.Config) {
	t.Helper()
	uses := make([]int, c.Experts)
	for row := range slices.Chunk(data, 8*c.ActiveExperts) {
		seen := map[string]bool{}
		for id := range slices.Chunk(row, 8) {
			if int(id[0]) >= c.Experts || string(id[1:]) != strings.Repeat("\x00", 7) || seen[string(id)] {
				t.Fatalf("experts %v", row)
			}
			seen[string(id)] = true
			uses[id[0]]++
		}
	}
	mean := len(data) / 8 / c.Experts
	if slices.Min(uses) < mean/2 || slices.Max(uses) > 2*mean {
		t.Errorf("experts are used %v times", uses)
	}
}

// Picked layers keep what they are.
func TestPick(t *testing.T) {
	for _, c := range []struct {
		o      Options
		ratios []int
		hash   int
	}{
		{Options{Shape: "v4-flash", Pick: []int{2, 3, 4}}, []int{4, 128, 4}, 1},
		{Options{Shape: "v4-flash", Layers: 3}, []int{0, 0, 4}, 3},
		{Options{Shape: "v4-pro", Pick: []int{1, 60}}, []int{128, 4}, 1},
		{Options{Shape: "v4-pro", Pick: []int{3}, MTP: true}, []int{128}, 0},
	} {
		text, err := Config(c.o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := deepseek.ParseConfig(text)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Ratios, c.ratios) || got.HashLayers != c.hash || got.MTP != c.o.MTP || got.DSpark != nil {
			t.Errorf("%+v: ratios %v, %d hash layers, MTP %t", c.o, got.Ratios, got.HashLayers, got.MTP)
		}
	}
}

func TestOptionErrors(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Shape: "v5"}, `unknown shape: "v5": `},
		{Options{Shape: "v4-flash-0731"}, `unknown shape: "v4-flash-0731": `},
		{Options{Shape: "demo", Layers: 7}, "wrong number of layers: --layers: found 7, expected 1 to 6: "},
		{Options{Shape: "demo", Layers: -1}, "wrong number of layers: --layers: found -1, "},
		{Options{Shape: "demo", Layers: 1, Pick: []int{1}}, "two choices of layers: "},
		{Options{Shape: "demo", Pick: []int{}}, "no layers: --pick: "},
		{Options{Shape: "demo", Pick: []int{3, 2}}, "wrong layers: --pick: found [3 2], "},
		{Options{Shape: "demo", Pick: []int{2, 2}}, "wrong layers: --pick: found [2 2], "},
		{Options{Shape: "demo", Pick: []int{6}}, "wrong layers: --pick: found [6], expected ascending numbers from 0 to 5: "},
		{Options{Shape: "demo", Pick: []int{-1}}, "wrong layers: --pick: found [-1], "},
		{Options{Shape: "v4-pro", Experts: 5}, "too few experts: --experts: found 5, expected at least the 6 that "},
		{Options{Shape: "v4-pro", Experts: 1 << 20}, "wrong value: config.json: n_routed_experts: found 1048576, "},
		{Options{Shape: "v4-pro", Vocab: 1}, "vocabulary too small: --vocab: found 1, expected at least 2: "},
		{Options{Shape: "v4-pro", Vocab: -1}, "vocabulary too small: --vocab: found -1, "},
	} {
		dir := filepath.Join(t.TempDir(), "m")
		err := Write(t.Context(), dir, c.o, nil)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want %s", c.o, err, c.want)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%+v: something is written", c.o)
		}
	}
}

// What is there is not overwritten, but for what an unfinished run left; what is cancelled leaves nothing.
func TestDirectory(t *testing.T) {
	o := Options{Shape: "demo", Layers: 1}
	dir := filepath.Join(t.TempDir(), "a", "m")
	partial := dir + ".partial"
	ctx, cancel := context.WithCancel(t.Context())
	err := Write(ctx, dir, o, func(done, total int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
		t.Errorf("cancelled, and left %v", left)
	}

	keep := filepath.Join(partial, "thesis.txt")
	os.Mkdir(partial, 0o777)
	os.WriteFile(keep, nil, 0o666)
	if err := Write(t.Context(), dir, o, nil); err == nil || !strings.Contains(err.Error(), "it holds thesis.txt") {
		t.Errorf("over a foreign file: %v", err)
	}
	if err := os.Remove(keep); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(partial, "model-00001-of-00009.safetensors"), []byte("half"), 0o666)
	os.Mkdir(dir, 0o777)
	if err := Write(t.Context(), dir, o, nil); err != nil {
		t.Errorf("over an unfinished run and an empty directory: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "model-00001-of-00009.safetensors")); err == nil {
		t.Error("the file of an unfinished run is still there")
	}
	before := files(t, dir)
	if err := Write(t.Context(), dir, o, nil); err == nil || !strings.Contains(err.Error(), "it is not empty") {
		t.Errorf("over a checkpoint: %v", err)
	}
	if !maps.Equal(before, files(t, dir)) {
		t.Error("a checkpoint was changed")
	}

	config := filepath.Join(dir, "config.json")
	for target, want := range map[string]string{config: "it exists and is no directory", filepath.Join(config, "m"): "not a directory"} {
		if err := Write(t.Context(), target, o, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("to %s: %v, want %s", target, err, want)
		}
	}
	if !maps.Equal(before, files(t, dir)) {
		t.Error("a file was changed")
	}
}

// At full depth, without numbers: every tensor of a release opens and binds, BenchmarkOpen says how fast.
func TestSparse(t *testing.T) {
	for _, r := range []struct {
		shape   string
		tensors int
	}{{"v4-flash", 69_187}, {"v4-pro", 0}} {
		dir, c, _, w := write(t, Options{Shape: r.shape, MTP: true, Sparse: true})
		if r.tensors != 0 && c.Len() != r.tensors {
			t.Errorf("%s: %d tensors, want %d", r.shape, c.Len(), r.tensors)
		}
		if !strings.HasPrefix(c.Metadata()["sparse"], "true") {
			t.Errorf("%s: metadata %v", r.shape, c.Metadata())
		}
		open(t, dir)
		backbone, drafter := w.Bytes()
		t.Logf("%s: %d tensors, %.2f + %.2f GB", r.shape, c.Len(), float64(backbone)/1e9, float64(drafter)/1e9)
	}
}

// BenchmarkOpen opens and binds a release of the largest shape (target: one second).
func BenchmarkOpen(b *testing.B) {
	dir, _, _, _ := write(b, Options{Shape: "v4-pro", MTP: true, Sparse: true})
	for b.Loop() {
		open(b, dir)
	}
}

func open(t testing.TB, dir string) {
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text, _ := c.Config()
	config, err := deepseek.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := deepseek.Bind(c, config); err != nil {
		t.Fatal(err)
	}
}

// Progress grows to the whole.
func TestProgress(t *testing.T) {
	last, all := int64(0), int64(0)
	dir := filepath.Join(t.TempDir(), "m")
	err := Write(t.Context(), dir, Options{Shape: "demo", Layers: 2}, func(done, total int64) {
		if done <= last || done > total {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last, all = done, total
	})
	if err != nil || last != all || last == 0 {
		t.Errorf("%d of %d: %v", last, all, err)
	}
}

func BenchmarkWrite(b *testing.B) {
	for b.Loop() {
		var total int64
		dir := filepath.Join(b.TempDir(), "m")
		if err := Write(b.Context(), dir, Options{Shape: "v4-flash", Pick: []int{3}, Experts: 64}, func(_, n int64) { total = n }); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(total)
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	buf := make([]byte, chunkBytes)
	for name, fill := range map[string]filler{"fp4": fillRaw, "fp8": fillCodes(gaussE4M3()), "bf16": fillBF16(gauss(0, 1)), "f32": fillF32(gauss(0, 1))} {
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			b.SetBytes(chunkBytes)
			for b.Loop() {
				fill(newRandom(1, "t", 0), buf)
			}
		})
	}
}
