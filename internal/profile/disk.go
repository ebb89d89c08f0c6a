package profile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Disk is how fast files of a directory can be read.
type Disk struct {
	Dir    string      `json:"dir"`
	Bytes  int64       `json:"bytes"`  // of the file that was read
	Direct bool        `json:"direct"` // past the page cache; if not, what was read may have been memory
	Reads  []DiskReads `json:"reads"`
}

// DiskReads is one way of reading.
type DiskReads struct {
	Random bool    `json:"random"` // or in order
	Block  int     `json:"block"`  // bytes of a read
	Depth  int     `json:"depth"`  // reads under way at a time
	GBs    float64 `json:"gb_s"`
	Rate   float64 `json:"reads_s"`
}

// best is the highest bandwidth of large reads.
func (d Disk) best() (gbs float64) {
	for _, r := range d.Reads {
		if r.Block == largeBlock {
			gbs = max(gbs, r.GBs)
		}
	}
	return gbs
}

const (
	largeBlock = 4 << 20 // about a part of an expert
	smallBlock = 4 << 10
	mostFile   = 1 << 30
	leastFile  = 64 << 20
)

// ways are what a profile measures. Every way takes some windows.
var ways = [...]DiskReads{
	{Block: largeBlock, Depth: 1},
	{Block: largeBlock, Depth: 8},
	{Random: true, Block: largeBlock, Depth: 4},
	{Random: true, Block: largeBlock, Depth: 8},
	{Random: true, Block: 128 << 10, Depth: 16},
	{Random: true, Block: smallBlock, Depth: 1},
	{Random: true, Block: smallBlock, Depth: 16},
}

// measureDisk writes a file of random bytes into a directory, reads it in all ways, and takes it away.
func measureDisk(ctx context.Context, dir string, window time.Duration) (d Disk, err error) {
	f, err := os.CreateTemp(dir, ".baleen-probe-*")
	if err != nil {
		return d, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	d = Disk{Dir: dir}
	if d.Bytes, err = writeRandom(ctx, f, fileSize(window)); err != nil {
		return d, err
	}
	r, err := openReads(f.Name())
	if err != nil {
		return d, err
	}
	defer r.Close()
	d.Direct = r.direct
	for _, way := range ways {
		if err := r.measure(ctx, &way, window); err != nil {
			return d, err
		}
		d.Reads = append(d.Reads, way)
	}
	return d, nil
}

// fileSize is how much is written for windows of some length: what a disk of 5 GB/s reads in two of them.
func fileSize(window time.Duration) int64 {
	n := int64(window.Seconds() * 10e9)
	return min(max(n, leastFile), mostFile) &^ (largeBlock - 1)
}

// writeRandom writes bytes that do not compress, and waits until the disk has them.
func writeRandom(ctx context.Context, f *os.File, size int64) (int64, error) {
	source := rand.NewChaCha8([32]byte{1})
	block := make([]byte, largeBlock)
	for at := int64(0); at < size; at += largeBlock {
		if err := ctx.Err(); err != nil {
			return at, err
		}
		source.Read(block) // cannot fail
		if _, err := f.Write(block); err != nil {
			return at, err
		}
	}
	return size, f.Sync()
}

// ReadFile measures the reading of a file as it lies there, in large random pieces, eight at a time, as experts are read:
// in GB a second. It gives 0 where that cannot be measured: for files of less than one such piece, and where all reads go
// through the page cache.
func ReadFile(ctx context.Context, path string, window time.Duration) (float64, error) {
	r, err := openReads(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	way := DiskReads{Random: true, Block: largeBlock, Depth: 8}
	if r.size < largeBlock || !r.direct {
		return 0, nil
	}
	err = r.measure(ctx, &way, window)
	return way.GBs, err
}

// reads is a file that is read for the time it takes.
type reads struct {
	*os.File
	size   int64
	direct bool
}

func openReads(path string) (*reads, error) {
	f, err := openDirect(path)
	direct := err == nil
	if !direct { // the file system has no direct reads
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
		forget(f)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &reads{f, info.Size(), direct}, nil
}

// diskWindows is how many windows' time a way of reading takes in all: a disk answers in milliseconds, so windows of its
// own would be too short to compare.
const diskWindows = 8

// measure reads in one way for some time and notes how much came.
func (r *reads) measure(ctx context.Context, way *DiskReads, window time.Duration) error {
	blocks := r.size / int64(way.Block)
	if blocks == 0 {
		return fmt.Errorf("file too small: %d bytes: use one of at least %d", r.size, way.Block)
	}
	memory, err := allocate(way.Block * way.Depth)
	if err != nil {
		return err
	}
	defer release(memory)
	var next, count atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, way.Depth)
	began := time.Now()
	for i := range way.Depth {
		random := rand.New(rand.NewPCG(uint64(i), uint64(way.Block)))
		buffer := memory[i*way.Block:][:way.Block]
		all.Go(func() {
			for errs[i] == nil && ctx.Err() == nil && (count.Load() == 0 || time.Since(began) < diskWindows*window) {
				block := (next.Add(1) - 1) % blocks
				if way.Random {
					block = random.Int64N(blocks)
				}
				errs[i] = readBlock(r.File, buffer, block)
				count.Add(1)
			}
		})
	}
	all.Wait()
	seconds := time.Since(began).Seconds()
	way.Rate = math.Round(float64(count.Load()) / seconds)
	way.GBs = math.Round(float64(count.Load())*float64(way.Block)/seconds/1e6) / 1e3
	return cmp.Or(append(errs, ctx.Err())...)
}

func readBlock(f *os.File, to []byte, block int64) error {
	n, err := f.ReadAt(to, block*int64(len(to)))
	if err == nil || n == len(to) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("file became shorter while it was read: use one that nobody writes")
	}
	return err
}
