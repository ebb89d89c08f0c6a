package house

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lonely are the interfaces that may have fewer than two implementations in the tree, each with its reason. One that is
// not needed is a finding.
var lonely = map[string]string{
	"internal/engine.Constraint": "grammar implements it, and engine may not import grammar (design 3)",
}

// listed is what the go command says of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// listModule asks the go command for the module's packages and all that they import, dependencies first. It compiles what
// is not compiled yet.
func listModule() (packages []listed, err error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles", "./...")
	cmd.Dir = ".."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
}

// checker gives types to packages: those of the module from source, so that what is not exported is seen too, and the
// others from what the compiler wrote.
type checker struct {
	fset     *token.FileSet
	compiled types.Importer
	source   map[string]*types.Package
}

func newChecker(exports map[string]string) *checker {
	c := &checker{fset: token.NewFileSet(), source: map[string]*types.Package{}}
	c.compiled = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return c
}

func (c *checker) Import(path string) (*types.Package, error) {
	if p, ok := c.source[path]; ok {
		return p, nil
	}
	return c.compiled.Import(path)
}

func (c *checker) check(path string, files []*ast.File) error {
	config := types.Config{Importer: c}
	p, err := config.Check(path, c.fset, files, nil)
	c.source[path] = p
	return err
}

func checkModule() (*checker, error) {
	packages, err := listModule()
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	c := newChecker(exports)
	for _, p := range packages {
		if !strings.HasPrefix(p.ImportPath, module+"/") || len(p.GoFiles) == 0 {
			continue
		}
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(c.fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			files = append(files, f)
		}
		if err := c.check(p.ImportPath, files); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// declared returns the types that the module's packages declare: interfaces with methods, and others.
func (c *checker) declared() (interfaces, others []*types.Named) {
	for _, path := range slices.Sorted(maps.Keys(c.source)) {
		scope := c.source[path].Scope()
		for _, name := range scope.Names() {
			object, ok := scope.Lookup(name).(*types.TypeName)
			if !ok || object.IsAlias() {
				continue
			}
			t, ok := object.Type().(*types.Named)
			if !ok || t.TypeParams().Len() > 0 {
				continue
			}
			if i, ok := t.Underlying().(*types.Interface); !ok {
				others = append(others, t)
			} else if i.IsMethodSet() && !i.Empty() {
				interfaces = append(interfaces, t)
			}
		}
	}
	return interfaces, others
}

// checkInterfaces finds interfaces that fewer than two types of the tree implement: until there are two, one does not
// know what they have in common.
func checkInterfaces(c *checker, lonely map[string]string) (findings []string) {
	interfaces, others := c.declared()
	left := maps.Clone(lonely)
	for _, i := range interfaces {
		n := 0
		for _, t := range others {
			if types.Implements(types.NewPointer(t), i.Underlying().(*types.Interface)) {
				n++
			}
		}
		name := strings.TrimPrefix(i.String(), module+"/")
		if _, ok := left[name]; n < 2 && ok {
			delete(left, name)
		} else if n < 2 {
			findings = append(findings, fmt.Sprintf("%s: an interface with %d implementations: use the type itself until there are two", name, n))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		findings = append(findings, name+": an exception that nothing needs: take it out")
	}
	return findings
}

func TestInterfaces(t *testing.T) {
	c, err := checkModule()
	if err != nil {
		t.Fatal(err)
	}
	interfaces, others := c.declared()
	t.Logf("%d interfaces, %d other types", len(interfaces), len(others))
	if len(others) < 10 {
		t.Fatalf("found %d types, expected the project's", len(others))
	}
	report(t, checkInterfaces(c, lonely))
}

func TestInterfacesCanFail(t *testing.T) {
	c := newChecker(nil)
	for _, p := range []struct{ path, text string }{
		{"baleen/internal/a", "package a; type Two interface { F() }; type One interface { G() int }; type None interface { h() }; type Any interface{}; type x struct{}; func (x) F() {}"},
		{"baleen/internal/b", "package b; import \"baleen/internal/a\"; type y struct { a.One }; func (*y) F() {}; type z int; func (z) h() {}; var _ a.Two = &y{}"},
	} {
		f, err := parser.ParseFile(c.fset, p.path, p.text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.check(p.path, []*ast.File{f}); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, checkInterfaces(c, map[string]string{"internal/a.One": "an example", "internal/a.Two": "not needed"}),
		"internal/a.None: an interface with 0", "internal/a.Two: an exception")
}
