package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path"

	"github.com/spf13/cobra"

	"baleen/internal/deepseek"
	"baleen/internal/engine"
)

// sampling is how tokens are chosen and when an answer ends: the flags of commands that make text.
type sampling struct {
	engine.Sampling
	maxTokens int
	stop      []string
	bias      map[string]string

	// what was not given comes from the model, or from chance
	temperatureGiven, topPGiven, seedGiven func() bool
}

func (s *sampling) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Float64Var(&s.Temperature, "temperature", 1, "0 is the likeliest token always; without the flag as the model says")
	f.Float64Var(&s.TopP, "top-p", 1, "keep the likeliest tokens of this probability together; without the flag as the model says")
	f.IntVar(&s.TopK, "top-k", 0, "keep this many of the likeliest tokens; 0 is all")
	f.Float64Var(&s.MinP, "min-p", 0, "keep tokens at least this likely, relative to the likeliest")
	f.Float64Var(&s.RepetitionPenalty, "repetition-penalty", 1, "make tokens that occurred less likely; 1 does not")
	f.Float64Var(&s.PresencePenalty, "presence-penalty", 0, "subtract from the logits of tokens in the answer")
	f.Float64Var(&s.FrequencyPenalty, "frequency-penalty", 0, "subtract for each time that a token is in the answer")
	f.StringToStringVar(&s.bias, "logit-bias", nil, "ID=NUMBER,...: add to the logits of tokens")
	f.Uint64Var(&s.Seed, "seed", 0, "the same seed gives the same text; without the flag it is chance")
	f.IntVar(&s.maxTokens, "max-tokens", 0, "tokens of an answer at most; 0 is as many as the context holds")
	f.StringArrayVar(&s.stop, "stop", nil, "end an answer before this text; may be given several times")
	s.temperatureGiven = func() bool { return f.Changed("temperature") }
	s.topPGiven = func() bool { return f.Changed("top-p") }
	s.seedGiven = func() bool { return f.Changed("seed") }
}

// limits joins the flags with what the model says.
func (s *sampling) limits(m *model, c *deepseek.Config) (engine.Limits, error) {
	limits := engine.Limits{MaxTokens: s.maxTokens, StopIDs: c.EOS, Sampling: s.Sampling}
	if err := s.suggested(m, &limits.Sampling); err != nil {
		return limits, err
	}
	if !s.seedGiven() {
		limits.Sampling.Seed = rand.Uint64()
	}
	for _, text := range s.stop {
		limits.Stop = append(limits.Stop, []byte(text))
	}
	limits.Sampling.LogitBias = map[int32]float32{}
	for id, bias := range s.bias {
		var token int32
		var value float32
		if n, err := fmt.Sscanf(id+" "+bias, "%d %g", &token, &value); n != 2 || err != nil {
			return limits, misuse("bad value of a flag", fmt.Sprintf("--logit-bias %s=%s", id, bias), "give a token id and a number, such as 412=-5")
		}
		limits.Sampling.LogitBias[token] = value
	}
	return limits, nil
}

// suggested takes temperature and top-p from generation_config.json where no flag says anything. A model without that
// file is sampled as it is.
func (s *sampling) suggested(m *model, to *engine.Sampling) error {
	const file = "generation_config.json"
	data, err := readFile(m.files, m.name, file, maxConfig)
	if err != nil {
		return nil // releases have one, checkpoints of other hands may not
	}
	var suggested struct {
		Sample      *bool    `json:"do_sample"`
		Temperature *float64 `json:"temperature"`
		TopP        *float64 `json:"top_p"`
	}
	if err := json.Unmarshal(data, &suggested); err != nil {
		return fault("bad generation config", fmt.Sprintf("%s (%v)", path.Join(m.name, file), err), "fetch it again, or remove it")
	}
	if suggested.Temperature != nil && !s.temperatureGiven() {
		to.Temperature = *suggested.Temperature
	}
	if suggested.Sample != nil && !*suggested.Sample && !s.temperatureGiven() {
		to.Temperature = 0
	}
	if suggested.TopP != nil && !s.topPGiven() {
		to.TopP = *suggested.TopP
	}
	return nil
}
