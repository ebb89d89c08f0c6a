package deepseek_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/op"
	"baleen/internal/quant"
)

const featuresName = "mtp.0.features.2" // three target layers joined

// stand is a model's programs on a device.
type stand struct {
	t        *testing.T
	d        device.Device
	m        *deepseek.Model
	buffers  map[string]device.Buffer
	programs []*placed
	pages    [][]int32
}

type placed struct {
	*op.Program
	exe device.Executable
}

// placePrograms puts them there; sources says where weights lie.
func placePrograms(t *testing.T, d device.Device, m *deepseek.Model, slots int, sources func(*deepseek.Weight) []device.Source, programs ...*op.Program) *stand {
	t.Helper()
	s := &stand{t: t, d: d, m: m, buffers: map[string]device.Buffer{}}
	for _, p := range programs {
		p = p.Lower(d.Info().Has)
		s.programs = append(s.programs, &placed{Program: p})
		for i, b := range p.Buffers {
			if lives(b) && s.buffers[b.Name] == nil {
				buffer, err := d.Alloc(p, op.ID(i))
				check(t, err)
				s.buffers[b.Name] = buffer
			}
		}
	}
	for w := range m.Weights.All() {
		check(t, d.Upload(s.buffers[w.Name], sources(w)))
	}
	for _, p := range s.programs {
		bind := map[op.ID]device.Buffer{}
		for i, b := range p.Buffers {
			if lives(b) {
				bind[op.ID(i)] = s.buffers[b.Name]
			}
		}
		exe, err := d.Load(p.Program, bind)
		check(t, err)
		p.exe = exe
	}
	each := programs[0].Caps.Context/op.PageSize + 1
	for slot := range slots {
		s.pages = append(s.pages, nil)
		for i := range each {
			s.pages[slot] = append(s.pages[slot], int32(slot*each+i))
		}
	}
	return s
}

// drafting is a model with a block drafter: what an engine would do with it, by hand.
type drafting struct {
	*stand
	forward, context, block, chain *placed
}

func place(t *testing.T, d device.Device, m *deepseek.Model, caps op.Caps, sources func(*deepseek.Weight) []device.Source) *drafting {
	t.Helper()
	context := m.DraftContext(caps).Expose(func(name string) bool { return name == featuresName })
	rows := 2 * m.Config.DSpark.BlockSize
	s := placePrograms(t, d, m, caps.Slots, sources, m.Forward(caps), context, m.DraftBlock(caps, rows), m.DraftChain(caps, rows))
	return &drafting{s, s.programs[0], s.programs[1], s.programs[2], s.programs[3]}
}

func lives(b op.Buffer) bool {
	return b.Name != "" && (b.Space == op.Weight || b.Space == op.State || b.Space == op.IO)
}

func (s *stand) run(p *placed, rows []op.Row) {
	s.t.Helper()
	args, err := p.Args(rows, s.pages)
	check(s.t, err)
	check(s.t, s.d.Run(p.exe, args))
	check(s.t, s.d.Sync())
}

// read returns the first rows of an IO.
func (s *stand) read(p *placed, name string, rows int) []float32 {
	s.t.Helper()
	data := make([]byte, 4*rows*p.Buffer(p.Lookup(name)).Cols)
	check(s.t, s.d.Download(s.buffers[name], 0, data))
	return decodeFloats(data)
}

// feed puts features of the first rows where the streams of the target layers would be: copies have that mean.
func (s *drafting) feed(features []float32) {
	c := s.m.Config
	for i, layer := range c.DSpark.Targets {
		name := fmt.Sprintf("layers.%d.out", layer)
		b := s.context.Buffer(s.context.Lookup(name))
		data := make([]byte, s.context.Bytes(b))
		for at := range len(features) / (len(c.DSpark.Targets) * c.Hidden) {
			for k := range c.Streams * c.Hidden {
				x := features[(at*len(c.DSpark.Targets)+i)*c.Hidden+k%c.Hidden]
				binary.LittleEndian.PutUint32(data[4*(at*b.Cols+k):], math.Float32bits(x))
			}
		}
		source := device.Source{Name: name, Data: device.Span{From: bytes.NewReader(data), Length: int64(len(data))}}
		check(s.t, s.d.Upload(s.buffers[name], []device.Source{source}))
	}
}

func encodeFloats(data []byte, x []float32) {
	for i, v := range x {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
	}
}

// observe runs tokens and lets the drafter see them.
func (s *drafting) observe(slot int32, ids []int32, from, to int) {
	rows := tokenRows(slot, ids[from:to], from)
	s.run(s.forward, rows)
	s.run(s.context, rows)
}

func tokenRows(slot int32, ids []int32, position int) []op.Row {
	rows := make([]op.Row, len(ids))
	for i, id := range ids {
		rows[i] = op.Row{Token: id, Slot: slot, Position: int32(position + i), Logits: true}
	}
	return rows
}

// guess is what a block of drafts gave.
type guess struct{ base, hidden, logits, confidence []float32 }

// anchor is where a sequence drafts: at the position of a token that stands and was not run.
type anchor struct {
	slot     int32
	token    int32
	position int
}

// draft runs a block for several sequences and takes the best of each row. It returns the anchors and their drafts.
func (s *drafting) draft(anchors ...anchor) (g guess, ids []int32) {
	c := s.m.Config.DSpark
	var rows []op.Row
	for _, a := range anchors {
		tokens := slices.Repeat([]int32{c.NoiseToken}, c.BlockSize)
		tokens[0] = a.token
		rows = append(rows, tokenRows(a.slot, tokens, a.position)...)
	}
	s.run(s.block, rows)
	g.base, g.hidden = s.read(s.block, "mtp_base_logits", len(rows)), s.read(s.block, "mtp_hidden", len(rows))
	vocab, n := s.m.Config.Vocab, len(anchors)
	drafts := make([]int32, len(rows))
	g.logits, g.confidence = make([]float32, len(rows)*vocab), make([]float32, len(rows))
	for i := range c.BlockSize {
		for at := range rows {
			rows[at].Logits = at%c.BlockSize == i
		}
		s.run(s.chain, rows)
		logits, confidence := s.read(s.chain, deepseek.DraftLogitsName, n), s.read(s.chain, deepseek.ConfidenceName, n)
		for k := range n {
			at := k*c.BlockSize + i
			copy(g.logits[at*vocab:], logits[k*vocab:][:vocab])
			g.confidence[at], drafts[at] = confidence[k], best(logits[k*vocab:][:vocab])
			if i+1 < c.BlockSize {
				rows[at+1].Token = drafts[at]
			}
		}
	}
	for k, a := range anchors {
		ids = append(append(ids, a.token), drafts[k*c.BlockSize:][:c.BlockSize]...)
	}
	return g, ids
}

func best(logits []float32) int32 {
	i := 0
	for k, v := range logits {
		if v > logits[i] {
			i = k
		}
	}
	return int32(i)
}

// stored says where the parts of a weight lie in a checkpoint.
func stored(w *deepseek.Weight) []device.Source {
	sources := make([]device.Source, w.Parts)
	for k, span := range w.Data {
		sources[k] = device.Source{Name: span.String(), Data: device.Span{From: span.From, Offset: span.Offset, Length: span.Length}}
		if len(w.Scale) > 0 {
			sources[k].Scale = device.Span{From: w.Scale[k].From, Offset: w.Scale[k].Offset, Length: w.Scale[k].Length}
		}
	}
	return sources
}

// smallDrafter is a model with a block drafter and no weights.
func smallDrafter(t *testing.T, n deepseek.Numerics) *deepseek.Model {
	t.Helper()
	text, err := os.ReadFile("testdata/dspark.json")
	check(t, err)
	c, err := deepseek.ParseConfig(text)
	check(t, err)
	return &deepseek.Model{Config: c, Weights: c.Layout(), Numerics: n}
}

// randomWeights draws weights of bearable sizes.
func randomWeights(seed uint64) func(*deepseek.Weight) []device.Source {
	rng := rand.New(rand.NewPCG(seed, 1))
	return func(w *deepseek.Weight) []device.Source {
		sources := make([]device.Source, w.Parts)
		for k := range sources {
			n, scales := w.Format.Size(w.Rows, w.Cols)
			data, scale := make([]byte, n), make([]byte, scales)
			fillWeight(rng, w, data)
			for i := range scale {
				scale[i] = byte(119 + rng.IntN(3))
			}
			span := func(b []byte) device.Span { return device.Span{From: bytes.NewReader(b), Length: int64(len(b))} }
			sources[k] = device.Source{Name: w.Name, Data: span(data), Scale: span(scale)}
		}
		return sources
	}
}

func fillWeight(rng *rand.Rand, w *deepseek.Weight, data []byte) {
	draw := func() float32 { return float32(rng.NormFloat64() / math.Sqrt(float64(w.Cols))) }
	for i := range data {
		switch w.Format.Kind {
		case quant.KindI64:
			if i%8 == 0 {
				data[i] = byte(i / 8 % 2) // of two experts each once
			}
		case quant.KindF32:
			if i%4 == 0 {
				binary.LittleEndian.PutUint32(data[i:], math.Float32bits(draw()))
			}
		case quant.KindBF16:
			if i%2 == 0 {
				binary.LittleEndian.PutUint16(data[i:], quant.ToBF16(draw()+float32(1-min(1, w.Rows-1))))
			}
		case quant.KindE4M3:
			data[i] = quant.ToE4M3(float32(rng.NormFloat64() * 8))
		default:
			data[i] = byte(rng.Uint32())
		}
	}
}
