// Package synth writes checkpoints of random weights: the formats, names and shapes of a release, at any depth, so that
// speed and memory can be measured, and every path walked, without a download. The numbers are such that activations
// stay finite and tokens spread over the experts; they mean nothing.
//
// Sources: formats spec 1.2 to 1.5.
package synth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Options say what to write.
type Options struct {
	Shape   string // v4-flash, v4-pro, or demo: the embedded model's
	Layers  int    // keep the first so many; 0 is all
	Pick    []int  // or keep these, ascending; they keep their compression and their way of routing
	Experts int    // 0 is as released
	Vocab   int    // 0 is as released
	MTP     bool   // with the block that drafts
	Seed    uint64 // the same options give the same bytes, on any number of processors

	// Sparse writes headers and holes: a checkpoint that opens and binds and has no numbers. Its metadata say so.
	Sparse bool

	// Files are written beside the weights: a tokenizer.json, say.
	Files map[string][]byte
}

// Write makes the directory dir, which must not exist or be empty, and writes a checkpoint there. It writes beside it
// first, to dir.partial, and renames that at the end: what has the name is whole, whatever happened. An unfinished
// dir.partial of an earlier run is replaced. progress, if not nil, is told how many bytes of all are written, from one
// goroutine at a time.
func Write(ctx context.Context, dir string, o Options, progress func(done, total int64)) error {
	config, err := Config(o)
	if err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	partial := dir + ".partial"
	if err := prepare(dir, partial, o.Files); err != nil {
		return err
	}
	err = writeAll(ctx, partial, config, o, progress)
	if err == nil {
		if err = os.Rename(partial, dir); err == nil {
			return nil
		}
		err = writeFault(err)
	}
	return errors.Join(err, os.RemoveAll(partial))
}

// prepare makes partial, an empty directory, and makes sure that it can be renamed to dir.
func prepare(dir, partial string, files map[string][]byte) error {
	info, err := os.Lstat(dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("cannot write there: %s: it exists and is no directory: name another, or remove it", dir)
	case err == nil && os.Remove(dir) != nil:
		return fmt.Errorf("cannot write there: %s: it is not empty: name another, or remove it", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return writeFault(err)
	}
	entries, err := os.ReadDir(partial)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return writeFault(err)
	}
	for _, entry := range entries {
		if _, extra := files[entry.Name()]; !extra && !ours(entry) {
			return fmt.Errorf("cannot write there: %s: it holds %s, which is not of an unfinished run: move it away", partial, entry.Name())
		}
	}
	if err := os.RemoveAll(partial); err != nil {
		return writeFault(err)
	}
	if err := os.MkdirAll(partial, 0o777); err != nil {
		return writeFault(err)
	}
	return nil
}

// ours tells files that an unfinished run leaves.
func ours(entry fs.DirEntry) bool {
	name := entry.Name()
	return entry.Type().IsRegular() &&
		(name == configName || name == generationName || name == indexName || strings.HasPrefix(name, "model-") && strings.HasSuffix(name, ".safetensors"))
}

func writeFault(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("cannot write: %s: %w: check space and permissions", path.Path, path.Err)
	}
	return fmt.Errorf("cannot write: %w: check space and permissions", err)
}
