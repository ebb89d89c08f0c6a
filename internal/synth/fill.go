package synth

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"baleen/internal/deepseek"
	"baleen/internal/quant"
)

// filler fills a piece of a tensor's data, whole rows, with random numbers. The piece is a multiple of 8 bytes long, rounded
// up where its rows are not: what is too much is thrown away.
type filler func(r *rand.PCG, p []byte)

// newRandom returns the random numbers of one chunk of a tensor.
func newRandom(seed uint64, tensor string, chunk int) *rand.PCG {
	sum := sha256.Sum256(fmt.Appendf(nil, "baleen synth 1 %d %d %s", seed, chunk, tensor))
	return rand.NewPCG(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:]))
}

// fillersOf returns those of a weight's numbers and of its scales, if it has scales.
func fillersOf(w *deepseek.Weight, experts int) []filler {
	mean, sigma := spread(w)
	switch w.Format.Kind {
	case quant.KindE4M3:
		return []filler{fillCodes(gaussE4M3()), fillCodes(scaleCodes(sigma / sigmaE4M3))}
	case quant.KindE2M1:
		return []filler{fillRaw, fillCodes(scaleCodes(sigma / sigmaE2M1))}
	case quant.KindI64:
		return []filler{fillIDs(w.Cols, experts)}
	case quant.KindBF16:
		return []filler{fillBF16(gauss(mean, sigma))}
	}
	return []filler{fillF32(gauss(mean, sigma))}
}

// spread is the mean and the standard deviation of a weight's numbers. A matrix whose input has elements of about 1
// gives an output of the same size; logits get a spread that leaves a choice.
func spread(w *deepseek.Weight) (mean, sigma float64) {
	unit := 1 / math.Sqrt(float64(w.Cols))
	for _, rule := range []struct {
		suffix      string
		mean, sigma float64
	}{
		{"norm.weight", 1, 0.1},
		{"embed.weight", 0, 1},
		{"head.weight", 0, 2.5 * unit},
		{"_base", 0, 0.5},
		{"_scale", 0.5, 0.1},
		{".bias", 0, 0.05},
		{".attn_sink", 0, 1},
		{".ape", 0, 0.5},
	} {
		if strings.HasSuffix(w.Name, rule.suffix) {
			return rule.mean, rule.sigma
		}
	}
	return 0, unit
}

// quantile returns where a fraction of a normal distribution lies below.
func quantile(fraction float64) float64 { return math.Sqrt2 * math.Erfinv(2*fraction-1) }

// gaussSteps is how many numbers a normal distribution is drawn from.
const gaussSteps = 1 << 12

// gauss is a normal distribution as a table of equally likely numbers.
func gauss(mean, sigma float64) *[gaussSteps]float32 {
	var table [gaussSteps]float32
	for i := range table {
		table[i] = float32(mean + sigma*quantile((float64(i)+0.5)/gaussSteps))
	}
	return &table
}

const (
	sigmaE4M3 = 150.0 // of codes that use the range to its end, which is 448
	sigmaE2M1 = 2.926 // of codes that are all equally likely
)

// gaussE4M3 is a normal distribution as a table of codes.
func gaussE4M3() (codes [256]byte) {
	for i := range codes {
		codes[i] = quant.ToE4M3(float32(sigmaE4M3 * quantile((float64(i)+0.5)/256)))
	}
	return codes
}

// scaleCodes is a table of E8M0 codes about a scale: half of them it, a quarter half of it, a quarter twice it, so that a
// block that takes another's scale shows.
func scaleCodes(scale float64) (codes [256]byte) {
	const rms = 1.25 // of the factors
	code := byte(127 + int(math.Round(math.Log2(scale/rms))))
	for i := range codes {
		codes[i] = code + [4]byte{0, 0, 1, 255}[i%4]
	}
	return codes
}

func fillRaw(r *rand.PCG, p []byte) {
	for ; len(p) > 0; p = p[8:] {
		binary.LittleEndian.PutUint64(p, r.Uint64())
	}
}

func fillCodes(codes [256]byte) filler {
	return func(r *rand.PCG, p []byte) {
		for ; len(p) > 0; p = p[8:] {
			u := r.Uint64()
			low := uint64(codes[byte(u)]) | uint64(codes[byte(u>>8)])<<8 | uint64(codes[byte(u>>16)])<<16 | uint64(codes[byte(u>>24)])<<24
			u >>= 32
			high := uint64(codes[byte(u)]) | uint64(codes[byte(u>>8)])<<8 | uint64(codes[byte(u>>16)])<<16 | uint64(codes[byte(u>>24)])<<24
			binary.LittleEndian.PutUint64(p, low|high<<32)
		}
	}
}

func fillBF16(table *[gaussSteps]float32) filler {
	var codes [gaussSteps]uint64
	for i, x := range table {
		codes[i] = uint64(quant.ToBF16(x))
	}
	return func(r *rand.PCG, p []byte) {
		for ; len(p) > 0; p = p[8:] {
			u := r.Uint64()
			x := codes[u%gaussSteps] | codes[u>>16%gaussSteps]<<16 | codes[u>>32%gaussSteps]<<32 | codes[u>>48%gaussSteps]<<48
			binary.LittleEndian.PutUint64(p, x)
		}
	}
}

func fillF32(table *[gaussSteps]float32) filler {
	return func(r *rand.PCG, p []byte) {
		for ; len(p) > 0; p = p[8:] {
			u := r.Uint64()
			x := uint64(math.Float32bits(table[u%gaussSteps])) | uint64(math.Float32bits(table[u>>32%gaussSteps]))<<32
			binary.LittleEndian.PutUint64(p, x)
		}
	}
}

// fillIDs fills rows of k experts, each another.
func fillIDs(k, experts int) filler {
	return func(r *rand.PCG, p []byte) {
		random, row := rand.New(r), make([]int64, 0, k)
		for ; len(p) > 0; p = p[8*k:] {
			for row = row[:0]; len(row) < k; {
				if id := random.Int64N(int64(experts)); !slices.Contains(row, id) {
					row = append(row, id)
				}
			}
			for i, id := range row {
				binary.LittleEndian.PutUint64(p[8*i:], uint64(id))
			}
		}
	}
}
