package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Entry is a tensor to be written.
type Entry struct {
	Name  string
	DType DType
	Shape []int64
}

// Header returns the front of a safetensors file whose data are the entries, in their order and without gaps, and the
// size of the whole file. Data begin where the header ends, at a multiple of 8. Written alone before a truncation to
// total, it makes a sparse file. What a reader would refuse is an error.
func Header(entries []Entry, metadata map[string]string) (header []byte, total int64, err error) {
	header, ends, err := layout(entries, metadata)
	if err != nil {
		return nil, 0, err
	}
	return header, int64(len(header)) + ends[len(ends)-1], nil
}

// layout returns the header and where in the data each entry ends, after a first 0.
func layout(entries []Entry, metadata map[string]string) (header []byte, ends []int64, err error) {
	if len(entries) > maxTensors {
		return nil, nil, fmt.Errorf("too many tensors: %d in one file: write at most %d", len(entries), maxTensors)
	}
	header, ends = make([]byte, 8, 64+128*len(entries)), make([]int64, 1, len(entries)+1)
	header = append(header, '{')
	if metadata != nil {
		if header, err = appendMetadata(header, metadata); err != nil {
			return nil, nil, err
		}
	}
	names := make(map[string]struct{}, len(entries))
	for _, e := range entries {
		if _, twice := names[e.Name]; twice {
			return nil, nil, fmt.Errorf("tensor written twice: %q: give every tensor its own name", e.Name)
		}
		names[e.Name] = struct{}{}
		begin := ends[len(ends)-1]
		end, err := e.check(begin)
		if err != nil {
			return nil, nil, err
		}
		header, ends = e.append(header, begin, end), append(ends, end)
	}
	header = append(header, '}')
	for len(header)%8 != 0 {
		header = append(header, ' ')
	}
	n := len(header) - 8
	if n > maxHeader {
		return nil, nil, fmt.Errorf("header too large: %d bytes: write at most %d, in more files", n, maxHeader)
	}
	binary.LittleEndian.PutUint64(header, uint64(n))
	return header, ends, nil
}

func appendMetadata(header []byte, metadata map[string]string) ([]byte, error) {
	for key, value := range metadata {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, fmt.Errorf("metadata not UTF-8: %q: %q: give text", key, value)
		}
	}
	text, err := json.Marshal(metadata)
	header = append(header, `"`+metadataKey+`":`...)
	return append(header, text...), err
}

// check returns where a tensor that begins at begin ends.
func (e Entry) check(begin int64) (int64, error) {
	switch {
	case !utf8.ValidString(e.Name) || e.Name == metadataKey:
		return 0, fmt.Errorf("bad tensor name: %q: give UTF-8 text other than %s", e.Name, metadataKey)
	case e.DType == unknown || int(e.DType) >= len(dtypes):
		return 0, fmt.Errorf("no dtype: tensor %q: give one of this package", e.Name)
	case len(e.Shape) > maxRank:
		return 0, fmt.Errorf("too many dimensions: tensor %q has %d: give at most %d", e.Name, len(e.Shape), maxRank)
	}
	for _, n := range e.Shape {
		if n < 0 {
			return 0, fmt.Errorf("negative dimension: tensor %q: shape %v: give 0 or more", e.Name, e.Shape)
		}
	}
	size, fault := byteSize(e.DType, e.Shape)
	if fault != nil {
		return 0, fmt.Errorf("bad size: tensor %q: found %s, expected %s: correct its shape", e.Name, fault.Found, fault.Want)
	}
	if size > math.MaxInt64-maxHeader-begin-8 {
		return 0, fmt.Errorf("file too large: tensor %q does not end below 2^63: write more files", e.Name)
	}
	return begin + size, nil
}

// append writes the entry as JSON.
func (e Entry) append(b []byte, begin, end int64) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	name, _ := json.Marshal(e.Name) // a string always has a JSON form
	b = append(b, name...)
	b = append(b, `:{"dtype":"`+e.DType.String()+`","shape":[`...)
	for i, n := range e.Shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	b = strconv.AppendInt(append(b, `],"data_offsets":[`...), begin, 10)
	b = strconv.AppendInt(append(b, ','), end, 10)
	return append(b, ']', '}')
}

// Writer writes a safetensors file from front to end, in pieces of any size. It never seeks and holds no data, so a file
// may be larger than memory.
type Writer struct {
	w       io.Writer
	entries []Entry
	ends    []int64
	written int64
	err     error // the first; it stays
}

// NewWriter writes the header that Header makes. The data of the entries follow through Write, in their order.
func NewWriter(w io.Writer, entries []Entry, metadata map[string]string) (*Writer, error) {
	header, ends, err := layout(entries, metadata)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(header); err != nil {
		return nil, err
	}
	return &Writer{w: w, entries: entries, ends: ends}, nil
}

// Write writes the next bytes of data. A piece that goes beyond the last tensor is an error, and nothing of it is written.
func (w *Writer) Write(p []byte) (int, error) {
	left := w.ends[len(w.ends)-1] - w.written
	if w.err == nil && int64(len(p)) > left {
		w.err = fmt.Errorf("too much data: %d bytes where %d are left: write what the header announced", len(p), left)
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.w.Write(p)
	w.written, w.err = w.written+int64(n), err
	return n, err
}

// Close returns the first error of a Write, or one if data are missing. It does not close what it writes to.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if total := w.ends[len(w.ends)-1]; w.written < total {
		i, _ := slices.BinarySearch(w.ends, w.written+1) // ends[i] is the first end that is not reached
		return fmt.Errorf("data missing: %d bytes of %d written, tensor %q is not complete: write all of it", w.written, total, w.entries[i-1].Name)
	}
	return nil
}
