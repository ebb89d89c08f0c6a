package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"baleen/internal/chat"
	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/demo"
	"baleen/internal/device/cpu"
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/engine"
	"baleen/internal/op"
	"baleen/internal/token"
)

// demoContext is the context of the engine that all tests share.
const demoContext = 2048

// shared is the engine of most tests; it ends with the test binary.
var shared = sync.OnceValues(func() (*engine.Engine, *token.Tokenizer) { return newEngine(engine.Options{Queue: 64}) })

// newEngine starts an engine with the demo model.
func newEngine(o engine.Options) (*engine.Engine, *token.Tokenizer) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	c, err := checkpoint.OpenFS(demo.Files())
	must(err)
	m, err := deepseek.Load(c, deepseek.Reference, deepseek.Quirks{})
	must(err)
	text, err := c.ReadFile("tokenizer.json", 1<<20)
	must(err)
	tokenizer, err := token.Load(text)
	must(err)
	tiers := kernel.Tiers()
	d, err := cpu.New(cpu.Options{Tier: tiers[len(tiers)-1]})
	must(err)
	machine, err := engine.Place(context.Background(), m, d, op.Caps{Rows: 64, Slots: 8, Pages: 128, Context: demoContext}, false, nil)
	must(err)
	return engine.Start(machine, tokenizer, o), tokenizer
}

// options are those of a server of the demo.
func options() Options {
	e, t := shared()
	return Options{Engine: e, Tokenizer: t, Model: "demo", Context: demoContext, EOS: []int32{1}, Encoding: chat.V4,
		Sampling: engine.Sampling{TopP: 1}, KeepAlive: time.Hour}
}

// rig is a server and what a client needs to talk to it.
type rig struct {
	*testing.T
	server *Server
	http   *httptest.Server
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	o := options()
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(h.Close)
	return &rig{t, s, h}
}

// post sends a body and returns status and answer.
func (r *rig) post(path, body string) (int, string) {
	r.Helper()
	response, err := http.Post(r.http.URL+path, "application/json", strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// ask posts a body that must be answered with 200, into a value.
func (r *rig) ask(path, body string, into any) {
	r.Helper()
	status, text := r.post(path, body)
	if status != http.StatusOK {
		r.Fatalf("%s %s: %d %s", path, body, status, text)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		r.Fatalf("%s: %v", text, err)
	}
}

// sent is one server-sent event.
type sent struct{ name, data string }

// stream posts a body that must be answered with a stream, and returns its events and comments.
func (r *rig) stream(path, body string) (events []sent) {
	r.Helper()
	response, err := http.Post(r.http.URL+path, "application/json", strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || kind != "text/event-stream" || response.Header.Get("Cache-Control") != "no-cache" {
		text, _ := io.ReadAll(response.Body)
		r.Fatalf("%s: %d %s %s", path, response.StatusCode, kind, text)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<24)
	var e sent
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "":
			events = append(events, e)
			e = sent{}
		case strings.HasPrefix(line, ":"):
			e.name = line
		default:
			name, value, _ := strings.Cut(line, ": ")
			if name == "event" {
				e.name = value
			} else {
				e.data += value
			}
		}
	}
	return events
}

// read reads the data of an event.
func (r *rig) read(e sent, into any) {
	r.Helper()
	if err := json.Unmarshal([]byte(e.data), into); err != nil {
		r.Fatalf("%+v: %v", e, err)
	}
}
