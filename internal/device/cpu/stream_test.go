package cpu_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/demo"
	"baleen/internal/device/cpu"
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/engine"
	"baleen/internal/op"
	"baleen/internal/synth"
)

// synthetic writes a model with layers of all kinds and more experts than the demo has.
func synthetic(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "model")
	o := synth.Options{Shape: "demo", Pick: []int{0, 1, 2, 3}, MTP: true, Vocab: 64, Experts: 32, Seed: 1}
	if err := synth.Write(t.Context(), dir, o, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func load(t *testing.T, c *checkpoint.Checkpoint, err error) *deepseek.Model {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	m, err := deepseek.Load(c, deepseek.Reference, deepseek.Quirks{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t *testing.T, dir string) *deepseek.Model {
	t.Helper()
	c, err := checkpoint.Open(dir)
	return load(t, c, err)
}

// place puts a model on a device of some memory.
func place(t *testing.T, m *deepseek.Model, memory int64, chunk int) (*engine.Machine, *cpu.Device, error) {
	t.Helper()
	d, err := cpu.New(options(3, memory))
	return placeOn(t, m, d, err, chunk)
}

func options(threads int, memory int64) cpu.Options {
	tiers := kernel.Tiers()
	return cpu.Options{Tier: tiers[len(tiers)-1], Threads: threads, Memory: memory}
}

func placeOn(t *testing.T, m *deepseek.Model, d *cpu.Device, err error, chunk int) (*engine.Machine, *cpu.Device, error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	caps := op.Caps{Rows: chunk, Slots: 1, Pages: 2, Context: 2 * op.PageSize}
	machine, err := engine.Place(t.Context(), m, d, caps, false, nil)
	return machine, d, err
}

// score returns the bytes of all results of a text.
func score(t *testing.T, m *engine.Machine, chunk int) ([]byte, error) {
	t.Helper()
	ids := make([]int32, 150)
	for i := range ids {
		ids[i] = int32(i * i % 61)
	}
	var all bytes.Buffer
	results := map[string]*bytes.Buffer{}
	err := m.Score(t.Context(), engine.Scoring{IDs: ids, Chunk: chunk, Draft: m.Drafts()}, func(r engine.Result, _ int, data []byte) error {
		if results[r.Name] == nil {
			results[r.Name] = &bytes.Buffer{}
		}
		results[r.Name].Write(data)
		return nil
	})
	for _, name := range []string{deepseek.LogitsName, deepseek.DraftLogitsName} {
		if results[name] != nil {
			all.Write(results[name].Bytes())
		}
	}
	return all.Bytes(), err
}

var runsIn = regexp.MustCompile(`it runs in (\d+)MiB`)

// least is the memory that a model runs in, as the refusal says which less gives.
func least(t *testing.T, m *deepseek.Model, chunk int) int64 {
	t.Helper()
	_, _, err := place(t, m, 1, chunk)
	return wanted(t, err)
}

// wanted is the memory that a refusal speaks of.
func wanted(t *testing.T, err error) int64 {
	t.Helper()
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Fatalf("in a byte of memory: %v", err)
	}
	said := runsIn.FindStringSubmatch(err.Error())
	if said == nil {
		t.Fatalf("no word of what would fit: %v", err)
	}
	n, _ := strconv.ParseInt(said[1], 10, 64)
	return n << 20
}

// TestStreamed: results have the same bits however many experts are in memory.
func TestStreamed(t *testing.T) {
	models := map[string]func() *deepseek.Model{
		"demo":  func() *deepseek.Model { c, err := checkpoint.OpenFS(demo.Files()); return load(t, c, err) },
		"synth": func() *deepseek.Model { return open(t, synthetic(t)) },
	}
	for name, model := range models {
		m := model()
		resident, _, err := place(t, m, 0, 150)
		if err != nil {
			t.Fatal(err)
		}
		want, err := score(t, resident, 150)
		if err != nil || len(want) == 0 {
			t.Fatal(len(want), err)
		}
		for _, chunk := range []int{1, 7, 150} {
			low := least(t, m, chunk)
			for _, memory := range []int64{low, low + 1<<20}[:min(chunk, 2)] {
				t.Run(fmt.Sprintf("%s/%d/%dMiB", name, chunk, memory>>20), func(t *testing.T) {
					sameStreamed(t, m, memory, chunk, want)
				})
			}
		}
	}
}

func sameStreamed(t *testing.T, m *deepseek.Model, memory int64, chunk int, want []byte) {
	machine, d, err := place(t, m, memory, chunk)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _, _ := d.Traffic()
	got, err := score(t, machine, chunk)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("other bits than with all experts in memory")
	}
	after, busy, hits, misses := d.Traffic()
	if misses == 0 || after == before || busy == 0 {
		t.Errorf("nothing came from disk: %d bytes in %v, %d hits, %d misses", after-before, busy, hits, misses)
	}
}

// TestStreamedOnce: a chunk reads no expert twice, however few slots there are.
func TestStreamedOnce(t *testing.T) {
	m := open(t, synthetic(t))
	const chunk = 150
	machine, d, err := place(t, m, least(t, m, chunk), chunk)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _, _ := d.Traffic()
	if _, err := score(t, machine, chunk); err != nil {
		t.Fatal(err)
	}
	after, _, _, misses := d.Traffic()
	var expert int64
	for w := range m.Weights.All() {
		if w.Parts == 32 && expert == 0 {
			expert = 3 * w.Bytes() / int64(w.Parts)
		}
	}
	if after-before != misses*expert {
		t.Errorf("%d bytes read for %d experts of %d", after-before, misses, expert)
	}
}

// TestDamagedWhileRunning: where an expert cannot be read the run fails and says which file, and later runs go on when it
// can.
func TestDamagedWhileRunning(t *testing.T) {
	dir := synthetic(t)
	m := open(t, dir)
	const chunk = 7
	machine, _, err := place(t, m, least(t, m, chunk), chunk)
	if err != nil {
		t.Fatal(err)
	}
	want, err := score(t, machine, chunk)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	whole, err := os.ReadFile(files[0])
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Truncate(files[0], int64(len(whole)/8)); err != nil {
		t.Fatal(err)
	}
	if _, err := score(t, machine, chunk); err == nil || !strings.Contains(err.Error(), files[0]) || strings.Contains(err.Error(), "\n") {
		t.Errorf("a file that was cut short: %v", err)
	}
	if err := os.WriteFile(files[0], whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := score(t, machine, chunk); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file is whole again: %v, same: %v", err, bytes.Equal(got, want))
	}
}

// TestNoGarbage: a run with experts from disk allocates nothing, on nodes neither.
func TestNoGarbage(t *testing.T) {
	m := open(t, synthetic(t))
	for runs, lists := range map[int]map[int]string{100: {}, 50: {0: "0", 1: "1-2"}} {
		memory := least(t, m, 1) + 1<<20 // nodes share whole panels
		d, err := cpu.NewOn(options(3, memory), cpu.FakeNodes(lists), 3)
		machine, _, err := placeOn(t, m, d, err, 1)
		if err != nil {
			t.Fatal(err)
		}
		row, pages := []op.Row{{Token: 5}}, [][]int32{{0, 1}}
		next := func() {
			row[0].Token, row[0].Position = (row[0].Token*7+3)%61, row[0].Position%200
			if err := machine.Forward(row, pages); err != nil {
				t.Fatal(err)
			}
			row[0].Position++
		}
		for range 20 {
			next()
		}
		if n := testing.AllocsPerRun(runs, next); n != 0 {
			t.Errorf("nodes %v: %v allocations in a run", lists, n)
		}
	}
}

// TestNodes: results have the same bits whatever nodes there are, and wherever experts are.
func TestNodes(t *testing.T) {
	m := open(t, synthetic(t))
	plain, _, err := place(t, m, 0, 150)
	if err != nil {
		t.Fatal(err)
	}
	want, err := score(t, plain, 150)
	if err != nil || len(want) == 0 {
		t.Fatal(len(want), err)
	}
	on := func(lists map[int]string, threads, chunk int, memory int64) (*engine.Machine, *cpu.Device, error) {
		d, err := cpu.NewOn(options(threads, memory), cpu.FakeNodes(lists), 4)
		return placeOn(t, m, d, err, chunk)
	}
	for _, lists := range []map[int]string{{0: "0-1", 1: "2-3"}, {0: "0", 7: "1-3"}, {0: "0", 1: "1", 2: "2", 3: "3", 4: ""}} {
		for _, c := range []struct {
			threads, chunk int
			streamed       bool
		}{{1, 150, false}, {2, 7, false}, {3, 150, true}, {5, 7, true}, {6, 150, false}} {
			memory := int64(0)
			if c.streamed {
				_, _, err := on(lists, c.threads, c.chunk, 1)
				memory = wanted(t, err)
			}
			machine, d, err := on(lists, c.threads, c.chunk, memory)
			if err != nil {
				t.Fatal(err)
			}
			got, err := score(t, machine, c.chunk)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("nodes %v, %+v: other bits than without nodes", lists, c)
			}
			if _, _, _, misses := d.Traffic(); c.streamed != (misses > 0) {
				t.Errorf("nodes %v, %+v: %d experts came from disk", lists, c, misses)
			}
			if nodes := min(len(lists), 4, c.threads); nodes > 1 && !strings.Contains(d.Info().Detail, fmt.Sprintf("threads on %d nodes", min(nodes, 4))) {
				t.Errorf("nodes %v, %+v: %s", lists, c, d.Info().Detail)
			}
		}
	}
}
