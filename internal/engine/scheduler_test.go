package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"baleen/internal/op"

	"github.com/cockroachdb/datadriven"
)

// The scripts:
//
//	new rows=N slots=N pages=N context=N [checkpoints=N] [files=N]
//	submit name=a prompt=N [from=N] [max=N] [stop=string] [salt=string]   for the next tick
//	files [fail]                                   what is under way to and from disk has come, for the next tick
//	cancel name=a                                  for the next tick
//	tick [hold] [fail] [bad=a] [late=a] [times=N]  runs the last batch (not with hold), then ticks; shows the last of N; bad has an error for a token, late
//	                                               for the last of several
//	     [right=N] [wrong=N]                       behind the tokens that come, so many right guesses and then so many wrong ones
//	end [why]                                      ticks until all have ended, and shows how each did, with 40 bytes of text, or
//	                                               what was remembered of each prompt, and why no more
//
// The prompt is consecutive numbers. A tick shows its actions, its batch as ranges of positions ("!" where logits are wanted),
// and who waits.
func TestSchedulerScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scheduler", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				var caps op.Caps
				d.ScanArgs(t, "rows", &caps.Rows)
				d.ScanArgs(t, "slots", &caps.Slots)
				d.ScanArgs(t, "pages", &caps.Pages)
				d.ScanArgs(t, "context", &caps.Context)
				checkpoints, files := 20, 0
				d.MaybeScanArgs(t, "checkpoints", &checkpoints)
				d.MaybeScanArgs(t, "files", &files)
				w = newWorld(caps, toyLimits(checkpoints, files))
				return ""
			}
			return w.command(t, d)
		})
	})
}

func (w *world) command(t *testing.T, d *datadriven.TestData) string {
	var name, stop string
	var n, limit int
	from := len(w.order)
	d.MaybeScanArgs(t, "name", &name)
	switch d.Cmd {
	case "submit":
		d.ScanArgs(t, "prompt", &n)
		d.MaybeScanArgs(t, "max", &limit)
		limits := Limits{MaxTokens: limit}
		d.MaybeScanArgs(t, "salt", &limits.Salt)
		d.MaybeScanArgs(t, "from", &from)
		if d.MaybeScanArgs(t, "stop", &stop) {
			limits.Stop = [][]byte{[]byte(stop)}
		}
		if _, err := w.submit(name, numbers(n, from), limits); err != nil {
			return err.Error()
		}
		return ""
	case "cancel":
		for q, known := range w.names {
			if known == name {
				w.events = append(w.events, event{cancel: q})
			}
		}
		return ""
	case "files":
		w.tell(len(w.files), func() bool { return d.HasArg("fail") })
		return ""
	case "tick":
		return w.tickCommand(t, d)
	case "end":
		for w.busy() {
			if err := w.ran(); err != nil {
				d.Fatalf(t, "%v", err)
			}
			w.tell(len(w.files), func() bool { return false })
			if _, err := w.tick(); err != nil {
				d.Fatalf(t, "%v", err)
			}
		}
		if d.HasArg("why") {
			return w.showCached()
		}
		return w.showEnds()
	}
	d.Fatalf(t, "unknown command %s", d.Cmd)
	return ""
}

func (w *world) tickCommand(t *testing.T, d *datadriven.TestData) string {
	times, bad, late, right, wrong := 1, "", "", 0, 0
	d.MaybeScanArgs(t, "right", &right)
	d.MaybeScanArgs(t, "wrong", &wrong)
	w.guesses = func() (int, int) { return right, wrong }
	d.MaybeScanArgs(t, "times", &times)
	d.MaybeScanArgs(t, "bad", &bad)
	d.MaybeScanArgs(t, "late", &late)
	var actions []action
	for range times {
		if len(w.batch.Rows) > 0 && !d.HasArg("hold") {
			if err := w.ran(); err != nil {
				d.Fatalf(t, "%v", err)
			}
			result := w.events[len(w.events)-1].ran
			if d.HasArg("fail") {
				*result = ran{err: errors.New("device lost")}
			}
			for i, q := range w.batch.Wants {
				if w.names[q.sequence] == bad {
					result.items[i] = []Item{{Err: errors.New("broken logits")}}
				}
				if w.names[q.sequence] == late {
					result.items[i][len(result.items[i])-1] = Item{Err: errors.New("broken logits")}
				}
			}
		}
		held := w.batch
		var err error
		if actions, err = w.tick(); err != nil {
			d.Fatalf(t, "%v", err)
		}
		if d.HasArg("hold") && len(held.Rows) > 0 {
			defer func() { w.batch = held }()
		}
	}
	return w.show(actions)
}

func numbers(n, from int) []int32 {
	list := make([]int32, n)
	for i := range list {
		list[i] = int32((from + i) % toyVocab)
	}
	return list
}

// Random requests on random machines, with cancels, failed runs and late submissions, on half of them with guesses, right and wrong: what must hold holds at every tick,
// and each answer is the one that the request gives alone.
func TestSchedulerRandom(t *testing.T) {
	var sum Stats
	verified, stood := 0, 0
	seeds := uint64(600)
	if *full {
		seeds = 6000
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 9))
		caps := op.Caps{Rows: 1 + r.IntN(60), Slots: 1 + r.IntN(6), Pages: 1 + r.IntN([]int{10, 25}[r.IntN(2)])}
		caps.Context = 1 + r.IntN(caps.Pages*200)
		pace, badFile := []int{4, 40, 150}[r.IntN(3)], 3+r.IntN(20)
		if r.IntN(3) == 0 { // a crowd in little room
			caps, pace = op.Caps{Rows: 8 + r.IntN(60), Slots: 6, Pages: 4 + r.IntN(4), Context: 400}, 4
		}
		w := newWorld(caps, toyLimits(r.IntN(9), r.IntN(2)*r.IntN(60)))
		if seed%2 == 1 {
			w.guesses = randomGuesses(seed)
		}
		var requests []request
		faults := map[*sequence]bool{} // answers that need not be complete
		for step := 0; w.busy() || len(requests) < 12; step++ {
			if step > 20000 {
				t.Fatalf("seed %d: no end", seed)
			}
			if len(w.batch.Rows) > 0 {
				if err := w.ran(); err != nil {
					t.Fatalf("seed %d step %d: %v", seed, step, err)
				}
				if r.IntN(200) == 0 {
					lost := r.IntN(3) == 0
					w.events[len(w.events)-1].ran = &ran{err: errors.New("device lost"), lost: lost}
					for _, p := range w.out {
						faults[p.sequence] = true
					}
					for _, q := range w.running {
						faults[q] = faults[q] || lost
					}
				}
			}
			for len(requests) < 12 && r.IntN(pace) == 0 {
				requests = append(requests, w.randomRequest(t, r))
			}
			if len(requests) > 0 && r.IntN(40) == 0 {
				q := requests[r.IntN(len(requests))].sequence
				faults[q] = true
				at := r.IntN(len(w.events) + 1)
				w.events = slices.Insert(w.events, at, event{cancel: q})
			}
			w.tell(r.IntN(len(w.files)+1), func() bool { return r.IntN(badFile) == 0 })
			if _, err := w.tick(); err != nil {
				t.Fatalf("seed %d step %d: %+v: %v", seed, step, caps, err)
			}
		}
		for i, request := range requests {
			if err := w.judge(request, faults[request.sequence]); err != nil {
				t.Fatalf("seed %d: %+v: request %d: %v", seed, caps, i, err)
			}
		}
		if n := w.tree.Counts().Pages; w.pool.Free()+n != caps.Pages || len(w.free) != min(caps.Slots, caps.Rows) {
			t.Fatalf("seed %d: %d of %d pages are free, %d remembered", seed, w.pool.Free(), caps.Pages, n)
		}
		verified, stood = verified+w.verified, stood+w.stood
		n := w.counts()
		sum.Cached, sum.Awaited, sum.Prompt, sum.Preempted, sum.Evicted = sum.Cached+n.Cached, sum.Awaited+n.Awaited, sum.Prompt+n.Prompt, sum.Preempted+n.Preempted, sum.Evicted+n.Evicted
		sum.Read, sum.Written, sum.Refused, sum.Unwritten = sum.Read+n.Read, sum.Written+n.Written, sum.Refused+n.Refused, sum.Unwritten+n.Unwritten
	}
	t.Logf("%+v", sum)
	t.Logf("%d of %d guesses stood", stood, verified)
	if verified < 10000 || stood < verified/5 || stood > verified*4/5 || sum.Cached < sum.Prompt/20 || sum.Awaited < sum.Cached/20 || min(sum.Preempted, sum.Evicted, sum.Read, sum.Written, sum.Refused, sum.Unwritten) < 5 {
		t.Errorf("too little happened: %+v", sum)
	}
}

// randomGuesses drafts up to six right guesses and up to three wrong ones.
func randomGuesses(seed uint64) func() (right, wrong int) {
	r := rand.New(rand.NewPCG(seed, 39))
	return func() (right, wrong int) { return r.IntN(7), r.IntN(4) }
}

type request struct {
	sequence *sequence
	prompt   []int32
	limits   Limits
}

func (w *world) randomRequest(t *testing.T, r *rand.Rand) request {
	limits := Limits{MaxTokens: r.IntN(300), Stop: randomStops(r, 3)}
	for i := range limits.Stop {
		limits.Stop[i] = append(limits.Stop[i], randomText(r, 3+r.IntN(4), 3)...)
	}
	for range r.IntN(3) {
		limits.StopIDs = append(limits.StopIDs, int32(r.IntN(toyVocab)))
	}
	prompt := numbers(1+r.IntN([]int{5, 300, 1000}[r.IntN(3)]), r.IntN(2))
	if len(prompt) > 200 && r.IntN(2) == 0 {
		prompt[r.IntN(len(prompt))] = 499 // another branch
	}
	limits.Salt = []string{"", "", "", "salt"}[r.IntN(4)]
	q, err := w.submit(fmt.Sprint(len(w.order)), prompt, limits)
	if err != nil {
		t.Fatal(err)
	}
	return request{q, prompt, limits}
}

// judge compares an answer with the definition.
func (w *world) judge(r request, mayBeCut bool) error {
	end, context := w.ends[r.sequence], w.context
	if end == nil {
		return errors.New("has no end")
	}
	if len(r.prompt) >= context {
		if end.Err == nil || len(w.sent[r.sequence]) > 0 {
			return fmt.Errorf("prompt of %d tokens in a context of %d: %v", len(r.prompt), context, end)
		}
		return nil
	}
	tokens, want, wantEnd := toyAnswer(r.prompt, r.limits, context)
	got := []int32{}
	for _, it := range w.sent[r.sequence] {
		got = append(got, it.Token)
	}
	if end.Err != nil {
		if !mayBeCut || len(got) > len(tokens) || !slices.Equal(got, tokens[:len(got)]) || !bytes.HasPrefix(want, text(w.sent[r.sequence])) {
			return fmt.Errorf("error %v, tokens %v, want the beginning of %v", end.Err, got, tokens)
		}
		return nil
	}
	if !slices.Equal(got, tokens) || !bytes.Equal(text(w.sent[r.sequence]), want) {
		return fmt.Errorf("tokens %v %q, want %v %q", got, text(w.sent[r.sequence]), tokens, want)
	}
	if end.Reason != wantEnd.Reason || !bytes.Equal(end.Stop, wantEnd.Stop) {
		return fmt.Errorf("ends %s, want %s", endText(end), endText(&wantEnd))
	}
	if !(end.Submitted <= end.Started && end.Started < end.First && end.First <= end.Ended) {
		return fmt.Errorf("times out of order: %+v", *end)
	}
	return nil
}

// Drawn answers, too, are those that the requests give alone on a large machine, with penalties and however often they are
// put back: a draw depends on its place in the answer, not on what ran before it.
func TestSampledInCompany(t *testing.T) {
	requests := func() (list []request) {
		r := rand.New(rand.NewPCG(8, 12))
		for range 6 {
			set := randomSampling(r, toyVocab)
			set.Temperature, set.FrequencyPenalty = 1, 0.3
			list = append(list, request{nil, numbers(1+r.IntN(200), r.IntN(toyVocab)), Limits{MaxTokens: 150, Sampling: set}})
		}
		return list
	}
	answers := func(caps op.Caps, list []request) (tokens [][]int32) {
		w := newWorld(caps, toyLimits(8, 0))
		w.toy.space = newWorkspace(toyVocab)
		if len(list) > 1 {
			w.guesses = randomGuesses(9) // they change no token
		}
		for _, request := range list {
			if _, err := w.submit("", request.prompt, request.limits); err != nil {
				t.Fatal(err)
			}
		}
		preempted := 0
		for w.busy() {
			if err := w.ran(); err != nil {
				t.Fatal(err)
			}
			before := len(w.waiting)
			if _, err := w.tick(); err != nil {
				t.Fatal(err)
			}
			preempted += max(0, len(w.waiting)-before)
		}
		for _, q := range w.order {
			tokens = append(tokens, q.tokens)
		}
		if preempted == 0 && len(list) > 1 {
			t.Error("nothing was put back: the machine is too large")
		}
		return tokens
	}
	list := requests()
	together := answers(op.Caps{Rows: 7, Slots: 5, Pages: 4, Context: 400}, list)
	for i := range list {
		alone := answers(op.Caps{Rows: 300, Slots: 1, Pages: 10, Context: 400}, list[i:i+1])
		if !slices.Equal(together[i], alone[0]) {
			t.Errorf("request %d: %v together\n%v alone", i, together[i], alone[0])
		}
	}
}

// The same events give the same batches: nothing comes from a map, a clock or an address.
func TestSchedulerIsPure(t *testing.T) {
	history := func() (batches []batch) {
		r := rand.New(rand.NewPCG(5, 10))
		w := newWorld(op.Caps{Rows: 16, Slots: 4, Pages: 8, Context: 1000}, toyLimits(8, 20))
		for range 6 {
			w.randomRequest(t, r)
		}
		for w.busy() {
			if err := w.ran(); err != nil {
				t.Fatal(err)
			}
			w.tell(len(w.files), func() bool { return false })
			if _, err := w.tick(); err != nil {
				t.Fatal(err)
			}
			batches = append(batches, batch{Rows: w.batch.Rows, Pages: w.batch.Pages})
		}
		return batches
	}
	if !reflect.DeepEqual(history(), history()) {
		t.Error("two runs of the same events differ")
	}
}

// Events that make no sense are left aside.
func TestStrayEvents(t *testing.T) {
	w := newWorld(op.Caps{Rows: 8, Slots: 2, Pages: 4, Context: 100}, toyLimits(8, 0))
	q, err := w.submit("a", numbers(3, 0), Limits{MaxTokens: 2})
	if err != nil {
		t.Fatal(err)
	}
	never, err := newSequence(numbers(3, 0), Limits{}, toyVocab)
	if err != nil {
		t.Fatal(err)
	}
	w.events = append(w.events, event{submit: q}, event{cancel: never}, event{ran: &ran{}}, event{})
	for w.busy() {
		if len(w.batch.Rows) > 0 {
			if err := w.ran(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.tick(); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.sent[q]) != 2 || w.ends[q].Err != nil || w.ends[never] != nil {
		t.Errorf("sent %v, end %+v, %+v", w.sent[q], w.ends[q], w.ends[never])
	}
	w.events = []event{{submit: q}, {cancel: q}, {ran: &ran{items: make([][]Item, 3)}}}
	if actions, err := w.tick(); err != nil || len(actions) > 0 || len(w.batch.Rows) > 0 {
		t.Errorf("after the end: %v, %v, %v", actions, w.batch, err)
	}
	q, _ = w.submit("b", numbers(3, 0), Limits{})
	if _, err := w.tick(); err != nil {
		t.Fatal(err)
	}
	w.events = []event{{ran: &ran{items: make([][]Item, 3)}}}
	if _, err := w.tick(); err != nil || w.ends[q] == nil || !strings.HasPrefix(w.ends[q].Err.Error(), "wrong number of items") {
		t.Errorf("three items for one sequence: %v, %+v", err, w.ends[q])
	}
	q, _ = w.submit("c", numbers(3, 0), Limits{})
	w.events = append(w.events, event{cancel: q})
	if _, err := w.tick(); err != nil || !errors.Is(w.ends[q].Err, context.Canceled) {
		t.Errorf("cancelled in the tick of its submission: %v, %+v", err, w.ends[q])
	}
}
