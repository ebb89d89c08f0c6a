package engine

import (
	"bufio"
	"flag"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"baleen/internal/deepseek"
	"baleen/internal/op"
)

var crashDir = flag.String("crash-dir", "", "be the child of TestCrashes: answer with a cache in this directory until killed")

// crashEngine starts an engine whose cache is in a directory, and too small for all that is asked.
func crashEngine(t *testing.T, m *Machine, dir string, log *slog.Logger) *Engine {
	t.Helper()
	d, err := m.OpenDisk(dir, int64(16*m.PageBytes()+6*m.CheckpointBytes()), "demo", log)
	if err != nil {
		t.Fatal(err)
	}
	return Start(m, tokenizerOf(t), Options{Disk: d})
}

func crashMachine(t *testing.T) *Machine {
	return placeWith(t, op.Caps{Rows: 64, Slots: 2, Pages: 8, Context: 512}, deepseek.Reference, "cpu", 1)
}

// TestCrashChild is the child: it says when it begins, and then answers in random order until it is killed.
func TestCrashChild(t *testing.T) {
	if *crashDir == "" {
		t.Skip("only as the child of TestCrashes")
	}
	e := crashEngine(t, crashMachine(t), *crashDir, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	list := talks(e.tokenizer)
	os.Stdout.WriteString("begins\n")
	for {
		a, b := submit(t, e, list[rand.IntN(len(list))]), submit(t, e, list[rand.IntN(len(list))])
		collect(t, a)
		collect(t, b)
	}
}

// TestCrashes: a process that is killed while it writes its cache, again and again, and whose files are damaged now and then as a
// power cut would, leaves nothing behind that gives another answer. What is whole is found again.
func TestCrashes(t *testing.T) {
	crashes := 20
	if *full {
		crashes = 200
	}
	m, dir := crashMachine(t), t.TempDir()
	list := talks(tokenizerOf(t))
	want := alone(t, list)
	r := rand.New(rand.NewPCG(9, 9))
	cached, refused, damaged := uint64(0), uint64(0), 0
	for i := range crashes {
		crash(t, "begins", time.Duration(r.IntN(400))*time.Millisecond, "-test.run=^TestCrashChild$", "-crash-dir="+dir)
		if r.IntN(2) == 0 {
			damaged += damage(t, r, dir)
		}
		e := crashEngine(t, m, dir, slog.New(slog.DiscardHandler))
		for range 4 {
			which := r.IntN(len(list))
			if got := collect(t, submit(t, e, list[which])); !reflect.DeepEqual(got, want[which]) {
				t.Errorf("crash %d: request %d: %v, alone %v", i, which, tokens(got), tokens(want[which]))
			}
		}
		e.Close()
		cached += e.Stats().Cached
		refused += e.Stats().Refused
		if t.Failed() {
			return
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	t.Logf("%d crashes, %d files damaged, %d refused when they were wanted; %d tokens cached", crashes, damaged, refused, cached)
	if cached < uint64(100*crashes) {
		t.Errorf("only %d tokens were found again", cached)
	}
}

// crash starts this binary as a child, and kills it some time after it has said a line.
func crash(t *testing.T, line string, after time.Duration, args ...string) {
	t.Helper()
	child := exec.Command(os.Args[0], args...)
	var said strings.Builder
	child.Stderr = &said
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(out).ReadString('\n'); got != line+"\n" {
		t.Errorf("the child says %q, %v, %s", got, err, said.String())
	}
	time.Sleep(after) // the moment of death is random, not a wait for something
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := child.Wait(); err == nil || strings.Contains(said.String(), "panic") {
		t.Errorf("the child ended by itself: %v: %s", err, said.String())
	}
}

// damage flips a bit of a file, or cuts it, or makes one of those that a writer leaves.
func damage(t *testing.T, r *rand.Rand, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil || len(files) == 0 {
		return 0
	}
	path := files[r.IntN(len(files))]
	content, err := os.ReadFile(path)
	if err != nil || len(content) == 0 {
		return 0
	}
	at := r.IntN(len(content))
	switch r.IntN(3) {
	case 0:
		content[at] ^= 1 << r.IntN(8)
	case 1:
		content = content[:at]
	case 2:
		path += ".tmp"
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return 1
}
