package serve

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	headerTimeout  = 10 * time.Second // to send the head of a request
	idleTimeout    = 2 * time.Minute  // between requests of a connection
	lastWords      = time.Second      // to tell clients that their answers are not completed
	maxHeaderBytes = 64 << 10
	// The connection buffers no more than this for a client, or it would look as if one read that does not.
	sendBuffer = 64 << 10
)

// Serve answers on l until ctx ends. Then it takes no more requests and waits for those that are being answered, but no
// longer than drain; the others end with an error. Without a certificate it speaks plain HTTP.
func (s *Server) Serve(ctx context.Context, l net.Listener, certificate *Certificate, drain time.Duration) error {
	h := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.guard.Log.Handler(), slog.LevelDebug), // what clients do wrong before a request is one
		ConnContext:       boundBuffers,
	}
	failed := make(chan error, 1)
	go func() {
		if certificate == nil {
			failed <- h.Serve(l)
			return
		}
		h.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.get}
		failed <- h.ServeTLS(l, "", "")
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("cannot serve: %s: %w: check the network", l.Addr(), err)
	case <-ctx.Done():
	}
	s.guard.Log.Info("draining", "limit", drain.String())
	s.guard.stop()
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	complete := s.Drain(patience) == nil
	if !complete {
		close(s.cut)
		patience, cancel = context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		_ = s.Drain(patience) // who takes no answer now gets none
	}
	s.guard.Log.Info("stopped", "complete", complete)
	if h.Shutdown(patience) != nil {
		return h.Close()
	}
	return nil
}

// boundBuffers bounds what the system holds of an answer that its client does not read.
func boundBuffers(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetWriteBuffer(sendBuffer) // without it, a client that does not read is found out later
	}
	return ctx
}

// stop tells that the server drains.
func (g *guard) stop() { g.stopOnce.Do(func() { close(g.stopping) }) }

// around adds what every server has to the routes of the APIs, and puts the guard before all.
func (s *Server) around(m routes) http.Handler {
	g := s.guard
	m.get("/healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok") })
	m.get("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-g.stopping:
			writeText(w, http.StatusServiceUnavailable, "draining")
		default:
			writeText(w, http.StatusOK, "ready")
		}
	})
	m.get("/metrics", g.metrics.handler().ServeHTTP)
	m.get("/debug/live", g.live(s.options.Engine.Stats))
	m.get("/debug/cache", g.cache(s.options.Engine.Stats))
	for name := range s.page.files {
		if name == "/" {
			name = "/{$}"
		}
		m.get(name, s.page.serve)
	}
	return g.wrap(m)
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// shown tells what is shown without a key.
func (s *Server) shown(path string) bool {
	return path == "/healthz" || path == "/readyz" || s.page.has(path)
}

// operate makes what stands around the APIs.
func (s *Server) operate(o Operation) (err error) {
	if s.page, err = newPage(); err != nil {
		return err
	}
	s.guard, err = newGuard(o, newMetrics(s.options.Engine.Stats), s.shown)
	return err
}
