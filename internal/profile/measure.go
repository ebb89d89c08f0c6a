package profile

import (
	"context"
	"encoding/binary"
	"math"
	"os"
	"runtime"
	"sync"
	"time"
)

// Loops are pieces of work that use one part of a core alone. What is nil is not measured, but for Read, which has a form
// in Go. A call should take less than a millisecond: code that is not Go cannot be interrupted.
type Loops struct {
	Read func(data []byte) // reads every byte once, in order; data is a multiple of 4096 bytes on a page boundary

	// Bursts of instructions on registers. They return how many operations they did; a multiply-add is two.
	BF16, VNNI, FMA func() (operations int64)
}

// Options say how to measure.
type Options struct {
	Loops   Loops
	Threads int           // 0 is all processors that Go may use
	Window  time.Duration // of one of the windows that a figure is the best of; 0 is 100 ms
}

func (o Options) threads() int {
	if o.Threads > 0 {
		return o.Threads
	}
	return runtime.GOMAXPROCS(0)
}

func (o Options) window() time.Duration {
	if o.Window > 0 {
		return o.Window
	}
	return 100 * time.Millisecond
}

// windows is how many windows a limit is the best of.
const windows = 5

// Measure measures memory and arithmetic: at the default window in about three seconds.
func Measure(ctx context.Context, o Options) (l Limits, err error) {
	if l.Read1, err = measureRead(ctx, o, 1, windows); err != nil {
		return l, err
	}
	l.ReadN = l.Read1
	if o.threads() > 1 {
		if l.ReadN, err = measureRead(ctx, o, o.threads(), windows); err != nil {
			return l, err
		}
	}
	core, err := measureArithmetic(ctx, o, o.threads())
	l.BF16, l.VNNI, l.FMA = core.BF16, core.VNNI, core.FMA
	return l, err
}

// ReadNow measures memory with all threads in a single window: what it gives at this moment, in 10^9 bytes a second, to set
// beside work that was done at the same moment.
func ReadNow(ctx context.Context, o Options) (float64, error) {
	return measureRead(ctx, o, o.threads(), 1)
}

func measureCore(ctx context.Context, o Options) (Core, error) { return measureArithmetic(ctx, o, 1) }

func measureArithmetic(ctx context.Context, o Options, threads int) (c Core, err error) {
	for _, part := range []struct {
		burst func() int64
		to    *float64
	}{{o.Loops.BF16, &c.BF16}, {o.Loops.VNNI, &c.VNNI}, {o.Loops.FMA, &c.FMA}} {
		if part.burst == nil {
			continue
		}
		work := make([]func() int64, threads)
		for i := range work {
			work[i] = part.burst
		}
		if *part.to, err = best(ctx, work, o.window(), windows); err != nil {
			return c, err
		}
	}
	return c, nil
}

// piece is how much a call of Loops.Read reads.
const piece = 1 << 20

// measureRead reads memory that no cache holds. Every thread reads a part of its own, from end to end: that is the
// access that hardware does best.
func measureRead(ctx context.Context, o Options, threads, windows int) (float64, error) {
	read := o.Loops.Read
	if read == nil {
		read = readWords
	}
	part := int(readSize(Describe(os.DirFS("/")))/int64(threads)) &^ (piece - 1)
	part = max(part, piece)
	memory, err := allocate(part * threads)
	if err != nil {
		return 0, err
	}
	defer release(memory)
	work := make([]func() int64, threads)
	for i := range work {
		mine := memory[i*part:][:part]
		at := -1
		work[i] = func() int64 {
			if at < 0 { // the thread that reads it touches it first, so that it lies on its node
				fill(mine)
				at = 0
				return 0
			}
			read(mine[at:][:piece])
			at = (at + piece) % part
			return piece
		}
	}
	return best(ctx, work, o.window(), windows)
}

// readSize is how much to read: many times what caches hold, and a small part of what is free.
func readSize(m Machine) int64 {
	n := min(max(8*m.LastCache, 256<<20), 4<<30)
	if m.Available > 0 {
		n = min(n, m.Available/4)
	}
	return max(n, 16<<20)
}

// fill makes the memory real: pages that were never written are one page of zeros to the kernel.
func fill(b []byte) {
	for i := 0; i < len(b); i += 512 {
		b[i] = byte(i >> 9)
	}
}

// readWords is the plain form of Loops.Read. Several sums let several loads be under way.
func readWords(data []byte) {
	var a, b, c, d uint64
	for ; len(data) >= 64; data = data[64:] {
		w := data[:64]
		a += binary.LittleEndian.Uint64(w) + binary.LittleEndian.Uint64(w[8:])
		b += binary.LittleEndian.Uint64(w[16:]) + binary.LittleEndian.Uint64(w[24:])
		c += binary.LittleEndian.Uint64(w[32:]) + binary.LittleEndian.Uint64(w[40:])
		d += binary.LittleEndian.Uint64(w[48:]) + binary.LittleEndian.Uint64(w[56:])
	}
	runtime.KeepAlive(a + b + c + d)
}

// best runs each piece of work over and over on a thread of its own and returns the highest rate of so many windows, in 10^9
// a second. A first call, which may set things up, is not counted.
func best(ctx context.Context, work []func() int64, window time.Duration, windows int) (float64, error) {
	var most float64
	var mu sync.Mutex
	counts := make([]int64, windows)
	starts, ends := make([]time.Time, windows), make([]time.Time, windows)
	meet := newBarrier(len(work))
	var all sync.WaitGroup
	for i, step := range work {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			defer pin(i)() // a thread that ended pinned would cost whoever runs next a new one
			step()
			for w := range windows {
				meet.wait()
				begin := time.Now()
				n := int64(0)
				for time.Since(begin) < window && ctx.Err() == nil {
					n += step()
				}
				end := time.Now()
				mu.Lock()
				counts[w] += n
				if starts[w].IsZero() || begin.Before(starts[w]) {
					starts[w] = begin
				}
				if end.After(ends[w]) {
					ends[w] = end
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for w := range windows {
		most = max(most, float64(counts[w])/float64(ends[w].Sub(starts[w])))
	}
	return math.Round(most*1000) / 1000, ctx.Err()
}

// barrier lets threads begin a window together.
type barrier struct {
	mu      sync.Mutex
	all     *sync.Cond
	threads int
	waiting int
	round   int
}

func newBarrier(threads int) *barrier {
	b := &barrier{threads: threads}
	b.all = sync.NewCond(&b.mu)
	return b
}

func (b *barrier) wait() {
	b.mu.Lock()
	defer b.mu.Unlock()
	round := b.round
	if b.waiting++; b.waiting == b.threads {
		b.waiting, b.round = 0, round+1
		b.all.Broadcast()
	}
	for b.round == round {
		b.all.Wait()
	}
}
