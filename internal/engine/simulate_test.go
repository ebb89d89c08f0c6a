package engine

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"baleen/internal/op"
)

// ticks runs a simulation until nothing is there, a second a tick, and returns what became of its requests.
func (s *Simulation) ticks(t *testing.T) map[int]Finish {
	t.Helper()
	ends := map[int]Finish{}
	for now := time.Second; ; now += time.Second {
		s.Tick(now)
		for request, f := range s.Ended {
			ends[request] = *f
		}
		if s.Decoding+s.Prompts == 0 {
			if s.Waiting() > 0 {
				t.Fatalf("%d wait and nothing runs", s.Waiting())
			}
			return ends
		}
	}
}

// What a batch is, counted by hand: a prompt of 300 in batches of 200, then its answer, joined by a second prompt.
func TestSimulatedBatches(t *testing.T) {
	s := NewSimulation(op.Caps{Rows: 200, Slots: 2, Pages: 16, Context: 1500}, toyLimits(20, 0))
	type numbers struct{ decoding, context, prompts, rows, rowContext, first int }
	expect := func(want numbers) {
		t.Helper()
		if got := (numbers{s.Decoding, s.Context, s.Prompts, s.PromptRows, s.PromptContext, s.First}); got != want {
			t.Errorf("batch %+v, expected %+v", got, want)
		}
	}
	tokens := func(now time.Duration) (text string) {
		for request, f := range s.Tokens {
			text += fmt.Sprintf("%d first=%v ended=%v;", request, f.First == now, f.Ended == now)
		}
		return text
	}
	s.Submit(1, 0, 0, 300, 3)
	s.Tick(1)
	expect(numbers{0, 0, 1, 200, 200 * 201 / 2, 0})
	s.Submit(2, 0, 0, 10, 1)
	s.Tick(3)
	expect(numbers{0, 0, 2, 110, 300*301/2 - 200*201/2 + 55, 2})
	s.Tick(4)
	expect(numbers{1, 301, 0, 0, 0, 0})
	if got := tokens(4); got != "1 first=true ended=true;0 first=true ended=false;" {
		t.Error(got)
	}
	s.Tick(5)
	expect(numbers{1, 302, 0, 0, 0, 0})
	s.Tick(6)
	expect(numbers{})
	if got := tokens(6); got != "0 first=false ended=true;" {
		t.Error(got)
	}
	var ends []Finish
	for _, f := range s.Ended {
		ends = append(ends, Finish{Submitted: f.Submitted, Started: f.Started, First: f.First, Ended: f.Ended, Reason: f.Reason})
	}
	want := []Finish{{Submitted: 2, Started: 3, First: 4, Ended: 4, Reason: AtMaxTokens}, {Submitted: 1, Started: 1, First: 4, Ended: 6, Reason: AtMaxTokens}}
	if !reflect.DeepEqual(ends, want) {
		t.Errorf("ends %+v, expected %+v", ends, want)
	}
}

// Two conversations come back. After 300 tokens of prompt and 100 of answer, 399 were run: three pages of 128 are complete, so
// 384 tokens of the next prompt are known, if nobody took the pages. A text that only begins alike, for 300 tokens, is known
// as far as there is state: 256, where the first prompt ended.
//
// In 8 pages, both first turns leave 3. The second of text 1 knows its 3 and wants 4 more: 2 are free, and 2 of text 2 go, the
// deeper ones. What is left of text 2 is a page without state: its second turn knows nothing, but saves state there, at 128,
// since the ways could part there again. That is where the next one begins.
func TestSimulatedConversations(t *testing.T) {
	for _, c := range []struct {
		pages int
		want  []int
	}{
		{100, []int{0, 0, 384, 384, 256, 0}},
		{8, []int{0, 0, 384, 0, 128, 0}},
	} {
		s := NewSimulation(op.Caps{Rows: 1000, Slots: 1, Pages: c.pages, Context: 1000}, toyLimits(20, 0))
		for _, turn := range []struct {
			text           uint64
			shared, prompt int
		}{{1, 400, 300}, {2, 400, 300}, {1, 1000, 700}, {2, 1000, 700}, {2, 300, 500}, {3, 0, 300}} {
			s.Submit(1, turn.text, turn.shared, turn.prompt, 100)
		}
		ends := s.ticks(t)
		for i, want := range c.want {
			if ends[i].Cached != want || ends[i].Err != nil {
				t.Errorf("%d pages: request %d: %d tokens known, expected %d: %v", c.pages, i, ends[i].Cached, want, ends[i].Err)
			}
		}
	}
}

// What is moved, by hand: a checkpoint saved at 256 and one at 384; loaded at 384 by the next turn, which saves one at 512.
func TestSimulatedMoves(t *testing.T) {
	limits := toyLimits(20, 0)
	s := NewSimulation(op.Caps{Rows: 1000, Slots: 1, Pages: 20, Context: 1000}, limits)
	moved := int64(0)
	for turn, prompt := range []int{300, 600} {
		s.Submit(1, 1, 1000, prompt, 100)
		for s.Tick(1); ; s.Tick(1) {
			moved += s.Moved
			if s.Decoding+s.Prompts == 0 {
				break
			}
		}
		if want := []int64{2, 5}[turn] * limits.Checkpoint; moved != want { // 600 and 100: at 512 and 640
			t.Errorf("turn %d: %d bytes moved, expected %d", turn, moved, want)
		}
	}
}

// A prompt that can never run is told so, without room for it being made; a number of the answer beyond the context ends there.
func TestSimulatedTooLong(t *testing.T) {
	s := NewSimulation(op.Caps{Rows: 64, Slots: 2, Pages: 2, Context: 200}, toyLimits(2, 0))
	s.Submit(1, 0, 0, 1<<60, 1<<60)
	s.Submit(1, 0, 0, 100, 1<<60)
	ends := s.ticks(t)
	if ends[0].Err == nil || ends[1].Err != nil || ends[1].Reason != AtContext || len(s.zeros) > 1000 {
		t.Errorf("%+v, %d tokens of room", ends, len(s.zeros))
	}
}

// The simulation decides as the scheduler does that serves: the same requests, in a world with tokens, pages that hold them and
// files, give the same batches and the same order of tokens. Conversations return, memory is short, and some are put back.
func TestSimulationIsScheduler(t *testing.T) {
	var sum Stats
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 21))
		caps := op.Caps{Rows: 8 + r.IntN(200), Slots: 1 + r.IntN(6), Pages: 8 + r.IntN(12), Context: 1000}
		pace, longest := 2+r.IntN(30), []int{60, 300}[r.IntN(2)]
		limits := toyLimits(r.IntN(9), r.IntN(2)*r.IntN(60))
		w, s := newWorld(caps, limits), NewSimulation(caps, limits)
		talks := map[int][]*sequence{} // the turns of each conversation
		for step, submitted := 0, 0; submitted < 12 || w.busy(); step++ {
			for submitted < 12 && r.IntN(pace) == 0 {
				text := r.IntN(4 + submitted) // never are all of them too long
				prompt, answer := numbers(1+r.IntN(longest), text+1), 1+r.IntN(400)
				if n := len(talks[text]); n > 0 {
					last := talks[text][n-1]
					if last.state != finished || len(last.tokens) > 600 {
						continue
					}
					prompt = slices.Concat(last.tokens, prompt)
				}
				for range 1 + r.IntN(4)/3 { // some twice, as who wants two answers does
					q, err := w.submit(fmt.Sprint(submitted), prompt, Limits{MaxTokens: answer})
					if err != nil {
						t.Fatal(err)
					}
					talks[text] = append(talks[text], q)
					s.Submit(w.now, uint64(text), caps.Context, len(prompt), answer)
					submitted++
				}
			}
			order, err := w.nextBatch()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			s.Tick(w.now)
			if err := sameBatch(w, s, order); err != nil {
				t.Fatalf("seed %d: batch %d: %v", seed, step, err)
			}
		}
		n, m := w.counts(), s.scheduler.counts()
		if n != m {
			t.Fatalf("seed %d: %+v, simulated %+v", seed, n, m)
		}
		sum.Cached, sum.Awaited, sum.Preempted, sum.Evicted, sum.Read = sum.Cached+n.Cached, sum.Awaited+n.Awaited, sum.Preempted+n.Preempted, sum.Evicted+n.Evicted, sum.Read+n.Read
	}
	t.Logf("%+v", sum)
	if min(sum.Cached, sum.Awaited, sum.Preempted, sum.Evicted, sum.Read) < 20 {
		t.Errorf("too little happened: %+v", sum)
	}
}

// nextBatch ends the batch that runs and ticks until there is another, or nothing to do. It returns who got a token, by number.
func (w *world) nextBatch() (order []int, err error) {
	if len(w.batch.Rows) > 0 {
		if err := w.ran(); err != nil {
			return nil, err
		}
	}
	for {
		actions, err := w.tick()
		if err != nil {
			return nil, err
		}
		for _, a := range actions {
			if a.item != nil {
				order = append(order, int(a.sequence.arrival)-1)
			}
		}
		w.tell(len(w.files), func() bool { return false })
		if len(w.batch.Rows) > 0 || len(w.events) == 0 {
			return order, nil
		}
	}
}

// sameBatch compares what runs, where it lies, and who got a token before.
func sameBatch(w *world, s *Simulation, order []int) error {
	describe := func(s *scheduler) (list []string) {
		for _, p := range s.out {
			q := p.sequence
			list = append(list, fmt.Sprintf("request %d: %d rows at %d of %d, slot %d, pages %v", q.arrival-1, p.rows, q.length, len(q.tokens), q.slot, q.pages.Pages()))
		}
		return append(list, fmt.Sprintf("%d wait, %d pages are free", len(s.waiting), s.pool.Free()))
	}
	if want, got := describe(w.scheduler), describe(s.scheduler); !slices.Equal(want, got) {
		return fmt.Errorf("simulated %q, expected %q", got, want)
	}
	var simulated []int
	for request := range s.Tokens {
		simulated = append(simulated, request)
	}
	if !slices.Equal(simulated, order) {
		return fmt.Errorf("simulated order of tokens %v, expected %v", simulated, order)
	}
	return nil
}
