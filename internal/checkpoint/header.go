package checkpoint

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

const (
	maxHeader  = 100_000_000 // bytes, as in the reference
	maxRank    = 8
	maxTensors = 1_000_000

	metadataKey = "__metadata__"
)

// header is what the front of a safetensors file says, once every check of formats spec 1.9 is passed: the tensors,
// sorted by offset, cover the data from its first byte to its last without hole or overlap.
type header struct {
	text     []byte // the JSON; valid until the buffer that it was read into is used again
	tensors  []Tensor
	metadata map[string]string
}

// readHeader reads and checks the header of a file of size bytes. Nothing is allocated by what the file claims about
// itself, only by what is really there. buf is scratch memory, grown and returned for the next file.
func readHeader(file io.ReaderAt, size int64, buf []byte) (header, []byte, *Error) {
	n, fault := headerSize(file, size)
	if fault != nil {
		return header{}, buf, fault
	}
	buf = slices.Grow(buf[:0], int(n))[:n]
	if fault := readAt(file, buf, 8); fault != nil {
		return header{}, buf, fault
	}
	if !utf8.Valid(buf) {
		return header{}, buf, &Error{Kind: headerUTF8, Found: "bytes that are no UTF-8", Want: "UTF-8 text"}
	}
	h, fault := parseHeader(buf, size-8-n)
	return h, buf, fault
}

// headerSize makes the checks that come before the header is read, and returns its length.
func headerSize(file io.ReaderAt, size int64) (int64, *Error) {
	if size < 8 {
		return 0, &Error{Kind: headerTooSmall, Found: fmt.Sprintf("%d bytes", size), Want: "at least 8"}
	}
	var length [8]byte
	if fault := readAt(file, length[:], 0); fault != nil {
		return 0, fault
	}
	n := binary.LittleEndian.Uint64(length[:])
	switch {
	case n > maxHeader:
		return 0, &Error{Kind: headerTooLarge, Found: fmt.Sprintf("a header of %d bytes", n), Want: fmt.Sprint("at most ", maxHeader)}
	case int64(n) > size-8:
		return 0, &Error{Kind: headerLength, Found: fmt.Sprintf("a header of %d bytes", n), Want: fmt.Sprintf("at most the %d that follow", size-8)}
	case n == 0:
		return 0, &Error{Kind: headerStart, Found: "an empty header", Want: "'{'"}
	}
	if fault := readAt(file, length[:1], 8); fault != nil {
		return 0, fault
	}
	if length[0] != '{' {
		return 0, &Error{Kind: headerStart, Found: fmt.Sprintf("byte %#02x", length[0]), Want: "'{'"}
	}
	return int64(n), nil
}

// readAt fills p or says why it cannot.
func readAt(file io.ReaderAt, p []byte, off int64) *Error {
	n, err := file.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the file was longer when it was opened; this is not an end to stop at
	}
	return &Error{Kind: readFailed, Found: fmt.Sprintf("%d bytes at offset %d (%v)", n, off, err), Want: fmt.Sprint(len(p)), Err: err}
}

// parseHeader parses the JSON of a header before a data buffer of the given size, and checks it in the order of the
// spec: syntax, duplicate keys, types, sizes, offsets, coverage.
func parseHeader(text []byte, buffer int64) (header, *Error) {
	p := headerParser{scanner: scanner{text: text}, names: map[string]struct{}{}}
	p.parse()
	h := header{text: text, tensors: p.tensors, metadata: p.metadata}
	for _, fault := range []*Error{p.err, p.duplicate, p.badType} {
		if fault != nil {
			return header{}, fault
		}
	}
	for _, check := range []func(Tensor, int64) *Error{checkSize, checkRange} {
		for _, t := range h.tensors {
			if fault := check(t, buffer); fault != nil {
				fault.Tensor = t.Name
				return header{}, fault
			}
		}
	}
	return h, h.checkCoverage(buffer)
}

// headerParser turns the text into tensors. Faults that the spec ranks behind syntax wait in their own fields.
type headerParser struct {
	scanner
	tensors            []Tensor
	metadata           map[string]string
	names              map[string]struct{}
	dims               []int64 // backs the shapes, many at a time
	duplicate, badType *Error
}

func (p *headerParser) parse() {
	p.object(func(key []byte) {
		if string(key) == metadataKey {
			p.unique("", p.metadata != nil, key)
			p.readMetadata()
			return
		}
		name := string(key)
		_, seen := p.names[name]
		p.unique("", seen, key)
		p.names[name] = struct{}{}
		p.readTensor(name)
		if len(p.tensors) > maxTensors {
			p.failWith(tooManyTensors, fmt.Sprint("more than ", maxTensors), "a header with fewer")
		}
		if p.err != nil && p.err.Tensor == "" {
			p.err.Tensor = name
		}
	})
	p.end()
}

// unique notes the first key that was seen before.
func (p *headerParser) unique(tensor string, seen bool, key []byte) {
	if seen && p.duplicate == nil {
		p.duplicate = &Error{Kind: headerSyntax, Tensor: tensor, Found: "the key " + quote(string(key)) + " twice", Want: "every key once"}
	}
}

func (p *headerParser) readMetadata() {
	p.metadata = map[string]string{}
	p.object(func(key []byte) {
		_, seen := p.metadata[string(key)]
		p.unique("", seen, key)
		p.metadata[string(key)] = string(p.string())
	})
}

// readTensor reads one entry: exactly the three keys that the format knows. A key that we do not know might change what
// the bytes mean.
func (p *headerParser) readTensor(name string) {
	t := Tensor{Name: name}
	const hasType, hasShape, hasOffsets = 1, 2, 4
	seen := 0
	mark := func(bit int, key []byte) {
		p.unique(name, seen&bit != 0, key)
		seen |= bit
	}
	p.object(func(key []byte) {
		switch string(key) {
		case "dtype":
			mark(hasType, key)
			t.DType = p.dtype(name)
		case "shape":
			mark(hasShape, key)
			t.Shape = p.shape()
		case "data_offsets":
			mark(hasOffsets, key)
			t.begin, t.end = p.offsets()
		default:
			p.failWith(headerSyntax, "the key "+quote(string(key)), "dtype, shape and data_offsets")
		}
	})
	if p.err == nil && seen != hasType|hasShape|hasOffsets {
		p.failWith(headerSyntax, "an entry with keys missing", "dtype, shape and data_offsets")
	}
	p.tensors = append(p.tensors, t)
}

func (p *headerParser) dtype(tensor string) DType {
	text := p.string()
	d := dtypeOf(text)
	if d == unknown && p.badType == nil {
		p.badType = &Error{Kind: headerSyntax, Tensor: tensor, Found: "dtype " + quote(string(text)), Want: "one that safetensors defines"}
	}
	return d
}

// shape reads a list of at most maxRank lengths.
func (p *headerParser) shape() []int64 {
	if cap(p.dims)-len(p.dims) < maxRank {
		p.dims = make([]int64, 0, 1024)
	}
	first := len(p.dims)
	p.list('[', ']', func() {
		if len(p.dims)-first == maxRank {
			p.failWith(tensorInfo, fmt.Sprint("more than ", maxRank, " dimensions"), fmt.Sprint("at most ", maxRank))
			return
		}
		p.dims = append(p.dims, p.integer())
	})
	return p.dims[first:len(p.dims):len(p.dims)]
}

func (p *headerParser) offsets() (begin, end int64) {
	p.expect('[')
	begin = p.integer()
	p.expect(',')
	end = p.integer()
	p.expect(']')
	return begin, end
}

// checkSize compares shape and offsets. Offsets that run backwards have no size; checkRange names them.
func checkSize(t Tensor, _ int64) *Error {
	size, fault := byteSize(t.DType, t.Shape)
	if fault == nil && t.begin <= t.end && size != t.end-t.begin {
		fault = &Error{Kind: tensorInfo, Found: fmt.Sprintf("%d bytes for %v %v", t.end-t.begin, t.DType, t.Shape), Want: fmt.Sprint(size)}
	}
	return fault
}

func checkRange(t Tensor, buffer int64) *Error {
	switch {
	case t.begin > t.end:
		return &Error{Kind: invalidOffset, Found: fmt.Sprintf("offsets [%d, %d]", t.begin, t.end), Want: "the begin before the end"}
	case t.end > buffer:
		return &Error{Kind: incompleteBuffer, Found: fmt.Sprintf("%d bytes of data", buffer), Want: fmt.Sprintf("%d for this tensor to end in", t.end)}
	}
	return nil
}

// checkCoverage sorts the tensors by offset and finds holes, overlaps, and bytes that are nobody's.
func (h header) checkCoverage(buffer int64) *Error {
	order := func(a, b Tensor) int { return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end)) }
	if !slices.IsSortedFunc(h.tensors, order) {
		slices.SortStableFunc(h.tensors, order)
	}
	covered := int64(0)
	for _, t := range h.tensors {
		if t.begin != covered {
			fault := "a hole"
			if t.begin < covered {
				fault = "an overlap"
			}
			return &Error{Kind: invalidOffset, Tensor: t.Name, Found: fmt.Sprintf("%s: begin %d", fault, t.begin), Want: fmt.Sprint(covered)}
		}
		covered = t.end
	}
	if covered != buffer {
		return &Error{Kind: incompleteBuffer, Found: fmt.Sprintf("%d bytes of data", buffer), Want: fmt.Sprintf("%d, where the last tensor ends", covered)}
	}
	return nil
}
