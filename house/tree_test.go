// Package house holds the rules that the project keeps about its own code: who may import whom, how big things may get,
// what is not done here. It has only tests. Each rule is a function from a tree of sources to findings, so that it is
// tried on a bad example as well as on the project.
package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

const module = "baleen"

// tree is the Go source of a module, whatever its build tags.
type tree struct {
	fset  *token.FileSet
	files []file // by path
}

type file struct {
	path  string // from the module's root, with slashes
	lines int
	*ast.File
}

// project is the tree that this test lies in.
var project = sync.OnceValues(func() (*tree, error) { return load(os.DirFS("..")) })

func projectTree(t *testing.T) *tree {
	t.Helper()
	p, err := project()
	if err != nil {
		t.Fatal(err)
	}
	if len(p.files) < 20 {
		t.Fatalf("found %d Go files, expected the project", len(p.files))
	}
	return p
}

// example makes a tree of files given as path, text, path, text.
func example(t *testing.T, pathsAndTexts ...string) *tree {
	t.Helper()
	fsys := fstest.MapFS{}
	for pair := range slices.Chunk(pathsAndTexts, 2) {
		fsys[pair[0]] = &fstest.MapFile{Data: []byte(pair[1])}
	}
	tr, err := load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func load(fsys fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && ignored(entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		return t.add(fsys, name)
	})
	return t, err
}

// ignored tells which folders the go command ignores, or hold no Go.
func ignored(name string) bool {
	return name[0] == '.' || name[0] == '_' || name == "testdata" || name == "node_modules"
}

func (t *tree) add(fsys fs.FS, name string) error {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(t.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	t.files = append(t.files, file{name, strings.Count(string(text), "\n"), syntax})
	return nil
}

func (f file) test() bool  { return strings.HasSuffix(f.path, "_test.go") }
func (f file) pkg() string { return path.Dir(f.path) }
func (f file) inCmd() bool { return strings.HasPrefix(f.path, "cmd/") }
func (f file) code() bool  { return !f.test() && !ast.IsGenerated(f.File) }
func (t *tree) at(n ast.Node) string {
	p := t.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// packages groups the files that keep a condition.
func (t *tree) packages(keep func(file) bool) map[string][]file {
	groups := map[string][]file{}
	for _, f := range t.files {
		if keep(f) {
			groups[f.pkg()] = append(groups[f.pkg()], f)
		}
	}
	return groups
}

// imports lists the import paths of a file.
func (f file) imports() (paths []string) {
	for _, spec := range f.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// internalImports gives, for each package of the module, the packages of the module that its code imports, tests exempt.
func (t *tree) internalImports() map[string][]string {
	graph := map[string][]string{}
	for name, files := range t.packages(func(f file) bool { return !f.test() }) {
		found := map[string]bool{}
		for _, f := range files {
			for _, p := range f.imports() {
				if inside, ok := strings.CutPrefix(p, module+"/"); ok {
					found[inside] = true
				}
			}
		}
		graph[name] = slices.Sorted(maps.Keys(found))
	}
	return graph
}

// report fails with each finding.
func report(t *testing.T, findings []string) {
	t.Helper()
	for _, f := range findings {
		t.Error(f)
	}
}

// expect checks that the findings on a bad example are these: one for each part, which it contains.
func expect(t *testing.T, findings []string, parts ...string) {
	t.Helper()
	if len(findings) != len(parts) {
		t.Fatalf("found %q, expected %d findings: %q", findings, len(parts), parts)
	}
	for i, part := range parts {
		if !strings.Contains(findings[i], part) {
			t.Errorf("found %q, expected it to say %q", findings[i], part)
		}
	}
}
