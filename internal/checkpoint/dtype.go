package checkpoint

import (
	"fmt"
	"math"
	"math/bits"
)

// DType is the type of a tensor's elements. The zero value is none.
type DType uint8

// The types that checkpoints of this family and our own files hold have exported names. The others are known to the
// reader all the same: a file with them opens, and its tensors have a size and a name for their type.
const (
	unknown DType = iota
	boolean
	U8
	I8
	i16
	u16
	F16
	BF16
	I32
	u32
	F32
	F64
	I64
	u64
	F8_E4M3
	f8e5m2
	F8_E8M0
	F4 // the shape counts elements, not bytes
	f6e2m3
	f6e3m2
	c64
)

// dtypes holds the spelling in a file (formats spec 1.9) and the size of an element.
var dtypes = [...]struct {
	name string
	bits int
}{
	unknown: {"unknown", 0},
	boolean: {"BOOL", 8}, U8: {"U8", 8}, I8: {"I8", 8}, i16: {"I16", 16}, u16: {"U16", 16}, F16: {"F16", 16},
	BF16: {"BF16", 16}, I32: {"I32", 32}, u32: {"U32", 32}, F32: {"F32", 32}, F64: {"F64", 64}, I64: {"I64", 64},
	u64: {"U64", 64}, F8_E4M3: {"F8_E4M3", 8}, f8e5m2: {"F8_E5M2", 8}, F8_E8M0: {"F8_E8M0", 8}, F4: {"F4", 4},
	f6e2m3: {"F6_E2M3", 6}, f6e3m2: {"F6_E3M2", 6}, c64: {"C64", 64},
}

// String returns the spelling in a safetensors file.
func (d DType) String() string { return dtypes[d].name }

// Bits returns the size of one element.
func (d DType) Bits() int { return dtypes[d].bits }

// dtypeOf returns unknown for a spelling that is none.
func dtypeOf(name []byte) DType {
	for d := unknown + 1; int(d) < len(dtypes); d++ {
		if dtypes[d].name == string(name) {
			return d
		}
	}
	return unknown
}

// byteSize returns how many bytes a tensor takes. The product is checked factor by factor, so that a zero behind an
// overflow does not hide it.
func byteSize(d DType, shape []int64) (int64, *Error) {
	size, overflow := uint64(1), false
	times := func(n uint64) {
		hi, lo := bits.Mul64(size, n)
		size, overflow = lo, overflow || hi != 0 || lo > math.MaxInt64
	}
	for _, n := range shape {
		times(uint64(n))
	}
	times(uint64(d.Bits()))
	switch {
	case overflow:
		return 0, &Error{Kind: sizeOverflow, Found: fmt.Sprint(d, " ", shape), Want: "fewer than 2^63 bits"}
	case size%8 != 0:
		return 0, &Error{Kind: tensorInfo, Found: fmt.Sprintf("%v %v, %d bits", d, shape, size), Want: "whole bytes"}
	}
	return int64(size / 8), nil
}
