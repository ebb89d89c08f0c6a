package checkpoint

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
)

// shard is one open weight file.
type shard struct {
	name, path string // in the index; in messages
	file       io.ReaderAt
	closer     io.Closer
	size       int64 // of the file, when it was opened
	data       int64 // offset of the data
	sum        [sha256.Size]byte
}

// ReadAt reads from the file, and says which one where that fails.
func (s *shard) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.file.ReadAt(p, off)
	if rest := s.size - off; n == len(p) || off >= 0 && int64(n) >= rest {
		return n, err
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the file has shrunk; this is not an end to stop at
	}
	return n, &Error{Kind: readFailed, File: s.path, Found: fmt.Sprintf("%d bytes at offset %d (%s)", n, off, reason(err)), Want: fmt.Sprint(len(p)), Err: err}
}

// readHeaders opens the named shards and parses their headers, as many at a time as there are processors. Of several
// faults it returns that of the first file.
func (c *Checkpoint) readHeaders(names []string) ([]header, *Error) {
	c.shards = make([]*shard, len(names))
	headers, faults := make([]header, len(names)), make([]*Error, len(names))
	var (
		next    atomic.Int64 // files are begun in order, so when one fails all before it are seen through
		failed  atomic.Bool
		workers sync.WaitGroup
	)
	for range min(runtime.GOMAXPROCS(0), len(names)) {
		workers.Go(func() {
			var buf []byte
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(names) {
					return
				}
				if c.shards[i], faults[i] = c.openShard(names[i]); faults[i] == nil {
					headers[i], buf, faults[i] = c.shards[i].readHeader(buf)
				}
				if faults[i] != nil {
					faults[i].File = c.path(names[i])
					failed.Store(true)
				}
			}
		})
	}
	workers.Wait()
	for _, fault := range faults {
		if fault != nil {
			return nil, fault
		}
	}
	return headers, nil
}

func (c *Checkpoint) openShard(name string) (*shard, *Error) {
	file, size, fault := c.openFile(name)
	if fault != nil {
		return nil, fault
	}
	r, ok := file.(io.ReaderAt)
	if !ok {
		file.Close()
		return nil, &Error{Kind: readFailed, Found: fmt.Sprintf("%T", file), Want: "a file system whose files are io.ReaderAt"}
	}
	return &shard{name: name, path: c.path(name), file: r, closer: file, size: size}, nil
}

// File returns the file itself, or nil where the shard is in memory. It is for reads in ways of their own, such as around
// the page cache.
func (s *shard) File() *os.File {
	f, _ := s.file.(*os.File)
	return f
}

func (s *shard) readHeader(buf []byte) (header, []byte, *Error) {
	h, buf, fault := readHeader(s.file, s.size, buf)
	if fault != nil {
		return header{}, buf, fault
	}
	s.data = 8 + int64(len(h.text))
	s.sum, buf, fault = s.digest(h.text, buf)
	h.text = nil
	return h, buf, fault
}

// openFile opens a regular file. It looks before it opens: to open a pipe would wait for a writer.
func (c *Checkpoint) openFile(name string) (fs.File, int64, *Error) {
	if !fs.ValidPath(name) { // file systems differ in what they say then
		return nil, 0, &Error{Kind: readFailed, File: c.path(name), Found: "a path that leads elsewhere", Want: "a plain file name"}
	}
	info, err := fs.Stat(c.fsys, name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, 0, &Error{Kind: readFailed, File: c.path(name), Found: "a " + fileType(info.Mode()), Want: "a regular file"}
	}
	var file fs.File
	if err == nil {
		file, err = c.fsys.Open(name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, &Error{Kind: fileMissing, File: c.path(name), Found: "nothing", Want: "a file", Err: err}
	case err != nil:
		return nil, 0, &Error{Kind: readFailed, File: c.path(name), Found: reason(err), Want: "a file", Err: err}
	}
	if info, err = file.Stat(); err != nil {
		file.Close()
		return nil, 0, &Error{Kind: readFailed, File: c.path(name), Found: reason(err), Want: "a file", Err: err}
	}
	return file, info.Size(), nil
}

func fileType(mode fs.FileMode) string {
	if mode.IsDir() {
		return "directory"
	}
	return "special file"
}

// readFile reads a whole file.
func (c *Checkpoint) readFile(name string, limit int64) ([]byte, *Error) {
	file, size, fault := c.openFile(name)
	if fault != nil {
		return nil, fault
	}
	defer file.Close()
	if size > limit {
		return nil, &Error{Kind: fileTooLarge, File: c.path(name), Found: fmt.Sprintf("%d bytes", size), Want: fmt.Sprint("at most ", limit)}
	}
	data := make([]byte, size)
	if n, err := io.ReadFull(file, data); err != nil {
		return nil, &Error{Kind: readFailed, File: c.path(name), Found: fmt.Sprintf("%d bytes (%s)", n, reason(err)), Want: fmt.Sprint(size), Err: err}
	}
	return data, nil
}

// path is how messages name a file of the checkpoint.
func (c *Checkpoint) path(name string) string {
	if c.root == "" {
		return path.Clean(name)
	}
	return filepath.Join(c.root, name)
}

// reason is the system's word without operation and path, which the message has already.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}
