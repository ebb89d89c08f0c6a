package serve

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"baleen/internal/engine"
)

// driftKind is a sign that state or arithmetic went wrong. Each alone may be innocent (a user may ask for a hundred equal
// lines); many of them are not.
type driftKind string

const (
	driftLoop       driftKind = "loop"          // the same few tokens over and over
	driftNaN        driftKind = "nan"           // logits that are no numbers
	driftControl    driftKind = "control_token" // control text in an answer
	driftAcceptance driftKind = "acceptance"    // drafts are refused far more often than before
)

var driftKinds = []driftKind{driftLoop, driftNaN, driftControl, driftAcceptance}

const (
	longestPeriod = 64  // tokens of what is looked for as a loop
	loopTokens    = 128 // a loop has gone on for at least this long,
	loopRounds    = 8   // and this many times
)

// loop finds an answer that repeats itself.
type loop struct {
	last   [longestPeriod]int32 // token n is at n % longestPeriod
	n      int
	equals [longestPeriod + 1]int // by period: so many tokens in a row were the one that period tokens before
}

// token takes the next token, and tells whether it goes on with a loop.
func (l *loop) token(id int32) bool {
	found := false
	for period := 1; period <= min(l.n, longestPeriod); period++ {
		if l.last[(l.n-period)%longestPeriod] != id {
			l.equals[period] = 0
			continue
		}
		l.equals[period]++
		found = found || l.equals[period] >= max(loopTokens, loopRounds*period)
	}
	l.last[l.n%longestPeriod] = id
	l.n++
	return found
}

// marks are what control text of this family begins with (formats spec 3.2); an answer has none once it is parsed.
var marks = []string{"<｜", "｜DSML｜", "</｜"}

// leak finds marks in text that comes in pieces.
type leak struct{ tail string }

func (l *leak) text(piece string) bool {
	const longest = len("｜DSML｜")
	text := l.tail + piece
	l.tail = text[max(0, len(text)-longest+1):]
	for _, mark := range marks {
		if strings.Contains(text, mark) {
			l.tail = ""
			return true
		}
	}
	return false
}

// drafting compares how many drafts are accepted now with how many are as a rule.
type drafting struct {
	mu                sync.Mutex
	drafted, accepted uint64  // when a window began
	usual             float64 // a slow mean over windows; 0: none yet
	low               bool
}

const (
	draftWindow = 512 // drafts of a window
	draftMemory = .1  // of a window in the mean
	draftFall   = .5  // of the mean is a fall
)

// look takes counts that only grow. It tells when acceptance has fallen, once until it has recovered.
func (d *drafting) look(drafted, accepted uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if drafted < d.drafted+draftWindow {
		return false
	}
	share := float64(accepted-d.accepted) / float64(drafted-d.drafted)
	d.drafted, d.accepted = drafted, accepted
	before := d.low
	d.low = d.usual > 0 && share < draftFall*d.usual
	if d.usual == 0 {
		d.usual = share
	}
	d.usual += draftMemory * (share - d.usual)
	return d.low && !before
}

// observer follows one answer for the metrics and the watch over drift. What it logs says which request it was, never
// what was said.
type observer struct {
	metrics *metrics
	recalls *recalls
	log     *slog.Logger
	request string
	control func(int32) bool // tokens that are no part of an answer

	prompt, tokens int
	last           time.Time
	loop           loop
	leak           leak
	told           map[driftKind]bool
}

// observe begins to follow an answer to a prompt of so many tokens.
func (g *guard) observe(ctx context.Context, prompt int, control func(int32) bool) *observer {
	o := &observer{metrics: g.metrics, recalls: &g.recalls, log: g.Log, control: control, prompt: prompt, told: map[driftKind]bool{}}
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		o.request = v.id
	}
	return o
}

// token takes a token of the answer as it is read.
func (o *observer) token(id int32) {
	now := time.Now()
	if o.tokens > 0 {
		o.metrics.between.Observe(now.Sub(o.last).Seconds())
	}
	o.tokens++
	o.last = now
	o.metrics.output.Inc()
	if o.control(id) {
		o.drift(driftControl)
	}
	if o.loop.token(id) {
		o.drift(driftLoop)
	}
}

// text takes what a client is shown.
func (o *observer) text(piece string) {
	if o.leak.text(piece) {
		o.drift(driftControl)
	}
}

// end takes the end.
func (o *observer) end(f engine.Finish) {
	if f.Err != nil && strings.Contains(f.Err.Error(), "broken logits") {
		o.drift(driftNaN)
	}
	// first guesses only: how many follow in a draft is adapted, and the later ones stand less often
	if now := o.metrics.stats(); o.metrics.drafts.look(now.Drafted[0], now.Accepted[0]) {
		o.drift(driftAcceptance)
	}
	why := ended(f)
	if why == endedBroken {
		o.log.Error("answer failed", "id", o.request, "tokens", o.tokens, "error", f.Err.Error())
	}
	o.log.Info("answer", "id", o.request, "prompt", o.prompt, "cached", f.Cached, "tokens", o.tokens, "end", why,
		"queue_ms", since(f.Submitted, f.Started), "first_ms", since(f.Submitted, f.First), "ms", since(f.Submitted, f.Ended))
	o.metrics.ended(f, o.prompt, o.tokens)
	if f.Started > 0 {
		o.recalls.add(recall{Request: o.request, At: time.Now(), Prompt: o.prompt, Cached: f.Cached, Awaited: f.Awaited, Why: f.Why})
	}
}

// since is the time from one moment of an answer to a later one, in ms; 0 where that was never reached.
func since(from, to time.Duration) int64 { return max(0, to-from).Milliseconds() }

// drift raises a sign, once for each answer.
func (o *observer) drift(kind driftKind) {
	if o.told[kind] {
		return
	}
	o.told[kind] = true
	o.metrics.drift.WithLabelValues(string(kind)).Inc()
	o.log.Warn("drift", "kind", string(kind), "id", o.request, "tokens", o.tokens)
}
