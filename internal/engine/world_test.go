package engine

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"baleen/internal/kv"
	"baleen/internal/op"
)

// world is a scheduler, its device, and what has happened to every sequence.
type world struct {
	*scheduler
	toy    *toy
	now    time.Duration
	batch  batch
	events []event
	names  map[*sequence]string
	order  []*sequence
	sent   map[*sequence][]Item
	ends   map[*sequence]*Finish

	guesses         func() (right, wrong int) // how many to draft; nil is no speculation
	verified, stood int                       // guesses

	disk  map[kv.Entry][]byte
	files []event // what the disk will tell
}

func newWorld(caps op.Caps, l kv.Limits) *world {
	return &world{disk: map[kv.Entry][]byte{}, scheduler: newScheduler(caps, l), toy: newToy(caps), names: map[*sequence]string{},
		sent: map[*sequence][]Item{}, ends: map[*sequence]*Finish{}}
}

func (w *world) submit(name string, prompt []int32, limits Limits) (*sequence, error) {
	q, err := newSequence(prompt, limits, toyVocab)
	if err == nil {
		w.names[q] = name
		w.order = append(w.order, q)
		w.events = append(w.events, event{submit: q})
	}
	return q, err
}

// tick gives the events to the scheduler and checks everything that must hold.
func (w *world) tick() ([]action, error) {
	w.now += time.Second
	batch, actions := w.scheduler.tick(w.now, w.events)
	w.events = nil
	for _, a := range actions {
		if a.move != nil {
			if err := w.move(a.move); err != nil {
				return nil, err
			}
			continue
		}
		if w.ends[a.sequence] != nil {
			return nil, fmt.Errorf("%s: an action after its end", w.names[a.sequence])
		}
		if a.item != nil {
			w.sent[a.sequence] = append(w.sent[a.sequence], *a.item)
		}
		if a.finish != nil {
			w.ends[a.sequence] = a.finish
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
		if len(w.out) == 0 && len(w.files) == 0 && len(w.running)+len(w.waiting) > 0 {
			return errors.New("nothing runs, and somebody waits")
		}
		return nil
	}
	guessed, bySlot := false, map[int32]*sequence{}
	next := map[int32]int{}
	for _, q := range w.running {
		bySlot[q.slot], next[q.slot] = q, q.length
	}
	for i, r := range w.batch.Rows {
		q := bySlot[r.Slot]
		if q == nil || int(r.Position) != next[r.Slot] || r.Logits != (int(r.Position) >= len(q.tokens)-1) {
			return fmt.Errorf("row %d is wrong: %+v", i, r)
		}
		next[r.Slot]++
		if behind := int(r.Position) - len(q.tokens); behind >= 0 {
			if behind >= len(q.guesses) || q.guesses[behind] != r.Token || int(r.Position) >= w.context-1 || q.limits.MaxTokens > 0 && int(r.Position) >= q.prompt+q.limits.MaxTokens-1 {
				return fmt.Errorf("row %d is a guess that may not run: %+v", i, r)
			}
			guessed = true
		} else if q.tokens[r.Position] != r.Token {
			return fmt.Errorf("row %d is wrong: %+v", i, r)
		}
	}
	for slot, q := range bySlot {
		if next[slot] == q.length != q.reading {
			return fmt.Errorf("%s gets a row: %v, reading: %v", w.names[q], next[slot] > q.length, q.reading)
		}
		if guessed && !q.reading && next[slot]-q.length < q.todo() {
			return fmt.Errorf("%s gets %d rows of %d, and guesses run", w.names[q], next[slot]-q.length, q.todo())
		}
	}
	return nil
}

// ran runs the batch that is out and makes its event.
func (w *world) ran() error {
	items, err := w.toy.run(w.batch)
	result := &ran{items: items}
	if w.guesses != nil && err == nil {
		result.drafts = w.toy.guess(w.batch, items, w.guesses)
		for i, want := range w.batch.Wants {
			w.verified, w.stood = w.verified+len(want.guesses), w.stood+len(items[i])-1
		}
	}
	w.events = append(w.events, event{ran: result})
	return err
}

// move does what is to be moved. What concerns files is done at once, but told later, by tell.
func (w *world) move(m *move) error {
	entry := kv.Entry{ID: m.id}
	if m.file.Node != nil {
		entry = m.file.Entry()
	}
	switch m.kind {
	case saveCheckpoint:
		m.blob.Data = w.toy.saveCheckpoint(m.slot, m.position)
	case loadCheckpoint:
		w.toy.loadCheckpoint(m.slot, m.position, m.blob.Data)
	case loadPage:
		w.toy.loadPage(m.page, m.data)
	case writeFile:
		w.disk[entry] = w.toy.savePage(m.page)
		if entry.Checkpoint {
			w.disk[entry] = m.blob.Data
		}
		w.files = append(w.files, event{written: &written{file: m.file}})
	case readFile:
		data, ok := w.disk[entry]
		if !ok {
			return fmt.Errorf("there is no file of depth %d", entry.Depth)
		}
		w.files = append(w.files, event{fetched: &fetched{file: m.file, data: data}})
	case deleteFiles:
		n := len(w.disk)
		maps.DeleteFunc(w.disk, func(e kv.Entry, _ []byte) bool { return e.ID == m.id })
		if n == len(w.disk) {
			return errors.New("nothing to delete")
		}
	}
	return nil
}

// tell lets the first n of the files that are under way come to their end. One that fails is gone.
func (w *world) tell(n int, fails func() bool) {
	for _, e := range w.files[:n] {
		switch {
		case !fails():
		case e.fetched != nil:
			delete(w.disk, e.fetched.file.Entry())
			e.fetched.err = errors.New("bad sum")
		case e.written != nil:
			delete(w.disk, e.written.file.Entry())
			e.written.err = errors.New("disk full")
		}
		w.events = append(w.events, e)
	}
	w.files = w.files[n:]
}

func (w *world) busy() bool {
	return len(w.files)+len(w.events)+len(w.running)+len(w.waiting)+len(w.batch.Rows) > 0
}
