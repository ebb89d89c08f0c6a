package kernel

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"baleen/internal/quant"
)

// All tiers write the same panel, and nothing of what its memory held before is left.
func TestPackOfAllTiersIsEqual(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, f := range formats {
		for i := range 40 {
			p := random(r, f, true, Lanes-i%2*r.IntN(16), 1+r.IntN(600), 1, 0)
			scale := p.scale
			if f.BlockRows > 1 {
				scale = scale[:len(scale)/((p.rows+f.BlockRows-1)/f.BlockRows)]
			}
			clean := make([]byte, PanelBytes(f, p.cols))
			Pack(clean, f, p.data, scale, p.rows, p.cols)
			for _, tier := range Tiers() {
				dirty := guarded(t, len(clean))
				copy(dirty, slices.Repeat([]byte{0xff}, len(clean)))
				data := guarded(t, len(p.data))
				copy(data, p.data)
				scales := guarded(t, max(len(scale), 1))[:len(scale)]
				copy(scales, scale)
				For(tier).Pack(dirty, f, data, scales, p.rows, p.cols)
				if !slices.Equal(clean, dirty) {
					t.Fatalf("%v: %v: the panel differs", tier, p)
				}
			}
		}
	}
}

func TestPanelBytes(t *testing.T) {
	for _, c := range []struct {
		f          quant.Format
		cols, want int
	}{
		{formats[0], 4096, 4096 * 16 * 4}, {formats[1], 4096, 4096 * 16 * 2}, {formats[1], 1, 128 * 16 * 2},
		{formats[2], 4096, 4096*16 + 4096/32*4}, {formats[2], 128, 128*16 + 64}, {formats[2], 513, 5*128*16 + 2*64}, {formats[5], 4096, 4096 * 16 / 2 * 17 / 16},
	} {
		if got := PanelBytes(c.f, c.cols); got != c.want {
			t.Errorf("%v of %d columns: %d, want %d", c.f, c.cols, got, c.want)
		}
	}
}

func TestCheckRefusesWhatHasNoPanels(t *testing.T) {
	for _, f := range formats {
		if err := Check(f); err != nil {
			t.Errorf("%v: %v", f, err)
		}
	}
	for _, f := range []quant.Format{
		{Kind: quant.KindI32}, {Kind: quant.KindE4M3}, {Kind: quant.KindE2M1}, {Kind: quant.KindE4M3, BlockRows: 1, BlockCols: 32},
		{Kind: quant.KindE4M3, BlockRows: 128, BlockCols: 48}, {Kind: quant.KindE2M1, BlockRows: 1, BlockCols: 32, ScaleF32: true},
		{Kind: quant.KindE2M1, BlockRows: 1, BlockCols: 16}, {Kind: quant.KindBF16, BlockRows: 128, BlockCols: 128},
	} {
		if err := Check(f); err == nil || !strings.Contains(err.Error(), f.String()) {
			t.Errorf("%v: error is %v", f, err)
		}
	}
}

func BenchmarkPack(b *testing.B) {
	for _, tier := range []Tier{Generic, Tiers()[len(Tiers())-1]} {
		for _, f := range formats {
			b.Run(tier.String()+"/"+f.String(), func(b *testing.B) {
				p := random(rand.New(rand.NewPCG(1, 2)), f, true, 16, 4096, 1, 0)
				panel := huge(b, PanelBytes(f, p.cols))
				b.SetBytes(int64(len(p.data)))
				for b.Loop() {
					For(tier).Pack(panel, f, p.data, p.scale, 16, p.cols)
				}
			})
		}
	}
}
