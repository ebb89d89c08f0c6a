package synth

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"baleen/internal/deepseek"
)

// demoConfig is the config.json of the embedded model.
//
//go:embed demo.json
var demoConfig []byte

// Config returns the config.json that Write writes: that of the shape, cut down to the options.
func Config(o Options) ([]byte, error) {
	text, err := shape(o.Shape)
	if err != nil {
		return nil, err
	}
	full, err := deepseek.ParseConfig(text)
	if err != nil {
		return nil, err
	}
	picked, err := o.picked(full.Layers)
	if err != nil {
		return nil, err
	}
	if o.Experts != 0 && o.Experts < full.ActiveExperts {
		return nil, fmt.Errorf("too few experts: --experts: found %d, expected at least the %d that a token meets: give more", o.Experts, full.ActiveExperts)
	}
	if least := full.EOS[0] + 1; o.Vocab != 0 && o.Vocab < int(least) {
		return nil, fmt.Errorf("vocabulary too small: --vocab: found %d, expected at least %d: give more", o.Vocab, least)
	}
	keys := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&keys); err != nil {
		return nil, err
	}
	o.cut(keys, full, picked)
	cut, err := json.MarshalIndent(keys, "", "  ")
	if err != nil {
		return nil, err
	}
	_, err = deepseek.ParseConfig(cut)
	return cut, err
}

func shape(name string) ([]byte, error) {
	shapes := []string{"v4-flash", "v4-pro"}
	if name == "demo" {
		return demoConfig, nil
	}
	if text, ok := deepseek.ReleasedConfig(name); ok && slices.Contains(shapes, name) {
		return text, nil
	}
	return nil, fmt.Errorf("unknown shape: %q: no such model: use %s or demo", name, strings.Join(shapes, ", "))
}

// picked lists the layers to keep.
func (o Options) picked(layers int) ([]int, error) {
	if o.Layers != 0 && o.Pick != nil {
		return nil, fmt.Errorf("two choices of layers: --layers and --pick: found both, expected one: drop one")
	}
	if o.Layers < 0 || o.Layers > layers {
		return nil, fmt.Errorf("wrong number of layers: --layers: found %d, expected 1 to %d: give one of these", o.Layers, layers)
	}
	if o.Pick != nil {
		for i, layer := range o.Pick {
			if layer < 0 || layer >= layers || i > 0 && layer <= o.Pick[i-1] {
				return nil, fmt.Errorf("wrong layers: --pick: found %v, expected ascending numbers from 0 to %d: correct the list", o.Pick, layers-1)
			}
		}
		if len(o.Pick) == 0 {
			return nil, fmt.Errorf("no layers: --pick: found an empty list, expected numbers from 0 to %d: name some", layers-1)
		}
		return o.Pick, nil
	}
	count := layers
	if o.Layers != 0 {
		count = o.Layers
	}
	all := make([]int, count)
	for i := range all {
		all[i] = i
	}
	return all, nil
}

// cut changes the keys that the options concern. Layers that route by hash come first in every shape, so an ascending
// choice needs only their number.
func (o Options) cut(keys map[string]any, full *deepseek.Config, picked []int) {
	ratios, hashed := []int{}, 0
	for _, layer := range picked {
		ratios = append(ratios, full.Ratios[layer])
		if layer < full.HashLayers {
			hashed++
		}
	}
	keys["num_nextn_predict_layers"] = 0
	if o.MTP {
		ratios = append(ratios, 0)
		keys["num_nextn_predict_layers"] = 1
	}
	keys["compress_ratios"], keys["num_hidden_layers"], keys["num_hash_layers"] = ratios, len(picked), hashed
	if o.Experts != 0 {
		keys["n_routed_experts"] = o.Experts
	}
	if o.Vocab != 0 {
		keys["vocab_size"] = o.Vocab
	}
}
