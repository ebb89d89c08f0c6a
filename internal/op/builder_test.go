package op_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"baleen/internal/op"
	"baleen/internal/quant"
)

// refusal returns what a recording step panics with, or "". A panic of the runtime is a fault of the checks.
func refusal(t *testing.T, step func()) (message string) {
	t.Helper()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case string:
			message = r
		default:
			t.Errorf("panic of the runtime: %v", r)
		}
	}()
	step()
	return ""
}

// corruptions are buffers that might be given by mistake in place of one, by what is wrong with them.
func corruptions(b *op.Builder, right op.Buffer, n int) map[string]op.ID {
	name := func(s string) string { return fmt.Sprintf("wrong.%d.%s", n, s) }
	ids := func(s string, dim op.Dim, cols int) op.ID {
		id := b.Ids(name(s), dim, cols)
		b.Add(op.TopK{X: op.In(b.IO(name(s+".of"), dim, 3)), Ids: op.Out(id)})
		return id
	}
	other := op.Logits
	if right.Dim == op.Logits {
		other = op.Rows
	}
	wrong := map[string]op.ID{"nothing": 0}
	switch {
	case right.Space == op.Weight:
		weight := func(s string, f quant.Format, parts, rows, cols int) {
			wrong[s] = op.ID(b.Weight(name(s), f, right.Parts+parts, right.Rows+rows, right.Cols+cols))
		}
		weight("rows", right.Format, 0, 1, 0)
		weight("cols", right.Format, 0, 0, 1)
		weight("parts", right.Format, 1, 0, 0)
		weight("scaled", fp8, 0, 0, 0)
		weight("integers", i64, 0, 0, 0)
		if right.Format.Kind == quant.KindI64 {
			delete(wrong, "integers")
		}
	case right.Space == op.Const:
		wrong["cols"] = op.ID(b.Const(name("cols"), make([]float32, right.Cols*8)))
	case right.Space == op.Table:
		wrong["dim"] = op.ID(op.LogitRow)
		if right.Dim == op.Logits {
			wrong["dim"] = op.ID(op.Position)
		}
	case right.Space == op.State:
		row := right.Row
		row.Width += 4
		if right.PerPage > 0 {
			wrong["cols"] = b.Pages(name("cols"), row, right.PerPage)
			wrong["state"] = b.Ring(name("ring"), right.Row, 100)
			wrong["page"] = b.Pages(name("page"), right.Row, right.PerPage/2)
		} else {
			wrong["cols"] = b.Ring(name("cols"), row, right.Ring)
			wrong["state"] = b.Pages(name("pages"), right.Row, 32)
			wrong["short"] = b.Ring(name("short"), right.Row, right.Ring-1)
		}
	case right.Kind == quant.KindI32:
		wrong["cols"], wrong["dim"] = ids("cols", right.Dim, right.Cols+1), ids("dim", other, right.Cols)
		wrong["kind"] = b.IO(name("kind"), right.Dim, right.Cols)
	default:
		wrong["cols"], wrong["dim"] = b.IO(name("cols"), right.Dim, right.Cols+1), b.IO(name("dim"), other, right.Cols)
		wrong["kind"] = ids("kind", right.Dim, right.Cols)
	}
	for space, foreign := range map[op.Space]op.ID{
		op.Weight: op.ID(b.Weight(name("weight"), f32, 1, max(right.Rows, 1), right.Cols)),
		op.Const:  op.ID(b.Const(name("const"), make([]float32, right.Cols))),
		op.Table:  op.ID(op.Position),
		op.State:  b.Ring(name("state"), quant.Row{Width: right.Cols, Tail: quant.KindF32}, 100),
		op.IO:     b.IO(name("io"), right.Dim, right.Cols),
	} {
		activation := right.Space == op.Temp || right.Space == op.IO
		if space != right.Space && !(space == op.IO && activation) {
			wrong[space.String()] = foreign
		}
	}
	return wrong
}

// harmless are the corruptions that an op may accept, with the reason.
var harmless = map[string]string{
	"embed.ZeroFirst nothing": "optional",
	"embed.W rows":            "any vocabulary",
	"rmsnorm.W nothing":       "optional",
	"hadamard.X dim":          "it is the only operand",
	"linear.W scaled":         "any format of numbers",
	"expertlinear.W scaled":   "any format of numbers",
	"experts.W1 scaled":       "any format of numbers",
	"experts.W2 scaled":       "any format of numbers",
	"experts.W3 scaled":       "any format of numbers",
	"expertlinear.W parts":    "any number of experts",
	"topk.X cols":             "selects from any width",
	"topk.Ids cols":           "selects any number",
	"select.Ids cols":         "selects any number",
	"attend.Ids cols":         "any number of entries",
	"attend.Ids nothing":      "without, all visible entries",
	"indexscore.Scores cols":  "room for more entries",
	"lookup.W rows":           "any vocabulary",
	"routeweights.A cols":     "any number of experts",
	"swiglu.W nothing":        "optional",
	"store.S short":           "how long a ring must be, its readers know",
	"store.S state":           "entries may go to rings and pages alike, where Divide fits",
}

// TestChecksRejectEveryWrongOperand gives each op of the program, in place of each operand in turn, buffers that are wrong
// in one respect.
func TestChecksRejectEveryWrongOperand(t *testing.T) {
	b := everyOp()
	accepted, n := map[string]bool{}, 0
	for _, o := range append([]op.Op(nil), b.Program().Ops...) {
		for _, operand := range op.Operands(o) {
			for what, id := range corruptions(b, b.Buffer(operand.ID), n) {
				wrong := with(o, operand.Field, id)
				message := refusal(t, func() { b.Add(wrong) })
				key := fmt.Sprintf("%s.%s %s", op.KindOf(o), operand.Field, what)
				if message == "" {
					accepted[key] = true
					if _, ok := harmless[key]; !ok {
						t.Errorf("accepted: %s\n\t%+v", key, wrong)
					}
				} else if !strings.HasPrefix(message, "op: recording every: "+op.KindOf(o)) || strings.Contains(message, "\n") {
					t.Errorf("%s: unclear message: %s", key, message)
				}
			}
			n++
		}
	}
	for key := range harmless {
		if !accepted[key] {
			t.Errorf("not accepted: %s", key)
		}
	}
}

// with returns a copy of an op with another buffer in a field.
func with(o op.Op, field string, id op.ID) op.Op {
	v := reflect.New(reflect.TypeOf(o)).Elem()
	v.Set(reflect.ValueOf(o))
	v.FieldByName(field).SetInt(int64(id))
	return v.Interface().(op.Op)
}

// TestAliasing gives each op one buffer to read and to write, or to write twice. In place work only those whose definition says
// so: Quantise, and the ops with an InOut.
func TestAliasing(t *testing.T) {
	b := everyOp()
	tried := 0
	for _, o := range append([]op.Op(nil), b.Program().Ops...) {
		operands := op.Operands(o)
		for _, out := range operands {
			for _, in := range operands {
				if !out.Writes || out.Field == in.Field || !alike(b.Buffer(out.ID), b.Buffer(in.ID)) {
					continue
				}
				tried++
				aliased := with(o, out.Field, in.ID)
				message := refusal(t, func() { b.Add(aliased) })
				if _, may := o.(op.Quantise); may != (message == "") {
					t.Errorf("%s with %s as %s: %q", op.KindOf(o), in.Field, out.Field, message)
				}
			}
		}
	}
	if tried < 10 {
		t.Errorf("only %d pairs of operands were alike", tried)
	}
}

func alike(a, b op.Buffer) bool {
	return a.Space >= op.Temp && b.Space >= op.Temp && a.Dim == b.Dim && a.Kind == b.Kind && a.Cols == b.Cols
}

func TestInOutReadsAndWrites(t *testing.T) {
	for _, o := range []op.Op{op.RoPE{X: 7}, op.Hadamard{X: 7}, op.Store{S: 7}} {
		got := op.Operands(o)
		if len(got) != 1 || got[0].ID != 7 || !got[0].Reads || !got[0].Writes {
			t.Errorf("%s: %+v", op.KindOf(o), got)
		}
	}
	got := op.Operands(op.Quantise{X: 3, Y: 3})
	if len(got) != 2 || !got[0].Reads || got[0].Writes || got[1].Reads || !got[1].Writes {
		t.Errorf("quantise in place: %+v", got)
	}
}

// TestReadBeforeWritten gives each op, in place of each activation that it reads, one of the same shape that nothing wrote.
func TestReadBeforeWritten(t *testing.T) {
	b := everyOp()
	n := 0
	for _, o := range append([]op.Op(nil), b.Program().Ops...) {
		for _, operand := range op.Operands(o) {
			right := b.Buffer(operand.ID)
			if !operand.Reads || right.Space != op.Temp {
				continue
			}
			n++
			name := fmt.Sprintf("unwritten.%d", n)
			fresh := b.Temp
			if right.Kind == quant.KindI32 {
				fresh = b.Ids
			}
			wrong := with(o, operand.Field, fresh(name, right.Dim, right.Cols))
			message := refusal(t, func() { b.Add(wrong) })
			if !strings.Contains(message, operand.Field+" is read before it is written") {
				t.Errorf("%s.%s: %q", op.KindOf(o), operand.Field, message)
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d operands were tried", n)
	}
	// What the caller or an earlier run may have written, and what this run wrote, can be read.
	b.Add(op.Hadamard{X: op.InOut(b.IO("from.outside", op.Rows, 4)), Width: 4})
	inner := b.At("deeper")
	y := inner.Temp("y", op.Rows, 4)
	inner.Add(op.SqrtSoftplus{X: op.In(b.Program().Lookup("from.outside")), Y: op.Out(y)})
	b.Add(op.Hadamard{X: op.InOut(y), Width: 4})
}

// TestChecksRejectWrongConstants changes constants of ops that are right, and combinations of optional operands.
func TestChecksRejectWrongConstants(t *testing.T) {
	wrong := map[string]func(o op.Op) op.Op{
		"embed Copies 0":        func(o op.Op) op.Op { e := o.(op.Embed); e.Copies = 0; return e },
		"embed Copies 3":        func(o op.Op) op.Op { e := o.(op.Embed); e.Copies = 3; return e },
		"linear Groups 0":       func(o op.Op) op.Op { e := o.(op.Linear); e.Groups = 0; return e },
		"linear Groups 3":       func(o op.Op) op.Op { e := o.(op.Linear); e.Groups = 3; return e },
		"linear Groups -1":      func(o op.Op) op.Op { e := o.(op.Linear); e.Groups = -1; return e },
		"rmsnorm Width 0":       func(o op.Op) op.Op { e := o.(op.RMSNorm); e.Width = 0; return e },
		"rmsnorm Width 4":       func(o op.Op) op.Op { e := o.(op.RMSNorm); e.Width = 4; return e },
		"rope Width 0":          func(o op.Op) op.Op { e := o.(op.RoPE); e.Width = 0; return e },
		"rope Width 2":          func(o op.Op) op.Op { e := o.(op.RoPE); e.Width = 2; return e },
		"rope Width 5":          func(o op.Op) op.Op { e := o.(op.RoPE); e.Width = 5; return e },
		"hadamard Width 0":      func(o op.Op) op.Op { e := o.(op.Hadamard); e.Width = 0; return e },
		"hadamard Width -4":     func(o op.Op) op.Op { e := o.(op.Hadamard); e.Width = -4; return e },
		"hadamard Width 16":     func(o op.Op) op.Op { e := o.(op.Hadamard); e.Width = 16; return e },
		"quantise Kind f32":     func(o op.Op) op.Op { e := o.(op.Quantise); e.Kind = quant.KindF32; return e },
		"quantise Width 3":      func(o op.Op) op.Op { e := o.(op.Quantise); e.Width = 3; return e },
		"quantise Channels 0":   func(o op.Op) op.Op { e := o.(op.Quantise); e.Channels = 0; return e },
		"quantise Channels 9":   func(o op.Op) op.Op { e := o.(op.Quantise); e.Channels = 9; return e },
		"quantise Group 0":      func(o op.Op) op.Op { e := o.(op.Quantise); e.Group = 0; return e },
		"hcsplit Streams 0":     func(o op.Op) op.Op { e := o.(op.HCSplit); e.Streams = 0; return e },
		"hcsplit Streams 4":     func(o op.Op) op.Op { e := o.(op.HCSplit); e.Streams = 4; return e },
		"hcsplit without Post":  func(o op.Op) op.Op { e := o.(op.HCSplit); e.Post = 0; return e },
		"hcsplit without Comb":  func(o op.Op) op.Op { e := o.(op.HCSplit); e.Comb = 0; return e },
		"hcsplit only Pre":      func(o op.Op) op.Op { e := o.(op.HCSplit); e.Post, e.Comb = 0, 0; return e },
		"indexscore Ratio 0":    func(o op.Op) op.Op { e := o.(op.IndexScore); e.Ratio = 0; return e },
		"indexscore Ratio 2":    func(o op.Op) op.Op { e := o.(op.IndexScore); e.Ratio = 2; return e },
		"select Ratio 0":        func(o op.Op) op.Op { e := o.(op.Select); e.Ratio = 0; return e },
		"select Ratio -4":       func(o op.Op) op.Op { e := o.(op.Select); e.Ratio = -4; return e },
		"attend Ratio 0":        func(o op.Op) op.Op { e := o.(op.Attend); e.Ratio = 0; return e },
		"attend Ratio 128":      func(o op.Op) op.Op { e := o.(op.Attend); e.Ratio = 128; return e },
		"attend no Compressed":  func(o op.Op) op.Op { e := o.(op.Attend); e.Compressed = 0; return e },
		"attend Ids of nothing": func(o op.Op) op.Op { e := o.(op.Attend); e.Compressed, e.Ratio = 0, 0; return e },
		"attend Span 0":         func(o op.Op) op.Op { e := o.(op.Attend); e.Span = 0; return e },
		"attend Span 9":         func(o op.Op) op.Op { e := o.(op.Attend); e.Span = 9; return e },
		"swiglu Limit -1":       func(o op.Op) op.Op { e := o.(op.SwiGLU); e.Limit = -1; return e },
		"experts Limit -1":      func(o op.Op) op.Op { e := o.(op.Experts); e.Limit = -1; return e },
		"experts Group -1":      func(o op.Op) op.Op { e := o.(op.Experts); e.Group = -1; return e },
		"store Divide 0":        func(o op.Op) op.Op { e := o.(op.Store); e.Divide = 0; return e },
		"store Divide -1":       func(o op.Op) op.Op { e := o.(op.Store); e.Divide = -1; return e },
		"pool Ratio 0":          func(o op.Op) op.Op { e := o.(op.Pool); e.Ratio = 0; return e },
		"pool Ratio 2":          func(o op.Op) op.Op { e := o.(op.Pool); e.Ratio = 2; return e },
		"pool without Overlap":  func(o op.Op) op.Op { e := o.(op.Pool); e.Overlap = false; return e },
	}
	b := everyOp()
	for name, change := range wrong {
		kind, _, _ := strings.Cut(name, " ")
		tried := false
		for _, o := range append([]op.Op(nil), b.Program().Ops...) {
			if op.KindOf(o) != kind {
				continue
			}
			tried = true
			if refusal(t, func() { b.Add(change(o)) }) == "" {
				t.Errorf("accepted: %s: %+v", name, change(o))
			}
		}
		if !tried {
			t.Errorf("not tried: %s", name)
		}
	}
}

// TestChecksAcceptOtherForms records what the program has only in one of its forms.
func TestChecksAcceptOtherForms(t *testing.T) {
	r := recorder{op.NewBuilder("forms", smallCaps)}
	io := func(name string, dim op.Dim, cols int) op.In { return op.In(r.IO(name, dim, cols)) }
	out := func(name string, dim op.Dim, cols int) op.Out { return op.Out(r.Temp(name, dim, cols)) }
	chosen := r.Ids("chosen", op.Rows, 3)
	pages := op.In(r.Pages("pages.128", kvRow, 1))
	window := op.In(r.Ring("window", kvRow, 13))
	sink := r.Weight("sink", f32, 1, 1, 2)
	late := r.Windows(128)
	plain := op.In(r.Ring("plain", quant.Row{Width: 8, Tail: quant.KindF32}, 133))
	attend := op.Attend{Q: io("q", op.Rows, 16), Slot: op.Slot, Position: op.Position, Window: window, Sink: sink, Span: 8, Scale: 1}
	heavy := attend
	attend.Y, heavy.Y = out("sliding", op.Rows, 16), out("heavy", op.Rows, 16)
	heavy.Compressed, heavy.Ratio = pages, 128
	for name, o := range map[string]op.Op{
		"embed once":            op.Embed{Token: op.Token, W: r.Weight("e", f32, 1, 32, 8), Y: out("e1", op.Rows, 8), Copies: 1},
		"head's split":          op.HCSplit{X: io("s", op.Logits, 16), M: io("m", op.Logits, 2), Base: r.Weight("b", f32, 1, 1, 2), Scale: r.Weight("a", f32, 1, 1, 1), Pre: out("pre", op.Logits, 2), Streams: 2},
		"parts of one matrix":   op.Linear{X: io("x", op.Rows, 24), W: r.Weight("w", fp8, 1, 5, 8), Y: out("y", op.Rows, 15), Groups: 1},
		"one added to each":     op.Add{A: io("one", op.Rows, 8), B: io("many", op.Rows, 24), Y: out("sum", op.Rows, 24)},
		"norm of parts":         op.RMSNorm{X: io("n", op.Rows, 24), Y: out("normed", op.Rows, 24), Width: 8},
		"sliding attention":     attend,
		"heavy compression":     heavy,
		"no overlap":            op.Pool{U: plain, Z: plain, APE: r.Weight("ape", f32, 1, 128, 8), Slot: late.Slot, Start: late.Start, Y: out("pooled", late.Dim, 8), Ratio: 128},
		"short last group, fp4": op.Quantise{X: io("f", op.Rows, 8), Y: out("g", op.Rows, 8), Kind: quant.KindE2M1, Width: 8, Channels: 8, Group: 3},
		"fewer than wanted":     op.TopK{X: io("two", op.Rows, 2), Ids: op.Out(chosen)},
	} {
		if message := refusal(t, func() { r.Add(o) }); message != "" {
			t.Errorf("%s: %s", name, message)
		}
	}
}

// TestNamesAreUnique covers the makers of buffers: those of activations refuse a name twice; those of what lives longer
// return the first, if it is the same.
func TestNamesAreUnique(t *testing.T) {
	row := quant.Row{Width: 4, Tail: quant.KindF32}
	wide := quant.Row{Width: 8, Tail: quant.KindF32}
	for name, pair := range map[string][3]func(*op.Builder) op.ID{ // first, same again, different
		"weight": {
			func(b *op.Builder) op.ID { return op.ID(b.Weight("n", f32, 1, 2, 3)) },
			func(b *op.Builder) op.ID { return op.ID(b.At("elsewhere").Weight("n", f32, 1, 2, 3)) },
			func(b *op.Builder) op.ID { return op.ID(b.Weight("n", bf16, 1, 2, 3)) },
		},
		"const": {
			func(b *op.Builder) op.ID { return op.ID(b.Const("n", []float32{1, 2})) },
			func(b *op.Builder) op.ID { return op.ID(b.At("elsewhere").Const("n", []float32{1, 2})) },
			func(b *op.Builder) op.ID { return op.ID(b.Const("n", []float32{1, 3})) },
		},
		"ring": {
			func(b *op.Builder) op.ID { return b.Ring("n", row, 5) },
			func(b *op.Builder) op.ID { return b.Ring("n", row, 5) },
			func(b *op.Builder) op.ID { return b.Pages("n", row, 5) },
		},
		"pages": {
			func(b *op.Builder) op.ID { return b.Pages("n", row, 5) },
			func(b *op.Builder) op.ID { return b.Pages("n", row, 5) },
			func(b *op.Builder) op.ID { return b.Pages("n", wide, 5) },
		},
	} {
		b := op.NewBuilder("names", smallCaps)
		if first, again := pair[0](b), pair[1](b); first != again {
			t.Errorf("%s: %d, then %d", name, first, again)
		}
		if message := refusal(t, func() { pair[2](b) }); !strings.Contains(message, "two ways") {
			t.Errorf("%s: a different one of that name: %q", name, message)
		}
		if message := refusal(t, func() { b.Temp("n", op.Rows, 4) }); !strings.Contains(message, "two buffers") {
			t.Errorf("%s: an activation of that name: %q", name, message)
		}
	}
	b := op.NewBuilder("names", smallCaps)
	x := b.At("a").At("b").Temp("x", op.Rows, 4)
	y := b.Beside(x, "y")
	got, want := b.Buffer(y), b.Buffer(x)
	want.Name = "a.b.x.y"
	if !reflect.DeepEqual(got, want) || b.Program().Lookup("a.b.x.y") != y || b.Program().Lookup("x") != 0 || b.Program().Lookup("") != 0 {
		t.Errorf("beside: %+v, not %+v", got, want)
	}
}
