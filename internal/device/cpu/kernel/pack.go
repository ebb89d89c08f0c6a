package kernel

import (
	"encoding/binary"
	"fmt"
	"math"

	"baleen/internal/quant"
)

const (
	Lanes = 16 // output rows of a panel

	block = 32  // columns that share a scale and a chain of the sum
	group = 128 // columns of a panel are padded to a multiple with zeros

	vector = 64 // bytes of a register: a dword for each row
)

// Check returns an error for a format that has no panels. All formats of a checkpoint's matrices have: F32 and BF16
// without scales, FP8 with blocks of a multiple of 16 rows and of 32 columns, FP4 with E8M0 scales for 1x32.
func Check(f quant.Format) error {
	ok := false
	switch f.Kind {
	case quant.KindF32, quant.KindBF16:
		ok = f.BlockRows == 0
	case quant.KindE4M3:
		ok = f.BlockRows > 0 && f.BlockRows%Lanes == 0 && f.BlockCols%block == 0
	case quant.KindE2M1:
		ok = f.BlockRows == 1 && f.BlockCols == block && !f.ScaleF32
	}
	if !ok {
		return fmt.Errorf("no kernel for a format: %v: the cpu device multiplies f32, bf16, fp8 in blocks of 16n x 32n and fp4[1x32]; use the ref device", f)
	}
	return nil
}

// PanelBytes returns the size of a panel, a multiple of 64.
func PanelBytes(f quant.Format, cols int) int { return panelBytes(f.Kind, groupsOf(cols)) }

func groupsOf(cols int) int { return (cols + group - 1) / group }

func panelBytes(k quant.Kind, groups int) int {
	if groups == 0 {
		return 0
	}
	return numbersAt(k, groups-1) + Lanes*rowGroup(k)
}

// rowGroup is how many bytes a group takes of a row.
func rowGroup(k quant.Kind) int { return [kinds]int{4 * group, 2 * group, group, group / 2}[k] }

// shared is how many groups of FP8 have one vector of scales before them.
const shared = 4

// numbersAt returns where the numbers of group g begin in a panel.
func numbersAt(k quant.Kind, g int) int {
	at := g * Lanes * rowGroup(k)
	switch k {
	case quant.KindE4M3:
		at += (g/shared + 1) * vector
	case quant.KindE2M1:
		at += (g + 1) * vector
	}
	return at
}

// scaleAt returns where the scale of block b, of FP4 that of the first row, stands in a panel.
func scaleAt(k quant.Kind, b int) int {
	if k == quant.KindE2M1 {
		return numbersAt(k, b/4) - vector + b%4*Lanes
	}
	return numbersAt(k, b/4/shared*shared) - vector + b%(4*shared)*4
}

// Pack writes a panel from up to 16 rows as a checkpoint stores them: data is their numbers, rows times the bytes of a row;
// scale is for FP4 their rows of scales, for FP8 the one row of scales that belongs to all of them. The format must pass
// Check.
//
// The layout, in vectors of 64 bytes, which hold a dword of every row, side by side:
//
//	F32   a column
//	BF16  two columns, the even one in the low half
//	FP8   four columns c: the vector is four lanes of 16 bytes, and a lane is (c0, c1) of its four rows, then (c2, c3).
//	      Before every four groups of 128 columns stand their 16 scales: a float32 for every 32 columns.
//	FP4   eight columns: c0, c2, c4, c6 from the lowest nibble up in the low half, c1, c3, c5, c7 in the high half.
//	      Before each group of 128 columns stand its scales: for each of its 4 blocks an E8M0 byte of every row.
//
// The vectors of the four blocks of a group take turns (for F32 two columns at a time): first those of the lowest columns of
// each block. So four sums advance while memory is read in order.
//
// Missing rows and columns are zeros, and so are their scales.
func Pack(panel []byte, f quant.Format, data, scale []byte, rows, cols int) {
	packer(nil).pack(panel, f, data, scale, rows, cols)
}

// packer packs the first whole groups of 16 rows, with the scales of FP4, and returns how many.
type packer func(panel []byte, k quant.Kind, data, scale []byte, cols int) (groups int)

// pack is Pack with a quicker way for some of it.
func (quick packer) pack(panel []byte, f quant.Format, data, scale []byte, rows, cols int) {
	panel = panel[:PanelBytes(f, cols)]
	first := 0
	if quick != nil && rows == Lanes {
		first = quick(panel, f.Kind, data, scale, cols)
	}
	rowBytes := len(data) / rows
	for g := first; g < groupsOf(cols); g++ {
		to := panel[numbersAt(f.Kind, g):][:Lanes*rowGroup(f.Kind)]
		if rows < Lanes {
			clear(to)
		}
		for row := range rows {
			packGroup(to, f.Kind, data[row*rowBytes:][:rowBytes][g*rowGroup(f.Kind):], row)
		}
	}
	switch f.Kind {
	case quant.KindE4M3:
		packScales(panel, f, scale, cols)
	case quant.KindE2M1:
		packCodes(panel, scale, rows, first)
	}
}

// packScales writes the float32 scale of every 32 columns.
func packScales(panel []byte, f quant.Format, scale []byte, cols int) {
	for g := 0; g < groupsOf(cols); g += shared {
		clear(panel[numbersAt(f.Kind, g)-vector:][:vector])
	}
	for b := range (cols + block - 1) / block {
		i := b * block / f.BlockCols
		var s uint32
		if f.ScaleF32 {
			s = binary.LittleEndian.Uint32(scale[4*i:])
		} else {
			s = math.Float32bits(quant.E8M0(scale[i]))
		}
		binary.LittleEndian.PutUint32(panel[scaleAt(f.Kind, b):], s)
	}
}

// place returns where column c stands in the numbers of its group: the vectors of the four blocks take turns, each with some
// columns.
func place(k quant.Kind, c int) int {
	per, bytes := 8, vector
	switch k {
	case quant.KindF32:
		per, bytes = 2, 2*vector
	case quant.KindBF16:
		per = 2
	case quant.KindE4M3:
		per = 4
	}
	return (c%block/per*4 + c%group/block) * bytes
}

// packGroup writes the numbers of a row in a group, a dword at a time.
func packGroup(to []byte, k quant.Kind, from []byte, row int) {
	perBlock := rowGroup(k) / 4
	if len(from) < 4*perBlock {
		var padded [4 * group]byte
		copy(padded[:], from)
		from = padded[:]
	}
	for b := range 4 {
		from := from[b*perBlock:][:perBlock]
		switch k {
		case quant.KindF32:
			packF32(to[2*b*vector+4*row:], from)
		case quant.KindBF16:
			packBF16(to[b*vector+4*row:], from)
		case quant.KindE4M3:
			packFP8(to[b*vector+row/4*16+row%4*2:], from)
		case quant.KindE2M1:
			packFP4(to[b*vector+4*row:], from)
		}
	}
}

// packCodes writes the E8M0 scales of FP4 from a group on.
func packCodes(panel, scale []byte, rows, first int) {
	blocks := len(scale) / rows
	var codes [4][Lanes]byte
	for g := first; 4*g < blocks; g++ {
		n := min(4, blocks-4*g)
		if n < 4 {
			clear(codes[n:])
		}
		for row := range rows {
			for b, s := range scale[row*blocks+4*g:][:n] {
				codes[b][row] = s
			}
		}
		to := panel[scaleAt(quant.KindE2M1, 4*g):]
		for b := range codes {
			copy(to[b*Lanes:], codes[b][:])
		}
	}
}

func packF32(to, from []byte) {
	for at := 0; len(from) >= 8; at += 8 * vector {
		binary.LittleEndian.PutUint32(to[at:], binary.LittleEndian.Uint32(from))
		binary.LittleEndian.PutUint32(to[at+vector:], binary.LittleEndian.Uint32(from[4:]))
		from = from[8:]
	}
}

func packBF16(to, from []byte) {
	for at := 0; len(from) >= 4; at += 4 * vector {
		binary.LittleEndian.PutUint32(to[at:], binary.LittleEndian.Uint32(from))
		from = from[4:]
	}
}

func packFP8(to, from []byte) {
	for at := 0; len(from) >= 4; at += 4 * vector {
		binary.LittleEndian.PutUint16(to[at:], binary.LittleEndian.Uint16(from))
		binary.LittleEndian.PutUint16(to[at+8:], binary.LittleEndian.Uint16(from[2:]))
		from = from[4:]
	}
}

func packFP4(to, from []byte) {
	for at := 0; len(from) >= 4; at += 4 * vector {
		binary.LittleEndian.PutUint32(to[at:], spread(binary.LittleEndian.Uint32(from)))
		from = from[4:]
	}
}

// spread puts the even nibbles of eight into the low half and the odd ones into the high half.
func spread(x uint32) uint32 {
	t := (x ^ x>>4) & 0x00f000f0
	x ^= t ^ t<<4
	t = (x ^ x>>8) & 0x0000ff00
	return x ^ t ^ t<<8
}
