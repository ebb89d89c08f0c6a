package house

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"
)

// checkEnvironment finds reads of the environment outside cmd, also in tests: what a run does follows from its arguments.
func checkEnvironment(t *tree) (findings []string) {
	readers := map[string][]string{
		"os":      {"Getenv", "LookupEnv", "Environ", "ExpandEnv"},
		"syscall": {"Getenv", "Environ"},
	}
	for _, f := range t.files {
		if f.inCmd() {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && slices.Contains(readers[x.Name], s.Sel.Name) {
					findings = append(findings, fmt.Sprintf("%s: %s.%s: only cmd reads the environment: pass the value in", t.at(n), x.Name, s.Sel.Name))
				}
			}
			return true
		})
	}
	return findings
}

// checkInit finds functions that run before main.
func checkInit(t *tree) (findings []string) {
	for f := range t.functions(func(file) bool { return true }) {
		if f.Name.Name == "init" && f.Recv == nil {
			findings = append(findings, t.at(f)+": func init: nothing runs before main: call it, or initialise a variable")
		}
	}
	return findings
}

// checkNames finds packages whose name says nothing.
func checkNames(t *tree) (findings []string) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "types", "pkg", "misc"}
	seen := map[string]bool{}
	for _, f := range t.files {
		for _, name := range append(strings.Split(f.pkg(), "/"), f.Name.Name) {
			if slices.Contains(empty, name) && !seen[f.pkg()] {
				seen[f.pkg()] = true
				findings = append(findings, fmt.Sprintf("%s: %s says nothing: name the package for what it does", f.pkg(), name))
			}
		}
	}
	return findings
}

// checkPackageNames finds packages that are not called as their folder is.
func checkPackageNames(t *tree) (findings []string) {
	for pkg, files := range t.packages(file.code) {
		if name := files[0].Name.Name; name != "main" && name != path.Base(pkg) {
			findings = append(findings, fmt.Sprintf("%s: package %s: call it as its folder", pkg, name))
		}
	}
	return findings
}

func TestCustoms(t *testing.T) {
	p := projectTree(t)
	report(t, checkEnvironment(p))
	report(t, checkInit(p))
	report(t, checkNames(p))
	report(t, checkPackageNames(p))
}

func TestCustomsCanFail(t *testing.T) {
	bad := example(t,
		"cmd/baleen/main.go", `package main; import "os"; var home = os.Getenv("HOME")`,
		"internal/a/a.go", `package a; import "os"; var home, _ = os.LookupEnv("HOME"); func init() {}`,
		"internal/a/a_test.go", `package a; import "os"; var env = os.Environ()`,
		"internal/pkg/a/a.go", `package common; type t int; func (t) init() {}`,
	)
	expect(t, checkEnvironment(bad), "a.go:1: os.LookupEnv", "a_test.go:1: os.Environ")
	expect(t, checkInit(bad), "a.go:1: func init")
	expect(t, checkNames(bad), "internal/pkg/a: pkg")
	expect(t, checkPackageNames(bad), "internal/pkg/a: package common")
}
