package engine

import (
	"errors"
	"fmt"
	"time"

	"baleen/internal/op"
)

// world is a scheduler, its device, and what has happened to every sequence.
type world struct {
	*Scheduler
	toy    *toy
	now    time.Duration
	batch  Batch
	events []Event
	names  map[*Sequence]string
	order  []*Sequence
	sent   map[*Sequence][]Item
	ends   map[*Sequence]*Finish
}

func newWorld(caps op.Caps) *world {
	return &world{Scheduler: NewScheduler(caps), toy: newToy(caps), names: map[*Sequence]string{},
		sent: map[*Sequence][]Item{}, ends: map[*Sequence]*Finish{}}
}

func (w *world) submit(name string, prompt []int32, limits Limits) (*Sequence, error) {
	q, err := NewSequence(prompt, limits, toyVocab)
	if err == nil {
		w.names[q] = name
		w.order = append(w.order, q)
		w.events = append(w.events, Event{Submit: q})
	}
	return q, err
}

// tick gives the events to the scheduler and checks everything that must hold.
func (w *world) tick() ([]Action, error) {
	w.now += time.Second
	batch, actions := w.Tick(w.now, w.events)
	w.events = nil
	for _, a := range actions {
		if w.ends[a.Sequence] != nil {
			return nil, fmt.Errorf("%s: an action after its end", w.names[a.Sequence])
		}
		if a.Item != nil {
			w.sent[a.Sequence] = append(w.sent[a.Sequence], *a.Item)
		}
		if a.Finish != nil {
			w.ends[a.Sequence] = a.Finish
		}
	}
	for q := range w.ends {
		if q.state != finished || q.slot != -1 || q.length != 0 || len(q.pages.Pages()) > 0 {
			return nil, fmt.Errorf("%s has ended: %v in slot %d, length %d, pages %v", w.names[q], q.state, q.slot, q.length, q.pages.Pages())
		}
	}
	w.batch = batch
	if err := w.checkBatch(); err != nil {
		return nil, err
	}
	return actions, w.valid()
}

// checkBatch checks the rows against the sequences, and that every running one goes on.
func (w *world) checkBatch() error {
	if len(w.batch.Rows) == 0 {
		if len(w.out) == 0 && len(w.running)+len(w.waiting) > 0 {
			return errors.New("nothing runs, and somebody waits")
		}
		return nil
	}
	bySlot := map[int32]*Sequence{}
	next := map[int32]int{}
	for _, q := range w.running {
		bySlot[q.slot], next[q.slot] = q, q.length
	}
	for i, r := range w.batch.Rows {
		q := bySlot[r.Slot]
		if q == nil || int(r.Position) != next[r.Slot] || q.tokens[r.Position] != r.Token || r.Logits != (int(r.Position) == len(q.tokens)-1) {
			return fmt.Errorf("row %d is wrong: %+v", i, r)
		}
		next[r.Slot]++
	}
	for slot, q := range bySlot {
		if next[slot] == q.length {
			return fmt.Errorf("%s runs and gets no row", w.names[q])
		}
	}
	return nil
}

// ran runs the batch that is out and makes its event.
func (w *world) ran() error {
	items, err := w.toy.run(w.batch)
	w.events = append(w.events, Event{Ran: &Ran{Items: items}})
	return err
}

func (w *world) busy() bool { return len(w.events)+len(w.running)+len(w.waiting)+len(w.batch.Rows) > 0 }
