package kv

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// A file of the store holds one page or one checkpoint: a header, the bytes, and the SHA-256 of both.
//
//	offset  bytes
//	     0      8  "baleenkv"
//	     8      4  version
//	    12      4  0 for a page, 1 for a checkpoint
//	    16     32  SHA-256 of the key: what decides the bits besides tokens and salt
//	    48     32  ID of the prefix
//	    80     32  ID of the prefix that is a page shorter
//	   112      4  pages of the prefix
//	   116      8  bytes that follow
//	   124      4  CRC-32C of the header so far
//	   128         the bytes, then 32 of SHA-256
//
// Numbers are little-endian. The name is the ID in hexadecimal, then ".page" or ".state". A file is written under another name,
// synced, and renamed; so a name that counts always has a whole file, unless the disk lies: then the sums tell.
const (
	storeMagic   = "baleenkv"
	storeVersion = 1
	headerBytes  = 128
	pageSuffix   = ".page"
	stateSuffix  = ".state"
	tempSuffix   = ".tmp"
)

// FileOverhead is how many bytes a file takes beside its content.
const FileOverhead = headerBytes + sha256.Size

// Store keeps pages and checkpoints in a directory. One goroutine uses it at a time, and one process: the directory is locked.
type Store struct {
	dir     string
	key     [sha256.Size]byte
	sizes   [2]int64 // by kind
	lock    *os.File
	refused func(file string, why error)
	buffer  []byte
}

// OpenStore opens a directory, which is made if there is none, and lists what it holds. The key says what decides the bits, and the
// format of pages and checkpoints, besides tokens. Files of the store that are broken, of another version, or of another
// key are deleted after refused was called; others are left alone.
func OpenStore(dir, key string, l Limits, refused func(file string, why error)) (*Store, []Entry, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("cannot use a directory for the cache: %w: name one that can be written", err)
	}
	s := &Store{dir: dir, key: sha256.Sum256([]byte(key)), sizes: [2]int64{l.Page, l.Checkpoint}, refused: refused}
	var err error
	if s.lock, err = lock(filepath.Join(dir, "lock")); err != nil {
		return nil, nil, fmt.Errorf("cannot lock the directory of the cache: %s: %w: give every server a directory of its own", dir, err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		s.Close()
		return nil, nil, fmt.Errorf("cannot read the directory of the cache: %w", err)
	}
	var list []Entry
	for _, name := range names {
		if !name.Type().IsRegular() {
			continue // a pipe would keep us waiting
		}
		if e, ok := s.look(name.Name()); ok {
			list = append(list, e)
		}
	}
	return s, list, nil
}

// Close gives the directory back.
func (s *Store) Close() error { return s.lock.Close() }

// look looks at one file of the directory. It reads the header only: the rest is checked when it is wanted.
func (s *Store) look(name string) (Entry, bool) {
	stem, suffix := name, ""
	if dot := strings.IndexByte(name, '.'); dot >= 0 {
		stem, suffix = name[:dot], name[dot:]
	}
	id, err := hex.DecodeString(stem)
	if err != nil || len(id) != len(ID{}) {
		return Entry{}, false // not ours
	}
	switch suffix {
	case pageSuffix, stateSuffix:
	case pageSuffix + tempSuffix, stateSuffix + tempSuffix:
		s.refuse(name, errors.New("its writing was interrupted"))
		return Entry{}, false
	default:
		return Entry{}, false
	}
	e, err := s.header(name, Entry{ID: ID(id), Checkpoint: suffix == stateSuffix})
	if err != nil {
		s.refuse(name, err)
		return Entry{}, false
	}
	return e, true
}

// header reads the header of a file and checks it, and the file's size.
func (s *Store) header(name string, want Entry) (Entry, error) {
	f, err := os.Open(filepath.Join(s.dir, name))
	if err != nil {
		return Entry{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Entry{}, err
	}
	var head [headerBytes]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return Entry{}, fmt.Errorf("%d bytes: shorter than a header", info.Size())
	}
	e, err := s.parse(head[:], info.Size())
	if err == nil && (e.ID != want.ID || e.Checkpoint != want.Checkpoint) {
		err = errors.New("it has another file's name")
	}
	e.Time = info.ModTime()
	return e, err
}

// parse reads a header. size is that of the whole file.
func (s *Store) parse(head []byte, size int64) (Entry, error) {
	number := binary.LittleEndian.Uint32
	kind := number(head[12:])
	switch {
	case string(head[:8]) != storeMagic || number(head[124:]) != crc(head[:124]):
		return Entry{}, errors.New("its header is broken")
	case number(head[8:]) != storeVersion:
		return Entry{}, fmt.Errorf("version %d: this is version %d", number(head[8:]), storeVersion)
	case !bytes.Equal(head[16:48], s.key[:]):
		return Entry{}, errors.New("it is of another model, device or format")
	case kind > 1 || number(head[112:]) == 0 || number(head[112:]) > 1<<30:
		return Entry{}, errors.New("its header makes no sense")
	}
	if length := int64(binary.LittleEndian.Uint64(head[116:])); length != s.sizes[kind] || size != fileBytes(length) {
		return Entry{}, fmt.Errorf("%d bytes: expected %d", size, fileBytes(s.sizes[kind]))
	}
	return Entry{ID: ID(head[48:80]), Parent: ID(head[80:112]), Depth: int(number(head[112:])), Checkpoint: kind == 1}, nil
}

func fileBytes(length int64) int64 { return length + FileOverhead }

func crc(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

func (e Entry) name() string {
	if e.Checkpoint {
		return hex.EncodeToString(e.ID[:]) + stateSuffix
	}
	return hex.EncodeToString(e.ID[:]) + pageSuffix
}

// encode makes the content of a file.
func (s *Store) encode(e Entry, data []byte) []byte {
	le := binary.LittleEndian
	b := append(s.buffer[:0], storeMagic...)
	b = le.AppendUint32(b, storeVersion)
	b = le.AppendUint32(b, uint32(kindOf(e.Checkpoint)))
	b = append(b, s.key[:]...)
	b = append(b, e.ID[:]...)
	b = append(b, e.Parent[:]...)
	b = le.AppendUint32(b, uint32(e.Depth))
	b = le.AppendUint64(b, uint64(len(data)))
	b = le.AppendUint32(b, crc(b))
	b = append(b, data...)
	sum := sha256.Sum256(b)
	s.buffer = append(b, sum[:]...)
	return s.buffer
}

func kindOf(checkpoint bool) int {
	if checkpoint {
		return 1
	}
	return 0
}

// Write makes a file. When it returns, the file is there for good, or not at all.
func (s *Store) Write(e Entry, data []byte) error {
	if int64(len(data)) != s.sizes[kindOf(e.Checkpoint)] {
		return fmt.Errorf("%d bytes for a file of the cache: give %d", len(data), s.sizes[kindOf(e.Checkpoint)])
	}
	path := filepath.Join(s.dir, e.name())
	if err := writeSynced(path+tempSuffix, s.encode(e, data)); err != nil {
		os.Remove(path + tempSuffix)
		return err
	}
	if err := os.Rename(path+tempSuffix, path); err != nil {
		return err
	}
	return syncDir(s.dir)
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Read returns the bytes of a file. One that is broken is refused and deleted.
func (s *Store) Read(e Entry) ([]byte, error) {
	data, err := s.read(e)
	if err != nil {
		s.refuse(e.name(), err)
	}
	return data, err
}

func (s *Store) read(e Entry) ([]byte, error) {
	found, err := s.header(e.name(), e)
	if err != nil {
		return nil, err
	}
	if found.Parent != e.Parent || found.Depth != e.Depth {
		return nil, errors.New("it belongs to another prefix")
	}
	content := make([]byte, fileBytes(s.sizes[kindOf(e.Checkpoint)]))
	f, err := os.Open(filepath.Join(s.dir, e.name()))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := io.ReadFull(f, content); err != nil {
		return nil, err
	}
	end := len(content) - sha256.Size
	if sum := sha256.Sum256(content[:end]); !bytes.Equal(sum[:], content[end:]) {
		return nil, errors.New("its checksum is wrong")
	}
	return content[headerBytes:end:end], nil
}

func (s *Store) refuse(name string, why error) {
	s.refused(name, why)
	os.Remove(filepath.Join(s.dir, name))
}

// Delete deletes the files of a prefix.
func (s *Store) Delete(id ID) {
	for _, e := range []Entry{{ID: id, Checkpoint: true}, {ID: id}} {
		os.Remove(filepath.Join(s.dir, e.name()))
	}
}

// Entry is what the file says of itself.
func (f File) Entry() Entry {
	e := Entry{ID: f.Node.ID, Depth: f.Node.Depth, Checkpoint: f.Checkpoint}
	if f.Node.parent != nil {
		e.Parent = f.Node.parent.ID
	}
	return e
}
