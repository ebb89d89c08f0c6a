//go:build !linux

package cpu

import (
	"math"
	"unsafe"
)

// allocate returns at least n bytes of zeros on a boundary of 64.
func allocate(n int64) ([]byte, error) {
	b := make([]byte, n+64)
	skip := -uintptr(unsafe.Pointer(&b[0])) & 63
	return b[skip:], nil
}

// populate is for systems that make pages late.
func populate([]byte) {}

// release leaves memory to the garbage collector.
func release([]byte) {}

// freeMemory has no end: what there is, is not known here.
func freeMemory() int64 { return math.MaxInt64 }

func totalMemory() int64 { return math.MaxInt64 }
