package synth

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"baleen/internal/checkpoint"
)

var child = flag.String("child", "", "write a checkpoint there and wait to be killed: for TestKilled")

// A process that is killed leaves no directory of the name that it was to write, and nothing that hinders the next one.
func TestKilled(t *testing.T) {
	o := Options{Shape: "demo", Layers: 3}
	if *child != "" {
		_ = Write(t.Context(), *child, o, func(_, _ int64) {
			fmt.Println("begun")
			select {}
		})
		return
	}
	dir := filepath.Join(t.TempDir(), "m")
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$", "-child="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "begun\n" {
		t.Errorf("the child says %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is there: %v", err)
	}
	if entries, err := os.ReadDir(dir + ".partial"); err != nil || len(entries) == 0 {
		t.Fatalf("nothing was begun: %v", err)
	}
	if err := Write(t.Context(), dir, o, nil); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := os.Stat(dir + ".partial"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unfinished directory is still there: %v", err)
	}
}
