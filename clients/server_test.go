// Package clients has only tests: the official clients of the APIs that baleen speaks, against a real server with the demo
// model. It is a module of its own, so that nothing of them is among baleen's dependencies. The folder node has those of the
// JavaScript world.
package clients

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var address = flag.String("server", "", "URL of a running server with the demo model; empty: one is built and started")

// base is where the server of all tests is.
var base string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if base = *address; base != "" {
		return m.Run()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop, err := start(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()
	return m.Run()
}

// start builds the program and serves the demo model on a free port.
func start(ctx context.Context) (stop func(), err error) {
	dir, err := os.MkdirTemp("", "baleen-clients")
	if err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "baleen")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/baleen")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("go build: %w: %s", err, out)
	}
	server := exec.CommandContext(ctx, program, "serve", "demo", "--addr", "127.0.0.1:0", "--log-level", "error")
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
		_ = os.RemoveAll(dir)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if i := strings.Index(lines.Text(), "http://"); i >= 0 {
			base = strings.TrimSpace(lines.Text()[i:])
			return stop, nil
		}
	}
	stop()
	return nil, fmt.Errorf("the server did not say where it is")
}

// whoSays is what the demo model says to "Who are you?".
const whoSays = "I am a tiny demo model. I can tell short stories and answer a few simple questions."

// person is what schema describes.
type person struct {
	Name *string `json:"name"`
	Age  *int    `json:"age"`
}

var schema = map[string]any{
	"type":                 "object",
	"properties":           properties,
	"required":             []string{"name", "age"},
	"additionalProperties": false,
}

var properties = map[string]any{
	"name": map[string]any{"type": "string", "maxLength": 8},
	"age":  map[string]any{"type": "integer", "minimum": 0, "maximum": 150},
}

func (p *person) valid() bool {
	return p.Name != nil && p.Age != nil && len([]rune(*p.Name)) <= 8 && *p.Age >= 0 && *p.Age <= 150
}
