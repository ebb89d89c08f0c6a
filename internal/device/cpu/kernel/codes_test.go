package kernel

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"baleen/internal/quant"
)

var stateRows = []quant.Row{
	{Width: 512, Kind: quant.KindE4M3, Group: 64, Quantised: 448, Tail: quant.KindF32},
	{Width: 512, Kind: quant.KindE4M3, Group: 64, Quantised: 448, Tail: quant.KindBF16},
	{Width: 128, Kind: quant.KindE2M1, Group: 32, Quantised: 128, Tail: quant.KindF32},
	{Width: 512, Tail: quant.KindF32},
	{Width: 37, Tail: quant.KindF32},
	{Width: 100, Kind: quant.KindE4M3, Group: 64, Quantised: 80, Tail: quant.KindF32}, // the last group is short
	{Width: 100, Kind: quant.KindE2M1, Group: 48, Quantised: 80, Tail: quant.KindBF16},
	{Width: 100, Kind: quant.KindE4M3, Group: 64, Quantised: 90, Tail: quant.KindF32}, // for plain Go only
	{Width: 96, Kind: quant.KindE2M1, Group: 32, Quantised: 64, Tail: quant.KindBF16},
}

// All bytes decode as they do in quant: every code with every scale, those that are no numbers too.
func TestDecodeRowIsQuants(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tier := range Tiers() {
		s, m := For(tier), newMemory(t)
		for _, row := range stateRows {
			want := make([]float32, 3*row.Width)
			for range 500 {
				m.reset()
				src, got := m.bytes(3*row.Bytes()), typed[float32](m, 3*row.Width)
				for i := range src {
					src[i] = byte(r.Uint32())
				}
				for i := range 3 {
					row.Decode(want[i*row.Width:], src[i*row.Bytes():])
				}
				s.DecodeRows(row, got, src, 3)
				sameBits(t, tier.String()+" "+row.String(), got, want)
			}
		}
	}
}

// Rows encode as they do in quant, and what they cannot hold is the same error.
func TestEncodeRowIsQuants(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tier := range Tiers() {
		s, m := For(tier), newMemory(t)
		for _, row := range stateRows {
			failed, passed := 0, 0
			for i := range 600 {
				m.reset()
				kind := []string{"plain", "wide", "odd", "bits"}[i%4]
				x := m.copied(fill(r, row.Width, inputs[kind]))
				if i%8 < 7 && row.Quantised > 0 {
					if row.Kind == quant.KindE2M1 {
						quant.FakeE2M1(x[:row.Quantised], row.Group)
					} else {
						quant.FakeE4M3(x[:row.Quantised], row.Group)
					}
				}
				if i%3 == 0 && row.Tail == quant.KindBF16 {
					for j := range x {
						x[j] = quant.BF16(quant.ToBF16(x[j]))
					}
				}
				want, got := make([]byte, row.Bytes()), m.bytes(row.Bytes())
				wantErr, err := row.Encode(want, x), s.EncodeRow(row, got, x)
				if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
					t.Fatalf("%v, %v: error %v, want %v", tier, row, err, wantErr)
				}
				if err != nil {
					failed++
					continue
				}
				passed++
				if !bytes.Equal(got, want) {
					t.Fatalf("%v, %v, %s numbers: other bytes than quant's", tier, row, kind)
				}
			}
			if passed < 50 || failed < 50 && row.Quantised > 0 {
				t.Errorf("%v, %v: %d rows passed and %d failed: both are to be seen", tier, row, passed, failed)
			}
		}
	}
}

// One number that is off makes a row an error, wherever it is.
func TestEncodeRowSeesEveryChannel(t *testing.T) {
	for _, tier := range Tiers() {
		for _, row := range stateRows[:3] {
			for i := range row.Quantised {
				x := slices.Repeat([]float32{1}, row.Width)
				x[i] = 1.01
				if For(tier).EncodeRow(row, make([]byte, row.Bytes()), x) == nil {
					t.Fatalf("%v, %v: channel %d was rounded", tier, row, i)
				}
			}
		}
	}
}

// All magnitudes near the edges of the grids, where the rounding and the choice of the scale are decided.
func TestFakeAtEveryEdge(t *testing.T) {
	for _, tier := range Tiers()[1:] {
		s := For(tier)
		x := make([]float32, 64)
		for _, group := range []int{32, 64} {
			for top := uint32(0x3f000000); top < 0x41000000; top += 0x12345 {
				for _, at := range []uint32{0x20000000, 0x38000000, 0x3e800000, 0x3f400000, 0x40200000, top} {
					x[0] = math.Float32frombits(top)
					for i := range x[1:] {
						x[i+1] = math.Float32frombits(at + uint32(i) - 32 | uint32(i)<<31)
					}
					a, b, c, d := slices.Clone(x), slices.Clone(x), slices.Clone(x), slices.Clone(x)
					s.FakeE4M3(a, group)
					quant.FakeE4M3(b, group)
					sameBits(t, "E4M3", a, b)
					s.FakeE2M1(c, group)
					quant.FakeE2M1(d, group)
					sameBits(t, "E2M1", c, d)
				}
			}
		}
	}
}
