package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"baleen/internal/kv"
	"baleen/internal/op"
)

// The pages of the books are those of the programs: this does not compile otherwise.
var _ = [1]struct{}{}[kv.PageSize-op.PageSize]

// Scheduler decides which tokens run next. It is a pure state machine: events in, a batch and actions out. It has no
// goroutine, clock, lock or I/O; one loop owns it.
//
//  1. Every running sequence is older than every waiting one; both lists are in order of arrival.
//  2. A running sequence has a slot of its own. There are no more slots than rows in a batch, so that each of them can go on in every tick.
//  3. No sequence is longer than the pages of the whole pool, so the oldest, which is never put back, always ends.
//
// When pages run out, the youngest running sequence is put back: its state is dropped and computed again from its tokens.
// To admit one, its tokens must fit, and one page must be left for each sequence that already runs: otherwise the
// newcomer would be the first to be put back.
type Scheduler struct {
	rows    int
	context int
	pool    *kv.Pool
	pages   int     // in the pool
	free    []int32 // slots; the last is taken next

	running, waiting []*Sequence
	arrivals         uint64

	out     []part // of the batch that is running now
	wants   []*Sequence
	actions []Action
	now     time.Duration
}

// NewScheduler returns a scheduler for programs of the given capacities, each at least 1.
func NewScheduler(caps op.Caps) *Scheduler {
	s := &Scheduler{
		rows:    caps.Rows,
		context: min(caps.Context, caps.Pages*kv.PageSize),
		pool:    kv.NewPool(caps.Pages),
		pages:   caps.Pages,
	}
	for slot := min(caps.Slots, caps.Rows) - 1; slot >= 0; slot-- {
		s.free = append(s.free, int32(slot))
	}
	return s
}

// Event is one thing that happened; one field is set.
type Event struct {
	Submit *Sequence
	Cancel *Sequence // one that has finished, or was never submitted, is left as it is
	Ran    *Ran
}

// Ran says that the batch of the last tick is done.
type Ran struct {
	Items []Item // the next tokens, one for each of Batch.Wants, with all bytes of the token
	Err   error  // the run failed: nothing of it counts, and its sequences end with this error
}

// Action is what the caller must do, in order, before it runs the batch: send the item, end the stream, or both.
type Action struct {
	Sequence *Sequence
	Item     *Item
	Finish   *Finish
}

// Tick takes what happened since the last one, in order, and returns what to do and what to run next. The batch is empty
// when there is nothing to run, and while the last one is out, that is until its Ran comes.
func (s *Scheduler) Tick(now time.Duration, events []Event) (Batch, []Action) {
	s.now, s.actions = now, nil
	for _, e := range events {
		switch {
		case e.Submit != nil:
			s.submit(e.Submit)
		case e.Cancel != nil:
			s.fail(e.Cancel, context.Canceled)
		case e.Ran != nil:
			s.commit(e.Ran)
		}
	}
	if s.out != nil {
		return Batch{}, s.actions
	}
	s.grow()
	s.admit()
	return s.next(), s.actions
}

// Fits says whether a sequence can ever run. It may be called at any time, by anyone.
func (s *Scheduler) Fits(q *Sequence) error {
	if q.prompt < s.context {
		return nil
	}
	return fmt.Errorf("prompt too long: request: %d tokens: the context holds %d with the answer: shorten the prompt, or give more memory for state",
		q.prompt, s.context)
}

func (s *Scheduler) submit(q *Sequence) {
	if q.arrival != 0 {
		return // it is here already
	}
	s.arrivals++
	q.arrival, q.end.Submitted = s.arrivals, s.now
	s.waiting = append(s.waiting, q)
	if err := s.Fits(q); err != nil {
		s.fail(q, err)
	}
}

// commit counts the rows of the batch that is out, and takes the tokens that it gave.
func (s *Scheduler) commit(ran *Ran) {
	out, wants := s.out, s.wants
	s.out, s.wants = nil, nil
	if ran.Err == nil && len(ran.Items) != len(wants) {
		ran = &Ran{Err: fmt.Errorf("wrong number of items: run: %d for %d sequences: this is a defect of the engine", len(ran.Items), len(wants))}
	}
	for _, p := range out {
		switch {
		case p.sequence.state != running:
		case ran.Err != nil:
			s.fail(p.sequence, ran.Err)
		default:
			p.sequence.length += p.rows
		}
	}
	if ran.Err == nil {
		for i, q := range wants {
			s.take(q, ran.Items[i])
		}
	}
}

// take gives a sequence its next token.
func (s *Scheduler) take(q *Sequence, it Item) {
	if q.state != running {
		return
	}
	if it.Err != nil {
		s.fail(q, it.Err)
		return
	}
	if len(q.tokens) == q.prompt {
		q.end.First = s.now
	}
	it, ended := q.accept(it, s.context)
	if ended {
		s.finish(q, &it)
		return
	}
	s.actions = append(s.actions, Action{Sequence: q, Item: &it})
}

// fail ends a sequence with an error, unless it has ended or never began.
func (s *Scheduler) fail(q *Sequence, err error) {
	if q.state == running || slices.Contains(s.waiting, q) {
		q.end.Err = err
		s.finish(q, nil)
	}
}

// finish ends a running or waiting sequence.
func (s *Scheduler) finish(q *Sequence, last *Item) {
	if q.state == running {
		s.running = remove(s.running, q)
		s.drop(q)
	} else {
		s.waiting = remove(s.waiting, q)
	}
	q.state, q.end.Ended = finished, s.now
	s.actions = append(s.actions, Action{q, last, &q.end})
}

func remove(list []*Sequence, q *Sequence) []*Sequence {
	i := slices.Index(list, q)
	return slices.Delete(list, i, i+1)
}

// drop takes slot and pages from a running sequence, and with them its state.
func (s *Scheduler) drop(q *Sequence) {
	s.pool.Release(&q.pages)
	s.free = append(s.free, q.slot)
	q.slot, q.length = -1, 0
}

// grow makes room for the next position of every running sequence, the oldest first. Where there is none it puts back the
// youngest.
func (s *Scheduler) grow() {
	for i := 0; i < len(s.running); i++ {
		for i < len(s.running) && s.pool.Grow(&s.running[i].pages, s.running[i].length+1) != nil {
			s.preempt()
		}
	}
}

// preempt puts the youngest running sequence back.
func (s *Scheduler) preempt() {
	q := s.running[len(s.running)-1]
	s.running = s.running[:len(s.running)-1]
	s.drop(q)
	q.state = waiting
	s.waiting = slices.Insert(s.waiting, 0, q)
}

// admit starts waiting sequences in order of arrival, as far as slots and pages go. One that does not fit holds up those
// behind it, or it might wait for ever.
func (s *Scheduler) admit() {
	for len(s.waiting) > 0 && len(s.free) > 0 {
		q := s.waiting[0]
		if kv.PagesFor(len(q.tokens))+len(s.running) > s.pool.Free() || s.pool.Grow(&q.pages, len(q.tokens)) != nil {
			return
		}
		s.waiting = slices.Delete(s.waiting, 0, 1)
		s.running = append(s.running, q)
		q.slot = s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		q.state = running
		if q.end.Started == 0 {
			q.end.Started = s.now
		}
	}
}

// next makes the batch: one row for each sequence that has a single token to run, then equal shares of the other rows for
// prompts, so that a long one does not hold up a short one. What the short ones leave goes to the longer.
func (s *Scheduler) next() Batch {
	b := Batch{Pages: make([][]int32, len(s.running)+len(s.free))}
	order := slices.Clone(s.running)
	slices.SortStableFunc(order, func(p, q *Sequence) int { return cmp.Compare(p.todo(), q.todo()) })
	for i, q := range order {
		share := (s.rows - len(b.Rows)) / (len(order) - i)
		b.add(q, min(share, q.todo()))
	}
	s.out, s.wants = b.parts, b.Wants
	return b
}
