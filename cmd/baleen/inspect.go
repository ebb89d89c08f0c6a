package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// inspection is what `baleen inspect` says of a model. Sizes are bytes.
type inspection struct {
	Version  int    `json:"version"` // of this form
	Model    string `json:"model"`
	Digest   string `json:"digest"`
	Encoding string `json:"encoding"`
	Drafter  string `json:"drafter"` // mtp, dspark or none: what is stored

	Layers     int `json:"layers"`
	Hidden     int `json:"hidden"`
	Vocab      int `json:"vocab"`
	Experts    int `json:"experts"`
	Active     int `json:"active_experts"`
	MaxContext int `json:"max_context"`

	Parameters parameters       `json:"parameters"`
	Tensors    int              `json:"tensors"`
	Weights    stored           `json:"weights"`
	PerToken   int64            `json:"weights_per_token"` // read at batch 1
	ByKind     map[string]int64 `json:"weights_per_token_by_kind"`
	Numerics   []numericsCost   `json:"numerics"`
	Ignored    []string         `json:"ignored"` // tensors that repeat what others say
	Sparse     bool             `json:"sparse"`  // the files hold no numbers (baleen synth --sparse)
}

// parameters counts trained numbers; active ones are met by a token in the backbone, the embedding aside.
type parameters struct {
	Backbone int64 `json:"backbone"`
	Drafter  int64 `json:"drafter"`
	Active   int64 `json:"active"`
}

type stored struct {
	Backbone int64 `json:"backbone"`
	Drafter  int64 `json:"drafter"`
}

// numericsCost is what depends on the numerics.
type numericsCost struct {
	Numerics string        `json:"numerics"`
	PerToken float64       `json:"state_per_token"` // what a position adds to a sequence
	Slot     int64         `json:"state_fixed"`     // windows and frontiers of a sequence
	Contexts []contextCost `json:"contexts"`
}

// contextCost is what a token costs behind so many others.
type contextCost struct {
	Context int   `json:"context"`
	KV      int64 `json:"kv_per_token"` // read: windows, compressed and index rows
	Flops   int64 `json:"flops_per_token"`
}

func newInspect() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Say what a checkpoint is, and what its tokens cost",
		Long: `Inspect opens a checkpoint, checks all that its files say about themselves, binds its tensors, and says how
large the model is and what a token reads and computes. It reads no weights.`,
		Example: `  baleen inspect demo
  baleen inspect /models/DeepSeek-V4-Pro --json`,
		Args:              arguments(1, 1),
		ValidArgsFunction: completeModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := findModel(args[0])
			if err != nil {
				return err
			}
			report, err := inspect(m)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd, report)
			}
			return write(cmd, []byte(report.String()))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func inspect(m *model) (*inspection, error) {
	c, err := m.open()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	loaded, err := deepseek.Load(c, deepseek.Reference, deepseek.Quirks{})
	if err != nil {
		return nil, fmt.Errorf("cannot load %s: %w", m.name, err)
	}
	return describe(m.name, c, loaded), nil
}

func describe(name string, c *checkpoint.Checkpoint, m *deepseek.Model) *inspection {
	config, weights := m.Config, m.Weights
	i := &inspection{
		Version: 1, Model: name, Digest: c.Digest(), Encoding: string(encodingOf(config)), Drafter: drafterOf(weights),
		Layers: config.Layers, Hidden: config.Hidden, Vocab: config.Vocab,
		Experts: config.Experts, Active: config.ActiveExperts, MaxContext: config.MaxContext,
		Tensors: c.Len(), ByKind: map[string]int64{}, Ignored: append([]string{}, weights.Ignored...),
		Sparse: strings.HasPrefix(c.Metadata()["sparse"], "true"),
	}
	i.Parameters.Backbone, i.Parameters.Drafter, i.Parameters.Active = weights.Params()
	i.Weights.Backbone, i.Weights.Drafter = weights.Bytes()
	for _, n := range []deepseek.Numerics{deepseek.Reference, deepseek.Wide, deepseek.Fast} {
		with := *m
		with.Numerics = n
		i.Numerics = append(i.Numerics, costs(&with))
	}
	cost := decode(m).Cost(op.Load{Contexts: []int{1}, Logits: 1})
	i.PerToken = cost.WeightBytes()
	for kind, n := range cost.Weights {
		if n > 0 {
			i.ByKind[quant.Kind(kind).String()] = n
		}
	}
	return i
}

// decode is the program of one token. Its capacities leave room for one sequence between runs.
func decode(m *deepseek.Model) *op.Program {
	return m.Forward(op.Caps{Rows: 1, Slots: 1, Pages: 1, Context: m.Config.MaxContext})
}

// costs adds up state and costs of a model in its numerics.
func costs(m *deepseek.Model) numericsCost {
	p := decode(m)
	state := m.StateSize(p)
	n := numericsCost{Numerics: m.Numerics.String(), PerToken: state.PerToken, Slot: state.Slot}
	for _, context := range contexts(m.Config.MaxContext) {
		cost := p.Cost(op.Load{Contexts: []int{context}, Logits: 1})
		n.Contexts = append(n.Contexts, contextCost{context, cost.KV, cost.Flops})
	}
	return n
}

// contexts are the lengths that costs are told for.
func contexts(most int) (list []int) {
	for _, n := range []int{4 << 10, 64 << 10} {
		if n < most {
			list = append(list, n)
		}
	}
	return append(list, most)
}

func drafterOf(w *deepseek.Weights) string {
	switch {
	case w.MTP != nil:
		return "mtp"
	case w.Drafter != nil:
		return "dspark"
	}
	return "none"
}

func (i *inspection) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	line := func(name, format string, values ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, values...))
	}
	line("model", "%s", i.Model)
	line("digest", "%s", i.Digest)
	line("encoding", "%s", i.Encoding)
	line("shape", "%d layers of %d, vocabulary %d, %d of %d experts, context %d", i.Layers, i.Hidden, i.Vocab, i.Active, i.Experts, i.MaxContext)
	line("parameters", "%s, %s with the drafter (%s), %s active per token", count(i.Parameters.Backbone), count(i.Parameters.Backbone+i.Parameters.Drafter), i.Drafter, count(i.Parameters.Active))
	line("weights", "%s in %d tensors, of these the drafter %s", bytesOf(i.Weights.Backbone+i.Weights.Drafter), i.Tensors, bytesOf(i.Weights.Drafter))
	line("per token", "%s of weights at batch 1%s", bytesOf(i.PerToken), i.kinds())
	if len(i.Ignored) > 0 {
		line("ignored", "%d tensors that repeat what others say", len(i.Ignored))
	}
	if i.Sparse {
		line("sparse", "headers and holes: these files hold no numbers and cannot be run")
	}
	w.Flush()
	text.WriteString("\n")
	i.table(&text)
	return text.String()
}

// kinds breaks down what a token reads.
func (i *inspection) kinds() string {
	var parts []string
	for _, kind := range []quant.Kind{quant.KindE2M1, quant.KindE4M3, quant.KindBF16, quant.KindF32, quant.KindI32, quant.KindI64} {
		if n := i.ByKind[kind.String()]; n > 0 {
			parts = append(parts, kind.String()+" "+bytesOf(n))
		}
	}
	return ": " + strings.Join(parts, ", ")
}

// table shows what depends on numerics and context.
func (i *inspection) table(text *strings.Builder) {
	w := tabwriter.NewWriter(text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "numerics\tstate of a sequence\tand per position\t")
	for _, c := range i.Numerics[0].Contexts {
		fmt.Fprintf(w, "KV read at %d\tflops\t", c.Context)
	}
	fmt.Fprintln(w)
	for _, n := range i.Numerics {
		fmt.Fprintf(w, "%s\t%s\t%.0f B\t", n.Numerics, bytesOf(n.Slot), n.PerToken)
		for _, c := range n.Contexts {
			fmt.Fprintf(w, "%s\t%s\t", bytesOf(c.KV), count(c.Flops))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
}

// count writes a number with its thousands in a word, to four digits.
func count(n int64) string { return scaled(n, "", " k", " M", " B") }

// bytesOf writes a size in powers of ten.
func bytesOf(n int64) string { return scaled(n, " B", " kB", " MB", " GB", " TB") }

func scaled(n int64, units ...string) string {
	x, unit := float64(n), 0
	for x >= 999.95 && unit < len(units)-1 {
		x, unit = x/1000, unit+1
	}
	if unit == 0 {
		return fmt.Sprint(n) + units[0]
	}
	return fmt.Sprintf("%.4g%s", x, units[unit])
}
