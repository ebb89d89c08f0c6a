package cpu_test

import (
	"bytes"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/device/cpu"
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/engine"
	"baleen/internal/op"
)

// TestFailedRuns: a run that fails ends, for all workers, and so do the ones after it. The norm of a layer is NaN here, and
// which worker sees it when differs from run to run.
func TestFailedRuns(t *testing.T) {
	files := fstest.MapFS{}
	dir := os.DirFS("../../deepseek/testdata/goldens/micro-a/fp8fp4")
	names, err := fs.Glob(dir, "*.json")
	if err != nil {
		t.Fatal(err)
	}
	shards, _ := fs.Glob(dir, "model-*.safetensors")
	for _, name := range append(names, shards...) {
		data, err := fs.ReadFile(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: bytes.Clone(data)}
	}
	c, err := checkpoint.OpenFS(files)
	if err != nil {
		t.Fatal(err)
	}
	norm, _ := c.Tensor("layers.4.ffn_norm.weight")
	_, at, _ := norm.Location()
	copy(files[norm.File()].Data[at:], []byte{0xc0, 0x7f}) // in the tables of the opened checkpoint, too
	m, err := deepseek.Load(c, deepseek.Reference, deepseek.Quirks{})
	if err != nil {
		t.Fatal(err)
	}
	tiers := kernel.Tiers()
	d, err := cpu.New(cpu.Options{Tier: tiers[len(tiers)-1], Threads: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	machine, err := engine.Place(t.Context(), m, d, op.Caps{Rows: 4, Slots: 1, Pages: 1, Context: 128}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := []op.Row{{Token: 1}, {Token: 2, Position: 1}, {Token: 3, Position: 2, Logits: true}}
	for range 200 {
		if err := machine.Forward(rows, [][]int32{{0}}); err == nil || !strings.Contains(err.Error(), "NaN") {
			t.Fatal(err)
		}
	}
}
