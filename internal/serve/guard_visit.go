package serve

import (
	"net/http"
	"time"
)

// visit is one request, as the guard sees it, and the writer of its answer. Each write has a deadline of its own, so that
// nobody is waited for who does not read.
type visit struct {
	http.ResponseWriter
	control *http.ResponseController
	guard   *guard
	id      string
	began   time.Time
	key     *key
	taken   bool  // a place of the key
	body    int64 // bytes in memory
	sent    int64
	status  int  // 0: nothing was answered yet
	streams bool // something was flushed: what follows is a stream
}

// visitKey is what a request's context has its visit under.
type visitKey struct{}

const (
	pieceBytes   = 16 << 10         // what has one deadline
	pieceTimeout = 30 * time.Second // of an answer that is no stream: nothing waits for it but the connection
)

// head sets what every answer has.
func (v *visit) head() {
	h := v.Header()
	h.Set("X-Request-Id", v.id)
	h.Set("Request-Id", v.id) // Anthropic's clients look here
	h.Set("X-Content-Type-Options", "nosniff")
}

func (v *visit) WriteHeader(status int) {
	if v.status == 0 {
		v.status = status
	}
	v.ResponseWriter.WriteHeader(status)
}

func (v *visit) Write(data []byte) (n int, err error) {
	if v.status == 0 {
		v.status = http.StatusOK
	}
	for {
		piece := data[n:min(n+pieceBytes, len(data))]
		v.arm()
		m, err := v.ResponseWriter.Write(piece)
		n += m
		v.sent += int64(m)
		if err != nil || n >= len(data) {
			return n, err
		}
	}
}

// FlushError sends what was written.
func (v *visit) FlushError() error {
	v.streams = true
	v.arm()
	return v.control.Flush()
}

func (v *visit) Flush() { _ = v.FlushError() }

// arm sets the deadline of the next piece.
func (v *visit) arm() {
	timeout := pieceTimeout
	if v.streams {
		timeout = v.guard.StallTimeout
	}
	_ = v.control.SetWriteDeadline(time.Now().Add(timeout)) // what has no deadlines, such as a recorder, blocks nobody
}

// SetWriteDeadline leaves the deadline to arm, which knows more.
func (v *visit) SetWriteDeadline(time.Time) error { return nil }

// Unwrap gives http.ResponseController the rest.
func (v *visit) Unwrap() http.ResponseWriter { return v.ResponseWriter }

// release gives back what the visit held. What is still buffered goes out after it.
func (v *visit) release() {
	v.arm()
	v.guard.bodies.give(v.body)
	if v.taken {
		v.key.leave()
	}
}
