package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"baleen": main})
}

// TestScripts runs testdata/script: each script is a user at a terminal. In them $MODEL is the demo's directory.
func TestScripts(t *testing.T) {
	dir, err := filepath.Abs("../../internal/demo/model")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: func(env *testscript.Env) error { env.Setenv("MODEL", dir); return nil },
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"status": status, "fails": fails, "await": await},
	})
}

// status runs baleen and expects an exit status: status N baleen ARGUMENTS.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND [ARGUMENTS]")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = err.Error()
		if len(got) > len("exit status ") {
			got = got[len("exit status "):]
		}
	}
	if got != args[0] {
		ts.Fatalf("status %s, expected %s", got, args[0])
	}
}

// fails expects a failure that is told in one line of stderr and nothing on stdout: fails N baleen ARGUMENTS.
func fails(ts *testscript.TestScript, neg bool, args []string) {
	status(ts, neg, args)
	stderr := ts.ReadFile("stderr")
	if bytes.Count([]byte(stderr), []byte("\n")) != 1 || stderr[len(stderr)-1] != '\n' {
		ts.Fatalf("stderr is not one line: %q", stderr)
	}
	if stdout := ts.ReadFile("stdout"); stdout != "" {
		ts.Fatalf("stdout is not empty: %q", stdout)
	}
}

// run executes a command line of a root with one more command, and returns status and stderr.
func run(more *cobra.Command, args ...string) (int, string) {
	root := newRoot()
	root.AddCommand(more)
	var stderr bytes.Buffer
	return execute(root, args, &stderr), stderr.String()
}

func TestPanicIsOneLine(t *testing.T) {
	var none map[string]int
	for name, work := range map[string]func(){
		"value": func() { panic("first\nsecond") },
		"map":   func() { none["a"] = 1 },
		"index": func() { _ = []int{}[len(none)] },
	} {
		code, stderr := run(&cobra.Command{Use: "burst", Run: func(*cobra.Command, []string) { work() }}, "burst")
		if code != 1 || bytes.Count([]byte(stderr), []byte("\n")) != 1 || !bytes.Contains([]byte(stderr), []byte("main_test.go:")) {
			t.Errorf("%s: status %d, stderr %q", name, code, stderr)
		}
	}
}

func TestNamesStayOnOneLine(t *testing.T) {
	code, stderr := run(&cobra.Command{}, "two\nlines\r\x1b[2J")
	if want := "baleen: unknown command: two lines  [2J: see 'baleen --help'\n"; code != 2 || stderr != want {
		t.Errorf("status %d, stderr %q, expected 2 and %q", code, stderr, want)
	}
}

// An interrupt ends the wait for input that does not come.
func TestInterrupt(t *testing.T) {
	in, out := io.Pipe()
	defer out.Close()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	code, stderr := run(&cobra.Command{Use: "wait", RunE: func(cmd *cobra.Command, _ []string) error {
		cmd.SetIn(in)
		if err := self.Signal(os.Interrupt); err != nil {
			return err
		}
		_, err := readInput(cmd)
		return err
	}}, "wait")
	if want := "baleen: " + errInterrupted.Error() + "\n"; code != 1 || stderr != want {
		t.Errorf("status %d, stderr %q, expected 1 and %q", code, stderr, want)
	}
}

// Every command must say what it does and show an example.
func TestCommandsAreDescribed(t *testing.T) {
	for _, c := range newRoot().Commands() {
		if c.Short == "" || c.Example == "" || c.Args == nil {
			t.Errorf("%s: needs Short, Example and Args", c.Name())
		}
	}
}
