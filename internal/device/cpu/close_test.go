package cpu_test

import (
	"runtime"
	"testing"

	"baleen/internal/device/cpu"
)

// TestClose: a device that is closed twice is closed, and the process has as many processors as before.
func TestClose(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	d, err := cpu.New(cpu.Options{Threads: before + 3})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if after := runtime.GOMAXPROCS(0); after != before {
		t.Errorf("GOMAXPROCS is %d, was %d", after, before)
	}
}
