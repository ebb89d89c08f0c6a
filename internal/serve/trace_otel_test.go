//go:build otel

package serve

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A request is a span of the client's trace, with its id and without its text.
func TestTraces(t *testing.T) {
	got := make(chan []byte, 8)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			body, _ = io.ReadAll(z)
		}
		got <- body
	}))
	defer collector.Close()
	tracer, err := NewTracer(t.Context(), collector.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, h := guarded(t, Operation{Tracer: tracer}, echo)
	r := httptest.NewRequest("POST", "/v1/x", strings.NewReader("private"))
	r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r.Header.Set("X-Request-Id", "req-7")
	h.ServeHTTP(httptest.NewRecorder(), r)
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := <-got
	trace := []byte{0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c}
	if !bytes.Contains(body, trace) || !bytes.Contains(body, []byte("req-7")) || !bytes.Contains(body, []byte("baleen")) || bytes.Contains(body, []byte("private")) {
		t.Errorf("%q", body)
	}
	if _, err := NewTracer(t.Context(), "localhost:4318"); err == nil {
		t.Error("an address without a scheme was taken")
	}
}
