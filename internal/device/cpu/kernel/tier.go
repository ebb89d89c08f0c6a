package kernel

import (
	"fmt"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// Tier is a set of instructions that kernels may use; each contains the one before it.
type Tier uint8

const (
	Generic    Tier = iota // plain Go, everywhere
	AVX2                   // with FMA
	AVX512VNNI             // F, BW, VL, DQ and VNNI
	AVX512BF16             // also BF16 and VBMI
)

var tierNames = [...]string{"generic", "avx2", "avx512vnni", "avx512bf16"}

func (t Tier) String() string { return tierNames[t] }

// needs lists what a tier asks of the processor beyond the tier before it.
var needs = [...][]cpuid.FeatureID{
	Generic:    nil,
	AVX2:       {cpuid.AVX2, cpuid.FMA3},
	AVX512VNNI: {cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512VL, cpuid.AVX512DQ, cpuid.AVX512VNNI},
	AVX512BF16: {cpuid.AVX512BF16, cpuid.AVX512VBMI},
}

// Tiers returns what this machine and build can run, ascending; Generic always.
func Tiers() []Tier {
	tiers := []Tier{Generic}
	if !compiled {
		return tiers
	}
	for t := AVX2; t <= AVX512BF16 && cpuid.CPU.Supports(needs[t]...); t++ {
		tiers = append(tiers, t)
	}
	return tiers
}

// ParseTier reads the name of a tier that this machine has; "auto" is the best.
func ParseTier(name string) (Tier, error) {
	have := Tiers()
	if name == "auto" {
		return have[len(have)-1], nil
	}
	var names []string
	for _, t := range have {
		if t.String() == name {
			return t, nil
		}
		names = append(names, t.String())
	}
	return 0, fmt.Errorf("no such tier: %q: this machine has auto, %s", name, strings.Join(names, ", "))
}
