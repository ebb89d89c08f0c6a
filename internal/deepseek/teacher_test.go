package deepseek_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/op"
)

// TestTeacher feeds each sublayer with the input that the official code with quantised activations had there, and
// compares what it gives under the rule of the goldens' README. End to end one rounding that tips over would change all
// that follows.
func TestTeacher(t *testing.T) { eachTier(t, compareTeacher) }

func compareTeacher(t *testing.T, d device.Device) {
	const variant = "block-a/fp8fp4"
	for _, length := range []string{"L200", "L700"} {
		t.Run(length, func(t *testing.T) {
			dir := goldens(t, variant)
			want := openFile(t, filepath.Join(dir, "teacher_actquant_"+length+".safetensors"))
			ids := sequences(t, variant, length)[0]
			c := &teacher{t, d, loadModel(t, dir, deepseek.Reference, deepseek.Quirks{}), want, ids}
			parts := 0
			for _, name := range want.ckpt.Names() {
				part, ok := strings.CutSuffix(name, ".in")
				if ok && (strings.HasSuffix(part, ".attn") || strings.HasSuffix(part, ".ffn")) {
					t.Run(part, func(*testing.T) { c.sublayer(part) })
					parts++
				}
			}
			if length == "L200" {
				t.Run("streams", func(*testing.T) { c.streams() })
			}
			if parts < map[string]int{"L200": 10, "L700": 1}[length] {
				t.Errorf("%d sublayers compared", parts)
			}
		})
	}
}

type teacher struct {
	t    *testing.T
	d    device.Device
	m    *deepseek.Model
	want file
	ids  []int32
}

// run runs a part over the first n positions and returns all that a trace holds of it.
func (c *teacher) run(part, input string, n int) results {
	c.t.Helper()
	caps := op.Caps{Rows: n, Slots: 1, Pages: n/op.PageSize + 1, Context: n}
	p := c.m.Alone(part, caps).Lower(func(op.Op) bool { return false }).Expose(deepseek.Traced)
	d := c.d
	bind := c.bind(d, p)
	data, _ := c.want.bytes(input)
	data = data[:4*n*p.Buffer(p.Lookup(input)).Cols]
	source := device.Source{Name: input, Data: device.Span{From: bytes.NewReader(data), Length: int64(len(data))}}
	check(c.t, d.Upload(bind[p.Lookup(input)], []device.Source{source}))
	exe, err := d.Load(p, bind)
	check(c.t, err)
	shift := 0
	if strings.HasPrefix(part, "mtp.") {
		shift = 1 // position i has the token after it
	}
	rows := make([]op.Row, n)
	for i := range rows {
		rows[i] = op.Row{Token: c.ids[i+shift], Position: int32(i)}
	}
	pages := make([]int32, caps.Pages)
	for i := range pages {
		pages[i] = int32(i)
	}
	args, err := p.Args(rows, [][]int32{pages})
	check(c.t, err)
	check(c.t, d.Run(exe, args))
	return c.read(d, p, bind, args)
}

// bind allocates what a program needs and uploads its weights.
func (c *teacher) bind(d device.Device, p *op.Program) map[op.ID]device.Buffer {
	weights := map[string]*deepseek.Weight{}
	for w := range c.m.Weights.All() {
		weights[w.Name] = w
	}
	bind := map[op.ID]device.Buffer{}
	for i, b := range p.Buffers {
		if b.Name == "" || b.Space != op.Weight && b.Space != op.State && b.Space != op.IO {
			continue
		}
		buffer, err := d.Alloc(p, op.ID(i))
		check(c.t, err)
		bind[op.ID(i)] = buffer
		if b.Space != op.Weight {
			continue
		}
		w := weights[b.Name]
		sources := make([]device.Source, w.Parts)
		for k, s := range w.Data {
			sources[k] = device.Source{Name: s.String(), Data: device.Span{From: s.From, Offset: s.Offset, Length: s.Length}}
			if len(w.Scale) > 0 {
				s := w.Scale[k]
				sources[k].Scale = device.Span{From: s.From, Offset: s.Offset, Length: s.Length}
			}
		}
		check(c.t, d.Upload(buffer, sources))
	}
	return bind
}

func (c *teacher) read(d device.Device, p *op.Program, bind map[op.ID]device.Buffer, args *op.Args) results {
	all := results{}
	for i, b := range p.Buffers {
		if b.Space != op.IO {
			continue
		}
		data := make([]byte, 4*args.Counts[b.Dim]*b.Cols)
		check(c.t, d.Download(bind[op.ID(i)], 0, data))
		x := decodeFloats(data)
		if b.Kind.String() == "i32" {
			for k := range x {
				x[k] = float32(int32(binary.LittleEndian.Uint32(data[4*k:])))
			}
		}
		all[b.Name] = x
	}
	return all
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sublayer compares what one attention or one ffn gives.
func (c *teacher) sublayer(part string) {
	_, shape := c.want.bytes(part + ".in")
	got := c.run(part, part+".in", int(shape[1]))
	if strings.HasSuffix(part, ".ffn") {
		c.compare(part+".out", got, 0.98, 0.05, nil)
		c.routing(part+".gate", got)
		return
	}
	exempt := c.selections(part, got)
	c.compare(part+".out", got, 0.80, 0.05, exempt)
	for _, rows := range []string{".kv", ".compressor.rows", ".indexer.compressor.rows"} {
		c.rows(part+rows, got)
	}
	if c.has(part + ".indexer.scores") {
		c.compare(part+".indexer.scores", got, 0.97, math.Inf(1), nil)
	}
}

func (c *teacher) has(name string) bool {
	_, ok := c.want.ckpt.Tensor(name)
	return ok
}

// compare wants a share of the elements within 1e-3, and the L2 norm of the difference of each position within a share of
// the expected one's. Infinities must be in the same places.
func (c *teacher) compare(name string, got results, share, norm float64, exempt map[int]bool) {
	want := c.want.floats(name)
	_, shape := c.want.bytes(name)
	width := int(shape[len(shape)-1])
	x := got[name][:len(want)]
	near := 0
	for i := 0; i < len(want); i += width {
		off, size := 0.0, 0.0
		for j, v := range want[i:][:width] {
			g := x[i+j]
			if math.IsInf(float64(v), 0) || math.IsInf(float64(g), 0) {
				if g != v {
					c.t.Fatalf("%s: row %d, %d: %v, not %v", name, i/width, j, g, v)
				}
				near++
				continue
			}
			d := math.Abs(float64(g) - float64(v))
			if d <= 1e-3 {
				near++
			}
			off, size = off+d*d, size+float64(v)*float64(v)
		}
		if r := math.Sqrt(off) / math.Sqrt(size); r > norm && !exempt[i/width] {
			c.t.Errorf("%s: position %d: r = %.3g", name, i/width, r)
		}
	}
	c.t.Logf("%s: %.4f within 1e-3", name, float64(near)/float64(len(want)))
	if float64(near) < share*float64(len(want)) {
		c.t.Errorf("%s: only %.3f within 1e-3", name, float64(near)/float64(len(want)))
	}
}

// rows compares rows that were quantised: nearly all equal, none further off than one step of E4M3, but for index rows.
func (c *teacher) rows(name string, got results) {
	if !c.has(name) {
		return
	}
	want := c.want.floats(name)
	off := 0
	for i, v := range want {
		d := math.Abs(float64(got[name][i] - v))
		if d > 1e-3 {
			off++
		}
		if d > 0.15*math.Abs(float64(v))+1e-3 && !strings.Contains(name, ".indexer.") {
			c.t.Errorf("%s: element %d: %g, not %g", name, i, got[name][i], v)
		}
	}
	if off > max(2, len(want)/1000) || len(got[name]) != len(want) {
		c.t.Errorf("%s: %d of %d elements off", name, off, len(want))
	}
}

// selections compares the indexer's choices and returns the positions where they differ.
func (c *teacher) selections(part string, got results) map[int]bool {
	name := part + ".indexer.topk_sorted"
	differ := map[int]bool{}
	if !c.has(name) {
		return differ
	}
	want := c.want.integers(name)
	scores := c.want.floats(part + ".indexer.scores")
	_, shape := c.want.bytes(name)
	n, k := int(shape[1]), int(shape[2])
	clear := 0
	for i := range n {
		if slices.Equal(asInts(got[name][i*k:][:k]), want[i*k:][:k]) {
			continue
		}
		differ[i] = true
		if margin(scores[i*len(scores)/n:][:len(scores)/n], k) > 1e-3 {
			clear++
		}
	}
	if limit := max(2, n/100); clear > limit || len(differ) > limit {
		c.t.Errorf("%s: %d selections differ, %d of them clear ones", name, len(differ), clear)
	}
	return differ
}

// margin is how far the k-th largest score is above the next.
func margin(scores []float32, k int) float64 {
	s := slices.Sorted(slices.Values(scores))
	if len(s) <= k {
		return math.Inf(1)
	}
	return float64(s[len(s)-k]) - float64(s[len(s)-k-1])
}

// routing compares the choice of experts and their weights, paired by expert.
func (c *teacher) routing(gate string, got results) {
	ids, weights := c.want.integers(gate+".indices"), c.want.floats(gate+".weights")
	_, shape := c.want.bytes(gate + ".indices")
	k := int(shape[1])
	biased, scored := got[gate+".scores_biased"]
	for i := 0; i < len(ids); i += k {
		mine := asInts(got[gate+".indices"][i:][:k])
		if scored {
			row := c.want.floats(gate + ".scores_biased")[i/k*c.m.Config.Experts:][:c.m.Config.Experts]
			if d, _ := difference(biased[i/k*len(row):][:len(row)], row); d > 1e-4 {
				c.t.Errorf("%s: position %d: scores differ by %g", gate, i/k, d)
			}
			if margin(row, k) <= 1e-4 {
				continue
			}
		}
		for s, e := range mine {
			at := slices.Index(ids[i:][:k], e)
			if at < 0 {
				c.t.Errorf("%s: position %d: experts %v, not %v", gate, i/k, mine, ids[i:][:k])
				break
			}
			if d := math.Abs(float64(got[gate+".weights"][i+s] - weights[i+at])); d > 1e-4 {
				c.t.Errorf("%s: position %d: weight of expert %d differs by %g", gate, i/k, e, d)
			}
		}
	}
}

// streams compares a whole block, and what comes before the draft block.
func (c *teacher) streams() {
	got := c.run("layers.1", "layers.1.in", 64)
	c.compare("layers.2.in", results{"layers.2.in": got["layers.1.out"]}, 0.90, math.Inf(1), nil)
	c.compare("mtp.0.in", c.run("mtp.0", "mtp.0.hidden", 64), 0.98, 0.05, nil)
}
