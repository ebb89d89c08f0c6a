package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Stats say what an engine does now and has done so far.
type Stats struct {
	// Now.
	Running, Waiting int // requests
	Rows             int // of the batch that runs: tokens
	Slots, Pages     int // that there are
	FreePages        int
	Remembered       int   // pages of prefixes, some of them in use
	Checkpoints      int   // in memory
	CheckpointBytes  int64 // of them
	DiskBytes        int64 // of files

	Drafts bool // guesses are made at next tokens, while that pays

	// Since the start.
	Submitted, Busy    uint64 // requests; refused because the engine was busy
	Stopped            uint64 // answers that ended by a stop token or string
	AtMaxTokens        uint64 // that have as many tokens as were asked for
	AtContext          uint64 // that have no room for more
	Cancelled, Failed  uint64
	Preempted          uint64 // times that a sequence was put back for want of pages
	Prompt, Answer     uint64 // tokens: of prompts, that were run; of answers
	Cached             uint64 // tokens of prompts that were answered from memory or disk
	Awaited            uint64 // of these, those that another request was computing
	Evicted            uint64 // pages of prefixes
	Read, Written      uint64 // files
	Refused, Unwritten uint64 // files that were no good; that could not be written
	Batches, BatchRows uint64
	Forward, Sampling  time.Duration // time in the model, and in reading its logits and choosing tokens
	Drafting           time.Duration // time in the drafter

	Drafted, Accepted Places // guesses that the model verified, and those of them that stood
}

// Places counts guesses by their place in a draft. A config bounds the block of a drafter by so many.
type Places [64]uint64

// Sum adds up all places.
func (p *Places) Sum() (n uint64) {
	for _, count := range p {
		n += count
	}
	return n
}

// String shows the places that count something.
func (p Places) String() string {
	last := len(p)
	for last > 0 && p[last-1] == 0 {
		last--
	}
	return fmt.Sprint(p[:last])
}

// ended counts an end.
func (s *Stats) ended(f *Finish) {
	switch {
	case errors.Is(f.Err, context.Canceled):
		s.Cancelled++
	case f.Err != nil:
		s.Failed++
	case f.Reason == AtMaxTokens:
		s.AtMaxTokens++
	case f.Reason == AtContext:
		s.AtContext++
	default:
		s.Stopped++
	}
}

// counts returns what the scheduler has now and has counted.
func (s *scheduler) counts() Stats {
	n := s.stats
	n.Running, n.Waiting = len(s.running), len(s.waiting)
	n.Slots, n.Pages, n.FreePages = len(s.running)+len(s.free), s.pages, s.pool.Free()
	c := s.tree.Counts()
	n.Remembered, n.Checkpoints, n.CheckpointBytes, n.DiskBytes, n.Evicted = c.Pages, c.Checkpoints, c.Memory, c.Disk, c.Evicted
	return n
}

// Stats returns a snapshot: that of the last batch.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}

// count makes the snapshot before a batch runs.
func (e *Engine) count(batch batch) {
	n := e.scheduler.counts()
	e.mu.Lock()
	defer e.mu.Unlock()
	own := e.stats
	n.Busy, n.Forward, n.Sampling, n.Drafting = own.Busy, own.Forward, own.Sampling, own.Drafting
	n.Drafts, n.Drafted, n.Accepted = own.Drafts, own.Drafted, own.Accepted
	n.Batches, n.BatchRows, n.Rows = own.Batches, own.BatchRows, len(batch.Rows)
	if n.Rows > 0 {
		n.Batches++
		n.BatchRows += uint64(n.Rows)
	}
	e.stats = n
}

// spend counts the time of a batch.
func (e *Engine) spend(forward, sampling, drafting time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.Forward += forward
	e.stats.Sampling += sampling
	e.stats.Drafting += drafting
}
