package op

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"baleen/internal/quant"
)

// ID names a buffer of a Program. The zero ID is none: an optional operand that an op does without.
type ID int32

// In, Out and InOut are operands in the fields of an op: what it reads, what it writes whole, and what it reads and
// writes in place or in part.
type (
	In    ID
	Out   ID
	InOut ID
)

// Space says what a buffer is, and so who makes it and how long it lives.
type Space uint8

const (
	Weight Space = iota // numbers of the checkpoint, in their stored format; nobody writes them
	Const               // numbers that the program carries itself
	Table               // int32 arguments of a run
	State               // packed rows that sequences remember from run to run
	Temp                // activations; they do not outlive a run
	IO                  // activations that the caller allocates: results, and what goes from program to program
)

var spaces = [...]string{Weight: "weight", Const: "const", Table: "table", State: "state", Temp: "temp", IO: "io"}

func (s Space) String() string { return spaces[s] }

// Dim is what the rows of a table or activation count: an index of Program.Dims.
type Dim int32

const (
	Rows   Dim = iota // the tokens of the run
	Logits            // those of them whose logits are wanted
	// more follow, one for each ratio: the compression windows that the run completes
)

// Buffer describes a named buffer. Which fields mean something depends on the Space.
type Buffer struct {
	Name  string
	Space Space

	// Table, Temp, IO: [Dim, Cols] numbers of Kind, which is f32 or i32.
	Dim  Dim
	Kind quant.Kind

	// Weight: Parts matrices [Rows, Cols], stored in Format. The E matrices of a layer's experts are one weight.
	Format      quant.Format
	Parts, Rows int
	Cols        int // the width of a row, in every space

	// State: rows packed as Row. Exactly one of Ring and PerPage is set.
	Row     quant.Row
	Ring    int // rows for each slot; entry e lies in row e mod Ring
	PerPage int // rows for each page; entry e lies in row e mod PerPage of page e / PerPage of the slot's page table

	Values []float32 // Const
}

// shape is the text form of what the buffer holds.
func (p *Program) shape(b Buffer) string {
	switch b.Space {
	case Weight:
		if b.Parts > 1 {
			return fmt.Sprintf("%v[%d,%d,%d]", b.Format, b.Parts, b.Rows, b.Cols)
		}
		return fmt.Sprintf("%v[%d,%d]", b.Format, b.Rows, b.Cols)
	case Const:
		return fmt.Sprintf("f32[%d] crc32 %08x", b.Cols, checksum(b.Values))
	case Table:
		return fmt.Sprintf("i32[%s]", p.Dims[b.Dim].Name)
	case State:
		if b.Ring > 0 {
			return fmt.Sprintf("ring[%d] of %v", b.Ring, b.Row)
		}
		return fmt.Sprintf("page[%d] of %v", b.PerPage, b.Row)
	}
	return fmt.Sprintf("%v[%s,%d]", b.Kind, p.Dims[b.Dim].Name, b.Cols)
}

// checksum stands for the values of a constant.
func checksum(values []float32) uint32 {
	var data []byte
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return crc32.ChecksumIEEE(data)
}

// Bytes returns what the buffer takes at the program's capacities: for a weight its stored size, scales included.
func (p *Program) Bytes(b Buffer) int64 {
	switch b.Space {
	case Weight:
		data, scale := b.Format.Size(b.Rows, b.Cols)
		return int64(b.Parts) * (data + scale)
	case Const:
		return int64(b.Cols) * 4
	case State:
		rows := int64(b.Ring) * int64(p.Caps.Slots)
		if b.PerPage > 0 {
			rows = int64(b.PerPage) * int64(p.Caps.Pages)
		}
		return rows * int64(b.Row.Bytes())
	}
	return int64(p.Dims[b.Dim].Capacity) * int64(b.Cols) * 4
}
