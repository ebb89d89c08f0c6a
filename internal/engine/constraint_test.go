package engine

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"baleen/internal/op"
)

// onlyThese allows a list of tokens for each place of an answer.
type onlyThese struct {
	places [][]int32
	at     int
	lefts  []int
	broken []int32 // tokens that came although they were not allowed
}

func (c *onlyThese) Mask(allowed []uint64, left int) {
	c.lefts = append(c.lefts, left)
	clear(allowed)
	for _, id := range c.places[c.at] {
		allowed[id/64] |= 1 << (id % 64)
	}
}

func (c *onlyThese) Advance(token int32) {
	if !slices.Contains(c.places[c.at], token) {
		c.broken = append(c.broken, token)
	}
	c.at++
}

// A constraint does what forbidding the other tokens by bias does, with every setting; and the log-probabilities stay those
// of the model.
func TestConstraintIsABias(t *testing.T) {
	const vocab = 130 // two words and a part of a third
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 21))
		set := randomSampling(r, vocab)
		set.LogProbs, set.TopLogProbs = true, 5
		c := &onlyThese{}
		prompt, w := []int32{3, 5, 129}, newWorkspace(vocab)
		constrained := newSampler(set, c, prompt)
		tokens := slices.Clone(prompt)
		for place := range 6 {
			few := r.Perm(vocab)[:1+r.IntN(20)]
			if place == 3 {
				few = few[:1]
			}
			ids := make([]int32, len(few))
			for i, id := range few {
				ids[i] = int32(id)
			}
			c.places = append(c.places, ids)
			logits := randomLogits(r, vocab)
			got, err := constrained.next(logits, 6-place, w)
			biased := set
			biased.LogitBias = map[int32]float32{}
			for id := range int32(vocab) {
				biased.LogitBias[id] = float32(math.Inf(-1))
				if slices.Contains(ids, id) {
					biased.LogitBias[id] = set.LogitBias[id]
				}
			}
			plain := newSampler(biased, nil, prompt)
			for _, id := range tokens[len(prompt):] {
				plain.see(id, 1)
				plain.drawn++
			}
			want, wantErr := plain.next(logits, 1, w)
			if err != nil && wantErr != nil {
				break // all that is allowed has -Inf
			}
			if err != nil || wantErr != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d place %d: %+v, by bias %+v, %v", seed, place, got, want, err)
			}
			tokens = append(tokens, got.Token)
		}
		if c.broken != nil || !slices.Equal(c.lefts, []int{6, 5, 4, 3, 2, 1}[:len(c.lefts)]) {
			t.Fatalf("seed %d: forbidden tokens %v came; left %v", seed, c.broken, c.lefts)
		}
	}
}

// An answer keeps to its constraint in company and however often it is put back, is told what is left by tokens asked for
// and by context, and ends at a stop token that the constraint allows.
func TestConstrainedAnswer(t *testing.T) {
	e, tokenizer := start(t, op.Caps{Rows: 9, Slots: 3, Pages: 3, Context: 300})
	prompt := append([]int32{0}, tokenizer.Encode("Once upon a time")...)
	words := tokenizer.Encode(" the dragon ate a small red apple and then it slept")
	c := &onlyThese{}
	for _, id := range words {
		c.places = append(c.places, []int32{id})
	}
	c.places = append(c.places, []int32{1})
	others := asks(tokenizer)[:3]
	for _, other := range others {
		submit(t, e, other)
	}
	items := collect(t, submit(t, e, ask{prompt, Limits{MaxTokens: 100, StopIDs: []int32{1}, Constraint: c}}))
	if got := tokens(items); !slices.Equal(got, append(words, 1)) || c.broken != nil {
		t.Errorf("%v, want %v and the stop", got, words)
	}
	for i, left := range c.lefts {
		if left != 100-i {
			t.Errorf("token %d: %d left, want %d", i, left, 100-i)
		}
	}

	c = &onlyThese{}
	for range 300 {
		c.places = append(c.places, words[:3])
	}
	s := submit(t, e, ask{prompt, Limits{MaxTokens: 1000, Constraint: c}})
	n := len(collect(t, s))
	if s.Finish().Reason != AtContext || c.lefts[0] != n || c.lefts[len(c.lefts)-1] != 1 {
		t.Errorf("%d tokens to the context, told %d at first and %d at last", n, c.lefts[0], c.lefts[len(c.lefts)-1])
	}
}

// TestQueue: the engine takes as many requests as it was told, says so to others, and takes again when one has ended.
func TestQueue(t *testing.T) {
	e, tokenizer := startWith(t, op.Caps{Rows: 32, Slots: 2, Pages: 32, Context: 2048}, Options{Queue: 3})
	prompt := append([]int32{0}, tokenizer.Encode("Once upon a time")...)
	forever := Limits{Sampling: Sampling{LogitBias: map[int32]float32{1: -1000}}}
	var streams []*Stream
	for range 3 {
		streams = append(streams, submit(t, e, ask{prompt, forever}))
	}
	if _, err := e.Submit(prompt, forever); !errors.Is(err, ErrBusy) {
		t.Fatalf("the fourth of three: %v", err)
	}
	streams[1].Cancel()
	for ok := true; ok; {
		_, ok = streams[1].Next(t.Context())
	}
	streams = append(streams, submit(t, e, ask{prompt, forever}))
	for _, s := range streams {
		if _, ok := s.Next(t.Context()); !ok && s != streams[1] && s.Finish().Err != nil {
			t.Errorf("%+v", s.Finish())
		}
		s.Cancel()
	}
	for _, s := range streams {
		for ok := true; ok; {
			_, ok = s.Next(t.Context())
		}
	}
	e.Close()
	if n := e.Stats(); n.Submitted != 4 || n.Busy != 1 || n.Cancelled != 4 || n.Answer == 0 {
		t.Errorf("%+v", n)
	}
}

// TestProgress: a prompt's progress grows to its whole before the first token is there.
func TestProgress(t *testing.T) {
	e, tokenizer := start(t, op.Caps{Rows: 8, Slots: 1, Pages: 4, Context: 512})
	r := asks(tokenizer)[1]
	s := submit(t, e, r)
	if _, ok := s.Next(t.Context()); !ok {
		t.Fatal(s.Finish())
	}
	if done, total := s.Progress(); done != len(r.prompt) || total != len(r.prompt) {
		t.Errorf("%d of %d at the first token", done, total)
	}
	collect(t, s)
}
