package house

import (
	"fmt"
	"go/ast"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
)

// The budgets (design 9). Lines of a function are those between its braces, at least one, as linters count them.
const (
	mostMedian   = 10
	mostP90      = 40
	mostFunction = 100
	mostFile     = 500
	mostParams   = 6
	mostExported = 25
)

// fewFunctions is how many functions a package must have for its median and percentile to mean something.
const fewFunctions = 10

// exceptions are the things that may be over a budget, each with its reason. One that is not needed is a finding.
var exceptions = map[string]string{
	"exported internal/op":       "its kinds are the vocabulary of all devices",
	"exported internal/deepseek": "the parts of Weights have names, which the recording of the forward pass reads by",
}

// measure is what one package comes to.
type measure struct {
	files, functions    int
	median, p90, most   int
	params, longestFile int
	exported            int
}

// functions are those of the files that keep a condition.
func (t *tree) functions(keep func(file) bool) iter.Seq[*ast.FuncDecl] {
	return func(yield func(*ast.FuncDecl) bool) {
		for _, f := range t.files {
			if keep(f) {
				for _, d := range f.Decls {
					if d, ok := d.(*ast.FuncDecl); ok && !yield(d) {
						return
					}
				}
			}
		}
	}
}

// length counts a function's lines; one without a body, in assembly, has one.
func (t *tree) length(f *ast.FuncDecl) int {
	if f.Body == nil {
		return 1
	}
	return max(1, t.fset.Position(f.Body.Rbrace).Line-t.fset.Position(f.Body.Lbrace).Line-1)
}

// parameters counts parameters, the receiver aside.
func parameters(f *ast.FuncType) (n int) {
	for _, field := range f.Params.List {
		n += max(1, len(field.Names))
	}
	return n
}

// exported counts the names that a file gives its package's users; methods do not count.
func (f file) exported() (n int) {
	count := func(names ...*ast.Ident) {
		for _, name := range names {
			if name.IsExported() {
				n++
			}
		}
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				count(d.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					count(s.Name)
				case *ast.ValueSpec:
					count(s.Names...)
				}
			}
		}
	}
	return n
}

// quantile returns the smallest number that at least a share of the sorted numbers is no greater than.
func quantile(sorted []int, percent int) int {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}

func (t *tree) measure(pkg string) (m measure) {
	var lengths []int
	inPackage := func(f file) bool { return f.code() && f.pkg() == pkg }
	for f := range t.functions(inPackage) {
		lengths = append(lengths, t.length(f))
		m.params = max(m.params, parameters(f.Type))
	}
	for _, f := range t.files {
		if inPackage(f) {
			m.files++
			m.longestFile = max(m.longestFile, f.lines)
			m.exported += f.exported()
		}
	}
	slices.Sort(lengths)
	m.functions, m.median, m.p90, m.most = len(lengths), quantile(lengths, 50), quantile(lengths, 90), quantile(lengths, 100)
	return m
}

// checkBudgets finds what is over its budget. Functions of tests and generated code have none; files of tests do.
func checkBudgets(t *tree, exceptions map[string]string) []string {
	excess := &excess{left: maps.Clone(exceptions)}
	for _, pkg := range slices.Sorted(maps.Keys(t.packages(file.code))) {
		m := t.measure(pkg)
		if m.functions >= fewFunctions {
			excess.look("median "+pkg, m.median, mostMedian, "lines of the median function")
			excess.look("p90 "+pkg, m.p90, mostP90, "lines of the function at the 90th percentile")
		}
		if pkg != "cmd/baleen" {
			excess.look("exported "+pkg, m.exported, mostExported, "exported names")
		}
	}
	for f := range t.functions(file.code) {
		name := t.at(f) + ": " + f.Name.Name
		excess.lookAt("function "+f.Name.Name, name, t.length(f), mostFunction, "lines")
		excess.lookAt("parameters "+f.Name.Name, name, parameters(f.Type), mostParams, "parameters")
	}
	for _, f := range t.files {
		if !ast.IsGenerated(f.File) {
			excess.look("file "+f.path, f.lines, mostFile, "lines")
		}
	}
	return excess.end()
}

// excess collects findings and remembers which exceptions were needed.
type excess struct {
	findings []string
	left     map[string]string
}

func (e *excess) look(key string, found, most int, what string) {
	_, name, _ := strings.Cut(key, " ")
	e.lookAt(key, name, found, most, what)
}

func (e *excess) lookAt(key, name string, found, most int, what string) {
	if found <= most {
		return
	}
	if _, ok := e.left[key]; ok {
		e.left[key] = ""
		return
	}
	e.findings = append(e.findings, fmt.Sprintf("%s: %d %s, at most %d: make it smaller, or enter %q with a reason in house's exceptions", name, found, what, most, key))
}

func (e *excess) end() []string {
	for _, key := range slices.Sorted(maps.Keys(e.left)) {
		if e.left[key] != "" {
			e.findings = append(e.findings, key+": an exception that nothing needs: take it out")
		}
	}
	return e.findings
}

func TestBudgets(t *testing.T) {
	p := projectTree(t)
	var table strings.Builder
	fmt.Fprintf(&table, "%-24s %5s %9s %6s %4s %4s %6s %12s %8s\n", "package", "files", "functions", "median", "p90", "most", "params", "longest file", "exported")
	for _, pkg := range slices.Sorted(maps.Keys(p.packages(file.code))) {
		m := p.measure(pkg)
		fmt.Fprintf(&table, "%-24s %5d %9d %6d %4d %4d %6d %12d %8d\n", short(pkg), m.files, m.functions, m.median, m.p90, m.most, m.params, m.longestFile, m.exported)
	}
	t.Log("\n" + table.String())
	report(t, checkBudgets(p, exceptions))
}

func TestBudgetsCanFail(t *testing.T) {
	function := func(lines int) string { return "func f() {" + strings.Repeat("\n", lines+1) + "}\n" }
	names := func(n int) string { return "var A" + strings.Repeat(", A", n-1) + " int\n" }
	long := func(lines int) string { return strings.Repeat("\n", lines-2) }
	good := example(t, "a/a.go", "package a\n"+function(10)+function(100)+function(1)+"func g(a, b, c int, _, d int, e string) {}\n"+strings.Repeat(function(1), 6)+names(25),
		"a/a_test.go", "package a\n"+function(200), "b/b.go", "package b\n"+long(500), "c/c.go", "// Code generated by x. DO NOT EDIT.\n\npackage c\n"+function(600))
	m := good.measure("a")
	if want := (measure{1, 10, 1, 10, 100, 6, 138, 25}); m != want {
		t.Errorf("measured %+v, expected %+v", m, want)
	}
	expect(t, checkBudgets(good, nil))
	bad := example(t, "a/a.go", "package a\n"+strings.Repeat(function(11), 8)+strings.Repeat(function(41), 2), "b/b.go", "package b\n"+names(26),
		"c/c_test.go", "package c\n"+long(502), "d/d.go", "package d\n"+function(101)+strings.Repeat(function(1), 10)+"func (t) g(int, int, int, int, int, int, int) {}\n")
	expect(t, checkBudgets(bad, map[string]string{"function f": "an example", "file a/a.go": "not needed"}),
		"a: 11 lines of the median", "a: 41 lines of the function at the 90th percentile", "b: 26 exported names", "d/d.go:135: g: 7 parameters", "c/c_test.go: 501 lines", "file a/a.go: an exception")
}
