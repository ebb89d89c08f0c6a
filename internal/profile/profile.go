// Package profile measures what a machine can do, apart from any model: how fast it reads memory and disk, how much it
// computes with each kind of instruction, and which machine it is. What a model reaches is judged against these figures.
//
//	machine.go    which machine this is: processor, microcode, kernel, memory, limits
//	measure.go    memory and arithmetic
//	disk.go       reads of a file past the page cache
//
// A figure is the best of several windows, each long enough (Options.Window) that neighbours who take turns on a core
// lower it. So it is a limit that was seen, not one that was computed.
package profile

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"
)

// Version is that of the JSON form of Profile.
const Version = 1

// Profile is a machine and its limits, as JSON.
type Profile struct {
	Version int       `json:"version"`
	Key     string    `json:"key"` // of the machine: profiles with the same key may be compared
	Taken   time.Time `json:"taken"`
	Seconds float64   `json:"seconds"` // that the measurement took
	Machine Machine   `json:"machine"`
	Threads int       `json:"threads"` // of every figure that does not say otherwise
	Limits
	Core Core `json:"one_core"`
	Disk Disk `json:"disk"`
}

// Limits are the figures that a model's speed is compared with. Bytes and operations are counted in powers of ten; 0 is
// not measured.
type Limits struct {
	Read1 float64 `json:"read_gb_s_1"` // DRAM, one thread
	ReadN float64 `json:"read_gb_s_n"` // DRAM, all threads
	BF16  float64 `json:"bf16_gflops"` // all threads, as are the next two
	VNNI  float64 `json:"vnni_gops"`
	FMA   float64 `json:"fma_gflops"`
	Disk  float64 `json:"disk_gb_s"` // reads of 4 MiB past the page cache
}

// Core is the arithmetic of one thread.
type Core struct {
	BF16 float64 `json:"bf16_gflops"`
	VNNI float64 `json:"vnni_gops"`
	FMA  float64 `json:"fma_gflops"`
}

// difference is from which difference of two figures on a machine counts as noisy.
const difference = 0.10

// Noisy tells whether memory or arithmetic of two measurements differ by more than a tenth. Disks are left out: see
// NoisyDisk.
func (l Limits) Noisy(after Limits) bool {
	return differ(l.Read1, after.Read1) || differ(l.ReadN, after.ReadN) || differ(l.BF16, after.BF16) ||
		differ(l.VNNI, after.VNNI) || differ(l.FMA, after.FMA)
}

// NoisyDisk tells the same of the disk.
func (l Limits) NoisyDisk(after Limits) bool { return differ(l.Disk, after.Disk) }

func differ(a, b float64) bool { return math.Abs(a-b) > difference*max(a, b) }

// Full measures everything into a profile, in less than a minute at the default window. dir is where the file that the
// disk is measured with may lie for a while; empty, the disk is left out.
func Full(ctx context.Context, o Options, dir string) (*Profile, error) {
	began := time.Now()
	p := &Profile{Version: Version, Machine: Describe(os.DirFS("/")), Taken: began.UTC().Truncate(time.Second), Threads: o.threads()}
	p.Key = p.Machine.Key()
	var err error
	if p.Limits, err = Measure(ctx, o); err != nil {
		return nil, err
	}
	if p.Core, err = measureCore(ctx, o); err != nil {
		return nil, err
	}
	if dir != "" {
		if p.Disk, err = measureDisk(ctx, dir, o.window()); err != nil {
			return nil, fmt.Errorf("cannot measure the disk: %s: %w", dir, err)
		}
		p.Limits.Disk = p.Disk.best()
	}
	p.Seconds = time.Since(began).Seconds()
	return p, nil
}
