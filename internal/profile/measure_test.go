package profile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A rate is work by time: bursts that wait a millisecond and say they did a million operations come to less than 10^9 a
// second for each thread, and to about that.
func TestArithmetic(t *testing.T) {
	burst := func() int64 {
		for began := time.Now(); time.Since(began) < time.Millisecond; {
		}
		return 1e6
	}
	for _, threads := range []int{1, 2} {
		c, err := measureArithmetic(t.Context(), Options{Loops: Loops{BF16: burst}, Window: 20 * time.Millisecond}, threads)
		if err != nil {
			t.Fatal(err)
		}
		if most := float64(threads); c.BF16 > most || c.BF16 < most/4 {
			t.Errorf("%d threads: %v, expected a little less than %v", threads, c.BF16, most)
		}
		if c.VNNI != 0 || c.FMA != 0 {
			t.Errorf("%+v: measured what there is no loop for", c)
		}
	}
}

// Every byte that is counted was read, by the loop that was given, a piece at a time.
func TestRead(t *testing.T) {
	var bytes atomic.Int64
	read := func(data []byte) {
		if len(data) != piece {
			t.Errorf("%d bytes at a time", len(data))
		}
		bytes.Add(int64(len(data)))
		time.Sleep(time.Millisecond)
	}
	l, err := Measure(t.Context(), Options{Loops: Loops{Read: read}, Threads: 2, Window: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Load() == 0 || l.Read1 <= 0 || l.Read1 > 1.1 || l.ReadN <= 0 || l.ReadN > 2.2 {
		t.Errorf("%+v after %d bytes: a piece of 1 MiB a millisecond is 1.05 GB/s", l, bytes.Load())
	}
}

// The plain loop reads at the speed of memory, not of a cache: no machine that this runs on has less than 0.05 GB/s of
// it, checked for races, or 200 with one thread.
func TestPlainRead(t *testing.T) {
	l, err := Measure(t.Context(), Options{Threads: 1, Window: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if l.Read1 < 0.05 || l.Read1 > 200 || l.ReadN != l.Read1 {
		t.Errorf("%+v", l)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Full(ctx, Options{Window: time.Hour}, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := measureDisk(ctx, t.TempDir(), time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("disk: error %v", err)
	}
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	d, err := measureDisk(t.Context(), dir, 5*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Reads) != len(ways) || d.Bytes != leastFile || d.best() <= 0 {
		t.Errorf("%+v", d)
	}
	for _, r := range d.Reads {
		if r.GBs <= 0 || r.Rate <= 0 {
			t.Errorf("%+v: nothing was read", r)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	if _, err := measureDisk(t.Context(), filepath.Join(dir, "none"), time.Millisecond); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such directory: error %v", err)
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weights")
	if err := os.WriteFile(path, make([]byte, largeBlock+1000), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := openReads(path)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if gbs, err := ReadFile(t.Context(), path, time.Millisecond); err != nil || (gbs > 0) != r.direct {
		t.Errorf("%v GB/s, direct %v, error %v", gbs, r.direct, err)
	}
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if gbs, err := ReadFile(t.Context(), path, time.Millisecond); err != nil || gbs != 0 {
		t.Errorf("too small: %v GB/s, error %v", gbs, err)
	}
	if _, err := ReadFile(t.Context(), path+"x", time.Millisecond); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// A file that someone cuts while it is read is told, not waited for.
func TestFileCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weights")
	if err := os.WriteFile(path, make([]byte, 2*largeBlock), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := openReads(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := r.measure(t.Context(), &DiskReads{Block: largeBlock, Depth: 2}, time.Hour); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("error %v", err)
	}
}

func TestReadSize(t *testing.T) {
	for _, c := range []struct {
		cache, available, want int64
	}{
		{32 << 20, 24 << 30, 256 << 20}, {384 << 20, 64 << 30, 3 << 30}, {2 << 30, 900 << 30, 4 << 30}, {32 << 20, 400 << 20, 100 << 20}, {0, 0, 256 << 20}, {1 << 20, 1, 16 << 20},
	} {
		if got := readSize(Machine{LastCache: c.cache, Available: c.available}); got != c.want {
			t.Errorf("cache %d, available %d: %d, expected %d", c.cache, c.available, got, c.want)
		}
	}
}

func TestNoisy(t *testing.T) {
	base := Limits{Read1: 20, ReadN: 40, BF16: 100, VNNI: 200, FMA: 50, Disk: 1}
	for _, c := range []struct {
		name  string
		edit  func(*Limits)
		noisy bool
		disk  bool
	}{
		{"same", func(*Limits) {}, false, false},
		{"a tenth less", func(l *Limits) { l.ReadN = 36 }, false, false},
		{"more than a tenth less", func(l *Limits) { l.ReadN = 35.9 }, true, false},
		{"more than a tenth more", func(l *Limits) { l.FMA = 56 }, true, false},
		{"disk", func(l *Limits) { l.Disk = 2 }, false, true},
	} {
		after := base
		c.edit(&after)
		if base.Noisy(after) != c.noisy || after.Noisy(base) != c.noisy || base.NoisyDisk(after) != c.disk {
			t.Errorf("%s: noisy %v, disk %v", c.name, base.Noisy(after), base.NoisyDisk(after))
		}
	}
	if (Limits{}).Noisy(Limits{}) {
		t.Error("what is not measured is noisy")
	}
}

func TestPeakMemory(t *testing.T) {
	before := PeakMemory()
	if before == 0 {
		t.Skip("this system does not tell")
	}
	const much = 200 << 20
	b, err := allocate(much)
	if err != nil {
		t.Fatal(err)
	}
	fill(b)
	release(b)
	with := PeakMemory()
	if with < much || with > 1<<40 {
		t.Errorf("%d bytes, then %d with %d more", before, with, much)
	}
	if err := ForgetPeak(); err != nil {
		t.Skip(err)
	}
	if PeakMemory() > with-much/2 {
		t.Errorf("%d bytes after %d were given back", PeakMemory(), with)
	}
}
