package engine

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/op"
)

// openDisk opens a cache for a machine, which logs to out.
func openDisk(t *testing.T, m *Machine, dir string, size int64, out *bytes.Buffer) *Disk {
	t.Helper()
	d, err := m.OpenDisk(dir, size, "demo", slog.New(slog.NewTextHandler(out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// settled waits until so many files are written.
func (e *Engine) settled(t *testing.T, files int) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if n := e.Stats(); int(n.Written) >= files {
			t.Logf("%d files written %v after the answer", n.Written, time.Since(began))
			return
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%d files were not written: %+v", files, e.Stats())
		}
	}
}

// TestDiskOutlives: what an engine computed is found by the next one over the same directory, and gives the same bits; broken
// files are refused with a line in the log, and the answer is the same.
func TestDiskOutlives(t *testing.T) {
	caps := op.Caps{Rows: 64, Slots: 2, Pages: 12, Context: 512}
	dir := t.TempDir()
	r := asks(tokenizerOf(t))[1]
	whole := (len(r.prompt) - 1) / op.PageSize * op.PageSize
	var log bytes.Buffer
	answer := func(want []Item, check func(*Engine, Finish)) []Item {
		t.Helper()
		m := place(t, caps, deepseek.Reference, "cpu")
		e := Start(m, tokenizerOf(t), Options{Disk: openDisk(t, m, dir, 1<<24, &log)})
		defer e.Close()
		s := submit(t, e, r)
		items := collect(t, s)
		if want != nil && !reflect.DeepEqual(items, want) {
			t.Errorf("%v, want %v", tokens(items), tokens(want))
		}
		check(e, s.Finish())
		return items
	}
	first := answer(nil, func(e *Engine, f Finish) {
		if f.Cached != 0 || !strings.HasPrefix(f.Why, "nothing is remembered") {
			t.Errorf("at first: %+v", f)
		}
		e.settled(t, whole/op.PageSize+1)
	})
	answer(first, func(e *Engine, f Finish) {
		if n := e.Stats(); f.Cached != whole || f.Why != "" || n.Read == 0 || n.Cached != uint64(whole) {
			t.Errorf("from disk: %+v, %+v", f, n)
		}
	})
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
	pages, err := filepath.Glob(dir + "/*.page")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	content, err := os.ReadFile(pages[0])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 0x10
	if err := os.WriteFile(pages[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
	answer(first, func(e *Engine, f Finish) {
		if n := e.Stats(); f.Cached >= whole || n.Refused != 1 || !strings.Contains(f.Why, "broken") {
			t.Errorf("from a broken file: %+v, %+v", f, n)
		}
	})
	if strings.Count(log.String(), "refused and deleted") != 1 {
		t.Errorf("logged: %s", log.String())
	}
	answer(first, func(e *Engine, f Finish) {
		if f.Cached != whole {
			t.Errorf("after it was written again: %+v", f)
		}
	})
}

// TestDiskIdentity: other numerics and other identities find nothing, and a directory that is in use, or too little room, is refused.
func TestDiskIdentity(t *testing.T) {
	caps := op.Caps{Rows: 64, Slots: 1, Pages: 6, Context: 512}
	dir, log := t.TempDir(), &bytes.Buffer{}
	r := asks(tokenizerOf(t))[1]
	reference, wide := place(t, caps, deepseek.Reference, "cpu"), place(t, caps, deepseek.Wide, "cpu")
	e := Start(reference, tokenizerOf(t), Options{Disk: openDisk(t, reference, dir, 1<<24, log)})
	collect(t, submit(t, e, r))
	if _, err := wide.OpenDisk(dir, 1<<24, "demo", slog.Default()); err == nil || !strings.Contains(err.Error(), "directory of its own") {
		t.Errorf("in use: %v", err)
	}
	e.Close()
	files, _ := filepath.Glob(dir + "/*.*")
	if len(files) < 2 {
		t.Fatalf("files: %v", files)
	}
	d := openDisk(t, wide, dir, 1<<24, log)
	if err := d.store.Close(); err != nil || len(d.found) > 0 || strings.Count(log.String(), "of another model") != len(files) {
		t.Errorf("%v; found %v; logged %s", err, d.found, log)
	}
	if _, err := reference.OpenDisk(dir, 1000, "demo", slog.Default()); err == nil || !strings.HasPrefix(err.Error(), "too small a cache on disk") {
		t.Errorf("too little: %v", err)
	}
	if _, err := reference.OpenDisk(filepath.Join(dir, "lock"), 1<<24, "demo", slog.Default()); err == nil {
		t.Error("a file instead of a directory is taken")
	}
}

// TestDiskOfDrafter: what was written without a drafter lacks its state, and is not taken with one, nor the other way round.
func TestDiskOfDrafter(t *testing.T) {
	caps := op.Caps{Rows: 64, Slots: 1, Pages: 6, Context: 512}
	dir, log := t.TempDir(), &bytes.Buffer{}
	r := asks(tokenizerOf(t))[1]
	var want []Item
	for i, m := range []*Machine{placePlain(t, caps, 1), place(t, caps, deepseek.Reference, "cpu"), placePlain(t, caps, 1)} {
		d := openDisk(t, m, dir, 1<<24, log)
		if len(d.found) > 0 || (i > 0) != strings.Contains(log.String(), "of another model") {
			t.Errorf("%d: found %v; logged %s", i, d.found, log)
		}
		log.Reset()
		e := Start(m, tokenizerOf(t), Options{Disk: d})
		s := submit(t, e, r)
		got := collect(t, s)
		if want = append(want, got...)[:len(got)]; s.Finish().Cached != 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%d: %v, want %v, %+v", i, tokens(got), tokens(want), s.Finish())
		}
		e.Close()
	}
}

// TestClosedTurnIsKept: an engine that is closed in the middle of an answer has written what it knew.
func TestClosedTurnIsKept(t *testing.T) {
	caps := op.Caps{Rows: 64, Slots: 1, Pages: 12, Context: 1500}
	dir, log := t.TempDir(), &bytes.Buffer{}
	m := place(t, caps, deepseek.Reference, "cpu")
	r := asks(tokenizerOf(t))[1]
	r.limits = Limits{Sampling: Sampling{LogitBias: map[int32]float32{1: -1000}}}
	e := Start(m, tokenizerOf(t), Options{Disk: openDisk(t, m, dir, 1<<24, log)})
	s := submit(t, e, r)
	answer := []int32{}
	for len(r.prompt)+len(answer) < 400 {
		item, ok := s.Next(t.Context())
		if !ok {
			t.Fatal(s.Finish())
		}
		answer = append(answer, item.Token)
	}
	e.Close()
	e = Start(m, tokenizerOf(t), Options{Disk: openDisk(t, m, dir, 1<<24, log)})
	defer e.Close()
	s = submit(t, e, ask{slices.Concat(r.prompt, answer), Limits{MaxTokens: 1}})
	collect(t, s)
	if f := s.Finish(); f.Cached != 384 {
		t.Errorf("%+v", f)
	}
}

// A disk that cannot be written, or that loses its directory, costs nothing but the cache.
func TestDiskLost(t *testing.T) {
	caps := op.Caps{Rows: 64, Slots: 1, Pages: 6, Context: 512}
	dir, log := filepath.Join(t.TempDir(), "cache"), &bytes.Buffer{}
	m := place(t, caps, deepseek.Reference, "cpu")
	alone := Start(m, tokenizerOf(t), Options{})
	r := asks(tokenizerOf(t))[1]
	want := collect(t, submit(t, alone, r))
	alone.Close()
	e := Start(m, tokenizerOf(t), Options{Disk: openDisk(t, m, dir, 1<<24, log)})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	for range 3 {
		s := submit(t, e, r)
		waiting.Go(func() {
			var items []Item
			for item, ok := s.Next(t.Context()); ok; item, ok = s.Next(t.Context()) {
				items = append(items, item)
			}
			if !reflect.DeepEqual(items, want) {
				t.Errorf("%v, want %v", tokens(items), tokens(want))
			}
		})
	}
	waiting.Wait()
	e.Close()
	if n := e.Stats(); n.Unwritten == 0 || !strings.Contains(log.String(), "cache file not written") {
		t.Errorf("%+v, logged %s", n, fmt.Sprint(log))
	}
}

// flaky is a device whose state cannot be read for some time.
type flaky struct {
	device.Device
	broken atomic.Bool
}

func (f *flaky) Download(b device.Buffer, offset int64, to []byte) error {
	if f.broken.Load() && len(to) != 4*2048 { // logits can
		return errors.New("device: bus error")
	}
	return f.Device.Download(b, offset, to)
}

// TestStateCannotBeRead: the answers that run then end with the error, nothing half read is remembered, in memory or on disk, and
// what is asked later is answered as ever.
func TestStateCannotBeRead(t *testing.T) {
	caps := op.Caps{Rows: 64, Slots: 2, Pages: 12, Context: 512}
	m := place(t, caps, deepseek.Reference, "cpu")
	f := &flaky{Device: m.device}
	m.device = f
	r := asks(tokenizerOf(t))[1]
	e := Start(m, tokenizerOf(t), Options{})
	want := collect(t, submit(t, e, r))
	e.Close()
	log := &bytes.Buffer{}
	dir := t.TempDir()
	e = Start(m, tokenizerOf(t), Options{Disk: openDisk(t, m, dir, 1<<24, log)})
	f.broken.Store(true)
	s := submit(t, e, r)
	for _, ok := s.Next(t.Context()); ok; _, ok = s.Next(t.Context()) {
	}
	if err := s.Finish().Err; err == nil || !strings.Contains(err.Error(), "bus error") {
		t.Errorf("%v", err)
	}
	f.broken.Store(false)
	s = submit(t, e, r)
	if got := collect(t, s); !reflect.DeepEqual(got, want) || s.Finish().Cached != 0 {
		t.Errorf("%v, want %v; %+v", tokens(got), tokens(want), s.Finish())
	}
	e.Close()
	e = Start(m, tokenizerOf(t), Options{Disk: openDisk(t, m, dir, 1<<24, log)})
	defer e.Close()
	s = submit(t, e, r)
	if got := collect(t, s); !reflect.DeepEqual(got, want) || s.Finish().Cached == 0 {
		t.Errorf("from disk: %v, want %v; %+v", tokens(got), tokens(want), s.Finish())
	}
}
