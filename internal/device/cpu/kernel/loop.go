package kernel

import (
	"encoding/binary"
	"runtime"
	"unsafe"
)

// loop is the argument of such a loop; see csrc/loop.h.
type loop struct {
	data     unsafe.Pointer
	count, _ int // then the result, which keeps the work from being left out
}

// readWords is Set.Read in plain Go.
func readWords(data []byte) {
	sum := uint64(0)
	for ; len(data) >= 8; data = data[8:] {
		sum |= binary.LittleEndian.Uint64(data)
	}
	runtime.KeepAlive(sum)
}

// burst returns a peak of an instruction that does so many operations.
func burst(peak func(*loop), operations int64) func() int64 {
	const rounds, chains = 20_000, 12
	return func() int64 {
		peak(&loop{count: rounds})
		return rounds * chains * operations
	}
}
