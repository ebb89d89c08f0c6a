package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/demo"
	"baleen/internal/device"
	"baleen/internal/device/cpu"
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/device/ref"
	"baleen/internal/op"
	"baleen/internal/token"
)

// start starts an engine with the demo model.
func start(t *testing.T, caps op.Caps) (*Engine, *token.Tokenizer) {
	t.Helper()
	return startWith(t, caps, Options{})
}

func startWith(t *testing.T, caps op.Caps, o Options) (*Engine, *token.Tokenizer) {
	t.Helper()
	machine := place(t, caps, deepseek.Reference, "cpu")
	e := Start(machine, tokenizerOf(t), o)
	t.Cleanup(e.Close)
	return e, e.tokenizer
}

func demoFiles(t testing.TB) *checkpoint.Checkpoint {
	t.Helper()
	c, err := checkpoint.OpenFS(demo.Files())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tokenizerOf(t testing.TB) *token.Tokenizer {
	t.Helper()
	text, err := demoFiles(t).ReadFile("tokenizer.json", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	tokenizer, err := token.Load(text)
	if err != nil {
		t.Fatal(err)
	}
	return tokenizer
}

// place puts the demo model on a device, cpu or ref. It has a drafter: engines speculate.
func place(t *testing.T, caps op.Caps, n deepseek.Numerics, on string) *Machine {
	t.Helper()
	return placeWith(t, caps, n, on, 0)
}

func placeWith(t *testing.T, caps op.Caps, n deepseek.Numerics, on string, threads int) *Machine {
	t.Helper()
	m, err := deepseek.Load(demoFiles(t), n, deepseek.Quirks{})
	if err != nil {
		t.Fatal(err)
	}
	var d device.Device = ref.New()
	if on == "cpu" {
		tiers := kernel.Tiers()
		if d, err = cpu.New(cpu.Options{Tier: tiers[len(tiers)-1], Threads: threads, Fast: n == deepseek.Fast}); err != nil {
			t.Fatal(err)
		}
	}
	return placeModel(t, m, d, caps)
}

func placeModel(t *testing.T, m *deepseek.Model, d device.Device, caps op.Caps) *Machine {
	t.Helper()
	machine, err := Place(t.Context(), m, d, caps, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { machine.Close() })
	return machine
}

// placePlain puts the demo model without its drafter on the cpu device: the truth that speculation is compared with.
func placePlain(t *testing.T, caps op.Caps, threads int) *Machine {
	t.Helper()
	m, err := deepseek.Load(demoFiles(t), deepseek.Reference, deepseek.Quirks{})
	if err != nil {
		t.Fatal(err)
	}
	tiers := kernel.Tiers()
	d, err := cpu.New(cpu.Options{Tier: tiers[len(tiers)-1], Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	return placeModel(t, m.WithoutDrafter(), d, caps)
}

// ask is one of a test.
type ask struct {
	prompt []int32
	limits Limits
}

func asks(tokenizer *token.Tokenizer) []ask {
	var list []ask
	for i, text := range []string{
		"Once upon a time",
		strings.Repeat("Mia and Tom went to the park. They saw a big tree and a little dog. ", 9) + "Then",
		"One day, a girl named Sue",
		strings.Repeat("Zoe had a red kite. ", 25),
		"The dragon was",
	} {
		list = append(list, ask{
			append([]int32{0}, tokenizer.Encode(text)...),
			Limits{MaxTokens: 12 + i, StopIDs: []int32{1}, Sampling: Sampling{
				Temperature: 0.8, TopP: 0.95, TopK: 50, RepetitionPenalty: 1.1, Seed: uint64(i), LogProbs: true, TopLogProbs: 3,
			}},
		})
	}
	return list
}

// TestCompany: what a request gets does not depend on who else is there, on how prompts are cut into runs, or on being put
// back for want of pages. Tokens and log-probabilities are the same bits.
func TestCompany(t *testing.T) {
	tokenizer := tokenizerOf(t)
	alone := Start(placePlain(t, op.Caps{Rows: 64, Slots: 1, Pages: 4, Context: 512}, 0), tokenizer, Options{})
	t.Cleanup(alone.Close)
	var want [][]Item
	for _, r := range asks(tokenizer) {
		want = append(want, collect(t, submit(t, alone, r)))
	}
	for _, caps := range []op.Caps{
		{Rows: 7, Slots: 5, Pages: 12, Context: 512},
		{Rows: 33, Slots: 3, Pages: 4, Context: 512},
		{Rows: 2, Slots: 2, Pages: 5, Context: 300},
	} {
		t.Run(fmt.Sprintf("%+v", caps), func(t *testing.T) {
			e, _ := start(t, caps)
			var streams []*Stream
			for _, r := range asks(tokenizer) {
				streams = append(streams, submit(t, e, r))
			}
			for i, s := range streams {
				if got := collect(t, s); !reflect.DeepEqual(got, want[i]) {
					t.Errorf("request %d: %v, alone %v", i, tokens(got), tokens(want[i]))
				}
			}
		})
	}
}

func submit(t *testing.T, e *Engine, r ask) *Stream {
	t.Helper()
	s, err := e.Submit(r.prompt, r.limits)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// collect reads a stream to its end, which must not be an error.
func collect(t *testing.T, s *Stream) []Item {
	t.Helper()
	var items []Item
	for {
		item, ok := s.Next(t.Context())
		if !ok {
			break
		}
		items = append(items, item)
	}
	if err := s.Finish().Err; err != nil {
		t.Error(err)
	}
	return items
}

func tokens(items []Item) []int32 {
	var ids []int32
	for _, item := range items {
		ids = append(ids, item.Token)
	}
	return ids
}

// TestGreedyStory: the model says who it is, with bytes that are the tokenizer's and without the end's.
func TestGreedyStory(t *testing.T) {
	e, tokenizer := start(t, op.Caps{Rows: 32, Slots: 1, Pages: 2, Context: 256})
	prompt := tokenizer.EncodeSpecial("<｜begin▁of▁sentence｜><｜User｜>Who are you?<｜Assistant｜></think>")
	s := submit(t, e, ask{prompt, Limits{StopIDs: []int32{1}}})
	var said []byte
	items := collect(t, s)
	for _, item := range items {
		said = append(said, item.Bytes...)
	}
	if want := "I am a tiny demo model. I can tell short stories and answer a few simple questions."; string(said) != want {
		t.Errorf("%q, not %q", said, want)
	}
	if f := s.Finish(); f.Reason != AtStop || items[len(items)-1].Token != 1 || f.First <= f.Started || f.Ended < f.First {
		t.Errorf("%+v", f)
	}
}

func TestEnds(t *testing.T) {
	e, tokenizer := start(t, op.Caps{Rows: 32, Slots: 2, Pages: 2, Context: 40})
	prompt := append([]int32{0}, tokenizer.Encode("Once upon a time, there was a little girl named Mia.")...)

	s := submit(t, e, ask{prompt, Limits{Stop: [][]byte{[]byte("play")}}})
	said := ""
	for _, item := range collect(t, s) {
		said += string(item.Bytes)
	}
	if f := s.Finish(); f.Reason != AtStop || string(f.Stop) != "play" || strings.Contains(said, "play") || said == "" {
		t.Errorf("stop string: %q, %+v", said, f)
	}

	s = submit(t, e, ask{prompt, Limits{}})
	if n := len(collect(t, s)); s.Finish().Reason != AtContext || len(prompt)+n != 40 {
		t.Errorf("context: %d tokens behind %d, %+v", n, len(prompt), s.Finish())
	}

	if _, err := e.Submit(slices.Repeat([]int32{5}, 40), Limits{}); err == nil || !strings.Contains(err.Error(), "context") {
		t.Errorf("a prompt as long as the context: %v", err)
	}
	if _, err := e.Submit([]int32{2048}, Limits{}); err == nil {
		t.Error("a token that the model does not have is taken")
	}
}

// TestCancel: an answer that nobody wants any more ends, others go on, and a closed engine takes nothing.
func TestCancel(t *testing.T) {
	e, tokenizer := start(t, op.Caps{Rows: 32, Slots: 2, Pages: 32, Context: 2048})
	prompt := append([]int32{0}, tokenizer.Encode("Once upon a time")...)
	forever := Limits{Sampling: Sampling{LogitBias: map[int32]float32{1: -1000}}}

	ctx, cancel := context.WithCancel(t.Context())
	s := submit(t, e, ask{prompt, forever})
	if _, ok := s.Next(ctx); !ok {
		t.Fatal(s.Finish())
	}
	cancel()
	for ok := true; ok; {
		_, ok = s.Next(ctx)
	}
	if err := s.Finish().Err; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	s = submit(t, e, ask{prompt, forever})
	e.Close()
	for ok := true; ok; {
		_, ok = s.Next(t.Context())
	}
	if err := s.Finish().Err; !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := e.Submit(prompt, forever); !errors.Is(err, ErrClosed) {
		t.Errorf("submitted to a closed engine: %v", err)
	}
}
