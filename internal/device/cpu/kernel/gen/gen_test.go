package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is committed must be what csrc/ gives, where there is the compiler that made it.
func TestCommittedFilesAreCurrent(t *testing.T) {
	t.Chdir("..")
	version, err := compiler()
	if err != nil {
		t.Skip("no gcc here:", err)
	}
	sources, _ := filepath.Glob("csrc/*_*.c")
	for _, source := range sources {
		t.Run(source, func(t *testing.T) { checkCommitted(t, source, version) })
	}
}

func checkCommitted(t *testing.T, source, version string) {
	name := strings.TrimSuffix(filepath.Base(source), ".c") + "_amd64.s"
	committed, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("no assembly: run go generate: %v", err)
	}
	if line, _, _ := strings.Cut(string(committed), "\n"); !strings.Contains(line, " with "+version+";") {
		t.Skipf("%s is of another compiler than %s: not compared", name, version)
	}
	files, err := generate(source)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if was, err := os.ReadFile(name); err != nil || string(was) != text {
			t.Errorf("%s is not what it gives: run go generate (%v)", name, err)
		}
	}
}

func TestRefusesWhatNeedsALinker(t *testing.T) {
	if _, err := compiler(); err != nil {
		t.Skip("no gcc here:", err)
	}
	for name, text := range map[string]string{
		"relocations": "static const float table[4] = {1, 2, 3, 4};\nvoid f(int *a)\n{\n\tfloat *p = (float *)a;\n\tp[0] = table[a[1] & 3];\n}\n",
		"not inlined": "__attribute__((noinline)) static void g(int *p) { *p = 1; }\nvoid f(int *a)\n{\n\tg(a);\n}\n",
	} {
		source := filepath.Join(t.TempDir(), "bad_avx2.c")
		if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := generate(source); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestBytesBecomeDirectives(t *testing.T) {
	in := instruction{bytes: []byte{0x62, 0xf1, 0x7c, 0x48, 0x10, 0x07, 0xc3}, text: "vmovups (%rdi),%zmm0"}
	want := "\tLONG $0x487cf162; WORD $0x0710; BYTE $0xc3 // vmovups (%rdi),%zmm0\n"
	if got := directive(in); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
