package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// always are the flags of every kernel. The stack that Go gives is aligned to 8 only.
var always = []string{
	"-O3", "-std=gnu11", "-ffreestanding", "-Wall", "-Wextra", "-c", "-fstack-usage",
	"-mno-red-zone", "-mincoming-stack-boundary=3", "-fno-stack-protector", "-fcf-protection=none", "-fno-jump-tables",
	"-fno-asynchronous-unwind-tables", "-fno-reorder-blocks-and-partition", "-fno-tree-loop-distribute-patterns",
	"-fno-pic", "-ffp-contract=off", "-fno-math-errno", "-falign-functions=32", "-mtune=znver3",
}

var tierFlags = map[string][]string{
	"avx2":       {"-mavx2", "-mfma"},
	"avx512vnni": {"-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mprefer-vector-width=512"},
	"avx512bf16": {"-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mavx512bf16", "-mavx512vbmi",
		"-mprefer-vector-width=512"},
}

// function is one that Go calls.
type function struct {
	name, argsType string
	stack          int           // bytes below its return address
	code           []instruction // of the whole function
}

type instruction struct {
	bytes []byte
	text  string
}

var signature = regexp.MustCompile(`(?m)^void (\w+)\((\w+) \*a\)`)

// generate compiles one source and returns the files that it becomes, by name.
func generate(source string) (map[string]string, error) {
	base := strings.TrimSuffix(filepath.Base(source), ".c")
	_, tier, _ := strings.Cut(base, "_")
	flags, ok := tierFlags[tier]
	if !ok {
		return nil, fmt.Errorf("unknown tier: %s: end the name in _avx2.c, _avx512vnni.c or _avx512bf16.c", source)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	order := declared(string(text))
	functions := map[string]*function{}
	for _, f := range order {
		functions[f.name] = f
	}
	if err := compile(source, flags, functions); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	version, err := compiler()
	if err != nil {
		return nil, err
	}
	return map[string]string{
		base + "_amd64.s":  assembly(source, version, order),
		base + "_amd64.go": declarations(source, order),
	}, nil
}

// declared returns the functions that Go calls, in their order.
func declared(text string) (order []*function) {
	for _, m := range signature.FindAllStringSubmatch(text, -1) {
		order = append(order, &function{name: m[1], argsType: m[2]})
	}
	return order
}

// compiler returns the first line that gcc says of itself.
func compiler() (string, error) {
	out, err := exec.Command("gcc", "--version").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	return line, err
}

// compile fills in the code and the stack of every function.
func compile(source string, flags []string, functions map[string]*function) error {
	dir, err := os.MkdirTemp("", "kernel")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	object := filepath.Join(dir, "o.o")
	args := append(append([]string{}, always...), flags...)
	if _, err := output("gcc", append(args, "-o", object, source)...); err != nil {
		return err
	}
	if err := refuse(object); err != nil {
		return err
	}
	listing, err := output("objdump", "-d", "-w", object)
	if err != nil {
		return err
	}
	if err := disassemble(listing, functions); err != nil {
		return err
	}
	usage, err := os.ReadFile(filepath.Join(dir, "o.su"))
	if err != nil {
		return err
	}
	return stacks(string(usage), functions)
}

// refuse returns an error for an object that a linker would have to finish.
func refuse(object string) error {
	relocations, err := output("objdump", "-r", object)
	if i := strings.Index(relocations, "RELOCATION RECORDS"); err == nil && i >= 0 {
		err = fmt.Errorf("relocations: %.400s: pass constants through macros or pointers, and call nothing",
			strings.Join(strings.Fields(relocations[i:]), " "))
	}
	return err
}

func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, stderr.String())
	}
	return string(out), nil
}

var header = regexp.MustCompile(`^[0-9a-f]+ <(\w+)>:$`)

// disassemble reads what objdump prints: lines of address, bytes and text, separated by tabs.
func disassemble(listing string, functions map[string]*function) error {
	var f *function
	for line := range strings.Lines(listing) {
		line = strings.TrimRight(line, "\n")
		if m := header.FindStringSubmatch(line); m != nil {
			if f = functions[m[1]]; f == nil {
				return fmt.Errorf("%s is not inlined: mark it static inline always_inline, or declare it as Go calls it", m[1])
			}
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) < 2 || f == nil {
			continue
		}
		bytes, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(fields[1]), " ", ""))
		if err != nil {
			return err
		}
		in := instruction{bytes: bytes}
		if len(fields) > 2 {
			in.text = strings.Join(strings.Fields(fields[2]), " ")
		}
		f.code = append(f.code, in)
	}
	return nil
}

// stacks reads gcc's report: file:line:column:name, bytes, kind. Where a function aligns its stack, that comes on top.
func stacks(report string, functions map[string]*function) error {
	for line := range strings.Lines(report) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 || fields[2] == "dynamic" {
			return fmt.Errorf("stack of unknown size: %s", line)
		}
		name := fields[0][strings.LastIndex(fields[0], ":")+1:]
		size, err := strconv.Atoi(fields[1])
		if err != nil {
			return err
		}
		if f := functions[name]; f != nil {
			f.stack = size
		}
	}
	return nil
}
