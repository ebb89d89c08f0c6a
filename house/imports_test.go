package house

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// lattice is the direction of imports (design 3): `a < b` means that b may import a, and what a may. Folders below
// internal/ are named without it.
const lattice = `
invariant                         < everything
NONE                              < quant, token, kv, profile, web, web/build
quant                             < checkpoint, op
token                             < chat, grammar
quant, op                         < device
NONE                              < device/cpu/kernel/gen
quant                             < device/cpu/kernel
device, quant, profile            < device/ref
device, quant, profile, device/cpu/kernel < device/cpu
op, checkpoint                    < deepseek
deepseek, checkpoint              < synth, demo
deepseek, device, kv, token       < engine
engine                            < plan
deepseek, device/ref, engine, demo, synth < qualify
engine, plan, profile             < bench
engine, chat, grammar, web        < serve
everything                        < cmd/baleen
`

// apart are imports that the lattice would allow through others, but that a package must not have itself: the wire knows
// only the engine.
const apart = `
quant, op, checkpoint, deepseek, device, kv < serve
`

// order tells, for each package of a lattice, which it may import.
type order map[string]map[string]bool

// parseOrder reads lines `a, b < c, d`. The words everything and NONE mean what they say.
func parseOrder(text string) (order, error) {
	o := order{}
	for line := range strings.Lines(strings.TrimSpace(text)) {
		low, high, ok := strings.Cut(strings.TrimSpace(line), "<")
		if !ok {
			return nil, fmt.Errorf("bad rule: %q: write a < b", line)
		}
		for _, b := range names(high) {
			if o[b] == nil {
				o[b] = map[string]bool{}
			}
			for _, a := range names(low) {
				if a != "NONE" {
					o[b][a] = true
				}
			}
		}
	}
	return o, nil
}

func names(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// allows tells whether b may import a, itself or by way of what it may import.
func (o order) allows(b, a string) bool {
	if o["everything"][a] || o[b]["everything"] {
		return a != b
	}
	for c := range o[b] {
		if c == a || o.allows(c, a) {
			return true
		}
	}
	return false
}

// short is the name of a folder in the lattice.
func short(folder string) string { return strings.TrimPrefix(folder, "internal/") }

// checkImports finds imports against the lattice, transitively: since each import follows it, what is reached does too.
func checkImports(t *tree, may, mayNot order) (findings []string) {
	graph := t.internalImports()
	for _, b := range slices.Sorted(maps.Keys(graph)) {
		if may[short(b)] == nil && !may["everything"][short(b)] {
			findings = append(findings, b+": not in the lattice: give it a place in house/imports_test.go and in ARCHITECTURE.md")
			continue
		}
		for _, a := range graph[b] {
			if !may.allows(short(b), short(a)) || mayNot[short(b)][short(a)] {
				findings = append(findings, fmt.Sprintf("%s imports %s: against the lattice: see ARCHITECTURE.md", b, a))
			}
		}
	}
	return findings
}

func orders(t *testing.T) (may, mayNot order) {
	t.Helper()
	may, err := parseOrder(lattice)
	if err != nil {
		t.Fatal(err)
	}
	if mayNot, err = parseOrder(apart); err != nil {
		t.Fatal(err)
	}
	return may, mayNot
}

func TestImports(t *testing.T) {
	may, mayNot := orders(t)
	report(t, checkImports(projectTree(t), may, mayNot))
}

func TestImportsCanFail(t *testing.T) {
	may, mayNot := orders(t)
	bad := example(t,
		"cmd/baleen/main.go", `package main; import _ "baleen/internal/device/ref"`,
		"internal/chat/a.go", `package chat; import _ "baleen/internal/quant"`,
		"internal/deepseek/a.go", `package deepseek; import (_ "baleen/internal/quant"; _ "baleen/internal/device")`,
		"internal/deepseek/a_test.go", `package deepseek; import _ "baleen/internal/device/ref"`,
		"internal/device/ref/a.go", `package ref; import (_ "baleen/internal/device"; _ "baleen/internal/op"; _ "baleen/internal/deepseek")`,
		"internal/engine/a.go", `package engine; import (_ "baleen/internal/device/ref"; _ "baleen/internal/invariant")`,
		"internal/invariant/a.go", `package invariant; import _ "baleen/internal/quant"`,
		"internal/newcomer/a.go", `package newcomer`,
		"internal/quant/a.go", `package quant; import _ "baleen/cmd/baleen"`,
		"internal/serve/a.go", `package serve; import (_ "baleen/internal/engine"; _ "baleen/internal/deepseek")`,
	)
	expect(t, checkImports(bad, may, mayNot),
		"internal/chat imports internal/quant",
		"internal/deepseek imports internal/device",
		"internal/device/ref imports internal/deepseek",
		"internal/engine imports internal/device/ref",
		"internal/invariant imports internal/quant",
		"internal/newcomer: not in the lattice",
		"internal/quant imports cmd/baleen",
		"internal/serve imports internal/deepseek",
	)
}
