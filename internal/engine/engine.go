// Package engine runs sequences: it puts a model on a device, decides which tokens run next, runs them, and samples. It
// knows tokens and their bytes, and no text, chat or wire form.
//
//	limits.go, sequence.go   one request: what was asked, how far it is
//	scheduler.go, batch.go   which tokens run next: a pure state machine
//	sample.go, stop.go       the next token, and the end
//	speculate.go, guess.go   guesses at the tokens behind it: what is decided, and the doing
//	remember.go, follow.go   which prefixes are known, and what is kept; who waits for what another computes
//	machine.go, state.go     a model placed on a device; what sequences remember there, out and back
//	draft.go                 what a model drafts with, on the same device
//	score.go                 what a model gives at every position
//	engine.go, disk.go       the loop, and the goroutine that reads and writes files
package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"baleen/internal/kv"
	"baleen/internal/token"
)

// ErrClosed ends the streams of an engine that was closed.
var ErrClosed = errors.New("engine closed: the answer is not complete: ask again")

// Engine makes answers on a machine. One goroutine of its own owns the machine and the scheduler; the other methods may be
// called from anywhere. It knows tokens and their bytes, and no text.
type Engine struct {
	options   Options
	machine   *Machine
	tokenizer *token.Tokenizer
	scheduler *scheduler
	disk      *Disk // or nil
	started   time.Time
	desks     []*desk
	reading   sync.Mutex       // one goroutine uses the machine at a time
	clock     func() time.Time // that runs are timed with
	pace      pace             // of batches that only go on with answers
	profit    profit
	drafting  time.Duration // what guesses took that run next

	mu      sync.Mutex
	inbox   []event // since the last tick
	streams map[*sequence]*Stream
	closed  error // why nothing more is taken
	stats   Stats

	wake chan struct{} // something is in the inbox
	done chan struct{} // the loop has ended
}

// ErrBusy is what Submit returns, wrapped, when the engine has as many requests as it takes.
var ErrBusy = errors.New("engine busy")

// Options are an engine's settings; the zero value is good.
type Options struct {
	Queue       int   // requests that may be there at once, running or waiting; 0 is no bound
	Checkpoints int64 // bytes of memory for checkpoints of prefixes; 0 is a few for each slot
	Disk        *Disk // where prefixes are kept, too; nil is nowhere. It is the engine's from now on
}

// Start starts an engine on a machine, which is the engine's from now on. A token that the tokenizer does not have gives
// no bytes, nor does a control token.
func Start(m *Machine, t *token.Tokenizer, o Options) *Engine {
	e := newEngine(m, t, o)
	e.begin()
	return e
}

func newEngine(m *Machine, t *token.Tokenizer, o Options) *Engine {
	vocab := m.Model.Config.Vocab
	limits := kv.Limits{Page: int64(m.PageBytes()), Checkpoint: int64(m.CheckpointBytes()), Memory: o.Checkpoints}
	if limits.Memory == 0 {
		limits.Memory = int64(4*m.Caps.Slots+16) * limits.Checkpoint
	}
	if o.Disk != nil {
		limits.Disk = o.Disk.limits.Disk
	}
	return &Engine{
		options: o, clock: time.Now, machine: m, tokenizer: t, scheduler: newScheduler(m.Caps, limits), disk: o.Disk, started: time.Now(),
		desks: newDesks(vocab), streams: map[*sequence]*Stream{},
		wake: make(chan struct{}, 1), done: make(chan struct{}), stats: Stats{Drafts: m.Drafts()},
	}
}

// begin lets the engine run.
func (e *Engine) begin() {
	if e.disk != nil {
		for _, id := range e.scheduler.tree.Found(e.disk.found) {
			e.disk.ask(fileRequest{entry: kv.Entry{ID: id}, deletes: true}, false)
		}
		go e.disk.serve(e.post)
	}
	go e.loop()
}

// loop is the engine's heart: next batch, run, sample, done.
func (e *Engine) loop() {
	defer close(e.done)
	for {
		events, closed := e.take()
		if closed {
			e.end(events)
			return
		}
		batch, actions := e.scheduler.tick(time.Since(e.started), events)
		err := e.perform(actions)
		e.count(batch)
		switch {
		case err != nil:
			e.post(event{ran: &ran{err: err, lost: true}})
		case len(batch.Rows) == 0:
			<-e.wake
		default:
			result := e.run(batch)
			e.post(event{ran: &result})
		}
	}
}

// run runs a batch, chooses the next tokens of every sequence that wants some, and guesses at those behind them.
func (e *Engine) run(batch batch) ran {
	if len(batch.Wants) > len(e.desks) {
		runtime.Gosched() // what was chosen last is sent first: behind a long run nobody would have the processors to themselves
	}
	began := e.clock()
	err := e.machine.Forward(batch.Rows, batch.Pages)
	between := e.clock()
	if err != nil {
		return ran{err: err}
	}
	result := ran{items: e.chooseAll(batch.Wants)}
	chosen := e.clock()
	if e.machine.Drafts() {
		e.learn(batch, result.items, chosen.Sub(began))
		result.drafts, result.err = e.draft(batch, result.items)
	}
	e.drafting = e.clock().Sub(chosen)
	e.spend(between.Sub(began), chosen.Sub(between), e.drafting)
	return result
}

// bytes returns the bytes that a token adds to an answer.
func (e *Engine) bytes(id int32) []byte {
	b, ok := e.tokenizer.Bytes(id)
	if !ok || e.tokenizer.Control(id) {
		return nil
	}
	return b
}

// take empties the inbox.
func (e *Engine) take() (events []event, closed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	events, e.inbox = e.inbox, nil
	for _, x := range events {
		if x.fetched != nil {
			e.disk.took()
		}
	}
	return events, e.closed != nil
}

// post puts an event into the inbox.
func (e *Engine) post(event event) {
	e.mu.Lock()
	e.inbox = append(e.inbox, event)
	e.mu.Unlock()
	e.ring()
}

func (e *Engine) ring() {
	select {
	case e.wake <- struct{}{}:
	default: // it rings already
	}
}

// perform does what a tick wants done: it moves state, and hands progress, tokens and ends to their streams. Behind an error
// nothing is moved on the device, nor written.
func (e *Engine) perform(actions []action) (err error) {
	for _, a := range actions {
		switch {
		case a.move == nil:
			e.deliver(a)
		case err != nil && a.move.kind == writeFile:
			e.post(event{written: &written{a.move.file, err}})
		case err == nil || a.move.kind == readFile || a.move.kind == deleteFiles:
			err = errors.Join(err, e.move(a.move))
		}
	}
	return err
}

func (e *Engine) deliver(a action) {
	e.mu.Lock()
	s := e.streams[a.sequence]
	if a.finish != nil {
		delete(e.streams, a.sequence)
	}
	e.mu.Unlock()
	if s != nil {
		s.done.Store(max(s.done.Load(), int64(a.done)))
		s.put(a.item, a.finish)
	}
}

// end ends all streams that are left, and brings to disk what is known.
func (e *Engine) end(events []event) {
	e.mu.Lock()
	for q, s := range e.streams {
		s.put(nil, &Finish{Err: e.closed})
		events = append(events, event{cancel: q})
	}
	clear(e.streams)
	e.mu.Unlock()
	if e.disk == nil {
		return
	}
	for {
		_, actions := e.scheduler.tick(time.Since(e.started), events)
		if e.perform(actions) != nil || e.scheduler.writing == 0 {
			break
		}
		<-e.wake
		events, _ = e.take()
	}
	e.count(batch{})
	if err := e.disk.close(); err != nil {
		e.disk.log.Error("cache on disk not closed", "why", err)
	}
}

// Submit asks for the continuation of a prompt. It fails at once where the request is wrong or could never run.
func (e *Engine) Submit(prompt []int32, limits Limits) (*Stream, error) {
	q, err := newSequence(prompt, limits, e.machine.Model.Config.Vocab)
	if err != nil {
		return nil, err
	}
	if err := e.scheduler.fits(q); err != nil {
		return nil, err
	}
	s := &Stream{engine: e, sequence: q, news: make(chan struct{}, 1)}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed != nil:
		return nil, e.closed
	case e.options.Queue > 0 && len(e.streams) >= e.options.Queue:
		e.stats.Busy++
		return nil, fmt.Errorf("%w: %d requests, running and waiting: ask again later", ErrBusy, len(e.streams))
	}
	e.streams[q] = s
	e.inbox = append(e.inbox, event{submit: q})
	e.ring()
	return s, nil
}

// Close ends all answers and waits until the run that is going on is done. The machine is then free.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = ErrClosed
	e.mu.Unlock()
	e.ring()
	<-e.done
}

// Stream is an answer while it is made. One goroutine reads it.
type Stream struct {
	engine   *Engine
	sequence *sequence
	done     atomic.Int64 // tokens of the prompt

	mu    sync.Mutex
	items []Item // that were not read yet
	end   *Finish
	news  chan struct{}
}

func (s *Stream) put(item *Item, end *Finish) {
	s.mu.Lock()
	if item != nil {
		s.items = append(s.items, *item)
	}
	if end != nil {
		s.end = end
	}
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// Next waits for the next token. It returns false when there are no more, and Finish says why. When ctx ends, so does the
// answer.
func (s *Stream) Next(ctx context.Context) (Item, bool) {
	for {
		s.mu.Lock()
		if len(s.items) > 0 {
			item := s.items[0]
			s.items = s.items[1:]
			s.mu.Unlock()
			return item, true
		}
		ended := s.end != nil
		s.mu.Unlock()
		if ended {
			return Item{}, false
		}
		select {
		case <-s.news:
		case <-ctx.Done():
			s.Cancel()
			<-s.news
			ctx = context.WithoutCancel(ctx) // what is left is read to the end
		}
	}
}

// Progress tells how many tokens of the prompt have been run or found in memory, and how many there are.
func (s *Stream) Progress() (done, total int) { return int(s.done.Load()), s.sequence.prompt }

// Cancel ends the answer. Tokens that were made before can still be read.
func (s *Stream) Cancel() { s.engine.post(event{cancel: s.sequence}) }

// Finish says how the answer ended, after Next returned false.
func (s *Stream) Finish() Finish {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.end
}
