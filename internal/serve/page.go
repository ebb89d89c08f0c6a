package serve

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"baleen/web"
)

// page is the web page inside the program. It is shown without a key: there is nothing secret in it, and the key is asked
// for by it.
type page struct {
	files map[string]pageFile // by path; the page itself is /
}

type pageFile struct {
	data      []byte
	kind, tag string
}

func newPage() (*page, error) {
	p := &page{files: map[string]pageFile{}}
	dist := web.Dist()
	err := fs.WalkDir(dist, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(dist, name)
		if err != nil {
			return err
		}
		kind := mime.TypeByExtension(path.Ext(name))
		if kind == "" {
			kind = "application/octet-stream"
		}
		sum := sha256.Sum256(data)
		file := pageFile{data: data, kind: kind, tag: `"` + hex.EncodeToString(sum[:12]) + `"`}
		p.files["/"+name] = file
		if name == "index.html" {
			p.files["/"] = file
		}
		return nil
	})
	if err != nil || p.files["/"].data == nil {
		return nil, fmt.Errorf("no page: web/dist: index.html is missing (%v): build it with go run ./web/build", err)
	}
	return p, nil
}

// has tells what paths are the page's.
func (p *page) has(name string) bool {
	_, ok := p.files[name]
	return ok
}

// serve shows a file of the page. Its names stay the same from build to build, so browsers ask each time whether it changed;
// with the tag, an answer that it did not costs nothing.
func (p *page) serve(w http.ResponseWriter, r *http.Request) {
	file := p.files[r.URL.Path]
	h := w.Header()
	h.Set("Content-Security-Policy", web.Policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", file.tag)
	h.Set("Content-Type", file.kind)
	for _, tag := range strings.Split(r.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(tag), "W/") == file.tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Length", fmt.Sprint(len(file.data)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(file.data) // a client that is gone needs no answer
	}
}
