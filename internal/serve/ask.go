package serve

import (
	"crypto/rand"
	"fmt"
	"math"
	random "math/rand/v2"
	"net/http"
	"strconv"

	"baleen/internal/engine"
	"baleen/internal/grammar"
)

// maxChoices bounds the answers of one request, all prompts together.
const maxChoices = 16

// ask is what a client wants: the one internal form of all wire forms.
type ask struct {
	model   string // as the client calls it
	stream  bool
	usage   bool   // a stream of the OpenAI form tells usage at its end
	param   string // the field that the prompts come from
	prompts [][]int32
	choices int // answers per prompt
	limits  engine.Limits
	stops   []string
	format  format
	calls   string // what the ids of calls begin with

	language     *grammar.Grammar // nil: anything
	conversation *conversation    // nil where raw text is continued
}

// newAsk reads what all forms have in common. maxTokens are the names that the form has for the greatest length of an answer;
// the first one that is there counts.
func (s *Server) newAsk(o *object, maxTokens ...string) *ask {
	a := &ask{
		model:   o.text("model"),
		stream:  o.flag("stream", false),
		choices: 1,
		calls:   "call_",
		limits: engine.Limits{
			StopIDs:  s.options.EOS,
			Salt:     o.text("cache_salt") + "\x00" + o.text("user_id"), // vLLM's and DeepSeek's names for it
			Sampling: s.sampling(o),
		},
	}
	if a.model == "" {
		a.model = s.options.Model
	}
	for _, name := range maxTokens {
		if o.has(name) {
			a.limits.MaxTokens = int(min(o.integer(name, 0, 1, 1<<53), math.MaxInt32))
			break
		}
	}
	return a
}

// sampling reads how tokens are chosen. Fields of other local engines are taken too; the ranges are the hosted services'.
func (s *Server) sampling(o *object) engine.Sampling {
	p := s.options.Sampling
	p.Temperature = o.number("temperature", p.Temperature, 0, 2)
	p.TopP = o.number("top_p", p.TopP, 0, 1)
	if p.TopP == 0 {
		p.TopK, p.TopP = 1, 1 // the fewest tokens that have no probability together: the likeliest one
	} else {
		p.TopK = max(0, int(o.integer("top_k", int64(p.TopK), -1, 1<<31-1))) // -1 is all, with vLLM
	}
	p.MinP = o.number("min_p", p.MinP, 0, 1)
	p.FrequencyPenalty = o.number("frequency_penalty", p.FrequencyPenalty, -2, 2)
	p.PresencePenalty = o.number("presence_penalty", p.PresencePenalty, -2, 2)
	p.RepetitionPenalty = o.number("repetition_penalty", p.RepetitionPenalty, 0.01, 100)
	p.Seed = random.Uint64()
	if o.has("seed") {
		p.Seed = uint64(o.integer("seed", 0, -1<<63, 1<<63-1))
	}
	p.LogitBias = s.logitBias(o)
	return p
}

// logitBias reads additions to logits by token.
func (s *Server) logitBias(o *object) map[int32]float32 {
	biases := o.child("logit_bias")
	if len(biases.fields) == 0 {
		return nil
	}
	list := map[int32]float32{}
	for name := range biases.fields {
		id, ok := tokenID(name)
		if _, known := s.options.Tokenizer.Bytes(id); !ok || !known {
			o.refuse("logit_bias", "found a key that is no token of this model: use the numbers that tokens have")
			return nil
		}
		list[id] = float32(biases.number(name, 0, -100, 100))
	}
	return list
}

// readStops reads stop strings.
func (a *ask) readStops(o *object, field string) {
	a.stops = o.texts(field)
	if len(a.stops) > maxStops {
		o.refuse(field, "found %d strings, expected at most %d", len(a.stops), maxStops)
	}
	for _, stop := range a.stops {
		if stop == "" || len(stop) > maxStopBytes {
			o.refuse(field, "found a string of %d bytes, expected 1 to %d", len(stop), maxStopBytes)
		}
	}
}

// readChoices reads how many answers are wanted.
func (a *ask) readChoices(o *object) {
	a.choices = int(o.integer("n", 1, 1, maxChoices))
}

// readStream reads the options of a stream of the OpenAI forms.
func (a *ask) readStream(o *object) {
	a.usage = o.child("stream_options").flag("include_usage", false)
}

// overflow refuses prompts that leave no room for an answer, with the words and the code that agents look for before they
// shorten their history (formats spec 5.5).
func (s *Server) overflow(a *ask) *apiError {
	for _, p := range a.prompts {
		if len(p) >= s.options.Context {
			return &apiError{
				status: http.StatusBadRequest, code: "context_length_exceeded", param: a.param,
				message: fmt.Sprintf("prompt is too long: %s: this model's maximum context length is %d tokens, the prompt has %d: shorten it", a.param, s.options.Context, len(p)),
			}
		}
	}
	return nil
}

// tokenID reads the number of a token.
func tokenID(text string) (int32, bool) {
	id, err := strconv.ParseInt(text, 10, 32)
	return int32(id), err == nil && id >= 0
}

// newID returns an id that nobody can guess and that does not come twice.
func newID(prefix string) string { return prefix + rand.Text() }
