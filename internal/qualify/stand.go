package qualify

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"baleen/internal/device"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// stand is a device with the buffers of one program, and of others that name the same.
type stand struct {
	device  device.Device
	weights map[string][]device.Source
	buffers map[string]device.Buffer

	uploaded map[string]device.Buffer // of buffers, the weights
}

// loaded is a program that is ready on a stand.
type loaded struct {
	*stand
	*op.Program
	exe device.Executable
}

func newStand(d device.Device, weights map[string][]device.Source) *stand {
	return &stand{d, weights, map[string]device.Buffer{}, map[string]device.Buffer{}}
}

// load readies a program with the buffers that its ops use; fused ops that the device lacks run as their parts. Buffers that an earlier program had by
// that name are the same ones.
func (s *stand) load(p *op.Program) (*loaded, error) {
	p = pruned(p.Lower(s.device.Info().Has))
	bind := map[op.ID]device.Buffer{}
	for i, b := range p.Buffers {
		if b.Name == "" || !held(b) {
			continue
		}
		if err := s.alloc(p, op.ID(i)); err != nil {
			return nil, err
		}
		bind[op.ID(i)] = s.buffers[b.Name]
	}
	exe, err := s.device.Load(p, bind)
	return &loaded{s, p, exe}, err
}

// beside is another stand on the same device with the same weights, and memories of its own.
func (s *stand) beside() *stand {
	other := newStand(s.device, s.weights)
	other.uploaded = s.uploaded
	return other
}

// held tells whether the caller allocates a buffer.
func held(b op.Buffer) bool { return b.Space == op.Weight || b.Space == op.State || b.Space == op.IO }

// pruned leaves a program only those buffers to the caller that its ops use: it may be a piece of a larger one.
func pruned(p *op.Program) *op.Program {
	q := *p
	q.Buffers = slices.Clone(p.Buffers)
	used := map[op.ID]bool{}
	for _, o := range p.Ops {
		for _, operand := range op.Operands(o) {
			used[operand.ID] = true
		}
	}
	for i := range q.Buffers {
		if b := &q.Buffers[i]; i > 0 && held(*b) && !used[op.ID(i)] {
			b.Space = op.Temp
		}
	}
	return &q
}

func (s *stand) alloc(p *op.Program, id op.ID) error {
	b := p.Buffer(id)
	if s.buffers[b.Name] == nil && s.uploaded[b.Name] != nil {
		s.buffers[b.Name] = s.uploaded[b.Name]
	}
	if s.buffers[b.Name] != nil {
		return nil
	}
	buffer, err := s.device.Alloc(p, id)
	if err != nil {
		return err
	}
	s.buffers[b.Name] = buffer
	if b.Space != op.Weight {
		return nil
	}
	sources, ok := s.weights[b.Name]
	if !ok {
		return fmt.Errorf("no numbers for a weight: %s: this is a defect of the suite", b.Name)
	}
	s.uploaded[b.Name] = buffer
	return s.device.Upload(buffer, sources)
}

// fill fills a state or IO from its beginning; what is behind the data is filled with what nobody may read.
func (s *stand) fill(p *op.Program, b op.Buffer, data []byte) error {
	from := padded{data, b.Space == op.IO}
	return s.device.Upload(s.buffers[b.Name], []device.Source{{Name: b.Name, Data: device.Span{From: from, Length: p.Bytes(b)}}})
}

// padded is data and, without end, zeros or poison behind it.
type padded struct {
	data   []byte
	poison bool
}

func (p padded) ReadAt(to []byte, offset int64) (int, error) {
	n := copy(to, p.data[min(offset, int64(len(p.data))):])
	rest := to[n:]
	if !p.poison {
		clear(rest)
		return len(to), nil
	}
	for i := range min(4, len(rest)) {
		rest[i] = poison[(offset+int64(n+i))%4]
	}
	for i := 4; i < len(rest); i *= 2 {
		copy(rest[i:], rest[:i])
	}
	return len(to), nil
}

// fetch reads the rows that a run has of a buffer: of an IO those that args count, of a state all.
func (s *stand) fetch(p *op.Program, b op.Buffer, args *op.Args) ([]byte, error) {
	size := p.Bytes(b)
	if b.Space == op.IO {
		size = int64(args.Counts[b.Dim]) * int64(b.Cols) * 4
	}
	data := make([]byte, size)
	return data, s.device.Download(s.buffers[b.Name], 0, data)
}

func (l *loaded) put(name string, data []byte) error {
	return l.fill(l.Program, l.Buffer(l.Lookup(name)), data)
}

func (l *loaded) get(name string, args *op.Args) ([]byte, error) {
	return l.fetch(l.Program, l.Buffer(l.Lookup(name)), args)
}

// poison is a NaN as a float32, and no index as an int32.
var poison = [4]byte{0x5a, 0x5a, 0xda, 0x7f}

func memorySource(name string, data []byte) []device.Source {
	return []device.Source{{Name: name, Data: span(data)}}
}

func span(data []byte) device.Span {
	return device.Span{From: bytes.NewReader(data), Length: int64(len(data))}
}

// run runs the program and waits for it.
func (l *loaded) run(args *op.Args) error {
	if err := l.device.Run(l.exe, args); err != nil {
		return err
	}
	return l.device.Sync()
}

// outputs reads all that the program writes and the caller can see, by name.
func (l *loaded) outputs(args *op.Args) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, o := range l.Ops {
		for _, operand := range op.Operands(o) {
			b := l.Buffer(operand.ID)
			if !operand.Writes || b.Space != op.IO && b.Space != op.State {
				continue
			}
			data, err := l.get(b.Name, args)
			if err != nil {
				return nil, err
			}
			out[b.Name] = data
		}
	}
	return out, nil
}

func toBytes(x []float32) []byte {
	data := make([]byte, 0, 4*len(x))
	for _, v := range x {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

func toFloats(data []byte) []float32 {
	x := make([]float32, len(data)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return x
}

func idBytes(ids []int32) []byte {
	data := make([]byte, 0, 4*len(ids))
	for _, v := range ids {
		data = binary.LittleEndian.AppendUint32(data, uint32(v))
	}
	return data
}

func toIDs(data []byte) []int32 {
	ids := make([]int32, len(data)/4)
	for i := range ids {
		ids[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return ids
}

// everything exposes every activation of a program.
func everything(p *op.Program) *op.Program { return p.Expose(func(string) bool { return true }) }

// matrix is one part of a weight in its stored form.
type matrix struct {
	format      quant.Format
	rows, cols  int
	data, scale []byte
}

// source gives the bytes as from a file in which they lie anywhere.
func (m *matrix) source(name string) device.Source {
	inFile := func(data []byte) device.Span {
		if data == nil {
			return device.Span{}
		}
		file := append(bytes.Repeat([]byte{0xff}, 13), data...)
		return device.Span{From: bytes.NewReader(file), Offset: 13, Length: int64(len(data))}
	}
	return device.Source{Name: name, Data: inFile(m.data), Scale: inFile(m.scale)}
}

// decode returns all numbers.
func (m *matrix) decode() []float32 {
	x := make([]float32, m.rows*m.cols)
	for i := range m.rows {
		m.format.DecodeRow(x[i*m.cols:], m.data, m.scale, i, m.cols)
	}
	return x
}
