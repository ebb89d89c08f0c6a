package serve

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"baleen/internal/chat"
	"baleen/internal/engine"
	"baleen/internal/token"
)

// event is a piece of an answer, in the order in which the model wrote it: of each choice reasoning, then content, then
// calls, then the end. All wire forms are written from these.
type event struct {
	choice int
	kind   eventKind
	text   string // of reasoning, content and the arguments of a call
	call   callHead
	logs   []tokenLog // of the tokens of reasoning or content, where they were asked for
	end    *ending
}

type eventKind int

const (
	onReasoning eventKind = iota
	onContent
	onCall      // a call begins
	onArguments // of the call that began last
	onCallEnd
	onEnd
)

// callHead is what is known of a call when it begins.
type callHead struct {
	index    int
	id, name string
}

// ending is how an answer ended.
type ending struct {
	reason    endReason
	stop      string // the stop string that was reached
	cached    int    // tokens of the prompt that were answered from the cache
	tokens    int    // of the answer
	reasoning int    // of those
	err       *apiError
}

type endReason int

const (
	endTurn endReason = iota
	endStop           // a stop string
	endLength
	endCalls
)

// tokenLog is the log-probability of a token.
type tokenLog struct {
	bytes   []byte
	logProb float64
	top     []tokenLog
}

// answer is one choice while it is made: it turns tokens into events.
type answer struct {
	server   *Server
	ask      *ask
	choice   int
	stream   *engine.Stream
	send     func(event) bool // false when nobody listens any more
	feed     func([]byte) []chat.Delta
	finish   func(cut bool) ([]chat.Delta, *chat.Reply)
	observer *observer
	stopper  stopper
	thinking bool

	enough bool       // the answer is over, though the model had more to say
	logs   []tokenLog // not sent yet
	calls  []string   // their ids
	ids    []int32    // all tokens, kept for the replay of calls
	split  int        // how many of ids are reasoning, its end included
	end    ending
}

// start asks the engine for all answers of an ask. It fails at once where one of them is refused, and then none is made.
func (s *Server) start(ctx context.Context, a *ask) (*answers, *apiError) {
	ctx, cancel := context.WithCancel(ctx)
	all := &answers{ask: a, over: ctx.Done(), cut: s.cut, cancel: cancel, events: make(chan event)}
	for i := range len(a.prompts) * a.choices {
		limits := a.limits
		limits.Sampling.Seed += uint64(i)
		if a.language != nil {
			limits.Constraint = a.language.Start(s.vocabulary)
		}
		stream, err := s.options.Engine.Submit(a.prompts[i/a.choices], limits)
		if err != nil {
			s.guard.metrics.refused(err)
			all.abandon()
			return nil, submitError(err, a.param)
		}
		one := s.newAnswer(a, i, stream)
		one.observer = s.guard.observe(ctx, len(a.prompts[i/a.choices]), s.stray)
		all.list = append(all.list, one)
	}
	for _, one := range all.list {
		one.send = func(e event) bool {
			select {
			case all.events <- e:
				return true
			case <-ctx.Done():
				return false
			}
		}
		all.running.Add(1)
		go func() {
			defer all.running.Done()
			one.run(ctx)
		}()
	}
	return all, nil
}

// stray tells which tokens have no place in an answer: control text but the end.
func (s *Server) stray(id int32) bool {
	return s.options.Tokenizer.Control(id) && !slices.Contains(s.options.EOS, id)
}

func (s *Server) newAnswer(a *ask, choice int, stream *engine.Stream) *answer {
	one := &answer{server: s, ask: a, choice: choice, stream: stream, stopper: stopper{stops: a.stops}}
	c := a.conversation
	if c == nil {
		var decoder token.Decoder
		one.feed = func(bytes []byte) []chat.Delta { return []chat.Delta{{Content: decoder.Feed(bytes)}} }
		one.finish = func(bool) ([]chat.Delta, *chat.Reply) { return []chat.Delta{{Content: decoder.Flush()}}, &chat.Reply{} }
		return one
	}
	parser := chat.NewParser(c.parsing())
	one.thinking = c.parsing().Mode == chat.Thinking
	one.feed, one.finish = parser.Feed, parser.Finish
	return one
}

// run makes the events of an answer.
func (a *answer) run(ctx context.Context) {
	for {
		item, ok := a.stream.Next(ctx)
		if !ok {
			break
		}
		if !a.enough && !a.take(item) {
			a.enough = true
			a.stream.Cancel()
		}
	}
	a.conclude()
}

// take takes a token. It returns false when no more are wanted.
func (a *answer) take(item engine.Item) bool {
	a.observer.token(item.Token)
	a.end.tokens++
	if a.thinking {
		a.end.reasoning++
		a.thinking = string(item.Bytes) != "</think>"
		a.split = len(a.ids) + 1
	}
	if a.remembers() {
		a.ids = append(a.ids, item.Token)
	}
	a.log(item)
	return a.deltas(a.feed(item.Bytes))
}

// log keeps the log-probability of a token until it is known what it is a part of. Marks, and control tokens, which have no
// text, are no part of anything.
func (a *answer) log(item engine.Item) {
	if !a.ask.limits.Sampling.LogProbs || len(item.Bytes) == 0 || isMark(item.Bytes) {
		return
	}
	l := a.server.tokenLog(item.Token, item.LogProb)
	for _, t := range item.Top {
		l.top = append(l.top, a.server.tokenLog(t.Token, t.LogProb))
	}
	a.logs = append(a.logs, l)
}

func isMark(text []byte) bool {
	return bytes.Equal(text, []byte("<think>")) || bytes.Equal(text, []byte("</think>"))
}

func (s *Server) tokenLog(id int32, logProb float64) tokenLog {
	text, _ := s.options.Tokenizer.Bytes(id)
	return tokenLog{bytes: text, logProb: max(logProb, -9999)} // JSON has no infinity; the number is the hosted services'
}

// deltas sends what a parser found. It returns false when no more is wanted.
func (a *answer) deltas(list []chat.Delta) bool {
	for _, d := range list {
		ok := true
		switch {
		case d.Call != nil:
			ok = a.say(onContent, a.stopper.flush()) && a.calling(d.Call)
		case d.Reasoning != "":
			ok = a.say(onReasoning, d.Reasoning)
		default:
			a.thinking = a.thinking && d.Content == ""
			ok = a.say(onContent, a.stopper.feed(d.Content)) && a.stopper.hit == ""
		}
		if !ok {
			return false
		}
	}
	return true
}

// say sends text with the log-probabilities that came up to it.
func (a *answer) say(kind eventKind, text string) bool {
	if text == "" {
		return true
	}
	a.observer.text(text)
	e := event{choice: a.choice, kind: kind, text: text, logs: a.logs}
	a.logs = nil
	return a.send(e)
}

// calling sends a piece of a call.
func (a *answer) calling(d *chat.CallDelta) bool {
	a.thinking, a.logs = false, nil
	e := event{choice: a.choice, call: callHead{index: d.Index}}
	switch {
	case d.End:
		e.kind = onCallEnd
	case d.Name != "":
		a.calls = append(a.calls, newID(a.ask.calls))
		e.kind, e.call = onCall, callHead{d.Index, a.calls[d.Index], d.Name}
	default:
		e.kind, e.text = onArguments, d.Arguments
	}
	return a.send(e)
}

// conclude sends what is left and the end.
func (a *answer) conclude() {
	finish := a.stream.Finish()
	a.observer.end(finish)
	deltas, reply := a.finish(!a.enough && (finish.Err != nil || finish.Reason != engine.AtStop))
	if !a.enough && a.deltas(deltas) {
		a.say(onContent, a.stopper.flush())
	}
	a.end.stop, a.end.cached = a.stopper.hit, finish.Cached
	switch {
	case a.stopper.hit != "":
		a.end.reason = endStop
	case reply.Finish == "tool_calls":
		a.end.reason = endCalls
	case a.enough: // nobody listens
	case finish.Err != nil:
		a.end.err = engineError(finish.Err)
	case finish.Reason != engine.AtStop:
		a.end.reason = endLength
	}
	if a.end.reason == endCalls && !a.enough {
		a.remember(reply)
	}
	a.send(event{choice: a.choice, kind: onEnd, end: &a.end})
}

// answers are all choices of an ask while they are made.
type answers struct {
	ask     *ask
	list    []*answer
	events  chan event
	over    <-chan struct{} // closed when nobody listens any more
	cut     <-chan struct{} // closed when the server cannot wait
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// abandon ends answers of which nobody has heard yet.
func (s *answers) abandon() {
	s.cancel()
	for _, one := range s.list {
		one.stream.Cancel()
	}
}

// each gives the events to use until all answers have ended, one of the functions returns false, or the client goes away. It
// calls idle again and again. It tells whether all answers have ended.
func (s *answers) each(every time.Duration, idle func() bool, use func(event) bool) bool {
	timer := time.NewTicker(every)
	defer timer.Stop()
	left := len(s.list)
	for ok := true; ok && left > 0; {
		select {
		case e := <-s.events:
			if e.kind == onEnd {
				left--
			}
			ok = use(e)
		case <-timer.C:
			ok = idle()
		case <-s.cut:
			ok = false
			use(event{kind: onEnd, end: &ending{err: shuttingDown()}})
		case <-s.over:
			ok = false
		}
	}
	s.cancel()
	s.running.Wait()
	return left == 0
}

// reading tells how many tokens of the prompts have been read, and how many there are.
func (s *answers) reading() (done, total int) {
	for _, one := range s.list {
		d, t := one.stream.Progress()
		done, total = done+d, total+t
	}
	return done, total
}

// usage is what an ask has cost.
type usage struct {
	prompt, cached, answer, reasoning int
}

// usage counts, once all answers have ended. A prompt with several answers counts once.
func (s *answers) usage() (u usage) {
	for i, one := range s.list {
		if i%s.ask.choices == 0 {
			u.prompt += len(s.ask.prompts[i/s.ask.choices])
			u.cached += one.end.cached
		}
		u.answer += one.end.tokens
		u.reasoning += one.end.reasoning
	}
	return u
}
