package qualify

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// memory draws the bytes of a state of a scene.
func (s *scene) memory(name string, exponent int, value func() float32) []byte {
	p := s.Program()
	return drawState(s.rng, p, p.Buffer(p.Lookup(name)), exponent, value)
}

// drawState draws the bytes of a state: any codes with scales of about 2^exponent, and tails that value makes.
func drawState(rng *rand.Rand, p *op.Program, b op.Buffer, exponent int, value func() float32) []byte {
	data := make([]byte, 0, p.Bytes(b))
	for int64(len(data)) < p.Bytes(b) {
		data = drawRow(data, rng, b.Row, exponent, value)
	}
	return data
}

// drawRow appends one row.
func drawRow(data []byte, rng *rand.Rand, row quant.Row, exponent int, value func() float32) []byte {
	codes, scales := row.Quantised, 0
	if row.Kind == quant.KindE2M1 {
		codes = (codes + 1) / 2
	}
	if row.Quantised > 0 {
		scales = (row.Quantised + row.Group - 1) / row.Group
	}
	for range codes {
		data = append(data, drawCode(rng, row.Kind))
	}
	for range scales {
		data = append(data, byte(127+exponent+rng.IntN(2)))
	}
	for range row.Width - row.Quantised {
		if row.Tail == quant.KindBF16 {
			data = binary.LittleEndian.AppendUint16(data, quant.ToBF16(value()))
		} else {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(value()))
		}
	}
	return data
}

// drawCode draws a byte of codes as Row.Encode writes them.
func drawCode(rng *rand.Rand, kind quant.Kind) byte {
	for {
		c := byte(rng.UintN(256))
		if kind == quant.KindE2M1 && c&15 != 8 && c>>4 != 8 || kind == quant.KindE4M3 && c&0x7f != 0x7f {
			return c
		}
	}
}
