package serve

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"baleen/internal/engine"
)

// echo answers with the body that it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusTeapot)
	}
	w.Write(body)
}

func noStats() engine.Stats { return engine.Stats{} }

// guarded returns a guard before a handler.
func guarded(t *testing.T, o Operation, h http.HandlerFunc) (*guard, http.Handler) {
	t.Helper()
	g, err := newGuard(o, newMetrics(noStats), func(path string) bool { return path == "/open" })
	if err != nil {
		t.Fatal(err)
	}
	return g, g.wrap(h)
}

func TestWhoMayComeIn(t *testing.T) {
	two := Operation{Keys: []string{"first", "second"}}
	local := Operation{Local: true, Hosts: []string{"box.lan"}}
	cors := Operation{Origins: []string{"https://chat.example"}}
	for _, c := range []struct {
		name    string
		o       Operation
		method  string
		path    string
		headers string // Name: value, separated by |
		status  int
		code    string
	}{
		{"no keys asked for", Operation{}, "POST", "/v1/x", "", 200, ""},
		{"no key", two, "POST", "/v1/x", "", 401, "invalid_api_key"},
		{"no key, to read", two, "GET", "/metrics", "", 401, "invalid_api_key"},
		{"open path", two, "GET", "/open", "", 200, ""},
		{"bearer", two, "POST", "/v1/x", "Authorization: Bearer second", 200, ""},
		{"bearer in small letters", two, "POST", "/v1/x", "Authorization: bearer first", 200, ""},
		{"x-api-key", two, "POST", "/v1/x", "x-api-key: first", 200, ""},
		{"bearer wins", two, "POST", "/v1/x", "x-api-key: first|Authorization: Bearer third", 401, "invalid_api_key"},
		{"bearer wins the other way", two, "POST", "/v1/x", "x-api-key: third|Authorization: Bearer first", 200, ""},
		{"another scheme leaves it to x-api-key", two, "POST", "/v1/x", "x-api-key: first|Authorization: Basic abc", 200, ""},
		{"the beginning of a key", two, "POST", "/v1/x", "x-api-key: firs", 401, "invalid_api_key"},
		{"more than a key", two, "POST", "/v1/x", "x-api-key: first1", 401, "invalid_api_key"},
		{"an empty key", two, "POST", "/v1/x", "Authorization: Bearer ", 401, "invalid_api_key"},
		{"localhost", local, "POST", "/v1/x", "Host: localhost:8000", 200, ""},
		{"below localhost", local, "POST", "/v1/x", "Host: a.localhost", 200, ""},
		{"address", local, "POST", "/v1/x", "Host: 127.0.0.1:8000", 200, ""},
		{"address of six", local, "POST", "/v1/x", "Host: [::1]:8000", 200, ""},
		{"allowed name", local, "POST", "/v1/x", "Host: BOX.lan:8000", 200, ""},
		{"name that somebody made resolve to here", local, "GET", "/open", "Host: evil.example:8000", 403, "unknown_host"},
		{"with keys names do not matter", Operation{Local: true, Keys: []string{"k"}}, "POST", "/v1/x", "Host: a.example|x-api-key: k", 200, ""},
		{"page of another origin", Operation{}, "POST", "/v1/x", "Origin: https://evil.example", 403, "foreign_origin"},
		{"page of another site", Operation{}, "POST", "/v1/x", "Sec-Fetch-Site: cross-site", 403, "foreign_origin"},
		{"own page", Operation{}, "POST", "/v1/x", "Origin: http://example.com|Sec-Fetch-Site: same-origin", 200, ""},
		{"allowed page", cors, "POST", "/v1/x", "Origin: https://chat.example|Sec-Fetch-Site: cross-site", 200, ""},
		{"page that is not allowed", cors, "POST", "/v1/x", "Origin: https://evil.example", 403, "foreign_origin"},
		{"compressed", Operation{}, "POST", "/v1/x", "Content-Encoding: gzip", 415, "unsupported_encoding"},
		{"compressed in no way", Operation{}, "POST", "/v1/x", "Content-Encoding: identity", 200, ""},
		{"all pages allowed", Operation{Origins: []string{"*"}}, "POST", "/v1/x", "Origin: https://any.example", 200, ""},
	} {
		_, h := guarded(t, c.o, echo)
		r := httptest.NewRequest(c.method, c.path, strings.NewReader("{}"))
		for _, line := range strings.Split(c.headers, "|") {
			name, value, _ := strings.Cut(line, ": ")
			if name == "Host" {
				r.Host = value
			} else if name != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.code) {
			t.Errorf("%s: %d %s, expected %d %s", c.name, w.Code, w.Body, c.status, c.code)
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	ask := func(o Operation, method, origin string) http.Header {
		_, h := guarded(t, o, echo)
		r := httptest.NewRequest(method, "/v1/x", nil)
		r.Header.Set("Origin", origin)
		if method == "OPTIONS" {
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", "authorization,x-stainless-os")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if method == "OPTIONS" && origin == "https://a.example" && len(o.Origins) > 0 && w.Code != http.StatusNoContent {
			t.Errorf("preflight: status %d", w.Code)
		}
		return w.Header()
	}
	allowed := Operation{Origins: []string{"https://a.example"}, Keys: []string{"k"}}
	if h := ask(allowed, "OPTIONS", "https://a.example"); h.Get("Access-Control-Allow-Origin") != "https://a.example" || h.Get("Access-Control-Allow-Headers") != "authorization,x-stainless-os" {
		t.Errorf("preflight of an allowed page: %v", h)
	}
	if h := ask(allowed, "GET", "https://a.example"); h.Get("Access-Control-Allow-Origin") != "https://a.example" || h.Get("Vary") != "Origin" {
		t.Errorf("answer to an allowed page: %v", h)
	}
	for _, o := range []Operation{{}, allowed} {
		if h := ask(o, "OPTIONS", "https://b.example"); h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("page that is not allowed: %v", h)
		}
	}
	if _, err := newGuard(Operation{Origins: []string{"chat.example/path"}}, newMetrics(noStats), nil); err == nil {
		t.Error("an origin that is none was taken")
	}
}

func TestRequestIDs(t *testing.T) {
	_, h := guarded(t, Operation{}, echo)
	seen := map[string]bool{}
	for given, kept := range map[string]bool{"": false, "mine-1": true, "with blank": false, strings.Repeat("x", 200): false, "zwölf": false} {
		r := httptest.NewRequest("POST", "/v1/x", nil)
		r.Header.Set("X-Request-Id", given)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		id := w.Header().Get("X-Request-Id")
		if id == "" || seen[id] || (id == given) != kept || w.Header().Get("Request-Id") != id {
			t.Errorf("%q became %q", given, id)
		}
		seen[id] = true
	}
}

// Bodies up to the limit come whole; larger ones are refused, with a length and without.
func TestBodyLimit(t *testing.T) {
	_, h := guarded(t, Operation{MaxBody: 1000}, echo)
	s := httptest.NewServer(h)
	defer s.Close()
	for size, status := range map[int]int{0: 200, 1: 200, 999: 200, 1000: 200, 1001: 413, 100_000: 413} {
		for _, body := range []io.Reader{strings.NewReader(strings.Repeat("x", size)), io.MultiReader(strings.NewReader(strings.Repeat("x", size)))} {
			response, err := http.Post(s.URL+"/v1/x", "", body)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != status || status == 200 && len(got) != size {
				t.Errorf("%d bytes: status %d, %d bytes back", size, response.StatusCode, len(got))
			}
		}
	}
}

// A client that sends all before it reads anything still learns that it was too much.
func TestBodyLimitIsHeard(t *testing.T) {
	_, h := guarded(t, Operation{MaxBody: 8 << 20}, echo)
	s := httptest.NewServer(h)
	defer s.Close()
	const size = 32 << 20 // more than what a connection buffers
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", size)
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%v %v", response, err)
	}
}

// All bodies together have a bound, and what was read is given back.
func TestBodiesTogether(t *testing.T) {
	g, h := guarded(t, Operation{}, echo)
	g.bodies.limit = 1500
	post := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "/v1/x", strings.NewReader(strings.Repeat("x", 1000))))
		return w.Code
	}
	g.bodies.take(600)
	if code := post(); code != http.StatusServiceUnavailable {
		t.Errorf("over the bound: status %d", code)
	}
	g.bodies.give(600)
	for range 3 {
		if code := post(); code != http.StatusOK {
			t.Errorf("below the bound: status %d", code)
		}
	}
	if used := g.bodies.used.Load(); used != 0 {
		t.Errorf("%d bytes are still held", used)
	}
}

func TestPerKey(t *testing.T) {
	hold, entered := make(chan struct{}), make(chan struct{}, 8)
	g, h := guarded(t, Operation{Keys: []string{"a", "b"}, PerKey: 2}, func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-hold
	})
	post := func(key string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/v1/x", nil)
		r.Header.Set("X-Api-Key", key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	var running sync.WaitGroup
	for _, key := range []string{"a", "a", "b"} {
		running.Go(func() { post(key) })
		<-entered
	}
	if w := post("a"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("third of a key: status %d, headers %v", w.Code, w.Header())
	}
	close(hold)
	running.Wait()
	if w := post("a"); w.Code != http.StatusOK {
		t.Errorf("after the others: status %d", w.Code)
	}
	for _, k := range g.keys {
		if n := k.active.Load(); n != 0 {
			t.Errorf("key %s: %d are still counted", k.name(), n)
		}
	}
}

// A panic is a 500 before the answer began, and a cut connection after; the server goes on.
func TestPanics(t *testing.T) {
	var log bytes.Buffer
	_, h := guarded(t, Operation{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			fmt.Fprint(w, "half")
			w.(http.Flusher).Flush()
		}
		panic("burst")
	})
	s := httptest.NewServer(h)
	defer s.Close()
	response, err := http.Get(s.URL + "/v1/x")
	if err != nil || response.StatusCode != http.StatusInternalServerError {
		t.Fatalf("%v %v", response, err)
	}
	response.Body.Close()
	if response, err = http.Get(s.URL + "/begun"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("half an answer looked complete")
	}
	response.Body.Close()
	s.Close() // nothing is logged any more
	if !strings.Contains(log.String(), "burst") || !strings.Contains(log.String(), "guard_test.go") {
		t.Errorf("the log does not say where: %s", log.String())
	}
}

// The log says what a request was, and nothing of what it said, unless that was asked for.
func TestLogHoldsNoPrompts(t *testing.T) {
	for _, asked := range []bool{false, true} {
		var log bytes.Buffer
		o := Operation{Keys: []string{"secretkey"}, LogPrompts: asked, Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		_, h := guarded(t, o, echo)
		r := httptest.NewRequest("POST", "/v1/private?q=private", strings.NewReader(`{"x":"private"}`))
		r.Header.Set("Authorization", "Bearer secretkey")
		r.Header.Set("User-Agent", "private")
		h.ServeHTTP(httptest.NewRecorder(), r)
		text := log.String()
		if !strings.Contains(text, `"status":200`) || !strings.Contains(text, `"key":"1"`) || strings.Contains(text, "secretkey") {
			t.Errorf("log: %s", text)
		}
		if strings.Contains(text, "private") != asked {
			t.Errorf("prompts asked for: %v; log: %s", asked, text)
		}
	}
}

// dial opens a connection to a test server and sends text.
func dial(t *testing.T, s *httptest.Server, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// bounded is a test server whose connections are as those of Serve.
func bounded(t *testing.T, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnContext = boundBuffers
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// A client that takes nothing of a stream ends it: the handler's write fails.
func TestStalledStreamEnds(t *testing.T) {
	ended := make(chan error, 1)
	_, h := guarded(t, Operation{StallTimeout: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		out := newSSE(w, time.Hour)
		out.open()
		for out.err == nil {
			out.raw(strings.Repeat(": text\n\n", 100))
		}
		ended <- out.err
	})
	dial(t, bounded(t, h), "GET /v1/x HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-ended; err == nil {
		t.Error("no error")
	}
}

// A client that goes away is found out although nothing is written to it.
func TestGoneClientEnds(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	_, h := guarded(t, Operation{}, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	})
	c := dial(t, bounded(t, h), "POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
	<-began
	c.Close()
	<-ended
}

// A client that sends slowly reaches no handler and holds no place of its key.
func TestSlowSenderHoldsNothing(t *testing.T) {
	g, h := guarded(t, Operation{Keys: []string{"k"}, PerKey: 1}, echo)
	s := bounded(t, h)
	dial(t, s, "POST /v1/x HTTP/1.1\r\nHost: x\r\nX-Api-Key: k\r\nContent-Length: 100\r\n\r\n{")
	for g.bodies.used.Load() == 0 {
		time.Sleep(time.Millisecond) // until it is being read
	}
	r, err := http.NewRequest("POST", s.URL+"/v1/x", strings.NewReader("quick"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", "k")
	response, err := http.DefaultClient.Do(r)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("%v %v", response, err)
	}
	response.Body.Close()
}
