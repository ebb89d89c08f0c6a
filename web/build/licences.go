package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// licences are those of the packages that the bundle has code of: what they ask for is that their text goes along.
func licences(root, metafile string) ([]byte, error) {
	var meta struct{ Inputs map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(metafile), &meta); err != nil {
		return nil, fmt.Errorf("bundler's account of its inputs: %w", err)
	}
	packages := map[string]bool{}
	for input := range meta.Inputs {
		if rest, ok := strings.CutPrefix(input, "node_modules/"); ok {
			packages[packageOf(rest)] = true
		}
	}
	text := bytes.NewBufferString("The page has code of these packages, under these licences.\n")
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		found, _ := filepath.Glob(filepath.Join(root, "node_modules", name, "LICEN[SC]E*"))
		if len(found) == 0 {
			return nil, fmt.Errorf("no licence: node_modules/%s: say in web/build/licences.go where it is", name)
		}
		licence, err := os.ReadFile(found[0])
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(text, "\n== %s\n\n%s\n", name, bytes.TrimSpace(bytes.ReplaceAll(licence, []byte("\r\n"), []byte("\n"))))
	}
	return text.Bytes(), nil
}

// packageOf is the package that a path below node_modules lies in; a scoped name has two parts.
func packageOf(path string) string {
	parts := strings.SplitN(path, "/", 3)
	if strings.HasPrefix(path, "@") {
		return strings.Join(parts[:2], "/")
	}
	return parts[0]
}
