package serve

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// The page and all that it names is there, with a policy that lets nothing in from elsewhere.
func TestPage(t *testing.T) {
	p, err := newPage()
	if err != nil {
		t.Fatal(err)
	}
	get := func(path, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		p.serve(w, r)
		return w
	}
	index := get("/", "")
	names := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(index.Body.String(), -1)
	if len(names) < 2 {
		t.Fatalf("the page names %d files", len(names))
	}
	for _, name := range names {
		if path := "/" + strings.TrimPrefix(name[1], "/"); !p.has(path) {
			t.Errorf("the page names %s, which is not there", name[1])
		}
	}
	for path := range p.files {
		w := get(path, "")
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != http.StatusOK || w.Body.Len() == 0 || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
			t.Errorf("%s: status %d, %d bytes, policy %q", path, w.Code, w.Body.Len(), policy)
		}
		for _, tag := range []string{w.Header().Get("ETag"), `"other", W/` + w.Header().Get("ETag")} {
			if again := get(path, tag); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
				t.Errorf("%s: asked again: status %d, %d bytes", path, again.Code, again.Body.Len())
			}
		}
	}
	if p.has("/v1/models") || p.has("/metrics") {
		t.Error("the page has what is not its")
	}
}
