// Command gen compiles the C kernels in csrc/ into Go assembly: the bytes of gcc as data, the disassembly as comments. Run
// it as `go generate` or `go run ./gen` in internal/device/cpu/kernel; `go run ./gen dot` does only the files whose names
// begin with dot. gcc 12 and binutils are needed here only: the .s files are committed, and a build needs neither.
//
// To add a kernel:
//
//  1. Write csrc/FAMILY_TIER.c, where TIER is avx2, avx512vnni or avx512bf16 and says which instructions gcc may use. It
//     becomes FAMILY_TIER_amd64.s and FAMILY_TIER_amd64.go. Shared code goes to csrc/*.h.
//  2. Every function that Go calls is `void name(Args *a)` at the start of a line, alone on it up to the brace, and returns
//     nothing. The name is the Go function's as it stands (unexported, no underscore, unique over all tiers: end it in AVX2,
//     VNNI or BF16), Args is the Go type of the one argument: a struct whose fields have the same order and types (Go int
//     is long long, unsafe.Pointer a pointer). Everything else is `static inline __attribute__((always_inline))`.
//  3. Nothing may need a relocation: no constants in memory, no tables, no calls, not even to memcpy or expf. Constants come
//     as immediates through the macros of csrc/kernel.h (CONST_I32, CONST_F32), tables through a pointer in Args. gen refuses
//     the rest by name.
//  4. Set the function in the machine method of set_amd64.go under its tier, and test it against the plain Go, bit by bit, on
//     every tail and with guarded memory (guard_linux_test.go).
//
// A call must take less than about 200 µs, since assembly cannot be preempted.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(prefixes []string) error {
	sources, err := filepath.Glob("csrc/*_*.c")
	if err != nil || len(sources) == 0 {
		return fmt.Errorf("no sources: csrc/*_*.c: run gen in internal/device/cpu/kernel")
	}
	for _, source := range sources {
		if !wanted(filepath.Base(source), prefixes) {
			continue
		}
		files, err := generate(source)
		if err != nil {
			return err
		}
		for name, text := range files {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func wanted(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return len(prefixes) == 0
}
