package deepseek

import (
	"fmt"
	"slices"
	"strings"

	"baleen/internal/checkpoint"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// Numerics names an arithmetic (design 1.5).
type Numerics uint8

const (
	// Reference quantises activations where and as the official inference code does; all else is float32.
	Reference Numerics = iota
	// Wide dequantises weights exactly and quantises no activation.
	Wide
	// Fast is a device's own choice inside a stated bound.
	Fast
)

var numericsNames = [...]string{Reference: "reference", Wide: "wide", Fast: "fast"}

func (n Numerics) String() string { return numericsNames[n] }

// ParseNumerics reads the name of a mode.
func ParseNumerics(name string) (Numerics, error) {
	for n, s := range numericsNames {
		if s == name {
			return Numerics(n), nil
		}
	}
	return 0, fmt.Errorf("unknown numerics: %q: use reference, wide or fast", name)
}

// Quirks are behaviours of older code, for matching its dumps. They are part of every cache key.
type Quirks struct {
	UnclampedShared bool // the shared expert does not clamp, as in the first release's model.py (model spec 0.1)
	NoActRound      bool // keys and values are not rounded to E4M3, as in the first release's kernel.py (model spec 0.1)
	MTPZeroFirst    bool // the draft block sees zeros for the embedding at position 0, as vLLM does (model spec 10)
}

type namedQuirk struct {
	name string
	on   *bool
}

func (q *Quirks) names() []namedQuirk {
	return []namedQuirk{{"unclamped-shared", &q.UnclampedShared}, {"no-act-round", &q.NoActRound}, {"mtp-zero-first", &q.MTPZeroFirst}}
}

// ParseQuirks reads names of quirks, as --quirk spells them.
func ParseQuirks(names []string) (q Quirks, err error) {
	all := q.names()
	for _, name := range names {
		i := slices.IndexFunc(all, func(n namedQuirk) bool { return n.name == name })
		if i < 0 {
			return q, fmt.Errorf("unknown quirk: %q: use unclamped-shared, no-act-round or mtp-zero-first", name)
		}
		*all[i].on = true
	}
	return q, nil
}

// String lists the quirks that are on, with commas between.
func (q Quirks) String() string {
	var on []string
	for _, quirk := range q.names() {
		if *quirk.on {
			on = append(on, quirk.name)
		}
	}
	return strings.Join(on, ",")
}

// Model records programs. Nothing changes it after it is made.
type Model struct {
	Config   *Config
	Weights  *Weights
	Numerics Numerics
	Quirks   Quirks
}

// Load binds the model that a checkpoint holds; it reads no weights.
func Load(c *checkpoint.Checkpoint, n Numerics, q Quirks) (*Model, error) {
	text, err := c.Config()
	if err != nil {
		return nil, err
	}
	config, err := ParseConfig(text)
	if err != nil {
		return nil, err
	}
	weights, err := Bind(c, config)
	if err != nil {
		return nil, err
	}
	return &Model{config, weights, n, q}, nil
}

// recorder carries what every mechanism needs while a program is recorded: the model and a builder that stands at a
// place in it.
type recorder struct {
	*Model
	b      *op.Builder
	prefix string // of names of states: those of activations come from the builder
	ahead  int    // rows of a block that see each other, whatever their order; 0 where attention is causal
	chunk  int    // rows of another program's runs that write the same rings; 0 where no other has more
}

func (m *Model) record(b *op.Builder) recorder { return recorder{Model: m, b: b} }

// at returns a recorder one level deeper.
func (r recorder) at(name string) recorder {
	r.b, r.prefix = r.b.At(name), r.prefix+name+"."
	return r
}

// weight names a weight in the program.
func (r recorder) weight(w *Weight) op.In {
	return r.b.Weight(w.Name, w.Format, w.Parts, w.Rows, w.Cols)
}

// rmsnorm records the norm of every part of x that is as wide as its weight (model spec 3.1).
func (r recorder) rmsnorm(name string, x op.In, w *Weight) op.In {
	y := r.like(name, x)
	r.b.Add(op.RMSNorm{X: x, W: r.weight(w), Y: op.Out(y), Width: w.Cols, Eps: r.Config.NormEps})
	return op.In(y)
}

// like makes an activation of the shape of x.
func (r recorder) like(name string, x op.In) op.ID {
	b := r.b.Buffer(op.ID(x))
	return r.b.Temp(name, b.Dim, b.Cols)
}

// input is an activation that matrices are multiplied with. The official code quantises it for FP8 and FP4 matrices
// (model spec 3.5), once, and not for others.
type input struct {
	x     op.In
	width int                  // of a row that meets a matrix; x may be several side by side
	as    map[quant.Kind]op.In // what was made of it, by the kind that it was rounded to
}

func (r recorder) input(x op.In) *input {
	return &input{x, r.b.Buffer(op.ID(x)).Cols, map[quant.Kind]op.In{quant.KindF32: x}}
}

// linear records the product of an input and a matrix.
func (r recorder) linear(name string, in *input, w *Weight) op.In {
	return r.product(name, in, w, r.meeting(w))
}

// product is linear with an input that was rounded to a kind before.
func (r recorder) product(name string, in *input, w *Weight, kind quant.Kind) op.In {
	x := r.b.Buffer(op.ID(in.x))
	y := r.b.Temp(name, x.Dim, x.Cols/w.Cols*w.Rows)
	r.b.Add(op.Linear{X: r.rounded(in, kind), W: r.weight(w), Y: op.Out(y), Groups: 1})
	return op.In(y)
}

// rounded returns an input rounded to a kind; it is recorded once.
func (r recorder) rounded(in *input, kind quant.Kind) op.In {
	if _, made := in.as[kind]; !made {
		suffix, group := "quantised", r.Config.actGroup()
		if kind == quant.KindBF16 {
			suffix, group = "rounded", in.width
		}
		y := r.b.Beside(op.ID(in.x), suffix)
		r.b.Add(op.Quantise{X: in.x, Y: op.Out(y), Kind: kind, Width: in.width, Channels: in.width, Group: group})
		in.as[kind] = op.In(y)
	}
	return in.as[kind]
}

// meeting returns what an input is rounded to before it meets a matrix: nothing in Wide, what the official code rounds it
// to in Reference. In Fast it is bfloat16 for all that is stored in more than four bits; for FP4, where most of the products
// are, the device chooses.
func (m *Model) meeting(w *Weight) quant.Kind {
	k := w.Format.Kind
	switch {
	case m.Numerics == Reference && (k == quant.KindE4M3 || k == quant.KindE2M1):
		return quant.KindE4M3
	case m.Numerics == Fast && (k == quant.KindE4M3 || k == quant.KindBF16):
		return quant.KindBF16
	}
	return quant.KindF32
}

// actGroup is how many channels of an activation share a scale: 128, or 32 where weights have 32x32 blocks. The latter is
// V4.1's rule; for a V4 with such blocks it is UNCONFIRMED.
func (c *Config) actGroup() int {
	if c.BlockCols != 0 {
		return c.BlockCols
	}
	return 128
}
