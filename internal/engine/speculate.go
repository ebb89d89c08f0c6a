package engine

import (
	"math"
	"slices"
)

// Speculation guesses the next tokens of a sequence with a drafter and lets the model verify them in one run. Here is what
// is decided: how many guesses are worth their rows, and which of them stand. Nothing here runs anything.
//
// A guess can be wrong, never harmful. What an answer's token is depends on the logits, the settings and the token's place
// alone (sampler), so each row is sampled as if nothing had been guessed, and a guess stands if it is what came out. The
// answer is the very same as without guesses: it need not be corrected by rejection sampling, and so has its distribution.

// guess chooses a draft for the token that is ahead places after the next one, from a drafter's logits. It draws with the
// number that the token itself will be drawn with: where drafter and model agree, so do the draws. Penalties of tokens that
// do not stand yet and the constraint are left out; a guess that they forbid will fall.
func (s *sampler) guess(logits []float32, ahead int, w *workspace) int32 {
	x := w.adjust(logits, s)
	best := argmax(x)
	if s.Temperature == 0 || math.IsInf(float64(x[best]), -1) {
		return best
	}
	return w.draw(&s.Sampling, x[best], uniform(s.Seed, s.drawn+uint64(ahead)))
}

// follow chooses tokens row by row: the first from row 0, which is what the model says without guesses, and each other from
// the row that ran with the guess that the token before it confirmed. It ends with the first token that is not as guessed,
// that ends the answer, or that has no guess to compare with. So it returns at least one token and at most one more than there
// are guesses, and it never takes a choice back. An error comes behind the tokens before it, as Item.Err.
func (s *sampler) follow(guesses []int32, row func(i int) ([]float32, error), left int, ends func(token int32) bool, w *workspace) (items []Item) {
	for i := 0; ; i++ {
		logits, err := row(i)
		if err != nil {
			return append(items, Item{Err: err})
		}
		item, err := s.next(logits, left-i, w)
		if err != nil {
			return append(items, Item{Err: err})
		}
		items = append(items, item)
		if i == len(guesses) || item.Token != guesses[i] || ends(item.Token) {
			return items
		}
	}
}

// acceptance learns how often guesses stand, by their place in a draft, each given that those before it stood.
type acceptance []float64

const (
	hopes      = 0.7      // the share that is taken for granted before anything is known
	memory     = 1. / 16  // how much one draft counts
	forgetting = 1. / 256 // how much of a hope comes back in a step without a guess, so that it is tried again
)

func newAcceptance(places int) acceptance {
	a := make(acceptance, places)
	for i := range a {
		a[i] = hopes
	}
	return a
}

// observe takes the outcome of a draft. What was guessed behind the first that fell says nothing.
func (a acceptance) observe(guessed, stood int) {
	for i := range a {
		switch {
		case i < stood:
			a[i] += (1 - a[i]) * memory
		case i == stood && i < guessed:
			a[i] -= a[i] * memory
		case i >= guessed:
			a[i] += max(hopes-a[i], 0) * forgetting
		}
	}
}

// chances returns, for each place, how likely all guesses up to it stand.
func (a acceptance) chances() []float64 {
	all, p := make([]float64, len(a)), 1.0
	for i, share := range a {
		p *= share
		all[i] = p
	}
	return all
}

// sure returns the same from a drafter's own scores of its guesses (model spec 11.5), corrected by what was learnt: a
// drafter that is too sure of itself gains nothing by it.
func (a acceptance) sure(scores []float32) []float64 {
	all, p := make([]float64, min(len(scores), len(a))), 1.0
	for i := range all {
		share := 1 / (1 + math.Exp(-float64(scores[i])))
		if !(share >= 0) {
			share = 0 // of a score that is no number
		}
		p *= math.Sqrt(share * a[i])
		all[i] = p
	}
	return all
}

// pace learns how long a run of so many rows takes: a part for every run and a part for every row, by least squares over the
// recent past. Where rows make experts be read from disk, it is seen here.
type pace struct {
	n, x, y, xx, xy float64
	runs            int
}

const (
	pastRuns  = 64 // about how many runs are remembered; at first fewer, since the very first are slow
	plainRuns = 16 // one in so many runs goes without guesses, and one with: else nobody would know what they cost
	surprise  = 2  // so many times the time that was expected is all that one run counts: a machine has hiccups
)

// plain tells whether the next run is to go without guesses, bold whether it is to go with one each, whatever they cost.
func (p *pace) plain() bool { return p.runs%plainRuns == 0 }
func (p *pace) bold() bool  { return p.runs%plainRuns == plainRuns/2 }

// observe takes the time of one run in seconds, and returns what counts of it.
func (p *pace) observe(rows int, seconds float64) float64 {
	if p.runs++; p.runs > plainRuns {
		if run, row := p.costs(); run+row > 0 {
			seconds = min(seconds, surprise*(run+row*float64(rows)))
		}
	}
	for _, sum := range []*float64{&p.n, &p.x, &p.y, &p.xx, &p.xy} {
		*sum *= 1 - 1/float64(min(4+p.runs/2, pastRuns))
	}
	x := float64(rows)
	p.n, p.x, p.y, p.xx, p.xy = p.n+1, p.x+x, p.y+seconds, p.xx+x*x, p.xy+x*seconds
	return seconds
}

// costs returns the time of a run and that of each of its rows. As long as runs have looked alike, rows are taken to be free:
// then the first guesses are made, and runs look different.
func (p *pace) costs() (run, row float64) {
	if p.n == 0 {
		return 0, 0
	}
	spread := p.xx*p.n - p.x*p.x
	if spread > 1e-9*p.xx*p.n {
		row = max((p.xy*p.n-p.x*p.y)/spread, 0)
	}
	return max((p.y-row*p.x)/p.n, 0), row
}

// profit decides whether to draft at all. A drafter takes time even for a sequence that is not guessed at, since it has to see
// every token. So the time that answers take is held against what they would take without it; where that is less, the drafter
// rests for a while, for longer each time. What it has not seen then, its guesses lack; answers do not.
type profit struct {
	plain         pace    // of runs without guesses, without the drafter's time
	spent, needed float64 // seconds of this trial; those of plain runs for as many tokens
	runs          int     // of this trial
	rest          int     // runs until the next
	pause         int     // the last rest
}

const (
	trialRuns  = 32
	shortTrial = 8 // where that many took more than twice the time, as if experts come from disk, it is enough
	hiccup     = 4 // so many times the time without it is all that one run counts
	firstPause = 128
	mostPause  = 4096
)

func (p *profit) rests() bool { return p.rest > 0 }

// observe takes a run of some rows in which some sequences got tokens: the seconds that it took, and those with the drafter's.
func (p *profit) observe(sequences, rows, tokens int, seconds, whole float64) {
	if rows == sequences {
		p.plain.observe(rows, seconds)
	}
	if p.rest > 0 {
		p.rest--
		return
	}
	run, row := p.plain.costs()
	needed := float64(tokens) * (run/float64(sequences) + row)
	p.spent += min(whole, hiccup*needed)
	p.needed += needed
	if p.runs++; p.runs < trialRuns && (p.runs < shortTrial || p.spent <= 2*p.needed) {
		return
	}
	if p.spent > p.needed {
		p.pause = min(max(2*p.pause, firstPause), mostPause)
		p.rest = p.pause
	} else {
		p.pause = 0
	}
	p.runs, p.spent, p.needed = 0, 0, 0
}

// worth decides how many guesses of each sequence a run verifies, at most so many in all. chances are those of every
// sequence, descending; each has a row and a token for certain. A guess is a row more and, with its chance, a token more: the likeliest
// come first, as long as each makes more tokens in a second than the run has without it.
func worth(chances [][]float64, run, row float64, most int) []int {
	lengths := make([]int, len(chances))
	tokens := float64(len(chances))
	seconds := run + row*tokens
	for range most {
		best, chance := -1, 0.0
		for i, c := range chances {
			if n := lengths[i]; n < len(c) && c[n] > chance {
				best, chance = i, c[n]
			}
		}
		if best < 0 || chance*seconds <= row*tokens {
			break
		}
		lengths[best]++
		tokens, seconds = tokens+chance, seconds+row
	}
	return lengths
}

// untilEnd cuts guesses behind the first that would end an answer.
func untilEnd(guesses []int32, ends func(token int32) bool) []int32 {
	if i := slices.IndexFunc(guesses, ends); i >= 0 {
		return guesses[:i+1]
	}
	return guesses
}
