package plan

import "baleen/internal/quant"

// held is how a chip holds weights, and what multiplies them.
type held struct {
	name           string
	routed, matrix float64 // bits of a number of routed experts, and of other matrices that are stored quantised, scales included
	fp4            bool    // activations are four bits, too, where routed experts are: products at that rate
	int8           bool    // products of integers
	mixed          bool    // formats of GGUF, whose products are those of wider numbers
}

// Bits of a number with its scales, as stored in releases and as served.
const (
	bitsFP4  = 4.25 // a byte for 32
	bitsFP8  = 8 + 8./(128*128)
	bitsInt8 = 8.05 // a scale for a row or a group
	bitsInt4 = 4.25
	bitsNV4  = 4.5 // a byte for 16
	bitsQ2   = 2.4 // GGUF's two-bit kinds for experts
	bitsQ4   = 4.6 // GGUF's four-bit kinds, mixed
	bitsQ8   = 8.5
)

// formats are how weights are served, by the first word of a name in use.
var formats = map[string]held{
	"fp4+fp8":     {name: "FP4 + FP8 as released", routed: bitsFP4, matrix: bitsFP8},
	"mxfp4+mxfp8": {name: "MXFP4 + MXFP8", routed: bitsFP4, matrix: 8.25, fp4: false},
	"w8a8":        {name: "W8A8", routed: bitsInt8, matrix: bitsInt8, int8: true},
	"w4a8":        {name: "W4A8", routed: bitsInt4, matrix: bitsInt8, int8: true},
	"fp8":         {name: "FP8", routed: bitsFP8, matrix: bitsFP8},
	"nvfp4":       {name: "NVFP4", routed: bitsNV4, matrix: bitsFP8, fp4: true},
	"int8":        {name: "INT8", routed: bitsInt8, matrix: bitsInt8, int8: true},
	"q2+q8":       {name: "Q2 + Q8", routed: bitsQ2, matrix: bitsQ8, mixed: true},
	"q4+q8":       {name: "Q4 + Q8", routed: bitsQ4, matrix: bitsQ8, mixed: true},
	"q2":          {name: "Q2", routed: bitsQ2, matrix: bitsQ4, mixed: true},
	"q4":          {name: "Q4", routed: bitsQ4, matrix: bitsQ4, mixed: true},
	"q8":          {name: "Q8", routed: bitsQ8, matrix: bitsQ8, mixed: true},
	"bf16":        {name: "BF16", routed: 16, matrix: 16},
}

// bytes is what stored bytes of weights take as held.
func (h held) bytes(stored float64, kind quant.Kind, routed bool) float64 {
	bits := h.matrix
	if routed {
		bits = h.routed
	}
	switch kind {
	case quant.KindE2M1:
		return stored * bits / bitsFP4
	case quant.KindE4M3:
		return stored * bits / bitsFP8
	}
	return stored
}

// rate is how many operations a second a chip does in products with weights of a kind, or with what is remembered.
func (h held) rate(c *Chip, kind quant.Kind, routed bool) float64 {
	quantised := kind == quant.KindE2M1 || kind == quant.KindE4M3
	switch {
	case h.mixed && c.Class == processor && quantised:
		return c.INT8
	case !quantised || h.mixed:
		return c.BF16
	case h.int8 && c.INT8 > 0:
		return c.INT8
	case routed && h.fp4 && c.FP4 > 0:
		return c.FP4
	case !h.int8 && c.FP8 > 0 && h.matrix < 16:
		return c.FP8
	}
	return c.BF16
}

// holds is how a chip holds the released weights: as they are where it has units for FP8, or where programs take them apart as
// they go, and in eight-bit integers where it has units for these alone.
func (c *Chip) holds() held {
	switch {
	case c.Class != accelerator || c.FP8 > 0:
		return formats["fp4+fp8"]
	case c.INT8 > 0:
		return formats["w8a8"]
	}
	return formats["bf16"]
}
