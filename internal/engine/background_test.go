package engine

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"baleen/internal/deepseek"
	"baleen/internal/op"
)

var turnDir = flag.String("turn-dir", "", "be the child of TestTurnIsWritten: answer once with a cache in this directory, and wait to be killed")

// stored waits until a directory holds so many pages and checkpoints, a minute at most.
func stored(dir string, pages, checkpoints int) error {
	for began := time.Now(); ; time.Sleep(100 * time.Microsecond) {
		p, _ := filepath.Glob(filepath.Join(dir, "*.page"))
		c, _ := filepath.Glob(filepath.Join(dir, "*.state"))
		if len(p) >= pages && len(c) >= checkpoints {
			return nil
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("%d pages and %d checkpoints are written, not %d and %d", len(p), len(c), pages, checkpoints)
		}
	}
}

// first calls a function before the first token of an answer is chosen: its run does not end before the function does.
type first func()

func (f *first) Mask([]uint64, int) {
	if *f != nil {
		(*f)()
		*f = nil
	}
}

func (f *first) Advance(int32) {}

// turn is a prompt of 385 tokens and an answer of 135: the last page of the prompt ends at 384, and that of the turn, of whose
// tokens the last is not run, at 512.
func turn(t testing.TB) ask {
	ids := append([]int32{0}, tokenizerOf(t).Encode(strings.Repeat("Zoe had a red kite. The wind took it up and up. ", 40))...)
	return ask{ids[:385], Limits{MaxTokens: 135, Sampling: Sampling{LogProbs: true}}}
}

func turnMachine(t *testing.T) *Machine {
	return placeWith(t, op.Caps{Rows: 64, Slots: 2, Pages: 12, Context: 640}, deepseek.Reference, "cpu", 1)
}

// TestTurnChild is the child. While the run goes on that gives the first token nothing can happen but writing: what the prompt
// left must be written then. And when the answer has ended nothing is asked of the engine, and nobody closes it.
func TestTurnChild(t *testing.T) {
	if *turnDir == "" {
		t.Skip("only as the child of TestTurnIsWritten")
	}
	m := turnMachine(t)
	d, err := m.OpenDisk(*turnDir, 1<<24, "demo", slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		t.Fatal(err)
	}
	e := Start(m, tokenizerOf(t), Options{Disk: d})
	r := turn(t)
	early := first(func() { err = stored(*turnDir, 3, 1) })
	r.limits.Constraint = &early
	collect(t, submit(t, e, r))
	if err != nil {
		t.Fatalf("during the answer: %v", err)
	}
	if err := stored(*turnDir, 4, 2); err != nil {
		t.Fatalf("after the answer: %v", err)
	}
	os.Stdout.WriteString("written\n")
	select {}
}

// TestTurnIsWritten: pages and checkpoints are written as soon as they are complete, not when they are evicted or at the end
// of the process: one that is killed when its answer is done and it has nothing else to do has written the whole turn. The
// next process finds it, and goes on with the same bits.
func TestTurnIsWritten(t *testing.T) {
	dir := t.TempDir()
	crash(t, "written", 0, "-test.run=^TestTurnChild$", "-turn-dir="+dir)
	if t.Failed() {
		return
	}

	m := turnMachine(t)
	e := Start(m, tokenizerOf(t), Options{})
	r := turn(t)
	answer := tokens(collect(t, submit(t, e, r)))
	next := ask{slices.Concat(r.prompt, answer, r.prompt[1:40]), Limits{MaxTokens: 20, Sampling: Sampling{LogProbs: true}}}
	e.Close()
	e = Start(m, tokenizerOf(t), Options{})
	want := collect(t, submit(t, e, next))
	e.Close()
	d, err := m.OpenDisk(dir, 1<<24, "demo", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e = Start(m, tokenizerOf(t), Options{Disk: d})
	defer e.Close()
	s := submit(t, e, next)
	if got := collect(t, s); !reflect.DeepEqual(got, want) || s.Finish().Cached != 512 || s.Finish().Why != "" {
		t.Errorf("%v, %+v, want %v with 512 tokens cached", tokens(got), s.Finish(), tokens(want))
	}
}

// BenchmarkWriteBehind tells how long after an answer its turn is on disk, of an engine that has nothing else to do.
func BenchmarkWriteBehind(b *testing.B) {
	machine, err := Place(b.Context(), demoModel(b), newCPU(b, 0), op.Caps{Rows: 64, Slots: 1, Pages: 12, Context: 640}, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer machine.Close()
	dir := b.TempDir()
	d, err := machine.OpenDisk(dir, 1<<30, "demo", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	e := Start(machine, tokenizerOf(b), Options{Disk: d})
	defer e.Close()
	r := turn(b)
	var delays []time.Duration
	for n := 1; b.Loop(); n++ {
		r.limits.Salt = fmt.Sprint(n)
		s, err := e.Submit(r.prompt, r.limits)
		if err != nil {
			b.Fatal(err)
		}
		for _, ok := s.Next(b.Context()); ok; _, ok = s.Next(b.Context()) {
		}
		ended := time.Now()
		if err := stored(dir, 4*n, 2*n); err != nil {
			b.Fatal(err)
		}
		delays = append(delays, time.Since(ended))
	}
	slices.Sort(delays)
	b.ReportMetric(delays[len(delays)/2].Seconds()*1e3, "ms-median")
	b.ReportMetric(delays[len(delays)-1].Seconds()*1e3, "ms-longest")
}
