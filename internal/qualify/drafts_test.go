package qualify

import (
	"testing"

	"baleen/internal/device"
)

// TestBlockDrafter: both devices are right about a block drafter.
func TestBlockDrafter(t *testing.T) {
	for name, open := range map[string]func(int) (device.Device, error){"ref": openRef, "cpu": openClean} {
		t.Run(name, func(t *testing.T) {
			d, err := open(0)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			q := &suite{Subject: Subject{Seed: 1, Tier: Standard, Open: open}, ctx: t.Context(), device: d, met: map[string]bool{}}
			if err := q.blockDrafter(); err != nil {
				t.Fatal(err)
			}
			for _, c := range q.report.Checks {
				if c.Verdict == Fail {
					t.Errorf("%s %s %s: %s", c.Level, c.Op, c.Numerics, c.Note)
				}
			}
			t.Logf("%d checks", len(q.report.Checks))
		})
	}
}
