// Package engine runs sequences: it puts a model on a device, decides which tokens run next, runs them, and samples. It
// knows tokens and their bytes, and no text, chat or wire form.
//
//	limits.go, sequence.go   one request: what was asked, how far it is
//	scheduler.go, batch.go   which tokens run next: a pure state machine
//	sample.go, stop.go       the next token, and the end
//	machine.go, score.go     a model placed on a device; what it gives at every position
//	engine.go                the loop
package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"baleen/internal/token"
)

// ErrClosed ends the streams of an engine that was closed.
var ErrClosed = errors.New("engine closed: the answer is not complete: ask again")

// Engine makes answers on a machine. One goroutine of its own owns the machine and the scheduler; the other methods may be
// called from anywhere. It knows tokens and their bytes, and no text.
type Engine struct {
	machine   *Machine
	tokenizer *token.Tokenizer
	scheduler *Scheduler
	started   time.Time
	logits    []float32 // of one row
	workspace *workspace

	mu      sync.Mutex
	inbox   []Event // since the last tick
	streams map[*Sequence]*Stream
	closed  error // why nothing more is taken

	wake chan struct{} // something is in the inbox
	done chan struct{} // the loop has ended
}

// Start starts an engine on a machine, which is the engine's from now on. A token that the tokenizer does not have gives
// no bytes, nor does a control token.
func Start(m *Machine, t *token.Tokenizer) *Engine {
	vocab := m.Model.Config.Vocab
	e := &Engine{
		machine: m, tokenizer: t, scheduler: NewScheduler(m.Caps), started: time.Now(),
		logits: make([]float32, vocab), workspace: newWorkspace(vocab), streams: map[*Sequence]*Stream{},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go e.loop()
	return e
}

// loop is the engine's heart: next batch, run, sample, done.
func (e *Engine) loop() {
	defer close(e.done)
	for {
		events, closed := e.take()
		batch, actions := e.scheduler.Tick(time.Since(e.started), events)
		e.deliver(actions)
		switch {
		case closed:
			e.end()
			return
		case len(batch.Rows) == 0:
			<-e.wake
		default:
			ran := e.run(batch)
			e.post(Event{Ran: &ran})
		}
	}
}

// run runs a batch and chooses the next token of every sequence that wants one.
func (e *Engine) run(batch Batch) Ran {
	if err := e.machine.Forward(batch.Rows, batch.Pages); err != nil {
		return Ran{Err: err}
	}
	ran := Ran{Items: make([]Item, len(batch.Wants))}
	for i, q := range batch.Wants {
		if err := e.machine.Logits(i, e.logits); err != nil {
			return Ran{Err: err}
		}
		item, err := q.sampler.next(e.logits, e.workspace)
		if err != nil {
			item.Err = err
		} else {
			item.Bytes = e.bytes(item.Token)
		}
		ran.Items[i] = item
	}
	return ran
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
func (e *Engine) take() (events []Event, closed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	events, e.inbox = e.inbox, nil
	return events, e.closed != nil
}

// post puts an event into the inbox.
func (e *Engine) post(event Event) {
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

// deliver hands tokens and ends to their streams.
func (e *Engine) deliver(actions []Action) {
	for _, a := range actions {
		e.mu.Lock()
		s := e.streams[a.Sequence]
		if a.Finish != nil {
			delete(e.streams, a.Sequence)
		}
		e.mu.Unlock()
		s.put(a.Item, a.Finish)
	}
}

// end ends all streams that are left.
func (e *Engine) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.streams {
		s.put(nil, &Finish{Err: e.closed})
	}
	clear(e.streams)
}

// Submit asks for the continuation of a prompt. It fails at once where the request is wrong or could never run.
func (e *Engine) Submit(prompt []int32, limits Limits) (*Stream, error) {
	q, err := NewSequence(prompt, limits, e.machine.Model.Config.Vocab)
	if err != nil {
		return nil, err
	}
	if err := e.scheduler.Fits(q); err != nil {
		return nil, err
	}
	s := &Stream{engine: e, sequence: q, news: make(chan struct{}, 1)}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed != nil {
		return nil, e.closed
	}
	e.streams[q] = s
	e.inbox = append(e.inbox, Event{Submit: q})
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
	sequence *Sequence

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

// Cancel ends the answer. Tokens that were made before can still be read.
func (s *Stream) Cancel() { s.engine.post(Event{Cancel: s.sequence}) }

// Finish says how the answer ended, after Next returned false.
func (s *Stream) Finish() Finish {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.end
}
