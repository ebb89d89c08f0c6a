package house

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// directModules lists the modules that a go.mod requires for the module's own code.
func directModules(goMod string) (modules []string) {
	inBlock := false
	for line := range strings.Lines(goMod) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == ")":
			inBlock = false
		case fields[0] == "require" && fields[1] == "(":
			inBlock = true
		case strings.Contains(line, "// indirect"):
		case fields[0] == "require":
			modules = append(modules, fields[1])
		case inBlock:
			modules = append(modules, fields[0])
		}
	}
	return modules
}

// checkReasons compares the direct dependencies with the section "Dependencies" of the rationale: each has a paragraph,
// which begins with the module's path in backquotes, and nothing else has.
func checkReasons(goMod, rationale string) (findings []string) {
	_, section, _ := strings.Cut("\n"+rationale, "\n## Dependencies\n")
	section, _, _ = strings.Cut("\n"+section, "\n## ")
	left := map[string]bool{}
	for paragraph := range strings.SplitSeq(section, "\n\n") {
		if path, ok := strings.CutPrefix(strings.TrimSpace(paragraph), "`"); ok {
			path, _, _ = strings.Cut(path, "`")
			left[path] = true
		}
	}
	for _, module := range directModules(goMod) {
		if !left[module] {
			findings = append(findings, fmt.Sprintf("%s: no paragraph under \"## Dependencies\" in docs/rationale.md: begin one with `%s` and say why it is worth it", module, module))
		}
		delete(left, module)
	}
	for _, path := range slices.Sorted(maps.Keys(left)) {
		findings = append(findings, path+": a paragraph in docs/rationale.md, but no direct dependency: take it out")
	}
	return findings
}

func TestDependencies(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	report(t, checkReasons(read("go.mod"), read("docs/rationale.md")))
}

func TestDependenciesCanFail(t *testing.T) {
	goMod := "module m\n\ngo 1.26\n\nrequire x/one v1\n\nrequire (\n\tx/two v1\n\tx/three v1\n\tx/four v1 // indirect\n)\n"
	rationale := "# Why\n\n`x/three` elsewhere\n\n## Dependencies\n\n`x/one` does one thing.\n\nNot `x/two`.\n\n`x/five` is gone.\n\n## More\n"
	expect(t, checkReasons(goMod, rationale), "x/two: no paragraph", "x/three: no paragraph", "x/five: a paragraph")
}
