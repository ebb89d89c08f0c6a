package quant

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Row is how one remembered row of Width numbers is packed: the first Quantised channels as codes of Kind (KindE4M3 or
// KindE2M1), then their E8M0 scales, one for every Group channels (the last group may be shorter), then the other
// channels as Tail (KindF32 or KindBF16). Quantised need not be a multiple of Group; at 0, Kind and Group mean nothing.
//
// A key-value row of V4 in `reference` is {512, KindE4M3, 64, 448, KindF32}: 448 + 7 + 256 = 711 bytes (model spec 12.1).
type Row struct {
	Width            int
	Kind             Kind
	Group, Quantised int
	Tail             Kind
}

// String says how the channels are packed: "448 fp8 per 64, 64 f32", "512 f32".
func (r Row) String() string {
	tail := fmt.Sprintf("%d %v", r.Width-r.Quantised, r.Tail)
	switch r.Quantised {
	case 0:
		return tail
	case r.Width:
		return fmt.Sprintf("%d %v per %d", r.Quantised, r.Kind, r.Group)
	}
	return fmt.Sprintf("%d %v per %d, %s", r.Quantised, r.Kind, r.Group, tail)
}

// Bytes returns the packed size.
func (r Row) Bytes() int {
	data, scale := r.quantised().Size(1, r.Quantised)
	return int(data+scale) + r.Tail.bytes(r.Width-r.Quantised)
}

// quantised is the first part seen as a matrix of one row.
func (r Row) quantised() Format {
	if r.Quantised == 0 {
		return Format{Kind: r.Kind}
	}
	return Format{Kind: r.Kind, BlockRows: 1, BlockCols: r.Group}
}

// split cuts a packed row into its three parts.
func (r Row) split(row []byte) (codes, scales, tail []byte) {
	data, scale := r.quantised().Size(1, r.Quantised)
	return row[:data], row[data:][:scale], row[data+scale : r.Bytes()]
}

// Encode packs x[:Width] into dst[:Bytes()], without loss but for a BF16 tail, which it rounds: Decode gives the same
// numbers back. Channels of the first part must have passed FakeE4M3 or FakeE2M1 with the same Group. A number that the
// row cannot hold, NaN above all, is an error: it is a defect of the caller, and rounding it here would hide it.
//
// The scale is found again from the stored values. Where rounding took the largest of a group down to half the range, it
// is half of the quantiser's; every code then doubles, which the grid allows.
func (r Row) Encode(dst []byte, x []float32) error {
	if len(x) != r.Width || len(dst) < r.Bytes() {
		return fmt.Errorf("state row of the wrong size: %d numbers into %d bytes: give %d and %d", len(x), len(dst), r.Width, r.Bytes())
	}
	codes, scales, tail := r.split(dst)
	clear(codes) // nibbles are or-ed in
	for i := range scales {
		start := i * r.Group
		scale, err := r.encodeGroup(codes, x[:min(start+r.Group, r.Quantised)], start)
		if err != nil {
			return err
		}
		scales[i] = scale
	}
	return r.encodeTail(tail, x)
}

// encodeGroup packs x[start:] and returns the code of its scale.
func (r Row) encodeGroup(codes []byte, x []float32, start int) (byte, error) {
	g := gridE4M3
	if r.Kind == KindE2M1 {
		g = gridE2M1
	}
	scale, finite := g.scale(x[start:])
	if !finite {
		odd := slices.IndexFunc(x[start:], func(v float32) bool { return v-v != 0 })
		return 0, r.inexact(start+odd, x[start+odd])
	}
	for i := start; i < len(x); i++ {
		code := g.encode(x[i] / scale)
		if g.decode(code)*scale != x[i] {
			return 0, r.inexact(i, x[i])
		}
		if r.Kind == KindE2M1 {
			codes[i/2] |= code << (i % 2 * 4)
		} else {
			codes[i] = code
		}
	}
	code, _ := ToE8M0(scale) // a grid's scale is a power of two from 2^-126 to 2^126
	return code, nil
}

func (r Row) encodeTail(tail []byte, x []float32) error {
	for i, v := range x[r.Quantised:] {
		switch r.Tail {
		case KindF32:
			binary.LittleEndian.PutUint32(tail[4*i:], math.Float32bits(v))
		case KindBF16:
			binary.LittleEndian.PutUint16(tail[2*i:], ToBF16(v))
		default:
			panic("quant: the tail of a row is f32 or bf16, not " + r.Tail.String())
		}
		if v != v {
			return r.inexact(r.Quantised+i, v)
		}
	}
	return nil
}

func (r Row) inexact(channel int, v float32) error {
	return fmt.Errorf("number that a state row cannot hold: channel %d is %v: round it to %v per %d before it is stored",
		channel, v, r.Kind, r.Group)
}

// Decode unpacks src[:Bytes()] into dst[:Width].
func (r Row) Decode(dst []float32, src []byte) {
	codes, scales, tail := r.split(src)
	r.quantised().DecodeRow(dst, codes, scales, 0, r.Quantised)
	r.Tail.decode(dst[r.Quantised:r.Width], tail)
}
