package main

import (
	"maps"
	"sync"
	"time"

	"baleen/internal/bench"
	"baleen/internal/device"
	"baleen/internal/op"
)

// timed is a device that adds up where time goes, by the groups that bench reports, for the live panel of the page.
type timed struct {
	device.Device
	groups map[device.Executable][]string // by op
	last   device.Executable
	began  time.Time

	mu    sync.Mutex
	spent map[string]time.Duration
}

func newTimed(d device.Device) *timed {
	return &timed{Device: d, groups: map[device.Executable][]string{}, spent: map[string]time.Duration{}}
}

// Load passes on, and remembers what the program's ops are for.
func (t *timed) Load(p *op.Program, bind map[op.ID]device.Buffer) (device.Executable, error) {
	exe, err := t.Device.Load(p, bind)
	if err == nil {
		t.groups[exe] = bench.Groups(p)
	}
	return exe, err
}

// Run passes on.
func (t *timed) Run(e device.Executable, args *op.Args) error {
	t.last, t.began = e, time.Now()
	return t.Device.Run(e, args)
}

// Sync passes on, and takes the times of the run that is over.
func (t *timed) Sync() error {
	err := t.Device.Sync()
	if t.last == nil {
		return err
	}
	took, ops := time.Since(t.began), time.Duration(0)
	t.mu.Lock()
	defer t.mu.Unlock()
	if exe, ok := t.last.(interface{ Timings() []time.Duration }); ok {
		for i, d := range exe.Timings() {
			t.spent[t.groups[t.last][i]] += d
			ops += d
		}
	}
	t.spent["wait"] += max(0, took-ops)
	t.last = nil
	return err
}

// read returns the times so far.
func (t *timed) read() map[string]time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.spent)
}
