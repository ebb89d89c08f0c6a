package bench

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"io"
	"time"

	"baleen/internal/device"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// tap is a device that remembers which buffers of state it gave out, so that they can be filled, and which program it
// loaded, so that it can be asked for times.
type tap struct {
	device.Device
	states []state
	loaded device.Executable
}

type state struct {
	name   string
	row    quant.Row
	bytes  int64
	buffer device.Buffer
}

// Alloc passes on, and remembers state.
func (t *tap) Alloc(p *op.Program, id op.ID) (device.Buffer, error) {
	buffer, err := t.Device.Alloc(p, id)
	if b := p.Buffer(id); err == nil && b.Space == op.State {
		t.states = append(t.states, state{b.Name, b.Row, p.Bytes(b), buffer})
	}
	return buffer, err
}

// Load passes on, and remembers the program: there is one.
func (t *tap) Load(p *op.Program, bind map[op.ID]device.Buffer) (device.Executable, error) {
	exe, err := t.Device.Load(p, bind)
	if t.loaded == nil {
		t.loaded = exe // the forward pass: the others move state
	}
	return exe, err
}

// timings returns how long each op took in the last run, or nil: a device's executables may have a method Timings.
func (t *tap) timings() []time.Duration {
	if timed, ok := t.loaded.(interface{ Timings() []time.Duration }); ok {
		return timed.Timings()
	}
	return nil
}

// fill uploads random rows into all state: every slot and page then holds what a long text might have left. Where a run
// reads depends on positions only, so this serves every depth.
func (t *tap) fill(ctx context.Context) error {
	for _, s := range t.states {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows := newNoise(s)
		source := device.Source{Name: "random " + s.name, Data: device.Span{From: rows, Length: s.bytes}}
		if err := t.Device.Upload(s.buffer, []device.Source{source}); err != nil {
			return err
		}
	}
	return t.Device.Sync()
}

// noise is packed rows of random numbers on the grid of a row's format, of about the size that norms leave. It is an
// io.ReaderAt without memory: a row follows from its index.
type noise struct {
	row    quant.Row
	size   int // bytes of a row
	bytes  int64
	codes  int // bytes of codes, before the scales
	scales int
	seed   uint64
}

var _ io.ReaderAt = (*noise)(nil)

func newNoise(s state) *noise {
	n := &noise{row: s.row, size: s.row.Bytes(), bytes: s.bytes, seed: hash(s.name)}
	if s.row.Quantised > 0 {
		n.codes = s.row.Quantised
		if s.row.Kind == quant.KindE2M1 {
			n.codes = (n.codes + 1) / 2
		}
		n.scales = (s.row.Quantised + s.row.Group - 1) / s.row.Group
	}
	return n
}

func hash(name string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, name) // cannot fail
	return h.Sum64() ^ seed
}

// ReadAt writes the bytes from offset on.
func (n *noise) ReadAt(to []byte, offset int64) (done int, err error) {
	row := make([]byte, n.size)
	for done < len(to) && offset < n.bytes {
		n.fill(row, uint64(offset/int64(n.size)))
		copied := copy(to[done:], row[offset%int64(n.size):])
		done += copied
		offset += int64(copied)
	}
	if done < len(to) {
		return done, io.EOF
	}
	return done, nil
}

// Scales that bring the largest codes, 448 and 6, to about 1.7.
const (
	scaleE4M3 = 127 - 8
	scaleE2M1 = 127 - 2
)

// fill writes row i.
func (n *noise) fill(row []byte, i uint64) {
	r := splitMix(n.seed + i*0x9e3779b97f4a7c15)
	codes, scales, tail := row[:n.codes], row[n.codes:][:n.scales], row[n.codes+n.scales:]
	r.bytes(codes)
	scale := byte(scaleE2M1)
	if n.row.Kind == quant.KindE4M3 {
		scale = scaleE4M3
		for j, code := range codes {
			if code&0x7f == 0x7f { // NaN
				codes[j] = code ^ 1
			}
		}
	}
	for j := range scales {
		scales[j] = scale
	}
	if n.row.Tail == quant.KindBF16 {
		for ; len(tail) >= 2; tail = tail[2:] {
			binary.LittleEndian.PutUint16(tail, uint16(r.float()>>16))
		}
		return
	}
	for ; len(tail) >= 4; tail = tail[4:] {
		binary.LittleEndian.PutUint32(tail, r.float())
	}
}

// splitMix is a small generator of random numbers: the state is a counter (Steele, Lea, Flood 2014).
type splitMix uint64

func (r *splitMix) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *splitMix) bytes(to []byte) {
	for ; len(to) >= 8; to = to[8:] {
		binary.LittleEndian.PutUint64(to, r.next())
	}
	for i := range to {
		to[i] = byte(r.next())
	}
}

// float returns the bits of a float32 from 0.5 to 2, of either sign.
func (r *splitMix) float() uint32 {
	z := uint32(r.next() >> 16)
	return z&0x807fffff | (126+z>>23&1)<<23
}
