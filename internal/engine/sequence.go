package engine

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"baleen/internal/kv"
)

// sequence is one request: its tokens, and how far they have gone. The scheduler alone changes it, once it is submitted.
//
//  1. tokens[:prompt] is the prompt, the rest the answer; both only grow.
//  2. The device's state is valid for tokens[:length], and length < len(tokens) until the sequence is finished: at least
//     the last token is still to be run, and gives the next one.
//  3. Only a running sequence has a slot and pages; its pages reach at least to length. For others length is 0.
//  4. A running sequence that is not reading has the node of its first length/PageSize pages. One that is reading has the node
//     that it will begin behind, or follows another, and its length is 0.
type sequence struct {
	// What every tick reads comes first, together: two lines of a processor's cache.
	tokens  []int32
	length  int
	prompt  int
	state   state
	reading bool  // its prefix is not all in memory
	slot    int32 // or -1
	pages   kv.Table
	limits  Limits

	guesses []int32 // of a running sequence: what may come behind tokens; they run with the last of them
	branch  int     // a position that others went on from, too; 0 is none
	arrival uint64  // the order of submission

	root     kv.ID     // of the prefixes
	prefixes []kv.ID   // of its first pages, so far
	node     *kv.Node  // the longest that is complete, pinned; while reading, the one to go on from
	blob     *kv.Blob  // while reading, the checkpoint to go on from, if it is there
	leader   *sequence // while reading, who computes what it goes on from, if somebody does (follow.go)
	target   int       // the position up to which it follows, or followed; 0 is none
	awaited  int       // tokens that it has from there and would not have had
	saved    *kv.Node  // where its last checkpoint was taken
	kept     int       // the last position whose checkpoint is to stay

	sampler  sampler
	stopper  stopper
	accepted acceptance // how often its guesses stood; the engine's loop learns it

	end Finish // so far its times
}

type state uint8

const (
	waiting state = iota // for a slot and pages
	running
	finished
)

func (s state) String() string { return [...]string{"waiting", "running", "finished"}[s] }

// newSequence checks a request. The model's vocabulary bounds every token. Whether the prompt fits, scheduler.Fits says.
func newSequence(prompt []int32, limits Limits, vocab int) (*sequence, error) {
	if len(prompt) == 0 {
		return nil, errors.New("empty prompt: request: give at least one token")
	}
	if i := slices.IndexFunc(prompt, func(id int32) bool { return !inVocabulary(id, vocab) }); i >= 0 {
		return nil, fmt.Errorf("no such token: request: token %d of the prompt is %d: give 0 to %d", i, prompt[i], vocab-1)
	}
	if err := limits.check(vocab); err != nil {
		return nil, err
	}
	limits = limits.clone()
	return &sequence{
		tokens:  slices.Clone(prompt),
		prompt:  len(prompt),
		limits:  limits,
		slot:    -1,
		root:    kv.Root(limits.Salt),
		sampler: newSampler(limits.Sampling, limits.Constraint, prompt),
		stopper: newStopper(limits.Stop),
	}, nil
}

// clone makes the limits the sequence's own.
func (l Limits) clone() Limits {
	l.StopIDs = slices.Clone(l.StopIDs)
	l.Stop = slices.Clone(l.Stop)
	for i := range l.Stop {
		l.Stop[i] = bytes.Clone(l.Stop[i])
	}
	l.Sampling.LogitBias = maps.Clone(l.Sampling.LogitBias)
	return l
}

// Finish says how and when an answer ended.
type Finish struct {
	Reason Reason // where Err is nil
	Stop   []byte // the stop string, if one was reached
	Err    error  // why there is no more: context.Canceled after a cancel. Bytes that were held back are lost

	// In the time that ticks are given, which is to begin above 0; 0 is never. Submitted; could run first; first token of the
	// answer; ended.
	Submitted, Started, First, Ended time.Duration

	Cached  int    // tokens of the prompt that were answered from memory
	Awaited int    // of these, how many another request was computing: this one waited for them
	Why     string // why no more were: one sentence; empty where all that can be were
}

// Reason is why an answer ended by itself.
type Reason uint8

// The reasons.
const (
	AtStop      Reason = iota // a stop token or a stop string
	AtMaxTokens               // as many tokens as were asked for
	AtContext                 // no room for another token
)

func (r Reason) String() string { return [...]string{"stop", "max tokens", "context"}[r] }

// accept adds a token to the answer. It leaves in it what is to be sent, and returns whether and why that was the last.
func (q *sequence) accept(it *Item, context int) (ended bool) {
	q.tokens = append(q.tokens, it.Token)
	if q.ends(it.Token) {
		it.Bytes, q.end.Reason = q.stopper.flush(), AtStop
		return true
	}
	if len(q.limits.Stop) > 0 {
		text, stop := q.stopper.feed(it.Bytes)
		it.Bytes = text
		if stop >= 0 {
			it.Bytes = slices.Concat(text, q.stopper.flush())
			q.end.Reason, q.end.Stop = AtStop, q.limits.Stop[stop]
			return true
		}
	}
	switch {
	case len(q.tokens)-q.prompt == q.limits.MaxTokens:
		q.end.Reason = AtMaxTokens
	case len(q.tokens) >= context:
		q.end.Reason = AtContext
	default:
		return false
	}
	it.Bytes = slices.Concat(it.Bytes, q.stopper.flush())
	return true
}

// left is how many tokens the answer may still have.
func (q *sequence) left(context int) int {
	left := context - len(q.tokens)
	if q.limits.MaxTokens > 0 {
		left = min(left, q.prompt+q.limits.MaxTokens-len(q.tokens))
	}
	return left
}

// room is how many guesses can be verified behind the last token: within its pages, and no more than leave room for the token
// that follows from the last of them.
func (q *sequence) room(context int) int {
	return max(min(q.left(context)-1, len(q.pages.Pages())*kv.PageSize-len(q.tokens)), 0)
}

// ends tells whether a token ends the answer.
func (q *sequence) ends(token int32) bool { return slices.Contains(q.limits.StopIDs, token) }

// todo is how many tokens are still to be run; 0 while that cannot be.
func (q *sequence) todo() int {
	if q.reading {
		return 0
	}
	return len(q.tokens) - q.length
}

// lastPage is the position of the last page of the prompt behind which there is a token left: who asks the same begins there.
func (q *sequence) lastPage() int { return (q.prompt - 1) / kv.PageSize * kv.PageSize }
