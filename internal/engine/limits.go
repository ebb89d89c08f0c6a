package engine

import (
	"fmt"
	"math"
)

// Limits say how an answer is made and when it ends. It also ends at the context, whatever they say.
type Limits struct {
	MaxTokens int      // tokens of the answer, or 0 for as many as the context holds
	StopIDs   []int32  // tokens that end the answer; their bytes are not part of it
	Stop      [][]byte // strings that end the answer, wherever tokens are cut; they are not part of it
	Sampling  Sampling

	Constraint Constraint // what the answer must be; nil is anything
	Salt       string     // a prefix is answered from memory only for requests of the same salt
}

// Constraint keeps an answer within a language. The engine calls it from one goroutine at a time.
type Constraint interface {
	// Mask clears the bits of the tokens that may not come next: token i is bit i%64 of word i/64. left is how many tokens the
	// answer may still have, the next one included. It never clears all.
	Mask(allowed []uint64, left int)
	// Advance takes the token that was chosen.
	Advance(token int32)
}

// Sampling says how the next token is chosen. The zero value is greedy.
//
// The steps are those of the field, in this order: logit bias; repetition penalty; frequency and presence penalty; the
// constraint, if the limits have one; temperature; top-k; top-p over what top-k left, renormalised; min-p; the draw. Where a step compares tokens, the higher
// logit wins, then the lower id. At temperature 0 the best token after the penalties is taken.
type Sampling struct {
	Temperature float64 // 0 is greedy
	TopK        int     // keep this many tokens; 0 is off
	TopP        float64 // keep the fewest tokens that have this probability together; 1 is off, 0 no value unless greedy
	MinP        float64 // keep tokens at least this likely relative to the likeliest; 0 is off

	RepetitionPenalty float64 // of tokens in prompt and answer: a positive logit is divided by it, another multiplied; 0 or 1 is off
	PresencePenalty   float64 // subtracted for tokens in the answer
	FrequencyPenalty  float64 // subtracted for each time a token is in the answer
	LogitBias         map[int32]float32

	Seed uint64 // the same seed gives the same answer, alone or in company (on one device and build)

	// LogProbs asks for log-probabilities: those of the model, before every step above. TopLogProbs is how many of the
	// likeliest tokens are told with each.
	LogProbs    bool
	TopLogProbs int
}

const (
	maxTopLogProbs = 20      // as the wire forms allow
	maxStopBytes   = 1 << 16 // all stop strings together
	maxStops       = 64
	maxPenalty     = 100 // far beyond use; sums of penalties stay finite
	mendPenalty    = "give -100 to 100; 0 is none"
)

// check reports the first fault. vocab is how many tokens the model has.
func (l *Limits) check(vocab int) error {
	if l.MaxTokens < 0 {
		return badLimit("max tokens", l.MaxTokens, "give 1 or more, or 0 for as many as the context holds")
	}
	for _, id := range l.StopIDs {
		if !inVocabulary(id, vocab) {
			return badLimit("stop token", id, fmt.Sprintf("give 0 to %d", vocab-1))
		}
	}
	if err := checkStops(l.Stop); err != nil {
		return err
	}
	return l.Sampling.check(vocab)
}

func checkStops(stops [][]byte) error {
	if len(stops) > maxStops {
		return badLimit("number of stop strings", len(stops), fmt.Sprintf("give at most %d", maxStops))
	}
	bytes := 0
	for _, s := range stops {
		if len(s) == 0 {
			return badLimit("stop string", `""`, "give at least one byte")
		}
		bytes += len(s)
	}
	if bytes > maxStopBytes {
		return badLimit("bytes of stop strings", bytes, fmt.Sprintf("give at most %d together", maxStopBytes))
	}
	return nil
}

func (s *Sampling) check(vocab int) error {
	for _, c := range []struct {
		name  string
		value float64
		ok    bool
		mend  string
	}{
		{"temperature", s.Temperature, s.Temperature >= 0, "give 0 for greedy, or more"},
		{"top_k", float64(s.TopK), s.TopK >= 0, "give 1 or more, or 0 for all"},
		{"top_p", s.TopP, s.TopP >= 0 && s.TopP <= 1 && (s.TopP > 0 || s.Temperature == 0), "give more than 0 and at most 1, which is all"},
		{"min_p", s.MinP, s.MinP >= 0 && s.MinP <= 1, "give 0, which is all, to 1"},
		{"repetition penalty", s.RepetitionPenalty, s.RepetitionPenalty == 0 || s.RepetitionPenalty >= 0.01 && s.RepetitionPenalty <= 100, "give 0.01 to 100; 1 is none"},
		{"presence penalty", s.PresencePenalty, math.Abs(s.PresencePenalty) <= maxPenalty, mendPenalty},
		{"frequency penalty", s.FrequencyPenalty, math.Abs(s.FrequencyPenalty) <= maxPenalty, mendPenalty},
		{"number of top log-probabilities", float64(s.TopLogProbs), s.TopLogProbs >= 0 && s.TopLogProbs <= maxTopLogProbs, fmt.Sprintf("give 0 to %d", maxTopLogProbs)},
	} {
		if !c.ok || math.IsNaN(c.value) || math.IsInf(c.value, 0) {
			return badLimit(c.name, c.value, c.mend)
		}
	}
	if s.TopLogProbs > 0 && !s.LogProbs {
		return badLimit("number of top log-probabilities", s.TopLogProbs, "ask for log-probabilities too")
	}
	for id, bias := range s.LogitBias {
		if !inVocabulary(id, vocab) {
			return badLimit("token of a logit bias", id, fmt.Sprintf("give 0 to %d", vocab-1))
		}
		if bias != bias || math.IsInf(float64(bias), 1) {
			return badLimit(fmt.Sprintf("logit bias of token %d", id), bias, "give a number, or -Inf to forbid the token")
		}
	}
	return nil
}

func badLimit(what string, found any, mend string) error {
	return fmt.Errorf("bad %s: request: found %v: %s", what, found, mend)
}

func inVocabulary(id int32, vocab int) bool { return id >= 0 && int(id) < vocab }
