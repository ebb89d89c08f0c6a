package serve

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// Operation says how a server is kept safe and watched. The zero value suits a server for this machine alone.
type Operation struct {
	Keys    []string // a request must have one of these; empty: none is asked for
	PerKey  int      // requests of one key at the same time; 0 is no bound
	Origins []string // of web pages that may call, such as https://chat.example; "*" is all; empty: none but the server's own
	Local   bool     // only this machine is to call: without keys, requests for foreign host names are refused
	Hosts   []string // names that are not foreign, besides localhost and addresses

	MaxBody      int64         // bytes of a request; 0 is 32 MiB
	StallTimeout time.Duration // a client that takes nothing of a stream for this long is given up; 0 is 750 ms

	// For /debug/live, each of which may be nil: bytes by what they are for (weights, state, cache, disk), and time so far by
	// part of the model.
	Memory map[string]int64
	Times  func() map[string]time.Duration

	PageBytes, CacheBytes int64 // of a page of prefixes; of all that may be remembered of them

	Log        *slog.Logger // nil: nothing is logged
	LogPrompts bool         // log the bodies of requests too
	Tracer     *Tracer      // nil: requests are not traced
}

const (
	defaultMaxBody = 32 << 20
	// A slot must be free within a second after a client stopped reading. What the connection buffers, some seconds of text,
	// comes on top, so that a short break of the line does no harm.
	defaultStall = 750 * time.Millisecond

	maxBodies     = 512 << 20 // bytes of all requests together that are in memory
	patience      = 10 * time.Second
	slowestUpload = 4 << 10 // bytes per second, beyond patience
	maxRequestID  = 128
	forgotten     = 4 // times MaxBody, of a body that is too large

	clientGone = 499 // in logs and metrics: the client went before there was an answer
)

// guard stands before all that is served: it knows who may come in, does not wait for slow clients, and keeps the log.
type guard struct {
	Operation
	keys    keyring
	bodies  budget
	origins *http.CrossOriginProtection
	metrics *metrics
	open    func(path string) bool // what is shown without a key
	recalls recalls

	stopping chan struct{} // closed when the server takes no more
	stopOnce sync.Once
}

func newGuard(o Operation, m *metrics, open func(path string) bool) (*guard, error) {
	g := &guard{Operation: o, keys: newKeyring(o.Keys, o.PerKey), bodies: budget{limit: maxBodies}, origins: http.NewCrossOriginProtection(), metrics: m, open: open, stopping: make(chan struct{})}
	if g.MaxBody <= 0 {
		g.MaxBody = defaultMaxBody
	}
	if g.StallTimeout <= 0 {
		g.StallTimeout = defaultStall
	}
	if g.Log == nil {
		g.Log = slog.New(slog.DiscardHandler)
	}
	for _, origin := range o.Origins {
		if origin == "*" {
			continue
		}
		if err := g.origins.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("bad origin: %q: give scheme and host, such as https://chat.example, or *", origin)
		}
	}
	return g, nil
}

// wrap returns next behind the guard.
func (g *guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{ResponseWriter: w, control: http.NewResponseController(w), guard: g, id: requestID(r), began: time.Now()}
		ctx, span := g.Tracer.start(r)
		r = r.WithContext(context.WithValue(ctx, visitKey{}, v))
		g.metrics.inFlight.Inc()
		defer func() {
			g.metrics.inFlight.Dec()
			p, begun := recover(), v.status != 0
			if p != nil && p != http.ErrAbortHandler {
				v.burst(r, p)
			}
			g.note(v, r)
			span.end(r.Pattern, v)
			v.release()
			if p != nil && begun {
				panic(http.ErrAbortHandler) // what was begun must not look complete
			}
		}()
		v.head()
		if g.preflight(v, r) {
			return
		}
		if e := g.admit(v, r); e != nil {
			fail(v, r, e)
			return
		}
		next.ServeHTTP(v, r)
	})
}

// admit looks whether a request may come in, and takes its body.
func (g *guard) admit(v *visit, r *http.Request) *apiError {
	if !g.knownHost(r.Host) {
		return &apiError{status: http.StatusForbidden, kind: "permission_error", code: "unknown_host",
			message: "unknown host name: the request's Host: use localhost, or name the host with --allow-host"}
	}
	if !slices.Contains(g.Origins, "*") && g.origins.Check(r) != nil {
		return &apiError{status: http.StatusForbidden, kind: "permission_error", code: "foreign_origin",
			message: "foreign web page: the request's Origin: allow it with --cors"}
	}
	if !g.open(r.URL.Path) {
		key, ok := g.keys.find(r.Header)
		if !ok {
			v.Header().Set("WWW-Authenticate", "Bearer")
			return &apiError{status: http.StatusUnauthorized, code: "invalid_api_key",
				message: "no valid key: the request's Authorization or x-api-key: send a key that this server knows"}
		}
		v.key = key
	}
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		return nil
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		v.Header().Set("Accept-Encoding", "identity")
		return &apiError{status: http.StatusUnsupportedMediaType, code: "unsupported_encoding", message: "unknown encoding: the request's Content-Encoding: send the body as it is, without compression"}
	}
	if e := g.body(v, r); e != nil {
		return e
	}
	if !v.key.take() {
		return &apiError{status: http.StatusTooManyRequests, code: "too_many_requests",
			message: fmt.Sprintf("too many requests at once: this key: %d are being answered: wait for one to end", g.PerKey)}
	}
	v.taken = true
	return nil
}

// knownHost tells whether a request means this server by a name that cannot be a trap: a web page of another name that
// resolves to this machine would be the server's own page to a browser.
func (g *guard) knownHost(host string) bool {
	if !g.Local || len(g.Keys) > 0 {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(g.Hosts, host)
}

// preflight answers what a browser asks before it lets a web page call, and marks answers that the page may read.
func (g *guard) preflight(v *visit, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if len(g.Origins) == 0 || origin == "" {
		return false
	}
	h := v.Header()
	h.Add("Vary", "Origin")
	if !slices.Contains(g.Origins, "*") && !slices.Contains(g.Origins, origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
	h.Set("Access-Control-Max-Age", "600")
	v.WriteHeader(http.StatusNoContent)
	return true
}

// body reads a request's body whole, before anything is held for it: a client that sends slowly holds a connection and
// nothing else.
func (g *guard) body(v *visit, r *http.Request) *apiError {
	if r.ContentLength > g.MaxBody {
		return g.tooLarge(v, r)
	}
	var data []byte
	for piece := make([]byte, 16<<10); ; {
		v.control.SetReadDeadline(v.began.Add(patience + time.Duration(len(data)/slowestUpload)*time.Second))
		n, err := r.Body.Read(piece)
		data = append(data, piece[:n]...)
		switch {
		case int64(len(data)) > g.MaxBody:
			return g.tooLarge(v, r)
		case !g.bodies.take(int64(n)):
			return &apiError{status: http.StatusServiceUnavailable, code: "overloaded", message: "no memory: the request's body: too many others are being read: ask again later"}
		}
		v.body += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			v.Header().Set("Connection", "close")
			return &apiError{status: http.StatusRequestTimeout, code: "incomplete_body", message: "body not complete: the request: it ended or took too long: send it again"}
		}
	}
	v.control.SetReadDeadline(time.Time{}) // else the end of the client would be seen where there is none
	if g.LogPrompts {
		g.Log.Info("body", "id", v.id, "path", r.URL.Path, "body", string(data))
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	return nil
}

// tooLarge refuses a body. Most clients read no answer before they have sent all, and would only see a broken connection, so
// some more is taken and forgotten, but of those that asked first.
func (g *guard) tooLarge(v *visit, r *http.Request) *apiError {
	if r.Header.Get("Expect") == "" {
		v.control.SetReadDeadline(time.Now().Add(patience))
		_, _ = io.CopyN(io.Discard, r.Body, forgotten*g.MaxBody) // the answer is the same
	}
	return &apiError{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("body too large: the request: more than %d bytes: send less", g.MaxBody)}
}

// note writes what a request was to the log and the metrics. What it said is not in it, nor are names that only the
// client knows: those of paths.
func (g *guard) note(v *visit, r *http.Request) {
	route := r.Pattern
	if route == "" || route == "/" {
		route = "other"
	}
	if v.status == 0 && r.Context().Err() != nil {
		v.status = clientGone
	}
	took := time.Since(v.began)
	g.metrics.request(route, v.status, took, v.body, v.sent)
	level := slog.LevelInfo
	switch {
	case v.status >= 500:
		level = slog.LevelWarn
	case v.status < 400 && g.open(r.URL.Path) || r.URL.Path == "/metrics":
		level = slog.LevelDebug // asked for all the time
	}
	g.Log.Log(r.Context(), level, "request", "id", v.id, "method", methodName(r.Method), "route", route, "status", v.status, "key", v.key.name(),
		"from", r.RemoteAddr, "ms", took.Milliseconds(), "bytes_in", v.body, "bytes_out", v.sent, "gone", r.Context().Err() != nil)
}

func methodName(method string) string {
	if len(method) > 16 {
		return "other"
	}
	return method
}

// burst answers a request whose handler panicked, as far as that can still be done.
func (v *visit) burst(r *http.Request, p any) {
	v.guard.Log.Error("panic", "id", v.id, "what", fmt.Sprint(p), "stack", string(debug.Stack()))
	v.guard.metrics.errors.WithLabelValues("panic").Inc()
	if v.status == 0 {
		fail(v, r, &apiError{status: http.StatusInternalServerError, message: "internal fault: the server: this is a fault of baleen; report it with the log"})
	}
}

// requestID returns the name of a request: the client's, if it gave a plain one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	plain := func(c rune) bool { return c > ' ' && c < 0x7f }
	if id == "" || len(id) > maxRequestID || strings.ContainsFunc(id, func(c rune) bool { return !plain(c) }) {
		return "req_" + rand.Text()
	}
	return id
}
