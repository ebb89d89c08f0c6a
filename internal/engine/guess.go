package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"baleen/internal/op"
)

// This part of the engine's loop speculates: it compares what was guessed with what comes out, and behind what comes out it
// makes new guesses, as many as are worth their time.

// choose chooses the next tokens of a sequence from its rows of the last run: one, and one more for each guess that stands.
func (e *Engine) choose(w want, d *desk) []Item {
	row := func(i int) ([]float32, error) {
		e.reading.Lock()
		defer e.reading.Unlock()
		return d.logits, e.machine.Logits(w.first+i, d.logits)
	}
	items := w.sampler.follow(w.guesses, row, w.left(e.scheduler.context), w.ends, d.workspace)
	for i := range items {
		if items[i].Err == nil {
			items[i].Bytes = e.bytes(items[i].Token)
		}
	}
	return items
}

// desk is what one goroutine needs to choose tokens with.
type desk struct {
	logits    []float32 // of one row
	workspace *workspace
}

func newDesks(vocab int) []*desk {
	list := make([]*desk, runtime.NumCPU())
	for i := range list {
		list[i] = &desk{make([]float32, vocab), newWorkspace(vocab)}
	}
	return list
}

// chooseAll does so for all sequences of a batch. Several goroutines share them, since no choice depends on another's.
func (e *Engine) chooseAll(list []want) [][]Item {
	const worth = 2 // choices, for a goroutine
	items := make([][]Item, len(list))
	var taken atomic.Int64
	work := func(d *desk) {
		for i := int(taken.Add(1)) - 1; i < len(list); i = int(taken.Add(1)) - 1 {
			items[i] = e.choose(list[i], d)
		}
	}
	var others sync.WaitGroup
	for n := 1; n < min(len(e.desks), len(list)/worth); n++ {
		others.Go(func() { work(e.desks[n]) })
	}
	work(e.desks[0])
	others.Wait()
	return items
}

// anchor is where a sequence is guessed at: behind its last token.
type anchor struct {
	want
	index   int // of batch.Wants
	row     int // of the batch: the last that stands
	most    int // guesses that there is room for
	guesses []int32
	scores  []float32
}

// draft brings the drafter up to what stands after a run, and makes guesses for each of batch.Wants; while it rests,
// none.
func (e *Engine) draft(b batch, items [][]Item) (drafts [][]int32, err error) {
	if e.profit.rests() {
		return nil, nil
	}
	rows, list := e.anchors(b, items)
	var starts []beginning
	var some []*anchor
	for i, length := range e.lengths(list, func(a *anchor) []float64 { return a.accepted.chances()[:a.most] }) {
		if length > 0 {
			starts, some = append(starts, beginning{list[i].row, length}), append(some, list[i])
		}
	}
	guesses, scores, err := e.machine.drafter.draft(rows, starts, func(i, place int, logits []float32) int32 {
		return some[i].sampler.guess(logits, place, e.desks[0].workspace)
	})
	if err != nil {
		return nil, err
	}
	for i, a := range some {
		a.guesses = untilEnd(guesses[i], a.ends)
		if scores != nil {
			a.scores = scores[i][:len(a.guesses)]
		}
	}
	if scores != nil {
		for i, length := range e.lengths(list, func(a *anchor) []float64 { return a.accepted.sure(a.scores) }) {
			list[i].guesses = list[i].guesses[:length]
		}
	}
	drafts = make([][]int32, len(b.Wants))
	for _, a := range list {
		drafts[a.index] = a.guesses
	}
	return drafts, nil
}

// lengths returns how many guesses of each are worth their time.
func (e *Engine) lengths(list []*anchor, chances func(*anchor) []float64) []int {
	all := make([][]float64, len(list))
	run, row := e.pace.costs()
	for i, a := range list {
		switch {
		case e.pace.plain():
		case e.pace.bold():
			all[i], row = chances(a), 0
			all[i] = all[i][:min(len(all[i]), 1)]
		default:
			all[i] = chances(a)
		}
	}
	return worth(all, run, row, e.scheduler.spare())
}

// anchors returns the rows of a batch, with the token after each that stands in the place of its own, and the sequences that
// go on.
func (e *Engine) anchors(b batch, items [][]Item) (rows []op.Row, list []*anchor) {
	rows = make([]op.Row, 0, len(b.Rows))
	wants := b.Wants
	for _, p := range b.parts {
		q, first := p.sequence, len(rows)
		var chosen []Item
		if len(wants) > 0 && wants[0].sequence == q {
			chosen, wants = items[len(b.Wants)-len(wants)], wants[1:]
		}
		rows = append(rows, b.Rows[first:first+p.rows]...)
		stand := 0
		for i := first; i < len(rows); i++ {
			next := int(rows[i].Position) + 1
			switch behind := next - len(q.tokens); {
			case behind < 0:
				rows[i].Token = q.tokens[next]
			case behind < len(chosen) && chosen[behind].Err == nil:
				rows[i].Token, stand = chosen[behind].Token, i
			}
		}
		if n := len(chosen); n > 0 && chosen[n-1].Err == nil && !q.ends(chosen[n-1].Token) {
			w := b.Wants[len(b.Wants)-len(wants)-1]
			if w.accepted == nil {
				w.accepted = newAcceptance(e.machine.drafter.places())
			}
			list = append(list, &anchor{want: w, index: len(b.Wants) - len(wants) - 1, row: stand, most: e.room(p, n)})
		}
	}
	return rows, list
}

// room is how many guesses there is room for behind so many new tokens of a sequence: none that the scheduler would cut, nor where
// a whole draft would reach beyond the context. Rings have room for the rows of one run ahead of what is saved of them; so
// those that a sequence ran and those of a draft may not be more.
func (e *Engine) room(p part, chosen int) int {
	q, places, length := p.sequence, e.machine.drafter.places(), len(p.sequence.tokens)+chosen
	if p.rows+places > e.machine.Caps.Rows || length+places > e.machine.Caps.Context {
		return 0
	}
	return max(min(places, q.room(e.scheduler.context)-chosen), 0)
}

// learn takes how the guesses of a batch went, and how long it took to run it and to choose its tokens.
func (e *Engine) learn(b batch, items [][]Item, took time.Duration) {
	rests, tokens := e.profit.rests(), 0
	for _, some := range items {
		tokens += len(some)
	}
	if len(b.Wants) > 0 && len(b.parts) == len(b.Wants) && b.logits == len(b.Rows) { // no prompt runs
		whole := 0.0
		if !rests {
			whole = e.pace.observe(len(b.Rows), (took + e.drafting).Seconds())
		}
		e.profit.observe(len(b.Wants), len(b.Rows), tokens, took.Seconds(), whole)
	}
	if rests {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, w := range b.Wants {
		stood := w.stood(items[i])
		if w.accepted != nil {
			w.accepted.observe(len(w.guesses), stood)
		}
		for k := range w.guesses {
			e.stats.Drafted[k]++
		}
		for k := range stood {
			e.stats.Accepted[k]++
		}
	}
}

// stood returns how many of the guesses came out.
func (w want) stood(items []Item) (n int) {
	for n < min(len(w.guesses), len(items)) && items[n].Err == nil && items[n].Token == w.guesses[n] {
		n++
	}
	return n
}
