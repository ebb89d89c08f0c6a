package plan

import (
	"fmt"
	"math"
	"strings"
)

// deployment is a way to serve a model on a machine: replicas of a rig that makes tokens, and, where prompts are read elsewhere,
// rigs that do that.
type deployment struct {
	decode   *rig
	prompt   *rig // the same where one pool does both
	replicas float64
	readers  float64 // replicas of prompt
}

func (d *deployment) split() bool { return d.prompt != d.decode }

func (d *deployment) chips() int {
	n := d.decode.chips() * int(d.replicas)
	if d.split() {
		n += d.prompt.chips() * int(d.readers)
	}
	return n
}

// String is the layout in the words of the field.
func (d *deployment) String() string {
	s := d.decode.cutText()
	if d.split() {
		s = fmt.Sprintf("decode %d x %s; prefill %d x %s", int(d.replicas), s, int(d.readers), d.prompt.cutText())
	} else if d.replicas > 1 {
		s = fmt.Sprintf("%d replicas of %s", int(d.replicas), s)
	}
	return s
}

func (r *rig) cutText() string {
	l := &r.layout
	var words []string
	for _, w := range []struct {
		name string
		n    int
	}{{"TP", l.TP}, {"DP", l.DP}, {"EP", l.EP}, {"PP", l.PP}} {
		if w.n > 1 {
			words = append(words, fmt.Sprintf("%s%d", w.name, w.n))
		}
	}
	if len(words) == 0 {
		words = append(words, "one device")
	}
	switch {
	case l.SSD > 0:
		words = append(words, fmt.Sprintf("with experts on disk, %.0f %% of wants met in memory", 100*l.Hit))
	case r.host != nil:
		words = append(words, fmt.Sprintf("with %.0f %% of routed experts on %s", 100*(1-r.near), r.host.Name))
	}
	return strings.Join(words, " ")
}

// service is what a deployment gives at a concurrency.
type service struct {
	step, read span
	token      float64 // seconds of a token, per sequence
	parts      []Part  // milliseconds of it, by what they go into
	first      float64 // seconds to the first token
	output     float64 // tokens/s in all
	prefill    float64 // tokens/s of prompts that could be read
	requests   float64 // a second
}

// ask is a request's load: what a deployment is asked for.
type ask struct {
	in, out, context int
	cached           float64
	spec             Spec
}

// serve is the steady state in which so many sequences are always there: each reads its prompt and then makes its tokens.
// Where one pool does both, a sequence waits while another's prompt is read, once for each other in the time of its answer; where
// prompts have chips of their own, they queue there as at a counter with even service.
func (d *deployment) serve(a ask, concurrency float64) service {
	busy := math.Min(d.replicas, concurrency) // replicas with something to do
	c := concurrency / busy
	var s service
	s.step = d.decode.decode(c, a.context, a.spec)
	tokens := max(1, int(float64(a.in)*(1-a.cached)))
	s.read = d.prompt.readPrompts(1, tokens)
	read, out := s.read.total(), float64(a.out)
	s.token = s.step.total() / a.spec.tokensPerStep()
	slower := 1.0
	if !d.decode.chip.Measured { // baleen's own scheduling takes little, and bench has it in
		slower = d.decode.factors.slower(concurrency)
	}
	s.parts = s.step.over(a.spec.tokensPerStep())
	s.part("requests coming and going", (slower-1)*s.token)
	s.token, read = slower*s.token, slower*read
	s.prefill = d.readers * float64(a.in) / read
	if !d.split() {
		s.part("others' prompts", (c-1)*read/out)
		s.token += (c - 1) * read / out
		share := c * read / (c*read + out*s.token)
		s.first = read * (1 + share*(c-1)/c)
		s.requests = concurrency / (s.first + out*s.token)
	} else {
		most := d.readers / read
		s.requests = math.Min(concurrency/(read+out*s.token), 0.95*most)
		use := s.requests / most
		s.first = read * (1 + use/(2*(1-use)))
		if use > 0.94 { // sequences wait for prompts, not for tokens
			s.first = concurrency/s.requests - out*s.token
		}
	}
	s.output = s.requests * out
	return s
}

// part adds a part of the time of a token.
func (s *service) part(name string, seconds float64) {
	if seconds > 0 {
		s.parts = append(s.parts, Part{name, 1000 * seconds})
	}
}
