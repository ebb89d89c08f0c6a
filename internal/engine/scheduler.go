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

// scheduler decides which tokens run next. It is a pure state machine: events in, a batch and actions out. It has no
// goroutine, clock, lock or I/O; one loop owns it.
//
//  1. Every running sequence is older than every waiting one; both lists are in order of arrival.
//  2. A running sequence has a slot of its own. There are no more slots than rows in a batch, so that each of them can go on in
//     every tick, but those whose prefix is still being read from disk, or computed by another (follow.go).
//  3. No sequence is longer than the pages of the whole pool, so the oldest, which is never put back, always ends.
//
// What was computed is remembered by prefix (remember.go): a sequence begins behind what is known. When pages run out, those
// of prefixes that nobody uses go first; then the youngest running sequence is put back. Its prefix stays remembered as long
// as there is room, and it goes on from there. To admit a sequence, its tokens must fit, and one page must be left for each
// that already runs: otherwise the newcomer would be the first to be put back.
type scheduler struct {
	rows    int
	context int
	pool    *kv.Pool
	pages   int     // in the pool
	free    []int32 // slots; the last is taken next
	tree    *kv.Tree
	writing int // files under way

	running, waiting []*sequence
	reading          int // of running: those whose prefix is still to come
	arrivals         uint64

	bare bool // nobody runs batches or reads tokens: rows, pages, actions that bring a token and Finish.Why are left out

	parts  []part // room for the next batch
	wanted []want
	long   []*sequence // that had more than a token to run when the last batch was made, or none yet, and those admitted since

	drafted bool   // some running sequences may have guesses
	out     []part // of the batch that is running now
	wants   []want
	actions []action
	now     time.Duration
	stats   Stats // its sums
}

// newScheduler returns a scheduler for programs of the given capacities, each at least 1, that remembers within limits.
func newScheduler(caps op.Caps, l kv.Limits) *scheduler {
	s := &scheduler{
		rows:    caps.Rows,
		context: min(caps.Context, caps.Pages*kv.PageSize),
		pool:    kv.NewPool(caps.Pages),
		pages:   caps.Pages,
	}
	s.tree = kv.NewTree(s.pool, l)
	for slot := min(caps.Slots, caps.Rows) - 1; slot >= 0; slot-- {
		s.free = append(s.free, int32(slot))
	}
	return s
}

// event is one thing that happened; one field is set.
type event struct {
	submit  *sequence
	cancel  *sequence // one that has finished, or was never submitted, is left as it is
	ran     *ran
	fetched *fetched
	written *written
}

// ran says that the batch of the last tick is done.
type ran struct {
	// For each of batch.Wants: its next tokens with all bytes of each, one and one more for every guess that stood; the last may
	// be an error. And what is guessed to come behind them, or nil.
	items  [][]Item
	drafts [][]int32

	err  error // the run failed: nothing of it counts, and its sequences end with this error
	lost bool  // actions failed, too: nothing that was remembered in memory can be trusted
}

// fetched says that a file was read, or why not.
type fetched struct {
	file kv.File
	data []byte
	err  error
}

// written says that a file was written, or why not.
type written struct {
	file kv.File
	err  error
}

// action is what the caller must do, in order, before it runs the batch: tell how far the prompt is, send the item, end the
// stream, or move state.
type action struct {
	sequence *sequence
	done     int // tokens of the prompt that are done, if it has become more
	item     *Item
	finish   *Finish
	move     *move
}

// tick takes what happened since the last one, in order, and returns what to do and what to run next. The batch is empty
// when there is nothing to run, and while the last one is out, that is until its ran comes.
func (s *scheduler) tick(now time.Duration, events []event) (batch, []action) {
	s.now, s.actions = now, s.actions[:0]
	for _, e := range events {
		switch {
		case e.submit != nil:
			s.submit(e.submit)
		case e.cancel != nil:
			s.fail(e.cancel, context.Canceled)
		case e.ran != nil:
			s.commit(e.ran)
		case e.fetched != nil:
			s.fetched(e.fetched)
		case e.written != nil:
			s.written(e.written)
		}
	}
	if s.out != nil {
		return batch{}, s.actions
	}
	s.grow()
	s.resume()
	s.admit()
	s.write()
	return s.next(), s.actions
}

// fits says whether a sequence can ever run. It may be called at any time, by anyone.
func (s *scheduler) fits(q *sequence) error {
	if q.prompt < s.context {
		return nil
	}
	return fmt.Errorf("prompt too long: request: %d tokens: the context holds %d with the answer: shorten the prompt, or give more memory for state",
		q.prompt, s.context)
}

func (s *scheduler) submit(q *sequence) {
	if q.arrival != 0 {
		return // it is here already
	}
	s.arrivals++
	q.arrival, q.end.Submitted = s.arrivals, s.now
	s.stats.Submitted++
	s.waiting = append(s.waiting, q)
	if err := s.fits(q); err != nil {
		s.fail(q, err)
	}
}

// commit counts the rows of the batch that is out, and takes the tokens that it gave. What a sequence computed whose next
// token could not be made is not remembered. A guess that stood is a row and a token like any other: to the sequence, all is as
// if they had been run one after the other. The rows of those that fell are not counted, which takes them back.
func (s *scheduler) commit(r *ran) {
	out, wants := s.out, s.wants
	s.out, s.wants = nil, nil
	if r.err == nil && !r.answers(wants) {
		r = &ran{err: fmt.Errorf("wrong number of items: run: %d for %d sequences: this is a defect of the engine", len(r.items), len(wants))}
	}
	if r.err != nil {
		s.failed(out, r)
		return
	}
	for i, w := range wants {
		if err := r.items[i][0].Err; err != nil {
			s.fail(w.sequence, err)
		}
	}
	for _, p := range out {
		if p.sequence.state == running {
			s.advance(p.sequence, p.rows-p.guesses)
		}
	}
	drafted := s.drafted
	s.drafted = r.drafts != nil
	for i, w := range wants {
		if drafted {
			w.sequence.guesses = nil
		}
		for k := range r.items[i] {
			item := &r.items[i][k]
			if k > 0 && w.state == running && item.Err == nil {
				s.advance(w.sequence, 1)
			}
			s.take(w.sequence, item)
		}
		if s.drafted && w.state == running {
			w.sequence.guesses = r.drafts[i]
		}
	}
	s.settle()
}

// settle takes those that have ended from the running ones.
func (s *scheduler) settle() {
	kept := 0
	for i, q := range s.running {
		if q.state == running {
			if kept < i {
				s.running[kept] = q
			}
			kept++
		}
	}
	clear(s.running[kept:])
	s.running = s.running[:kept]
}

// answers tells whether there are tokens for all that want some, and not more than can be.
func (r *ran) answers(wants []want) bool {
	if len(r.items) != len(wants) || r.drafts != nil && len(r.drafts) != len(wants) {
		return false
	}
	for i, w := range wants {
		if n := len(r.items[i]); n == 0 || n > 1+len(w.guesses) {
			return false
		}
	}
	return true
}

// failed ends the sequences of a run that failed; where state was lost, all that have some.
func (s *scheduler) failed(out []part, r *ran) {
	for _, p := range out {
		s.fail(p.sequence, r.err)
	}
	if r.lost {
		for len(s.running) > 0 {
			s.fail(s.running[0], r.err)
		}
		s.tree.Forget()
	}
}

func (s *scheduler) act(a action) { s.actions = append(s.actions, a) }

// take gives a sequence its next token, or the error in the place of one.
func (s *scheduler) take(q *sequence, it *Item) {
	switch {
	case q.state != running:
		return
	case it.Err != nil:
		s.fail(q, it.Err)
		return
	}
	if len(q.tokens) == q.prompt {
		q.end.First = s.now
	}
	s.stats.Answer++
	if q.accept(it, s.context) {
		s.end(q, it)
		return
	}
	if !s.bare {
		s.act(action{sequence: q, item: it})
	}
}

// fail ends a sequence with an error, unless it has ended or never began.
func (s *scheduler) fail(q *sequence, err error) {
	if q.state == running || slices.Contains(s.waiting, q) {
		q.end.Err = err
		s.finish(q, nil)
	}
}

// finish ends a running or waiting sequence.
func (s *scheduler) finish(q *sequence, last *Item) {
	if q.state == running {
		s.running = remove(s.running, q)
	} else {
		s.waiting = remove(s.waiting, q)
	}
	s.end(q, last)
}

// end ends a sequence whose place in its list is seen to.
func (s *scheduler) end(q *sequence, last *Item) {
	if q.state == running {
		s.keep(q)
		s.drop(q)
	}
	q.state, q.end.Ended = finished, s.now
	s.stats.ended(&q.end)
	s.act(action{sequence: q, item: last, finish: &q.end})
}

func remove(list []*sequence, q *sequence) []*sequence {
	i := slices.Index(list, q)
	return slices.Delete(list, i, i+1)
}

// drop takes slot and pages from a running sequence, and with them its state.
func (s *scheduler) drop(q *sequence) {
	s.detach(q)
	s.free = append(s.free, q.slot)
	q.slot = -1
}

// grow makes room for the next position of every running sequence, the oldest first. Where there is none it puts back the
// youngest.
func (s *scheduler) grow() {
	for i := 0; i < len(s.running); i++ {
		for q := s.running[i]; q.length >= len(q.pages.Pages())*kv.PageSize; q = s.running[i] {
			if s.pool.Free() > 0 || s.tree.Free(1) {
				if err := s.pool.Grow(&q.pages, q.length+1); err != nil {
					panic("engine: a page that was free is not: " + err.Error())
				}
				continue
			}
			if s.preempt(); i == len(s.running) {
				return
			}
		}
	}
}

// preempt puts the youngest running sequence back.
func (s *scheduler) preempt() {
	q := s.running[len(s.running)-1]
	s.running = s.running[:len(s.running)-1]
	s.drop(q)
	s.stats.Preempted++
	q.state, q.target = waiting, 0
	s.waiting = slices.Insert(s.waiting, 0, q)
}

// admit starts waiting sequences in order of arrival, as far as slots and pages go. One that does not fit holds up those
// behind it, or it might wait for ever.
func (s *scheduler) admit() {
	for len(s.waiting) > 0 && len(s.free) > 0 {
		q := s.waiting[0]
		if !s.attach(q, len(s.running)) {
			return
		}
		s.waiting = slices.Delete(s.waiting, 0, 1)
		s.running = append(s.running, q)
		q.slot = s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		q.state = running
		s.long = append(s.long, q)
		s.begin(q)
	}
}

// next makes the batch: one row for each sequence that has a single token to run, then equal shares of the other rows for
// prompts, so that a long one does not hold up a short one. What the short ones leave goes to the longer, and what nobody
// wants to guesses. A guess takes no page: it ends where the sequence's last one does.
func (s *scheduler) next() batch {
	b := batch{parts: s.parts[:0], Wants: s.wanted[:0]}
	s.long = s.long[:0]
	for _, q := range s.running {
		if q.todo() == 1 {
			b.take(q, 1)
		} else {
			s.long = append(s.long, q)
		}
	}
	slices.SortStableFunc(s.long, func(p, q *sequence) int { return cmp.Compare(p.todo(), q.todo()) })
	left := s.rows - len(b.parts)
	for i, q := range s.long {
		n := min(left/(len(s.long)-i), q.todo())
		if left -= n; n > 0 { // otherwise its prefix is still to come
			b.take(q, n)
		}
	}
	if s.drafted {
		left -= b.guess(left, s.context)
	}
	s.parts, s.wanted = b.parts, b.Wants
	if !s.bare {
		b.lay(s.rows-left, len(s.running)+len(s.free))
	}
	if len(b.parts) > 0 {
		s.out, s.wants = b.parts, b.Wants
	}
	return b
}

// spare is how many rows of the batch after the one that is out nobody will want, as far as is known now.
func (s *scheduler) spare() int {
	rows := s.rows
	for _, p := range s.out {
		rows -= max(p.sequence.todo()-p.rows+p.guesses, 1)
	}
	return max(rows, 0)
}
