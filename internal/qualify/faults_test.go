//go:build faults

package qualify

import (
	"flag"
	"slices"
	"testing"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/demo"
	"baleen/internal/device"
)

var onRef = flag.Bool("ref", false, "plant faults around ref, not around cpu")

// openBase makes the device around which faults are planted.
func openBase(threads int) (device.Device, error) {
	if *onRef {
		return openRef(threads)
	}
	return openClean(threads)
}

// everyShort is which of the faults a short test plants.
const everyShort = 6

// TestFaults: the gate tier is red on every fault that can be planted. All of them take some ten minutes.
func TestFaults(t *testing.T) {
	names := FaultNames()
	if testing.Short() {
		all := names
		names = nil
		for i := 0; i < len(all); i += everyShort {
			names = append(names, all[i])
		}
	}
	found := 0
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			r, err := Run(t.Context(), Subject{Seed: 1, ISA: "generic", FirstFault: true, Open: func(threads int) (device.Device, error) {
				d, err := openBase(threads)
				if err != nil {
					return nil, err
				}
				return Plant(name, d)
			}})
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict != Fail {
				t.Fatalf("not found by %d checks", len(r.Checks))
			}
			found++
			c := r.Checks[len(r.Checks)-1]
			t.Logf("%s %s %s %s: %s (check %d, %.1f s)", c.Level, c.Op, c.Shape, c.Numerics, c.Note, len(r.Checks), r.Seconds)
		})
	}
	t.Logf("%d of %d found", found, len(names))
	if n := len(FaultNames()); n < 33 {
		t.Errorf("only %d faults", n)
	}
}

// TestHistories: what goes wrong only between runs is found by the demo's histories alone, whatever ops by themselves say.
func TestHistories(t *testing.T) {
	c, err := checkpoint.OpenFS(demo.Files())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := deepseek.Load(c, deepseek.Reference, deepseek.Quirks{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range slices.Concat(stateFaults(), reuseFaults(), compressorFaults(), attentionFaults(), choiceFaults(), productFaults()) {
		if !slices.Contains(betweenRuns, f.name) {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			q := &suite{Subject: Subject{Seed: 1, FirstFault: true}, ctx: t.Context(), met: map[string]bool{}}
			q.Open = func(threads int) (device.Device, error) {
				d, err := openBase(threads)
				if err != nil {
					return nil, err
				}
				return Plant(f.name, d)
			}
			if q.device, err = q.Open(0); err != nil {
				t.Fatal(err)
			}
			defer q.device.Close()
			if err := q.histories(newSubject("demo", m)); err != errEnough {
				t.Fatalf("not found: %v", err)
			}
			c := q.report.Checks[len(q.report.Checks)-1]
			t.Logf("%s: %s", c.Op, c.Note)
		})
	}
}

// betweenRuns are faults of state, of chunks and of company.
var betweenRuns = []string{
	"rejected-rows-kept", "newest-rejected-kept", "slot-not-reset", "last-page-lost", "last-page-wraps", "ring-too-short", "rows-of-previous-slot",
	"streams-handed-over-late", "overlap-lost-in-decode", "first-window-stale", "ape-from-run", "newest-entry-late", "tables-of-first-slot",
	"history-lost", "newest-key-late", "un-causal-row", "compressed-blocked", "stale-row", "race-1-in-50", "tactic-33-to-64",
}
