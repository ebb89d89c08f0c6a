package engine

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"baleen/internal/deepseek"
	"baleen/internal/op"
	"baleen/internal/token"
)

var full = flag.Bool("full", false, "run the counts that the issue states")

// talks are requests that begin alike: stories, each a few pages long, that are cut, go on and branch, with settings of all kinds.
func talks(tokenizer *token.Tokenizer) []ask {
	var list []ask
	for i, story := range []string{
		strings.Repeat("Mia and Tom went to the park. They saw a big tree and a little dog. ", 24),
		strings.Repeat("Zoe had a red kite. The wind took it up and up. ", 30),
	} {
		ids := append([]int32{0}, tokenizer.Encode(story)...)
		for j, n := range []int{40, 128, 129, 200, 256, 300, 385} {
			prompt := slices.Clone(ids[:n])
			if j%3 == 2 {
				prompt[n-30] = 77 // another way
			}
			limits := Limits{MaxTokens: 3 + j, StopIDs: []int32{1}}
			if (i+j)%2 == 0 {
				limits.Sampling = Sampling{Temperature: 0.9, TopP: 0.9, TopK: 40, FrequencyPenalty: 0.2, Seed: uint64(j), LogProbs: true, TopLogProbs: 2}
			}
			limits.Sampling.LogProbs = true
			switch j {
			case 1:
				limits.MaxTokens, limits.StopIDs = 135, nil // two pages more
			case 5:
				limits.MaxTokens, limits.Salt = 90, "another user" // over the next page
			}
			list = append(list, ask{prompt, limits})
		}
	}
	return list
}

// alone answers every request by itself, with nothing remembered and nothing guessed.
func alone(t *testing.T, list []ask) (answers [][]Item) {
	t.Helper()
	m := placePlain(t, op.Caps{Rows: 64, Slots: 1, Pages: 4, Context: 512}, 0)
	for _, r := range list {
		e := Start(m, tokenizerOf(t), Options{})
		s := submit(t, e, r)
		answers = append(answers, collect(t, s))
		if f := s.Finish(); f.Cached != 0 {
			t.Fatalf("%+v", f)
		}
		e.Close()
	}
	return answers
}

// history is one engine and what is asked of it. The machine is one that others used before.
type history struct {
	*rand.Rand
	engine  *Engine
	asks    []ask
	want    [][]Item
	cancels bool
}

// TestHistories: requests arrive, wait, are cut into runs, share prefixes, are put back for want of pages, lose their pages to
// others and get them back from disk, are cancelled, and the engine ends and begins again: tokens and log-probabilities stay, bit
// for bit, those of a run alone.
func TestHistories(t *testing.T) {
	list := talks(tokenizerOf(t))
	want := alone(t, list)
	r := rand.New(rand.NewPCG(20, 26))
	histories := 200
	if *full {
		histories = 2000
	}
	var machines []*Machine
	for _, threads := range []int{1, 2} {
		for _, caps := range []op.Caps{
			{Rows: 64, Slots: 4, Pages: 30, Context: 512}, {Rows: 7, Slots: 3, Pages: 9, Context: 512}, {Rows: 130, Slots: 6, Pages: 4, Context: 480}, {Rows: 31, Slots: 2, Pages: 5, Context: 512},
		} {
			machines = append(machines, placeWith(t, caps, deepseek.Reference, "cpu", threads), placePlain(t, caps, threads))
		}
	}
	root := t.TempDir()
	var sum Stats
	drafted, accepted := uint64(0), uint64(0)
	for i := range histories {
		m := machines[r.IntN(len(machines))]
		o := drawOptions(t, r, m, root)
		clock := steady()
		if r.IntN(2) == 0 {
			clock = jittery(rand.New(rand.NewPCG(r.Uint64(), 45)))
		}
		h := history{r, startTimed(m, tokenizerOf(t), o, clock), list, want, r.IntN(3) == 0}
		ok := t.Run(fmt.Sprint(i), h.run)
		h.engine.Close()
		n := h.engine.Stats()
		drafted, accepted = drafted+n.Drafted.Sum(), accepted+n.Accepted.Sum()
		sum.Cached, sum.Awaited, sum.Prompt, sum.Preempted, sum.Evicted = sum.Cached+n.Cached, sum.Awaited+n.Awaited, sum.Prompt+n.Prompt, sum.Preempted+n.Preempted, sum.Evicted+n.Evicted
		sum.Read, sum.Written, sum.Cancelled = sum.Read+n.Read, sum.Written+n.Written, sum.Cancelled+n.Cancelled
		if !ok || n.Refused+n.Unwritten > 0 {
			t.Fatalf("history %d on %+v with %+v: %+v", i, m.Caps, o, n)
		}
	}
	t.Logf("%d of %d guesses stood; %+v", accepted, drafted, sum)
	if accepted < 500 || drafted < accepted+500 || sum.Cached < sum.Prompt/4 || sum.Preempted == 0 || min(sum.Awaited, sum.Evicted, sum.Read, sum.Written, sum.Cancelled) < 20 {
		t.Errorf("too little happened: %+v", sum)
	}
}

// run asks a few things, from several goroutines, and compares the answers.
func (h history) run(t *testing.T) {
	var waiting sync.WaitGroup
	for range 2 + h.IntN(3) {
		which, cut := h.IntN(len(h.asks)), -1
		if h.cancels && h.IntN(2) == 0 {
			cut = h.IntN(8)
		}
		s := submit(t, h.engine, h.asks[which])
		if h.IntN(3) == 0 {
			h.read(t, s, which, cut)
			continue
		}
		waiting.Go(func() { h.read(t, s, which, cut) })
	}
	waiting.Wait()
}

// read reads an answer, or its first tokens and then no more.
func (h history) read(t *testing.T, s *Stream, which, cut int) {
	var items []Item
	for {
		if len(items) == cut {
			s.Cancel()
		}
		item, ok := s.Next(t.Context())
		if !ok {
			break
		}
		items = append(items, item)
	}
	want := h.want[which]
	if cut >= 0 && s.Finish().Err != nil && len(items) <= len(want) {
		want = want[:len(items)]
	} else if err := s.Finish().Err; err != nil {
		t.Errorf("request %d: %v", which, err)
	}
	if !slices.EqualFunc(items, want, func(a, b Item) bool { return reflect.DeepEqual(a, b) }) {
		t.Errorf("request %d, %d tokens cached: %v, alone %v", which, s.Finish().Cached, items, want)
	}
}

// drawOptions draws how much an engine remembers, and in every second case a cache on disk below root: one of two of each kind of
// machine, since files of the other kind would be deleted.
func drawOptions(t *testing.T, r *rand.Rand, m *Machine, root string) Options {
	t.Helper()
	o := Options{Checkpoints: int64(r.IntN(8) * m.CheckpointBytes())}
	if r.IntN(2) != 0 {
		return o
	}
	dir := filepath.Join(root, fmt.Sprint(m.Drafts(), r.IntN(2)))
	d, err := m.OpenDisk(dir, int64(m.PageBytes()*(20+r.IntN(40))+m.CheckpointBytes()*5), "drawn", slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	o.Disk = d
	return o
}
