package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// team is the threads that run programs. They enter a program once and meet at a barrier after each of its steps. Between
// runs they sleep.
type team struct {
	topology
	n     int
	start []chan func(worker int)
	done  sync.WaitGroup

	meeting barrier
}

// newTeam starts the threads of a topology, each on a processor of its own as far as there are enough and the system allows.
func newTeam(on topology) *team {
	n := on.workers()
	t := &team{topology: on, n: n, meeting: barrier{n: int32(n), spins: shortSpins}}
	if n <= runtime.NumCPU() {
		t.meeting.spins = longSpins
	}
	t.meeting.late = sync.NewCond(&t.meeting.mu)
	for i := range n {
		work := make(chan func(worker int))
		t.start = append(t.start, work)
		go func() {
			runtime.LockOSThread()
			if processor := on.processor(i); processor >= 0 {
				pin(processor)
			}
			for f := range work {
				f(i)
				t.done.Done()
			}
		}()
	}
	return t
}

// run calls f on every worker and waits until all have returned.
func (t *team) run(f func(worker int)) {
	t.done.Add(t.n)
	for _, work := range t.start {
		work <- f
	}
	t.done.Wait()
}

func (t *team) close() {
	for _, work := range t.start {
		close(work)
	}
}

// How often a worker looks whether the others have come before it sleeps. A sleeper takes some 400 microseconds to wake on
// a virtual machine, longer than most steps of one task last: so it looks about that long. Where workers share processors,
// whoever spins keeps away whom it waits for: there, 20 microseconds. To yield in between would let any other busy thread have
// a whole slice at each of the hundred meetings of a token.
const (
	longSpins  = 10000
	shortSpins = 500
)

// barrier is where workers wait for each other.
type barrier struct {
	n       int32
	spins   int
	arrived atomic.Int32
	_       [60]byte // what waiting workers read has a cache line of its own
	round   atomic.Uint32
	_       [60]byte

	mu       sync.Mutex
	late     *sync.Cond
	sleepers atomic.Int32
}

// wait returns when all workers have called it. What they wrote before is then seen by all.
func (b *barrier) wait() {
	round := b.round.Load()
	if b.arrived.Add(1) == b.n {
		b.arrived.Store(0)
		b.round.Add(1)
		if b.sleepers.Load() > 0 { // who is not counted yet will see the new round
			b.mu.Lock()
			b.late.Broadcast()
			b.mu.Unlock()
		}
		return
	}
	for range b.spins {
		if b.round.Load() != round {
			return
		}
		pause()
	}
	b.mu.Lock()
	b.sleepers.Add(1)
	for b.round.Load() == round {
		b.late.Wait()
	}
	b.sleepers.Add(-1)
	b.mu.Unlock()
}
