//go:build faults

package qualify

import (
	"bytes"
	"math"
	"slices"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// weightFaults change weights on their way to the device.
func weightFaults() []fault {
	each := func(change func(m *matrix)) func(*faulty, op.Buffer, []matrix) {
		return func(_ *faulty, _ op.Buffer, parts []matrix) {
			for i := range parts {
				change(&parts[i])
			}
		}
	}
	return []fault{
		{name: "lost-subnormal", about: "1.2: subnormal E4M3 codes read as zero", upload: each(func(m *matrix) {
			for i, c := range m.data {
				if m.format.Kind == quant.KindE4M3 && c&0x78 == 0 {
					m.data[i] = c & 0x80
				}
			}
		})},
		{name: "swapped-nibble", about: "1.2: one pair of FP4 codes in each row", upload: each(func(m *matrix) {
			if m.format.Kind == quant.KindE2M1 {
				for row := range m.rows {
					c := &m.data[row*((m.cols+1)/2)+m.cols/4]
					*c = *c<<4 | *c>>4
				}
			}
		})},
		{name: "stale-scale", about: "1.2: the last scale is that of the matrix before", upload: staleScale},
		{name: "doubled-scale", about: "1.2: one scale of one row in 64", upload: each(func(m *matrix) {
			if m.format.Kind == quant.KindE2M1 && m.rows > 3 {
				blocks := (m.cols + m.format.BlockCols - 1) / m.format.BlockCols
				for row := 3; row < m.rows; row += 64 {
					m.scale[row*blocks+blocks/2]++
				}
			}
		})},
		{name: "scale-of-first-group", about: "1.1: the last group of columns has the scale of the first", upload: each(firstScale)},
		{name: "scale-of-next-rows", about: "B17: the last block of rows has the scale of the block before", upload: each(func(m *matrix) {
			if m.format.BlockRows > 1 && m.rows > m.format.BlockRows && !m.format.ScaleF32 {
				blocks := (m.cols + m.format.BlockCols - 1) / m.format.BlockCols
				copy(m.scale[len(m.scale)-blocks:], m.scale[len(m.scale)-2*blocks:])
			}
		})},
		{name: "stale-expert", about: "B48: expert 3 reads the bytes of expert 4", upload: func(_ *faulty, _ op.Buffer, parts []matrix) {
			if len(parts) > 4 {
				parts[3] = parts[4]
			}
		}},
		{name: "upload-race", about: "B47: 64 bytes are those of the upload before", upload: raced},
		{name: "tail-row-lost", about: "a row that fills no panel repeats the one before", upload: each(func(m *matrix) {
			if n := len(m.data) / m.rows; m.rows%16 != 0 && m.rows > 1 {
				copy(m.data[(m.rows-1)*n:], m.data[(m.rows-2)*n:(m.rows-1)*n])
			}
		})},
		{name: "nan-scale-taken", about: "B01: a scale that is no number counts as 1", upload: each(func(m *matrix) {
			for i, c := range m.scale {
				if c == 0xff && !m.format.ScaleF32 && m.format.BlockRows != 0 {
					m.scale[i] = 127
				}
			}
		})},
		{name: "bf16-cut", about: "weights of float32 are cut to bfloat16", upload: func(_ *faulty, b op.Buffer, parts []matrix) {
			for i, c := range toFloats(parts[0].data) {
				if b.Format.Kind == quant.KindF32 && b.Rows > 1 {
					copy(parts[0].data[4*i:], toBytes([]float32{math.Float32frombits(math.Float32bits(c) &^ 0xffff)}))
				}
			}
		}},
		{name: "negative-zero-nan", about: "B03: the code 0x80 of the other E4M3 dialect", upload: each(func(m *matrix) {
			for i, c := range m.data {
				if m.format.Kind == quant.KindE4M3 && c == 0x80 {
					m.data[i] = 0x7f
				}
			}
		})},
		{name: "sink-missing", about: "1.1", upload: sinks(func(float32) float32 { return -1000 })},
		{name: "sink-doubled", about: "1.1", upload: sinks(func(x float32) float32 { return x + math.Ln2 })},
		{name: "table-high-half", about: "ids of tokens above half the vocabulary are those of the token before", upload: func(_ *faulty, b op.Buffer, parts []matrix) {
			if b.Format.Kind == quant.KindI64 {
				row := 8 * b.Cols
				copy(parts[0].data[(b.Rows-1)*row:], parts[0].data[(b.Rows-2)*row:(b.Rows-1)*row])
			}
		}},
	}
}

func firstScale(m *matrix) {
	if m.format.BlockRows == 0 || m.format.ScaleF32 {
		return
	}
	blocks := (m.cols + m.format.BlockCols - 1) / m.format.BlockCols
	for at := 0; at < len(m.scale); at += blocks {
		m.scale[at+blocks-1] = m.scale[at]
	}
}

func staleScale(f *faulty, b op.Buffer, parts []matrix) {
	if b.Format.BlockRows == 0 || b.Format.ScaleF32 {
		return
	}
	for i := range parts {
		at := len(parts[i].scale) - 1
		mine := parts[i].scale[at]
		if old, ok := f.memory["scale"].(byte); ok {
			parts[i].scale[at] = old
		}
		f.memory["scale"] = mine
	}
}

func raced(f *faulty, _ op.Buffer, parts []matrix) {
	for i := range parts {
		data := parts[i].data
		mine := slices.Clone(data)
		if old, ok := f.memory["upload"].([]byte); ok && len(old) == len(data) && len(data) > 256 && !bytes.Equal(old, data) {
			copy(data[128:192], old[128:192])
		}
		f.memory["upload"] = mine
	}
}

func sinks(change func(float32) float32) func(*faulty, op.Buffer, []matrix) {
	return func(_ *faulty, b op.Buffer, parts []matrix) {
		if n := len(b.Name); n >= 4 && b.Name[n-4:] == "sink" {
			x := parts[0].decode()
			for i, v := range x {
				x[i] = change(v)
			}
			parts[0].data = toBytes(x)
		}
	}
}

// productFaults are those of matrix products.
func productFaults() []fault {
	linear := func(change func(s *site, o op.Linear, y []float32)) func(*site) {
		return func(s *site) {
			o := s.op.(op.Linear)
			s.edit(op.ID(o.Y), func(y []float32) { change(s, o, y) })
		}
	}
	return []fault{
		{name: "tactic-33-to-64", about: "B17: for 33 to 64 rows, columns 128 to 191 have another scale", at: is[op.Linear], after: linear(func(s *site, o op.Linear, y []float32) {
			cols := s.cols(op.ID(o.Y))
			for i := range y {
				if n := s.rows(); n > 32 && n <= 64 && i%cols%192 >= 128 {
					y[i] *= 2
				}
			}
		})},
		{name: "product-noise", about: "B20: every element is off by 2^-10 of itself, with either sign", at: is[op.Linear], after: linear(func(_ *site, _ op.Linear, y []float32) {
			for i := range y {
				y[i] += y[i] * float32(1-2*(i*7919>>3%2)) * 0x1p-10
			}
		})},
		{name: "product-in-bf16", about: "1.2: the result is rounded to bfloat16", at: is[op.Linear], after: linear(func(_ *site, _ op.Linear, y []float32) {
			for i := range y {
				y[i] = quant.BF16(quant.ToBF16(y[i]))
			}
		})},
		{name: "13-bit-accumulator", about: "1.2: about as Hopper sums FP8", at: is[op.Linear], after: linear(func(_ *site, _ op.Linear, y []float32) {
			for i := range y {
				y[i] = math.Float32frombits(math.Float32bits(y[i]) &^ 0x3ff)
			}
		})},
		{name: "stale-row", about: "1.2, buffer reuse: row 16 keeps what an earlier run left", at: is[op.Linear], before: func(s *site) {
			s.kept = s.floats(op.ID(s.op.(op.Linear).Y))
		}, after: linear(func(s *site, o op.Linear, y []float32) {
			if cols := s.cols(op.ID(o.Y)); len(y) > 17*cols {
				copy(y[16*cols:][:cols], s.kept.([]float32)[16*cols:])
			}
		})},
		{name: "groups-share-input", about: "the last group meets the input of the first", at: is[op.Linear], before: func(s *site) {
			o := s.op.(op.Linear)
			if x := s.floats(op.ID(o.X)); o.Groups > 1 && len(x) > 0 {
				cols, k := s.cols(op.ID(o.X)), s.cols(op.ID(o.W))
				for row := 0; row < len(x); row += cols {
					copy(x[row+cols-k:][:k], x[row:row+k])
				}
				s.set(op.ID(o.X), x)
			}
		}},
		{name: "single-row-scale", about: "B01: with one row, the last column is off by a power of two", at: is[op.Linear], after: linear(func(s *site, o op.Linear, y []float32) {
			if s.rows() == 1 && s.e.Buffer(op.ID(o.W)).Format.Kind == quant.KindE4M3 {
				y[len(y)-1] /= 2
			}
		})},
		{name: "race-1-in-50", about: "B47: in one product of 50 an element has its neighbour's value", at: is[op.Linear], after: linear(func(s *site, _ op.Linear, y []float32) {
			if s.chance(50) && len(y) > 40 {
				y[len(y)-9] = y[len(y)-10]
			}
		})},
		{name: "nan-hidden", about: "B18: a NaN counts as zero", at: is[op.Linear], before: func(s *site) {
			s.edit(op.ID(s.op.(op.Linear).X), func(x []float32) {
				for i := range x {
					if x[i] != x[i] {
						x[i] = 0
					}
				}
			})
		}},
		{name: "wanted-rows-shifted", about: "B46: logits are those of the first rows, not of the wanted ones", at: is[op.Gather], before: func(s *site) {
			s.retable(s.op.(op.Gather).Row, func(rows []int32) {
				for i := range rows {
					rows[i] = int32(i)
				}
			})
		}},
		{name: "added-to-first", about: "a narrow summand reaches the first part only", at: is[op.Add], after: func(s *site) {
			o := s.op.(op.Add)
			b := s.floats(op.ID(o.B))
			n, cols := s.cols(op.ID(o.A)), s.cols(op.ID(o.Y))
			s.edit(op.ID(o.Y), func(y []float32) {
				for i := range y {
					if i%cols >= n {
						y[i] = b[i]
					}
				}
			})
		}},
	}
}
