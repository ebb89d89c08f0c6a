package web

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

// mostBytes is how much the page may weigh in all, licences included: it is embedded in the program.
const mostBytes = 210 << 10

func TestDistIsSmall(t *testing.T) {
	total := int64(0)
	err := fs.WalkDir(Dist(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		total += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if total > mostBytes {
		t.Errorf("dist has %d bytes, at most %d", total, mostBytes)
	}
}

// TestIndexKeepsPolicy finds what the policy would refuse: markup with code or styles in it, and addresses elsewhere.
func TestIndexKeepsPolicy(t *testing.T) {
	index, err := fs.ReadFile(Dist(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	for name, pattern := range map[string]string{
		"a style in the page":     `(?i)<style|\sstyle=`,
		"a handler in an element": `(?i)\son[a-z]+=`,
		"an address elsewhere":    `(?i)(src|href|action)="?(https?:|//|data:)`,
		"a script in the page":    `(?is)<script[^>]*>\s*[^<\s]`,
	} {
		if found := regexp.MustCompile(pattern).Find(index); found != nil {
			t.Errorf("index.html has %s: %q", name, found)
		}
	}
	refers := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(string(index), -1)
	if len(refers) < 3 {
		t.Fatalf("index.html refers to %d files, expected a script, a style sheet and an icon", len(refers))
	}
	for _, refer := range refers {
		if _, err := fs.Stat(Dist(), path.Clean(refer[1])); err != nil {
			t.Errorf("index.html refers to %s: %v", refer[1], err)
		}
	}
}

// TestScriptsAskNobodyElse finds addresses in the style sheet that a browser would fetch, and in the script such ways to
// make code or markup of text as the policy forbids.
func TestScriptsAskNobodyElse(t *testing.T) {
	for name, parts := range map[string][]string{
		"baleen.css": {"url(", "@import"},
		"baleen.js":  {"eval(", "new Function(", "document.write", "importScripts("},
	} {
		text, err := fs.ReadFile(Dist(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range parts {
			if strings.Contains(string(text), part) {
				t.Errorf("%s has %s", name, part)
			}
		}
	}
}
