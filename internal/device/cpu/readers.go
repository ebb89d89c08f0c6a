package cpu

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"baleen/internal/device"
	"baleen/internal/device/cpu/kernel"
)

const (
	// readersEach is how many reads are under way at a time: disks want several.
	readersEach = 8

	// pieceBytes is about how much of a matrix a reader reads at a time.
	pieceBytes = 2 << 20

	// populateBytes is how many bytes of pages are made at a time: it can end in between.
	populateBytes = 64 << 20

	// directBytes is from how many bytes on a read goes around the page cache. Less is not worth a read of its own from disk.
	directBytes = 64 << 10

	// diskBlock is what offsets, lengths and addresses of such a read are multiples of.
	diskBlock = 4096

	// Much memory is asked in huge pages: a walk through weights misses no translation then, and a disk reads into one stretch.
	smallPage = 4096
	hugePage  = 2 << 20
)

// pageOf is the size of the pages that n bytes are asked in: of huge ones at most a quarter is wasted.
func pageOf(n int64) int64 {
	if n < hugePage*3/4 {
		return smallPage
	}
	return hugePage
}

// readers read pieces of weights and repack them, some at a time, in the order in which they were asked for.
type readers struct {
	kernel *kernel.Set
	bypass atomic.Bool // reads leave nothing in the page cache
	ended  sync.WaitGroup

	mu     sync.Mutex
	wake   *sync.Cond
	queue  []job
	head   int // of the queue
	closed bool
	direct map[*os.File]*os.File // opened again, for reads around the page cache; nil where that cannot be

	traffic traffic
}

// job is a piece of a part of a weight: some rows of a group.
type job struct {
	*weight
	part, group, first, n int
	to                    *arena
	place                 int // of the part in the arena
	order                 *order
}

// order is some jobs that somebody waits for.
type order struct {
	left   atomic.Int32
	failed atomic.Pointer[error]
	done   func() // is called after the last one
}

func (o *order) finish(err error) {
	if err != nil {
		failed := err // a copy, so that good news is not allocated
		o.failed.CompareAndSwap(nil, &failed)
	}
	if o.left.Add(-1) == 0 {
		o.done()
	}
}

// traffic is what was read.
type traffic struct {
	mu     sync.Mutex
	bytes  int64
	busy   time.Duration // while at least one read was under way
	active int
	since  time.Time
}

func (t *traffic) begin() {
	t.mu.Lock()
	if t.active++; t.active == 1 {
		t.since = time.Now()
	}
	t.mu.Unlock()
}

func (t *traffic) end(bytes int64) {
	t.mu.Lock()
	t.bytes += bytes
	if t.active--; t.active == 0 {
		t.busy += time.Since(t.since)
	}
	t.mu.Unlock()
}

func (t *traffic) total() (bytes int64, busy time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	busy = t.busy
	if t.active > 0 {
		busy += time.Since(t.since)
	}
	return t.bytes, busy
}

func newReaders(k *kernel.Set) *readers {
	r := &readers{kernel: k, direct: map[*os.File]*os.File{}}
	r.wake = sync.NewCond(&r.mu)
	for range readersEach {
		r.ended.Go(r.work)
	}
	return r
}

// add asks for all pieces of a part, as that of an arena. The order must count them already.
func (r *readers) add(w *weight, part int, to *arena, place int, o *order) {
	step := w.pieceRows()
	r.mu.Lock()
	if r.head == len(r.queue) {
		r.queue, r.head = r.queue[:0], 0
	}
	for group := range w.groups {
		for first := 0; first < w.groupRows(); first += step {
			r.queue = append(r.queue, job{w, part, group, first, min(step, w.groupRows()-first), to, place, o})
		}
	}
	r.mu.Unlock()
	r.wake.Broadcast()
}

// prepare has the pages of memory made that readers will fill, while other things go on: a reader that meets a page first waits
// longer for it than for the disk.
func (r *readers) prepare(memory []byte) {
	r.ended.Go(func() {
		for at := 0; at < len(memory) && !r.isClosed(); at += populateBytes {
			populate(memory[at:min(at+populateBytes, len(memory))])
		}
	})
}

func (r *readers) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// take waits for a job.
func (r *readers) take() (j job, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.head == len(r.queue) && !r.closed {
		r.wake.Wait()
	}
	if r.closed {
		return job{}, false
	}
	j = r.queue[r.head]
	r.queue[r.head] = job{}
	r.head++
	return j, true
}

func (r *readers) work() {
	var s staging
	defer s.release()
	for {
		j, ok := r.take()
		if !ok {
			return
		}
		var err error
		if j.order.failed.Load() == nil { // the others need not be read
			err = r.do(j, &s)
		}
		j.order.finish(err)
	}
}

func (r *readers) do(j job, s *staging) error {
	row := j.group*j.groupRows() + j.first
	if err := j.checkPiece(row, j.n); err != nil {
		return err
	}
	from := j.parts[j.part]
	at, size, scaleAt, scaleSize := j.extent(row, j.n)
	if err := s.grow(stagedBytes(size) + stagedBytes(scaleSize)); err != nil {
		return err
	}
	numbers, err := r.read(s.memory, from.Data, at, size)
	var scales []byte
	if err == nil {
		scales, err = r.read(s.memory[stagedBytes(size):], from.Scale, scaleAt, scaleSize)
	}
	if err == nil {
		err = j.Format.CheckScale(scales)
	}
	if err != nil {
		return fmt.Errorf("cannot read a weight: %s: %w", from.Name, err)
	}
	j.pack(r.kernel, numbers, scales)
	return nil
}

// pack packs the rows of a job into panels.
func (j *job) pack(k *kernel.Set, data, scale []byte) {
	perRow, _ := j.Format.Size(1, j.Cols)
	base := j.group*(j.perPart/j.groups) + j.first/kernel.Lanes
	for i := 0; i < j.n; i += kernel.Lanes {
		rows := min(kernel.Lanes, j.n-i)
		at, _ := j.find(j.to, j.place, base+i/kernel.Lanes)
		k.Pack(j.to.bytes[at:][:j.panel], j.Format, data[int64(i)*perRow:][:int64(rows)*perRow], j.scalesOf(scale, i, rows), rows, j.Cols)
	}
}

// read reads n bytes of a span into memory of stagedBytes. Where a read around the page cache fails, a plain one gets by or
// tells what is wrong.
func (r *readers) read(to []byte, from device.Span, at, n int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	r.traffic.begin()
	defer r.traffic.end(n)
	bypass := r.bypass.Load()
	var f *os.File
	if bypass {
		f = fileOf(from)
	}
	if f != nil && n >= directBytes {
		begin := from.Offset + at
		skip := begin % diskBlock
		if r.readDirect(f, to[:(skip+n+diskBlock-1)&^(diskBlock-1)], begin-skip, skip+n) {
			return to[skip:][:n], nil
		}
	}
	err := from.Read(to[:n], at)
	if f != nil && n >= directBytes {
		forget(f, from.Offset+at, n)
	}
	return to[:n], err
}

// fileOf returns the file that a span lies in, or nil.
func fileOf(s device.Span) *os.File {
	if f, ok := s.From.(interface{ File() *os.File }); ok {
		return f.File()
	}
	return nil
}

// readDirect reads from a file around the page cache, at least want bytes. It tells whether that was possible.
func (r *readers) readDirect(f *os.File, to []byte, at, want int64) bool {
	r.mu.Lock()
	direct, known := r.direct[f]
	if !known {
		direct = openDirect(f)
		r.direct[f] = direct
	}
	r.mu.Unlock()
	if direct == nil {
		return false
	}
	n, _ := direct.ReadAt(to, at) // at the end of a file less comes than is asked for
	return int64(n) >= want
}

// close ends the readers. What they have not begun is not read.
func (r *readers) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.wake.Broadcast()
	r.ended.Wait()
	for _, f := range r.direct {
		if f != nil {
			f.Close()
		}
	}
}

// staging is memory of a reader, in huge pages if it is much: a disk reads into one stretch of memory more than twice as fast as
// into many pages.
type staging struct{ memory []byte }

// stagedBytes is what n bytes from anywhere in a file take, in whole blocks.
func stagedBytes(n int64) int64 {
	if n == 0 {
		return 0
	}
	return (n+diskBlock-1)&^(diskBlock-1) + diskBlock
}

// stagingBytes is what the readers hold while they read a weight: a piece each, and its scales.
func (w *weight) stagingBytes() int64 {
	_, size, _, scaleSize := w.extent(0, min(w.pieceRows(), w.groupRows()))
	n := stagedBytes(size) + stagedBytes(scaleSize)
	page := pageOf(n)
	return readersEach * ((n + page - 1) &^ (page - 1))
}

// grow makes it as large as the largest piece so far.
func (s *staging) grow(n int64) error {
	if n <= int64(len(s.memory)) {
		return nil
	}
	s.release()
	memory, err := allocate(n)
	s.memory = memory
	return err
}

func (s *staging) release() {
	if s.memory != nil {
		release(s.memory)
	}
	s.memory = nil
}
