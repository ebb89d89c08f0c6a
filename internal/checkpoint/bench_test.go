package checkpoint

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// The published counts of two releases (formats spec 1.1), with the shapes of their experts.
var releases = []struct {
	name            string
	shards, tensors int
	rows, cols      int64
	bytes           int64 // apparent size, about the released one
}{
	{"v4-flash-0731", 48, 72_317, 2048, 4096, 161e9},
	{"v4-pro-0813", 66, 149_782, 3072, 7168, 876e9},
}

// writeRelease writes an index and shards that are headers and holes.
func writeRelease(tb testing.TB, dir string, shards, tensors int, rows, cols int64) {
	var index bytes.Buffer
	index.WriteString("{\n  \"metadata\": {\n    \"total_size\": 1\n  },\n  \"weight_map\": {\n")
	for s := range shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", s+1, shards)
		var entries []Entry
		for i := s * tensors / shards; i < (s+1)*tensors/shards; i++ {
			tensor := fmt.Sprintf("layers.%d.ffn.experts.%d.w%d", i/1536, i/6%256, i/2%3+1)
			if i%2 == 0 {
				entries = append(entries, Entry{tensor + ".weight", I8, []int64{rows, cols / 2}})
			} else {
				entries = append(entries, Entry{tensor + ".scale", F8_E8M0, []int64{rows, cols / 32}})
			}
			comma := ","
			if i == tensors-1 {
				comma = ""
			}
			fmt.Fprintf(&index, "    %q: %q%s\n", entries[len(entries)-1].Name, name, comma)
		}
		header, total, err := Header(entries, map[string]string{"format": "pt"})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), header, 0o644)
		}
		if err == nil {
			err = os.Truncate(filepath.Join(dir, name), total)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	index.WriteString("  }\n}\n")
	if err := os.WriteFile(filepath.Join(dir, indexName), index.Bytes(), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, r := range releases {
		b.Run(r.name, func(b *testing.B) {
			dir := b.TempDir()
			writeRelease(b, dir, r.shards, r.tensors, r.rows, r.cols)
			b.ReportAllocs()
			for b.Loop() {
				c, err := Open(dir)
				if err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	}
}

// A release of 161 GB opens in a memory that is a small multiple of its headers.
func TestOpenTakesNoWeightMemory(t *testing.T) {
	r := releases[0]
	dir := t.TempDir()
	writeRelease(t, dir, r.shards, r.tensors, r.rows, r.cols)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := Open(dir)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Len() != r.tensors {
		t.Errorf("%d tensors, want %d", c.Len(), r.tensors)
	}
	size := int64(0)
	for tensor := range c.Tensors() {
		size += tensor.Bytes()
	}
	if size < r.bytes*9/10 || size > r.bytes*11/10 {
		t.Errorf("%d bytes of weights, want about %d", size, r.bytes)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 100<<20 {
		t.Errorf("opening allocated %d MiB in all, want at most 100", got>>20)
	}
}
