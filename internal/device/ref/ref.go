// Package ref is the specification executor: every core op as plain loops with float64 accumulators, never optimised and
// sharing no kernel with what is checked against it. What it computes is what a program means.
//
// An element is summed in ascending order of its products, rounded once to float32. Numbers between ops are float32. It
// holds no weights in memory but reads them, block by block, whenever an op needs them: models larger than memory run,
// slowly.
package ref

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"

	"baleen/internal/device"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// Device is the specification executor.
type Device struct{}

var _ device.Device = (*Device)(nil)

// New returns a device. It holds nothing that would have to be closed.
func New() *Device { return &Device{} }

// Info says that every op but the fused mixture of experts runs as it is.
func (*Device) Info() device.Info {
	return device.Info{
		Name:   "ref",
		Detail: "plain Go loops, float64 accumulators, " + runtime.GOARCH,
		Has: func(o op.Op) bool {
			_, experts := o.(op.Experts)
			return !experts
		},
	}
}

// state is packed rows.
type state struct {
	op.Buffer
	rows []byte
}

// activation is numbers of one kind, [rows, cols].
type activation struct {
	floats []float32
	ints   []int32
}

func newActivation(kind quant.Kind, n int) *activation {
	if kind == quant.KindI32 {
		return &activation{ints: make([]int32, n)}
	}
	return &activation{floats: make([]float32, n)}
}

// Alloc makes a buffer. A weight takes no memory.
func (*Device) Alloc(p *op.Program, id op.ID) (device.Buffer, error) {
	b := p.Buffer(id)
	switch b.Space {
	case op.Weight:
		return &weight{Buffer: b}, nil
	case op.State:
		return &state{b, make([]byte, p.Bytes(b))}, nil
	case op.IO:
		return newActivation(b.Kind, p.Dims[b.Dim].Capacity*b.Cols), nil
	}
	return nil, fmt.Errorf("cannot allocate: buffer %s: a %v belongs to its program: allocate weights, states and IO only", b.Name, b.Space)
}

// Upload takes the sources of a weight, after a look at all their scales, or copies the bytes of a state or IO.
func (*Device) Upload(b device.Buffer, parts []device.Source) error {
	if w, ok := b.(*weight); ok {
		return w.upload(parts)
	}
	if len(parts) != 1 {
		return fmt.Errorf("cannot upload: %d sources: give one", len(parts))
	}
	from := parts[0]
	size := byteSize(b)
	if from.Data.Length != size {
		return fmt.Errorf("cannot upload: %s: %d bytes for a buffer of %d: give exactly as many", from.Name, from.Data.Length, size)
	}
	data := make([]byte, size)
	if err := from.Data.Read(data, 0); err != nil {
		return fmt.Errorf("cannot upload: %s: %w", from.Name, err)
	}
	fill(b, data)
	return nil
}

func byteSize(b device.Buffer) int64 {
	switch b := b.(type) {
	case *state:
		return int64(len(b.rows))
	case *activation:
		return 4 * int64(len(b.floats)+len(b.ints))
	}
	return 0
}

func fill(b device.Buffer, data []byte) {
	switch b := b.(type) {
	case *state:
		copy(b.rows, data)
	case *activation:
		for i := range b.floats {
			b.floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		for i := range b.ints {
			b.ints[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
		}
	}
}

// Download copies bytes of a state or IO. Both numbers of an IO take four bytes, little-endian.
func (*Device) Download(b device.Buffer, offset int64, to []byte) error {
	if size := byteSize(b); offset < 0 || offset+int64(len(to)) > size {
		return fmt.Errorf("cannot download: bytes %d to %d of a buffer of %d: ask for less", offset, offset+int64(len(to)), size)
	}
	switch b := b.(type) {
	case *state:
		copy(to, b.rows[offset:])
	case *activation:
		if offset%4 != 0 || len(to)%4 != 0 {
			return errors.New("cannot download: a part of a number: ask for multiples of 4 bytes")
		}
		for i := range len(to) / 4 {
			binary.LittleEndian.PutUint32(to[4*i:], b.bits(int(offset/4)+i))
		}
	}
	return nil
}

func (a *activation) bits(i int) uint32 {
	if a.ints != nil {
		return uint32(a.ints[i])
	}
	return math.Float32bits(a.floats[i])
}

// Sync returns at once: Run does all of its work.
func (*Device) Sync() error { return nil }

// Close returns at once: memory goes back by itself.
func (*Device) Close() error { return nil }
