package serve

import (
	"fmt"
	"net/http"
	"time"
)

// sse writes server-sent events, each of which is sent at once. The first fault is kept in err, and ends it: a client that
// does not take what it is sent for longer than timeout is one.
type sse struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	begun   bool
	err     error
	text    []byte
	reading func() (done, total int) // how far prompts are read; nil where there are none
}

func newSSE(w http.ResponseWriter, timeout time.Duration) *sse {
	return &sse{w: w, control: http.NewResponseController(w), timeout: timeout}
}

// open begins the stream.
func (s *sse) open() {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // proxies of that family would collect events
	s.w.WriteHeader(http.StatusOK)
}

// data sends a value as an event without a name.
func (s *sse) data(value any) {
	s.text = append(appendJSON(append(s.text, "data: "...), value), "\n\n"...)
	s.flush()
}

// event sends a value as an event with a name.
func (s *sse) event(name string, value any) {
	s.text = append(append(append(s.text, "event: "...), name...), '\n')
	s.data(value)
}

// raw sends text as it is: a comment, or the end of the OpenAI forms.
func (s *sse) raw(text string) {
	s.text = append(s.text, text...)
	s.flush()
}

func (s *sse) flush() {
	s.begun = true
	if s.err == nil {
		_ = s.control.SetWriteDeadline(time.Now().Add(s.timeout)) // where it cannot be set, the server's own bounds hold
		if _, s.err = s.w.Write(s.text); s.err == nil {
			s.err = s.control.Flush()
		}
	}
	s.text = s.text[:0]
}

// keepAlive sends a comment, which every client skips. While prompts are read it says how many of their tokens are.
func (s *sse) keepAlive() {
	if s.reading != nil {
		if done, total := s.reading(); done < total {
			s.raw(fmt.Sprintf(": keep-alive %d/%d\n\n", done, total))
			return
		}
	}
	s.raw(": keep-alive\n\n")
}

// done ends the streams of the OpenAI forms.
const done = "data: [DONE]\n\n"
