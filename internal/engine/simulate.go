package engine

import (
	"encoding/binary"
	"time"

	"baleen/internal/kv"
	"baleen/internal/op"
)

// Simulation drives the scheduler without a machine: requests come at given times, the caller says when a batch is done, and
// every token is the same. What runs together, waits, is remembered, evicted and put back is decided by the scheduler that
// serves, for which a token's value means nothing.
//
// The caller alternates: Submit what comes while a batch runs, Tick when it is done. State that the scheduler wants moved is
// there at once; Moved says how much it is.
type Simulation struct {
	// The batch that runs now; all is 0 when there is none.
	Decoding      int   // sequences that get a further token of their answer, a row each
	Context       int   // tokens that those rows see, all together
	Prompts       int   // sequences whose prompt is run
	PromptRows    int   // rows of them
	PromptContext int   // tokens that those rows see, all together
	First         int   // of Prompts, those that get the first token of their answer from it
	Moved         int64 // bytes of checkpoints and pages moved before it, to and fro

	scheduler *scheduler
	limits    kv.Limits
	submitted uint64
	events    []event // for the next tick
	got       []want  // a token from the last
	items     [][]Item
	item      []Item  // all of items
	zeros     []int32 // the tokens of every request
	ended     []*sequence
	room      []*sequence // for those that end next
	spare     []*sequence // to be used again
}

// NewSimulation returns one of a machine of the given capacities, each at least 1, that remembers within limits.
func NewSimulation(caps op.Caps, l kv.Limits) *Simulation {
	s := &Simulation{scheduler: newScheduler(caps, l), limits: l, item: make([]Item, 1)}
	s.scheduler.bare = true
	return s
}

// Submit asks for an answer of so many tokens, at least 1, to a prompt of so many, at least 1. Its tokens, those of the answer
// too, are as far as shared those of a text, which is named by a number; behind that they are nobody else's. So a conversation
// is a text, each turn of which is shared wholly; and one of 0 shared tokens finds nothing. Requests are numbered from 0. It
// must be called in order of time; where nothing runs, Tick must follow at the same time.
func (s *Simulation) Submit(at time.Duration, text uint64, shared, prompt, answer int) {
	q := s.sequence(prompt, answer)
	s.submitted++
	s.name(q, text, shared)
	s.events = append(s.events, event{submit: q})
	if s.scheduler.out != nil {
		_, actions := s.scheduler.tick(at, s.take())
		s.perform(actions)
	}
}

// sequence returns a request that is as newSequence makes one without any limit but the number of tokens.
func (s *Simulation) sequence(prompt, answer int) *sequence {
	longest := s.scheduler.context
	length := min(prompt, longest) // one that is longer never runs
	if answer < longest-length {
		longest = length + answer
	}
	if len(s.zeros) < longest {
		s.zeros = make([]int32, 2*longest)
	}
	if len(s.spare) == 0 {
		s.spare = append(s.spare, &sequence{stopper: newStopper(nil)})
	}
	last := len(s.spare) - 1
	q := s.spare[last]
	s.spare = s.spare[:last]
	*q = sequence{tokens: s.zeros[:length:longest], prompt: prompt, slot: -1, prefixes: q.prefixes[:0], stopper: q.stopper}
	q.limits.MaxTokens = answer
	return q
}

// name gives a sequence the names of all its prefixes. Two are the same if and only if their tokens are to be, as those that
// are hashed from tokens are.
func (s *Simulation) name(q *sequence, text uint64, shared int) {
	for page := range cap(q.tokens) / kv.PageSize {
		var id kv.ID
		binary.LittleEndian.PutUint32(id[24:], uint32(page))
		of := s.submitted
		if (page+1)*kv.PageSize <= shared {
			of, id[28] = text, 1
		}
		binary.LittleEndian.PutUint64(id[16:], of)
		spread := (of<<20 + uint64(page)<<1 + uint64(id[28])) * 0x9e3779b97f4a7c15 // what the table looks at
		binary.LittleEndian.PutUint64(id[:], spread^spread>>32)
		q.prefixes = append(q.prefixes, id)
	}
}

// Tick ends the batch that runs, with a token for each of its sequences that wants one, and begins the next. Where nothing
// runs, it begins what can.
func (s *Simulation) Tick(now time.Duration) {
	s.Moved = 0
	s.got = append(s.got[:0], s.scheduler.wants...)
	if s.scheduler.out != nil {
		for len(s.items) < len(s.scheduler.wants) {
			s.items = append(s.items, s.item)
		}
		s.events = append(s.events, event{ran: &ran{items: s.items[:len(s.scheduler.wants)]}})
	}
	batch, actions := s.scheduler.tick(now, s.take())
	s.perform(actions)
	for len(batch.parts) == 0 && len(s.events) > 0 { // files have come
		batch, actions = s.scheduler.tick(now, s.take())
		s.perform(actions)
	}
	s.describe(&batch)
}

// take returns the events for a tick.
func (s *Simulation) take() []event {
	events := s.events
	s.events = s.events[:0]
	return events
}

// perform answers moves, and notes who has ended.
func (s *Simulation) perform(actions []action) {
	for i := range actions {
		switch a := &actions[i]; {
		case a.move != nil:
			s.move(a.move)
		case a.finish != nil:
			s.ended = append(s.ended, a.sequence)
		}
	}
}

func (s *Simulation) move(m *move) {
	size := s.limits.Page
	switch m.kind {
	case saveCheckpoint, loadCheckpoint:
		size = s.limits.Checkpoint
	case readFile, writeFile:
		if m.file.Checkpoint {
			size = s.limits.Checkpoint
		}
		if m.kind == readFile {
			s.events = append(s.events, event{fetched: &fetched{file: m.file}})
		} else {
			s.events = append(s.events, event{written: &written{file: m.file}})
		}
	case loadPage, deleteFiles:
		return // counted when it was read; no bytes
	}
	s.Moved += size
}

// describe adds up what a batch runs.
func (s *Simulation) describe(b *batch) {
	s.Decoding, s.Context, s.Prompts, s.PromptRows, s.PromptContext = 0, 0, 0, 0, 0
	for i := range b.parts {
		q, rows := b.parts[i].sequence, b.parts[i].rows
		if rows == 1 && q.length >= q.prompt {
			s.Decoding++
			s.Context += q.length + 1
			continue
		}
		s.Prompts++
		s.PromptRows += rows
		s.PromptContext += rows*q.length + rows*(rows+1)/2
	}
	s.First = len(b.Wants) - s.Decoding
}

// Tokens yields the requests that the last Tick gave a token, in the scheduler's order, and how far they are. It was the first
// where f.First is the time of the tick, and the last where f.Ended is not 0.
func (s *Simulation) Tokens(yield func(request int, f *Finish) bool) {
	for _, w := range s.got {
		if !yield(int(w.arrival)-1, &w.end) {
			return
		}
	}
}

// Ended yields the requests that have ended since it was called last, also those that could never run (f.Err).
func (s *Simulation) Ended(yield func(request int, f *Finish) bool) {
	ended := s.ended
	s.ended, s.room = s.room[:0], ended
	for i, q := range ended {
		if !yield(int(q.arrival)-1, &q.end) {
			s.ended = append(ended[i+1:], s.ended...)
			return
		}
		s.spare = append(s.spare, q)
	}
}

// Waiting returns how many requests wait for a slot and pages.
func (s *Simulation) Waiting() int { return len(s.scheduler.waiting) }
