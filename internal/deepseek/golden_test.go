package deepseek_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/device/cpu"
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/device/ref"
	"baleen/internal/engine"
	"baleen/internal/op"
)

// goldens returns the folder of a variant, such as "micro-a/bf16", and skips where it does not lie.
func goldens(t *testing.T, variant string) string {
	t.Helper()
	root := filepath.Join("testdata", "goldens")
	if *deepseek.Shared != "" {
		root = filepath.Join(*deepseek.Shared, "goldens")
	}
	dir := filepath.Join(root, variant)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("%s is not in testdata: run with -shared=DIR", variant)
	}
	return dir
}

// file is the tensors of one safetensors file.
type file struct {
	t    *testing.T
	ckpt *checkpoint.Checkpoint
}

func openFile(t *testing.T, path string) file {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not in testdata: run with -shared=DIR", filepath.Base(path))
	}
	c, err := checkpoint.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return file{t, c}
}

func (f file) bytes(name string) ([]byte, []int64) {
	f.t.Helper()
	tensor, ok := f.ckpt.Tensor(name)
	if !ok {
		f.t.Fatalf("no tensor %s", name)
	}
	data := make([]byte, tensor.Bytes())
	if _, err := tensor.Section().ReadAt(data, 0); err != nil {
		f.t.Fatal(err)
	}
	return data, tensor.Shape
}

func (f file) floats(name string) []float32 {
	data, _ := f.bytes(name)
	return decodeFloats(data)
}

func decodeFloats(data []byte) []float32 {
	x := make([]float32, len(data)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return x
}

// integers reads a tensor of I64.
func (f file) integers(name string) []int32 {
	data, _ := f.bytes(name)
	x := make([]int32, len(data)/8)
	for i := range x {
		x[i] = int32(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return x
}

// sequences returns the token ids of a key such as "L37" or, of two sequences, "B2".
func sequences(t *testing.T, variant, key string) [][]int32 {
	f := openFile(t, filepath.Join(filepath.Dir(goldens(t, variant)), "inputs.safetensors"))
	_, shape := f.bytes("ids_" + key)
	ids := f.integers("ids_" + key)
	n := len(ids) / int(shape[0])
	var all [][]int32
	for b := range int(shape[0]) {
		all = append(all, ids[b*n:][:n])
	}
	return all
}

func loadModel(t *testing.T, dir string, n deepseek.Numerics, q deepseek.Quirks) *deepseek.Model {
	t.Helper()
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	m, err := deepseek.Load(c, n, q)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// eachDevice runs a test on the specification executor and on the cpu device with its best kernels.
func eachDevice(t *testing.T, test func(t *testing.T, d device.Device)) {
	t.Run("ref", func(t *testing.T) { test(t, ref.New()) })
	tiers := kernel.Tiers()
	onTiers(t, tiers[len(tiers)-1:], test)
}

// eachTier does so with the kernels of every tier that this machine has; their sums are the same bits.
func eachTier(t *testing.T, test func(t *testing.T, d device.Device)) {
	t.Run("ref", func(t *testing.T) { test(t, ref.New()) })
	onTiers(t, kernel.Tiers(), test)
}

func onTiers(t *testing.T, tiers []kernel.Tier, test func(t *testing.T, d device.Device)) {
	for _, tier := range tiers {
		t.Run(tier.String(), func(t *testing.T) {
			d, err := cpu.New(cpu.Options{Tier: tier})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			test(t, d)
		})
	}
}

// results are what a scoring gave: floats as they are, integers as floats.
type results map[string][]float32

// score runs one sequence on the specification executor.
func score(t *testing.T, d device.Device, m *deepseek.Model, ids []int32, chunk int, trace bool) results {
	t.Helper()
	pages := len(ids)/op.PageSize + 1
	caps := op.Caps{Rows: chunk, Slots: 1, Pages: pages, Context: len(ids)}
	machine, err := engine.Place(t.Context(), m, d, caps, trace, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := results{}
	err = machine.Score(t.Context(), engine.Scoring{IDs: ids, Chunk: chunk, Draft: machine.Drafts()}, func(r engine.Result, first int, data []byte) error {
		if len(all[r.Name]) != first*r.Width {
			t.Errorf("%s: row %d comes after %d numbers", r.Name, first, len(all[r.Name]))
		}
		x := decodeFloats(data)
		if r.Kind.String() == "i32" {
			for i := range x {
				x[i] = float32(int32(binary.LittleEndian.Uint32(data[4*i:])))
			}
		}
		all[r.Name] = append(all[r.Name], x...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// difference is the largest and the mean absolute difference.
func difference(got, want []float32) (largest, mean float64) {
	if len(got) != len(want) {
		return math.Inf(1), math.Inf(1)
	}
	for i, v := range want {
		d := math.Abs(float64(got[i]) - float64(v))
		if got[i] == v {
			d = 0 // infinities
		}
		largest = math.Max(largest, d)
		mean += d / float64(len(want))
	}
	return largest, mean
}

// tail is the end of got that want covers: goldens of long sequences keep the last positions.
func tail(got, want []float32) []float32 { return got[max(0, len(got)-len(want)):] }

var keys = map[string][]string{
	"micro-a/bf16": {"L1", "L3", "L37", "L150", "L200", "L700", "B2"}, "micro-a/fp8fp4": {"L1", "L3", "L37", "L150", "L200", "L700", "B2"},
	"micro-a16/bf16": {"L1", "L3", "L37", "L150", "L200", "L700", "B2"}, "block-a/fp8fp4": {"L1", "L3", "L37", "L132", "L200", "L700", "B2"},
}

// TestWide compares logits in float32 with those of the official code.
func TestWide(t *testing.T) { eachDevice(t, compareWide) }

func compareWide(t *testing.T, d device.Device) {
	for variant, keys := range keys {
		for _, key := range keys {
			t.Run(variant+"/"+key, func(t *testing.T) {
				dir := goldens(t, variant)
				want := openFile(t, filepath.Join(dir, "expected.safetensors"))
				m := loadModel(t, dir, deepseek.Wide, deepseek.Quirks{})
				for b, ids := range sequences(t, variant, key) {
					got := score(t, d, m, ids, 128, false)
					for _, name := range []string{"logits", "mtp_logits"} {
						if len(ids) == 1 && name == "mtp_logits" {
							continue
						}
						expected := want.floats(name + "_" + key)
						part := len(expected) / len(sequences(t, variant, key))
						expected = expected[b*part:][:part]
						largest, mean := difference(tail(got[name], expected), expected)
						t.Logf("%s: largest %.2g, mean %.2g", name, largest, mean)
						if largest > 1e-3 || mean > 1e-4 {
							t.Errorf("%s: largest %g, mean %g", name, largest, mean)
						}
					}
				}
			})
		}
	}
}

// TestReference compares logits with those of the official code with its quantised activations, in rows that do not sit
// on a rounding border.
//
// Only on the specification executor: its sums are of float64. With sums of float32 one number of the goldens falls on the other side
// of a border here and changes all that follows it, so other devices are compared sublayer by sublayer (TestTeacher).
func TestReference(t *testing.T) { compareReference(t, ref.New()) }

func compareReference(t *testing.T, d device.Device) {
	const variant = "block-a/fp8fp4"
	compared := 0
	for _, key := range keys[variant] {
		t.Run(key, func(t *testing.T) {
			dir := goldens(t, variant)
			want := openFile(t, filepath.Join(dir, "expected_actquant.safetensors"))
			if _, ok := want.ckpt.Tensor("logits_" + key); !ok {
				t.Skip("the goldens have none")
			}
			if stable, _ := want.bytes("stable_logits_" + key); !slices.Contains(stable, 1) {
				t.Skip("no row is stable")
			}
			m := loadModel(t, dir, deepseek.Reference, deepseek.Quirks{})
			all := sequences(t, variant, key)
			for b, ids := range all {
				got := score(t, d, m, ids, 128, false)
				for _, name := range []string{"logits", "mtp_logits"} {
					if len(ids) > 1 || name == "logits" {
						compared += compareStable(t, want, name, key, got[name], b, len(all))
					}
				}
			}
		})
	}
	if compared < 200 {
		t.Errorf("only %d rows are stable", compared)
	}
}

// compareStable returns how many rows were stable.
func compareStable(t *testing.T, want file, name, key string, got []float32, b, of int) int {
	expected := want.floats(name + "_" + key)
	stable, _ := want.bytes("stable_" + name + "_" + key)
	n := len(stable) / of
	width := len(expected) / len(stable)
	expected, stable = expected[b*n*width:][:n*width], stable[b*n:][:n]
	got = tail(got, expected)
	var kept, keptWant []float32
	for i, s := range stable {
		if s == 1 {
			kept, keptWant = append(kept, got[i*width:][:width]...), append(keptWant, expected[i*width:][:width]...)
		}
	}
	largest, mean := difference(kept, keptWant)
	t.Logf("%s: %d of %d rows stable: largest %.2g, mean %.2g", name, len(kept)/width, n, largest, mean)
	if largest > 0.05 || mean > 1e-3 {
		t.Errorf("%s: largest %g, mean %g", name, largest, mean)
	}
	return len(kept) / width
}

// TestChunks runs a sequence in chunks of several sizes: every bit of every result must be the same, a trace included.
func TestChunks(t *testing.T) { eachDevice(t, compareChunks) }

func compareChunks(t *testing.T, d device.Device) {
	for variant, keys := range keys {
		for _, n := range []deepseek.Numerics{deepseek.Wide, deepseek.Reference, deepseek.Fast} {
			t.Run(fmt.Sprint(variant, "/", n), func(t *testing.T) {
				m := loadModel(t, goldens(t, variant), n, deepseek.Quirks{})
				ids := sequences(t, variant, keys[3])[0]
				whole := score(t, d, m, ids, len(ids), true)
				for _, chunk := range []int{1, 3, 100} {
					part := score(t, d, m, ids, chunk, chunk == 3)
					for name, want := range whole {
						got, there := part[name]
						if largest, _ := difference(got, want); there && largest != 0 {
							t.Errorf("chunks of %d: %s differs by %g", chunk, name, largest)
						}
					}
					if len(part["logits"]) == 0 || chunk == 3 && len(part) != len(whole) {
						t.Errorf("chunks of %d gave %d results, the whole %d", chunk, len(part), len(whole))
					}
				}
			})
		}
	}
}

// TestThreads: how many threads there are, and how a sequence is cut into runs, changes no bit of what the cpu device gives,
// in fast numerics with its own arithmetic, too.
func TestThreads(t *testing.T) {
	tiers := kernel.Tiers()
	for _, n := range []deepseek.Numerics{deepseek.Wide, deepseek.Reference, deepseek.Fast} {
		m := loadModel(t, goldens(t, "block-a/fp8fp4"), n, deepseek.Quirks{})
		ids := sequences(t, "block-a/fp8fp4", "L132")[0]
		var want results
		for _, c := range []struct{ threads, chunk int }{{1, 132}, {2, 50}, {5, 3}, {2, 1}} {
			d, err := cpu.New(cpu.Options{Tier: tiers[len(tiers)-1], Threads: c.threads, Fast: n == deepseek.Fast})
			if err != nil {
				t.Fatal(err)
			}
			got := score(t, d, m, ids, c.chunk, false)
			d.Close()
			if want == nil {
				want = got
			}
			for name := range want {
				if largest, _ := difference(got[name], want[name]); largest != 0 {
					t.Errorf("%v, %+v: %s differs by %g", n, c, name, largest)
				}
			}
		}
	}
}

// TestTrace compares every activation of a trace.
func TestTrace(t *testing.T) { eachTier(t, traceAll) }

func traceAll(t *testing.T, d device.Device) {
	for variant, length := range map[string]string{"micro-a/bf16": "L150", "micro-a/fp8fp4": "L150", "micro-a16/bf16": "L150", "block-a/fp8fp4": "L132"} {
		t.Run(variant, func(t *testing.T) {
			dir := goldens(t, variant)
			want := openFile(t, filepath.Join(dir, "trace_"+length+".safetensors"))
			m := loadModel(t, dir, deepseek.Wide, deepseek.Quirks{})
			got := score(t, d, m, sequences(t, variant, length)[0], 64, true)
			compared := 0
			for tensor := range want.ckpt.Tensors() {
				compareTrace(t, want, tensor, got)
				compared++
			}
			if compared < 22 {
				t.Errorf("only %d tensors compared", compared)
			}
		})
	}
}

func compareTrace(t *testing.T, want file, tensor checkpoint.Tensor, got results) {
	name := tensor.Name
	if tensor.DType == checkpoint.I64 {
		expected := want.integers(name)
		width := int(tensor.Shape[len(tensor.Shape)-1])
		if len(got[name]) != len(expected) {
			t.Errorf("%s: %d numbers, not %d", name, len(got[name]), len(expected))
			return
		}
		for i := 0; i < len(expected); i += width {
			if strings.HasSuffix(name, "topk_sorted") && !slices.Equal(asInts(got[name][i:][:width]), expected[i:][:width]) {
				t.Errorf("%s: row %d: %v, not %v", name, i/width, got[name][i:][:width], expected[i:][:width])
			}
			if a, b := sortedSet(asInts(got[name][i:][:width])), sortedSet(expected[i:][:width]); a != b {
				t.Errorf("%s: row %d: %v, not %v", name, i/width, a, b)
			}
		}
		return
	}
	limit := 1e-3
	if strings.HasSuffix(name, ".out") && strings.Count(name, ".") == 2 {
		limit = 5e-3 // streams
	}
	largest, _ := difference(got[name], want.floats(name))
	if largest > limit {
		t.Errorf("%s: largest difference %g", name, largest)
	}
}

// TestUnclampedShared compares a quirk with what the first release gives, and makes sure that it matters.
func TestUnclampedShared(t *testing.T) { eachDevice(t, compareUnclamped) }

func compareUnclamped(t *testing.T, d device.Device) {
	for variant, key := range map[string]string{"micro-a/bf16": "L150", "micro-a/fp8fp4": "L150", "micro-a16/bf16": "L150", "block-a/fp8fp4": "L132"} {
		t.Run(variant, func(t *testing.T) {
			dir := goldens(t, variant)
			want := openFile(t, filepath.Join(dir, "expected.safetensors")).floats("alt_shared_unclamped_logits_" + key)
			ids := sequences(t, variant, key)[0]
			got := score(t, d, loadModel(t, dir, deepseek.Wide, deepseek.Quirks{UnclampedShared: true}), ids, 128, false)
			if largest, mean := difference(tail(got["logits"], want), want); largest > 1e-3 || mean > 1e-4 {
				t.Errorf("largest %g, mean %g", largest, mean)
			}
			clamped := score(t, d, loadModel(t, dir, deepseek.Wide, deepseek.Quirks{}), ids, 128, false)
			if largest, _ := difference(tail(clamped["logits"], want), want); largest < 0.1 {
				t.Errorf("the clamp moves no logit by more than %g", largest)
			}
		})
	}
}
