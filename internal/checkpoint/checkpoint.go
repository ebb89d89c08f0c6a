// Package checkpoint opens files of weights: a directory of safetensors shards with their index, or one file. It checks
// everything that the files say about themselves, lists the tensors, and gives the bytes of each. It also writes such
// files. It knows no model: what a name means and which shapes are right is not decided here, and no weight is read
// before someone asks for it.
//
// Sources: formats spec 1.2, 1.7 and 1.9.
package checkpoint

import (
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Checkpoint is a set of opened weight files and the directory of their tensors. Nothing changes it after it is opened,
// so any number of goroutines may use it, until Close.
type Checkpoint struct {
	fsys     fs.FS
	root     string // before file names in messages
	shards   []*shard
	tensors  []Tensor // by shard, then by offset
	byName   map[string]int32
	metadata map[string]string
	config   []byte
	noConfig error
	digest   string
}

// Tensor is one entry of the directory: rows of a matrix are its first dimension, elements are little-endian and dense.
type Tensor struct {
	Name  string
	DType DType
	Shape []int64 // rank 0 to 8; not to be changed

	shard      *shard
	begin, end int64 // in the data of the shard
}

// Bytes returns the size of the tensor's data.
func (t Tensor) Bytes() int64 { return t.end - t.begin }

// File returns the path of the file that holds the tensor.
func (t Tensor) File() string { return t.shard.path }

// Location returns where the data lies: n bytes from offset off of r, which is the whole file. Nothing is promised about
// the alignment of off. A read that fails, or comes back short because the file has shrunk, gives an error that names
// the file.
func (t Tensor) Location() (r io.ReaderAt, off, n int64) {
	return t.shard, t.shard.data + t.begin, t.Bytes()
}

// Section returns a reader of the data.
func (t Tensor) Section() *io.SectionReader { return io.NewSectionReader(t.Location()) }

// Open opens the checkpoint in a directory: by model.safetensors.index.json if there is one, else model.safetensors,
// else the only file *.safetensors. Every error is an *Error.
func Open(dir string) (*Checkpoint, error) { return open(os.DirFS(dir), dir) }

// OpenFS opens the checkpoint at the root of a file system, whose files must be io.ReaderAt (those of embed are).
func OpenFS(fsys fs.FS) (*Checkpoint, error) { return open(fsys, "") }

// OpenFile opens one safetensors file, whatever its name and its neighbours.
func OpenFile(path string) (*Checkpoint, error) {
	dir, name := filepath.Split(path)
	c := &Checkpoint{fsys: os.DirFS(filepath.Clean(dir)), root: dir}
	return c.opened(c.openShards([]string{name}))
}

func open(fsys fs.FS, root string) (*Checkpoint, error) {
	c := &Checkpoint{fsys: fsys, root: root}
	return c.opened(c.openAll())
}

// opened ends an opening: a fault closes what is open.
func (c *Checkpoint) opened(fault *Error) (*Checkpoint, error) {
	if fault != nil {
		c.Close()
		return nil, fault
	}
	return c, nil
}

func (c *Checkpoint) openAll() *Error {
	names, fault := c.weightFiles()
	if fault != nil {
		return fault
	}
	if !slices.Contains(names, indexName) {
		return c.openShards(names)
	}
	text, fault := c.readFile(indexName, maxHeader)
	if fault != nil {
		return fault
	}
	weights, shards, fault := parseIndex(text)
	if fault != nil {
		fault.File = c.path(indexName)
		return fault
	}
	if fault := c.openShards(shards); fault != nil {
		return fault
	}
	return c.checkIndex(weights)
}

// weightFiles returns the index or the single file that the directory's weights are opened by.
func (c *Checkpoint) weightFiles() ([]string, *Error) {
	entries, err := fs.ReadDir(c.fsys, ".")
	if err != nil {
		return nil, &Error{Kind: readFailed, File: c.path("."), Found: reason(err), Want: "a directory", Err: err}
	}
	var files []string
	for _, entry := range entries {
		if name := entry.Name(); name == indexName || strings.HasSuffix(name, ".safetensors") {
			files = append(files, name)
		}
	}
	for _, preferred := range []string{indexName, "model.safetensors"} {
		if slices.Contains(files, preferred) {
			return []string{preferred}, nil
		}
	}
	if len(files) != 1 {
		return nil, &Error{Kind: noWeights, File: c.path("."), Found: fmt.Sprintf("%d files *.safetensors and no index", len(files)), Want: "an index, or one file"}
	}
	return files, nil
}

// openShards opens the files, builds the directory of tensors, and reads what else belongs to an opened checkpoint.
func (c *Checkpoint) openShards(names []string) *Error {
	headers, fault := c.readHeaders(names)
	if fault != nil {
		return fault
	}
	count := 0
	for _, h := range headers {
		count += len(h.tensors)
	}
	if count > maxTensors {
		return &Error{Kind: tooManyTensors, File: c.path("."), Found: fmt.Sprint(count), Want: fmt.Sprint("at most ", maxTensors)}
	}
	c.tensors, c.byName, c.metadata = make([]Tensor, 0, count), make(map[string]int32, count), map[string]string{}
	for i, h := range headers {
		if fault := c.list(h, c.shards[i]); fault != nil {
			return fault
		}
	}
	return c.sign()
}

// list adds the tensors of a shard. Of metadata, the first shard's word counts.
func (c *Checkpoint) list(h header, s *shard) *Error {
	for _, t := range h.tensors {
		t.shard = s
		if first, twice := c.byName[t.Name]; twice {
			return &Error{Kind: tensorTwice, File: s.path, Tensor: t.Name, Found: "it also in " + c.tensors[first].File(), Want: "it once"}
		}
		c.byName[t.Name] = int32(len(c.tensors))
		c.tensors = append(c.tensors, t)
	}
	for key, value := range h.metadata {
		if _, known := c.metadata[key]; !known {
			c.metadata[key] = value
		}
	}
	return nil
}

// Tensor finds a tensor by name.
func (c *Checkpoint) Tensor(name string) (Tensor, bool) {
	i, ok := c.byName[name]
	if !ok {
		return Tensor{}, false
	}
	return c.tensors[i], true
}

// Tensors lists all tensors as they lie on disk: shards by file name, tensors by offset.
func (c *Checkpoint) Tensors() iter.Seq[Tensor] { return slices.Values(c.tensors) }

// Names returns all names, sorted.
func (c *Checkpoint) Names() []string { return slices.Sorted(maps.Keys(c.byName)) }

// Len returns the number of tensors.
func (c *Checkpoint) Len() int { return len(c.tensors) }

// Metadata returns the `__metadata__` of the files; where shards differ, the first one's word counts.
func (c *Checkpoint) Metadata() map[string]string { return maps.Clone(c.metadata) }

// Config returns the bytes of config.json as they were when the checkpoint was opened, or an error where there is none.
func (c *Checkpoint) Config() ([]byte, error) { return slices.Clone(c.config), c.noConfig }

// ReadFile returns the bytes of another file of the checkpoint, such as tokenizer.json, of at most limit bytes. A file
// that is not there gives an error that is fs.ErrNotExist.
func (c *Checkpoint) ReadFile(name string, limit int64) ([]byte, error) {
	data, fault := c.readFile(name, limit)
	if fault != nil {
		return nil, fault
	}
	return data, nil
}

// Close closes the files. The tensors' bytes cannot be read any more.
func (c *Checkpoint) Close() error {
	var first error
	for _, s := range c.shards {
		if s == nil {
			continue
		}
		if err := s.closer.Close(); err != nil && first == nil {
			first = &Error{Kind: readFailed, File: s.path, Found: reason(err), Want: "it to close", Err: err}
		}
	}
	return first
}
