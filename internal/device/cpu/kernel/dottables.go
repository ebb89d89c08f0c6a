package kernel

import (
	"encoding/binary"
	"math"

	"baleen/internal/quant"
)

// dotTables are constants of the kernels of dot; csrc/dot.h has their places.
var dotTables = makeDotTables()

func makeDotTables() (t [512]byte) {
	for i := range 32 {
		value := math.Float32bits(quant.E2M1(byte(i)))
		binary.LittleEndian.PutUint16(t[2*i:], uint16(value>>16))
		binary.LittleEndian.PutUint32(t[64+4*(i%16):], value)
	}
	for code := range 128 {
		value := quant.ToBF16(quant.E4M3(byte(code)))
		t[128+code], t[256+code] = byte(value>>8), byte(value)
		if code < 8 {
			binary.LittleEndian.PutUint16(t[384+2*code:], value)
		}
	}
	for i := range 64 {
		t[448+i] = byte(2*quant.E2M1(byte(i)) + 12)
	}
	return t
}
