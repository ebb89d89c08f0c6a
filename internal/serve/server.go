package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"baleen/internal/chat"
	"baleen/internal/engine"
	"baleen/internal/grammar"
	"baleen/internal/token"
)

// Options say what is served and how. Engine, Tokenizer, Model, Context and EOS must be given.
type Options struct {
	Engine    *engine.Engine
	Tokenizer *token.Tokenizer
	Model     string          // the name of the loaded model, which answers to every other name too
	Context   int             // positions that a prompt and its answer can have together
	BOS       int32           // the token that raw text begins with
	EOS       []int32         // the tokens that end an answer
	Encoding  chat.Encoding   // the generation of the chat format
	Think     bool            // where a request of the OpenAI forms does not say it, the model thinks
	Sampling  engine.Sampling // where a request does not say it

	KeepAlive   time.Duration // a waiting client hears something this often; 0 is 10 s
	ReplayBytes int           // memory for the exact texts of calls of tools; 0 is 64 MiB

	Operation Operation
}

// The defaults.
const (
	defaultKeepAlive   = 10 * time.Second
	defaultReplayBytes = 64 << 20
)

// Server answers the three APIs.
type Server struct {
	options Options
	started time.Time
	replays replays
	guard   *guard
	page    *page

	vocabulary *grammar.Vocabulary
	languages  languages

	mu       sync.Mutex
	active   int
	draining bool
	idle     chan struct{} // closed when nothing is active and nothing more is taken
	cut      chan struct{} // closed when answers under way are not waited for any more
}

// New returns a server. It fails where an option is missing.
func New(o Options) (*Server, error) {
	if o.Engine == nil || o.Tokenizer == nil || o.Model == "" || o.Context < 2 || len(o.EOS) == 0 {
		return nil, errors.New("bad options of the server: one that must be given is missing: give engine, tokenizer, model, context and end tokens")
	}
	if o.Encoding != chat.V4 && o.Encoding != chat.V40731 {
		return nil, fmt.Errorf("bad options of the server: encoding %q: give v4 or v4-0731", o.Encoding)
	}
	o.KeepAlive = orDefault(o.KeepAlive, defaultKeepAlive)
	o.ReplayBytes = orDefault(o.ReplayBytes, defaultReplayBytes)
	s := &Server{options: o, started: time.Now(), replays: newReplays(o.ReplayBytes), idle: make(chan struct{}), cut: make(chan struct{})}
	s.vocabulary = grammar.NewVocabulary(o.Tokenizer, o.EOS...)
	if err := s.operate(o.Operation); err != nil {
		return nil, err
	}
	return s, nil
}

func orDefault[T int | time.Duration](value, other T) T {
	if value <= 0 {
		return other
	}
	return value
}

// Handler returns what answers requests.
func (s *Server) Handler() http.Handler {
	m := routes{http.NewServeMux()}
	for _, base := range []string{"/v1", "", "/beta", "/beta/v1"} { // OpenAI's, and DeepSeek's own
		m.post(base+"/chat/completions", s.counted(s.chat))
		m.post(base+"/completions", s.counted(s.completions))
		m.post(base+"/responses", s.counted(s.responses))
		m.get(base+"/models", s.models)
		m.get(base+"/models/{id...}", s.modelByID)
	}
	for _, base := range []string{"/v1", "/anthropic/v1", "/anthropic"} {
		m.post(base+"/messages", s.counted(s.messages))
		m.post(base+"/messages/count_tokens", s.counted(s.countTokens))
	}
	m.get("/anthropic/v1/models", s.models)
	m.get("/anthropic/v1/models/{id...}", s.modelByID)
	m.HandleFunc("/", notFound)
	return s.around(m)
}

// routes are paths, each of which has one method; the others are refused in the shape of its API.
type routes struct{ *http.ServeMux }

func (m routes) get(path string, h http.HandlerFunc)  { m.only("GET", "GET, HEAD", path, h) }
func (m routes) post(path string, h http.HandlerFunc) { m.only("POST", "POST", path, h) }

func (m routes) only(method, allowed, path string, h http.HandlerFunc) {
	m.HandleFunc(method+" "+path, h)
	m.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allowed)
		fail(w, r, &apiError{status: http.StatusMethodNotAllowed, code: "method_not_allowed", message: fmt.Sprintf("wrong method: %s %s: use %s", methodName(r.Method), oneLine(r.URL.Path), method)})
	})
}

// notFound answers what is not served in the shape of its API.
func notFound(w http.ResponseWriter, r *http.Request) {
	fail(w, r, &apiError{status: http.StatusNotFound, code: "not_found", message: fmt.Sprintf("nothing here: %s %s: see the README for what is served", r.Method, oneLine(r.URL.Path))})
}

// counted keeps count of the requests that are being answered. While the server drains, no new ones are.
func (s *Server) counted(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			fail(w, r, shuttingDown())
			return
		}
		defer s.leave()
		h(w, r)
	}
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.active++
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active--; s.active == 0 && s.draining {
		close(s.idle)
	}
}

// Drain takes no more requests and waits until those that are being answered are done, or until ctx ends.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining {
		s.draining = true
		if s.active == 0 {
			close(s.idle)
		}
	}
	s.mu.Unlock()
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
