package engine

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
)

// Each setting at the ends of its range, and just beyond with the error that names it.
func TestLimits(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		limits Limits
		want   string // the error's beginning; empty for none
	}{
		{Limits{}, ""},
		{Limits{MaxTokens: 1, StopIDs: []int32{0, 9}, Stop: [][]byte{{0}, []byte("x")}}, ""},
		{Limits{MaxTokens: -1}, "bad max tokens: request: found -1"},
		{Limits{StopIDs: []int32{10}}, "bad stop token: request: found 10: give 0 to 9"},
		{Limits{StopIDs: []int32{-1}}, "bad stop token"},
		{Limits{Stop: [][]byte{[]byte("x"), {}}}, "bad stop string"},
		{Limits{Stop: slices.Repeat([][]byte{{1}}, maxStops)}, ""},
		{Limits{Stop: slices.Repeat([][]byte{{1}}, maxStops+1)}, "bad number of stop strings: request: found 65"},
		{Limits{Stop: [][]byte{make([]byte, maxStopBytes)}}, ""},
		{Limits{Stop: [][]byte{make([]byte, maxStopBytes), {1}}}, "bad bytes of stop strings"},
	} {
		checkLimits(t, c.limits, c.want)
	}
	for _, c := range []struct {
		set  Sampling
		want string
	}{
		{Sampling{Temperature: 1e9, TopP: 1}, ""},
		{Sampling{Temperature: 1}, "bad top_p: request: found 0: give more than 0"},
		{Sampling{Temperature: -0.1, TopP: 1}, "bad temperature"},
		{Sampling{Temperature: nan, TopP: 1}, "bad temperature"},
		{Sampling{Temperature: inf, TopP: 1}, "bad temperature"},
		{Sampling{TopP: 1.01}, "bad top_p"},
		{Sampling{TopP: nan}, "bad top_p"},
		{Sampling{TopK: -1}, "bad top_k"},
		{Sampling{TopK: math.MaxInt}, ""},
		{Sampling{MinP: 1}, ""},
		{Sampling{MinP: 1.1}, "bad min_p"},
		{Sampling{RepetitionPenalty: 0.01}, ""},
		{Sampling{RepetitionPenalty: 0.001}, "bad repetition penalty"},
		{Sampling{RepetitionPenalty: -1}, "bad repetition penalty"},
		{Sampling{PresencePenalty: -100, FrequencyPenalty: 100}, ""},
		{Sampling{PresencePenalty: 101}, "bad presence penalty"},
		{Sampling{FrequencyPenalty: nan}, "bad frequency penalty"},
		{Sampling{LogitBias: map[int32]float32{0: -100, 9: float32(-inf)}}, ""},
		{Sampling{LogitBias: map[int32]float32{10: 1}}, "bad token of a logit bias: request: found 10"},
		{Sampling{LogitBias: map[int32]float32{3: float32(inf)}}, "bad logit bias of token 3"},
		{Sampling{LogitBias: map[int32]float32{3: float32(nan)}}, "bad logit bias of token 3"},
		{Sampling{LogProbs: true, TopLogProbs: 20}, ""},
		{Sampling{LogProbs: true, TopLogProbs: 21}, "bad number of top log-probabilities"},
		{Sampling{TopLogProbs: 1}, "bad number of top log-probabilities: request: found 1: ask for log-probabilities too"},
	} {
		checkLimits(t, Limits{Sampling: c.set}, c.want)
	}
}

func checkLimits(t *testing.T, l Limits, want string) {
	t.Helper()
	_, err := newSequence([]int32{1}, l, 10)
	switch {
	case want == "" && err != nil:
		t.Errorf("%+v: %v", l, err)
	case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n")):
		t.Errorf("%+v: %v, want %s", l, err, want)
	}
}

func TestPromptChecks(t *testing.T) {
	for want, prompt := range map[string][]int32{
		"empty prompt: request": nil,
		"no such token: request: token 1 of the prompt is 10: give 0 to 9": {9, 10},
		"no such token: request: token 0 of the prompt is -1":              {-1},
	} {
		if _, err := newSequence(prompt, Limits{}, 10); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: %v, want %s", prompt, err, want)
		}
	}
}

// What the caller does with its slices afterwards is nothing to the sequence.
func TestSequenceOwnsItsRequest(t *testing.T) {
	prompt, stop := []int32{1, 2}, []byte("stop")
	l := Limits{Stop: [][]byte{stop}, StopIDs: []int32{3}, Sampling: Sampling{LogitBias: map[int32]float32{1: 1}}}
	q, err := newSequence(prompt, l, 10)
	if err != nil {
		t.Fatal(err)
	}
	prompt[0], stop[0], l.StopIDs[0] = 7, 'X', 9
	l.Stop[0] = nil
	l.Sampling.LogitBias[1] = 5
	if q.tokens[0] != 1 || !bytes.Equal(q.limits.Stop[0], []byte("stop")) || q.limits.StopIDs[0] != 3 || q.sampler.LogitBias[1] != 1 {
		t.Errorf("%+v", q)
	}
}
