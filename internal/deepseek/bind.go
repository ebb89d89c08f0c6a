package deepseek

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"baleen/internal/checkpoint"
	"baleen/internal/quant"
)

// Bind finds the weights of a model in a checkpoint: by the names of releases, of transformers, or of V3 (formats spec
// 1.5 and 1.8), whatever types they are stored in, as long as those can be run. It reads no weights. An error is one line
// that names file and tensor, what was found and what was expected: a tensor that is missing, that has another type or
// shape, or that this model has no use for and would leave out silently.
//
// A drafter that the configuration announces may be missing as a whole, but not in part. What is I8 or F4 is FP4, what is
// F8_E4M3 is FP8 in the blocks of the configuration, whatever expert_dtype says. Scales may be F8_E8M0, the same as U8, or F32.
func Bind(c *checkpoint.Checkpoint, cfg *Config) (*Weights, error) {
	b := &binder{config: cfg}
	if err := b.list(c); err != nil {
		return nil, err
	}
	w := cfg.layout(b.drafts)
	for weight := range w.All() {
		if err := b.bind(weight); err != nil {
			return nil, err
		}
	}
	return w, b.checkUnused(w)
}

// binder is the directory of a checkpoint under the names of releases.
type binder struct {
	config  *Config
	dir     string // for messages
	tensors []checkpoint.Tensor
	used    []bool
	byName  map[string]int32
	drafts  bool // something of a drafter is stored
}

const (
	notThisConfig = "config.json and weights are not of one release; fetch the whole set again"
	notStoredSo   = "this build reads weights as releases store them; fetch a release, or convert it again"
)

// bindFault is every message about a tensor.
func bindFault(what, file, tensor, found, want, mend string) error {
	return fmt.Errorf("%s: %s: tensor %q: found %s, expected %s: %s", what, file, tensor, found, want, mend)
}

func (b *binder) list(c *checkpoint.Checkpoint) error {
	b.tensors = slices.AppendSeq(make([]checkpoint.Tensor, 0, c.Len()), c.Tensors())
	b.used, b.byName = make([]bool, c.Len()), make(map[string]int32, c.Len())
	_, asReleased := c.Tensor("embed.weight")
	for i, t := range b.tensors {
		name := t.Name
		if !asReleased {
			name = releasedName(name)
		}
		if first, twice := b.byName[name]; twice {
			return bindFault("tensor under two names", t.File(), shorten(t.Name), fmt.Sprintf("it also as %q", shorten(b.tensors[first].Name)), "it once", notStoredSo)
		}
		b.byName[name] = int32(i)
		b.drafts = b.drafts || strings.HasPrefix(name, "mtp.") && !ignorable(name)
	}
	if len(b.tensors) > 0 {
		b.dir = filepath.Dir(b.tensors[0].File())
	}
	return nil
}

// take finds a tensor and marks it as used.
func (b *binder) take(name string) (checkpoint.Tensor, bool) {
	i, ok := b.byName[name]
	if !ok {
		return checkpoint.Tensor{}, false
	}
	b.used[i] = true
	return b.tensors[i], true
}

func (b *binder) bind(w *Weight) error {
	if w.experts() {
		if place, ok := b.stacked(w); ok {
			return b.bindStacked(w, place)
		}
	}
	w.Data = make([]Span, w.Parts)
	for part := range w.Parts {
		if err := b.bindPart(w, part); err != nil {
			return err
		}
	}
	return nil
}

// bindPart binds a part that has a tensor of its own.
func (b *binder) bindPart(w *Weight, part int) error {
	name := w.tensor(part)
	t, ok := b.take(name)
	if !ok {
		return b.missing(name)
	}
	if err := b.checkData(w, t, part > 0, w.shape(t.DType)); err != nil {
		return err
	}
	w.Data[part] = wholeSpan(t)
	if w.Format.BlockRows == 0 {
		return nil
	}
	s, ok := b.take(scaleOf(name))
	if !ok {
		return b.missing(scaleOf(name))
	}
	if err := checkScale(w, s, part > 0, w.scaleShape()); err != nil {
		return err
	}
	if part == 0 {
		w.Scale = make([]Span, w.Parts)
	}
	w.Scale[part] = wholeSpan(s)
	return nil
}

func wholeSpan(t checkpoint.Tensor) Span {
	from, offset, length := t.Location()
	return Span{From: from, Offset: offset, Length: length, File: t.File(), Tensor: t.Name}
}

// checkData learns the format from the type of the first part, and compares that of others and the shape with it.
func (b *binder) checkData(w *Weight, t checkpoint.Tensor, known bool, shape []int64) error {
	format, ok := w.storedAs(t.DType, b.config)
	switch {
	case !ok:
		return bindFault("wrong type", t.File(), t.Name, t.DType.String(), w.readable(), notStoredSo)
	case known && format.Kind != w.Format.Kind:
		return bindFault("mixed types", t.File(), t.Name, t.DType.String(), "the type of the experts before it, "+w.Format.Kind.String(), notStoredSo)
	case format.Kind == quant.KindE4M3 && format.BlockRows == 0:
		return bindFault("no block size", t.File(), t.Name, t.DType.String(), "weight_block_size in config.json", fetchConfig)
	case !slices.Equal(t.Shape, shape):
		return bindFault("wrong shape", t.File(), t.Name, fmt.Sprintf("%v %v", t.DType, t.Shape), fmt.Sprint(shape, " by config.json"), notThisConfig)
	}
	if !known {
		w.Format = format
	}
	return nil
}

// storedAs is the format that a type means for this weight.
func (w *Weight) storedAs(d checkpoint.DType, c *Config) (quant.Format, bool) {
	integers := w.Format.Kind == quant.KindI64
	switch d {
	case checkpoint.I64, checkpoint.I32:
		if d == checkpoint.I32 {
			return quant.Format{Kind: quant.KindI32}, integers
		}
		return formatI64, integers
	case checkpoint.F32:
		return formatF32, !integers
	case checkpoint.BF16:
		return formatBF16, !integers
	case checkpoint.F8_E4M3:
		return c.fp8(), w.quantised
	case checkpoint.I8:
		return formatFP4, w.experts()
	case checkpoint.F4:
		return formatFP4, w.experts() && w.Cols%2 == 0
	}
	return quant.Format{}, false
}

// readable names the types that storedAs accepts.
func (w *Weight) readable() string {
	switch {
	case w.Format.Kind == quant.KindI64:
		return "I64 or I32"
	case w.experts():
		return "I8, F4, F8_E4M3, BF16 or F32"
	case w.quantised:
		return "F8_E4M3, BF16 or F32"
	}
	return "BF16 or F32"
}

func checkScale(w *Weight, t checkpoint.Tensor, known bool, shape []int64) error {
	var inF32 bool
	switch t.DType {
	case checkpoint.F8_E8M0, checkpoint.U8:
	case checkpoint.F32:
		inF32 = true
	default:
		return bindFault("wrong type", t.File(), t.Name, t.DType.String(), "F8_E8M0, U8 or F32", notStoredSo)
	}
	switch {
	case known && inF32 != w.Format.ScaleF32:
		return bindFault("mixed types", t.File(), t.Name, t.DType.String(), "the type of the scales before it", notStoredSo)
	case !slices.Equal(t.Shape, shape):
		want := fmt.Sprintf("%v, a scale for every block of %dx%d", shape, w.Format.BlockRows, w.Format.BlockCols)
		return bindFault("wrong shape", t.File(), t.Name, fmt.Sprintf("%v %v", t.DType, t.Shape), want, notThisConfig)
	}
	w.Format.ScaleF32 = inF32
	return nil
}

func (b *binder) missing(name string) error {
	mend := notThisConfig
	if _, dspark := b.byName["mtp.0.main_proj.weight"]; dspark && b.config.DSpark == nil {
		mend = "these are weights with a DSpark drafter, and config.json has no dspark keys; fetch the config.json of the same release"
	}
	return bindFault("tensor missing", b.dir, name, "none of that name, nor of its other spellings", "it by config.json", mend)
}

// checkUnused names the first tensor that has no place in the model, and lists what may be ignored.
func (b *binder) checkUnused(w *Weights) error {
	for i, t := range b.tensors {
		if b.used[i] {
			continue
		}
		if name := releasedName(t.Name); !ignorable(name) {
			return bindFault("unknown tensor", t.File(), shorten(t.Name), fmt.Sprintf("%v %v", t.DType, t.Shape), "only tensors that this model uses, by config.json", notThisConfig)
		}
		w.Ignored = append(w.Ignored, t.Name)
	}
	return nil
}
