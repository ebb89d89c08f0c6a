package synth

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
)

const (
	configName     = "config.json"
	generationName = "generation_config.json"
	indexName      = "model.safetensors.index.json"

	shardBytes = 5e9
	chunkBytes = 4 << 20 // each has random numbers of its own, and what has them can be made in any order
)

// generation is the generation_config.json of the releases.
const generation = `{
  "_from_model_config": true,
  "bos_token_id": 0,
  "eos_token_id": 1,
  "do_sample": true,
  "temperature": 1.0,
  "top_p": 1.0,
  "transformers_version": "4.46.3"
}
`

// tensor is one tensor to be written.
type tensor struct {
	checkpoint.Entry
	fill filler
}

// bytes returns how long a row is and how many there are. Tensors of one dimension are one row.
func (t tensor) bytes() (row, rows int64) {
	row, rows = int64(t.DType.Bits()/8), 1
	for i, n := range t.Shape {
		if i < len(t.Shape)-1 {
			rows *= n
		} else {
			row *= n
		}
	}
	return row, rows
}

// tensors lists all tensors in the order of the files. The matrices of one expert lie together.
func tensors(c *deepseek.Config) []tensor {
	var list []tensor
	var group []*deepseek.Weight // as many parts each
	flush := func() {
		if len(group) == 0 {
			return
		}
		fillers := make([][]filler, len(group))
		for i, w := range group {
			fillers[i] = fillersOf(w, c.Experts)
		}
		for part := range group[0].Parts {
			for i, w := range group {
				for j, entry := range w.Entries(part) {
					list = append(list, tensor{entry, fillers[i][j]})
				}
			}
		}
		group = group[:0]
	}
	for w := range c.Layout().All() {
		if len(group) > 0 && group[0].Parts != w.Parts {
			flush()
		}
		group = append(group, w)
	}
	flush()
	return list
}

// shard is one file.
type shard struct {
	name    string
	tensors []tensor
}

// shards cuts the list into files of at most shardBytes, or of one tensor.
func shards(list []tensor) []shard {
	var all []shard
	first, size := 0, int64(0)
	for i, t := range list {
		row, rows := t.bytes()
		if i > first && size+row*rows > shardBytes {
			all = append(all, shard{tensors: list[first:i]})
			first, size = i, 0
		}
		size += row * rows
	}
	all = append(all, shard{tensors: list[first:]})
	for i := range all {
		all[i].name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(all))
	}
	return all
}

// writeAll fills the directory dir.
func writeAll(ctx context.Context, dir string, config []byte, o Options, progress func(done, total int64)) error {
	c, err := deepseek.ParseConfig(config)
	if err != nil {
		return err
	}
	w := &writer{seed: o.Seed, progress: progress}
	defer w.close()
	files := map[string][]byte{configName: config, generationName: []byte(generation)}
	maps.Copy(files, o.Files)
	all := shards(tensors(c))
	for _, s := range all {
		if err := w.begin(dir, s, metadata(o)); err != nil {
			return err
		}
	}
	if o.Sparse {
		w.report(w.total)
	} else if err := w.run(ctx); err != nil {
		return err
	}
	if err := w.close(); err != nil {
		return err
	}
	files[indexName], err = index(all, w.total)
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return writeFault(err)
		}
	}
	return ctx.Err()
}

// metadata says in every file what it is.
func metadata(o Options) map[string]string {
	m := map[string]string{"format": "pt", "generator": "baleen synth", "shape": o.Shape, "seed": strconv.FormatUint(o.Seed, 10)}
	if o.Sparse {
		m["sparse"] = "true: headers and holes, no numbers"
	}
	return m
}

func index(all []shard, total int64) ([]byte, error) {
	names := map[string]string{}
	for _, s := range all {
		for _, t := range s.tensors {
			names[t.Name] = s.name
		}
	}
	return json.MarshalIndent(map[string]any{"metadata": map[string]int64{"total_size": total}, "weight_map": names}, "", "  ")
}

// chunk is rows of a tensor that are made and written in one piece.
type chunk struct {
	tensor
	file   *os.File
	offset int64 // in the file
	size   int64
	number int // in the tensor
}

// writer writes the chunks of all files from as many goroutines as there are processors.
type writer struct {
	seed     uint64
	files    []*os.File
	chunks   []chunk
	total    int64 // bytes of all tensors
	progress func(done, total int64)

	mu   sync.Mutex // of what follows
	done int64
	err  error
}

// begin makes a file of the right size, with its header, and lists its chunks.
func (w *writer) begin(dir string, s shard, metadata map[string]string) error {
	entries := make([]checkpoint.Entry, len(s.tensors))
	for i, t := range s.tensors {
		entries[i] = t.Entry
	}
	header, total, err := checkpoint.Header(entries, metadata)
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, s.name))
	if err != nil {
		return writeFault(err)
	}
	w.files = append(w.files, file)
	if _, err := file.Write(header); err != nil {
		return writeFault(err)
	}
	if err := file.Truncate(total); err != nil {
		return writeFault(err)
	}
	w.total += total - int64(len(header))
	offset := int64(len(header))
	for _, t := range s.tensors {
		row, rows := t.bytes()
		step := max(chunkBytes/row, 1)
		for first := int64(0); first < rows; first += step {
			size := min(step, rows-first) * row
			w.chunks = append(w.chunks, chunk{t, file, offset, size, int(first / step)})
			offset += size
		}
	}
	return nil
}

func (w *writer) run(ctx context.Context) error {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			var buf []byte
			for ctx.Err() == nil && w.failed() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(w.chunks)) {
					return
				}
				c := w.chunks[i]
				whole := int(c.size+7) &^ 7
				buf = slices.Grow(buf[:0], whole)[:whole]
				c.fill(newRandom(w.seed, c.Name, c.number), buf)
				if _, err := c.file.WriteAt(buf[:c.size], c.offset); err != nil {
					w.fail(writeFault(err))
					return
				}
				w.report(c.size)
			}
		})
	}
	workers.Wait()
	return cmp.Or(w.failed(), ctx.Err())
}

func (w *writer) report(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done += n
	if w.progress != nil {
		w.progress(w.done, w.total)
	}
}

func (w *writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = cmp.Or(w.err, err)
}

func (w *writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// close closes all files, once.
func (w *writer) close() error {
	var first error
	for _, file := range w.files {
		if err := file.Close(); err != nil && first == nil {
			first = writeFault(err)
		}
	}
	w.files = nil
	return first
}
