package qualify

import (
	"testing"

	"baleen/internal/device"
	"baleen/internal/device/cpu"
	"baleen/internal/device/cpu/kernel"
)

// TestCPU looks at the cpu device, with the best kernels that this machine can run, or with all of them.
func TestCPU(t *testing.T) {
	tiers := kernel.Tiers()
	if !*all {
		tiers = tiers[len(tiers)-1:]
	}
	for _, tier := range tiers {
		t.Run(tier.String(), func(t *testing.T) {
			expectPass(t, Subject{ISA: tier.String(), Seed: 1, Open: func(threads int) (device.Device, error) {
				return cpu.New(cpu.Options{Tier: tier, Threads: threads})
			}})
		})
	}
}

// openClean makes the device over which false alarms are counted.
func openClean(threads int) (device.Device, error) {
	tiers := kernel.Tiers()
	return cpu.New(cpu.Options{Tier: tiers[len(tiers)-1], Threads: threads})
}
