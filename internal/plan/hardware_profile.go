package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// probed is what a plan needs of a profile by `baleen probe` (internal/profile.Profile, which this package may not import).
type probed struct {
	Version int `json:"version"`
	Machine struct {
		CPU    string  `json:"cpu"`
		Memory float64 `json:"memory"`
		Limit  float64 `json:"memory_limit"`
	} `json:"machine"`
	Read float64 `json:"read_gb_s_n"`
	BF16 float64 `json:"bf16_gflops"`
	VNNI float64 `json:"vnni_gops"`
	FMA  float64 `json:"fma_gflops"`
	Disk float64 `json:"disk_gb_s"`
}

const (
	probedVersion = 1
	thisMachine   = "this machine"
)

// readProfile takes in a machine that was measured, under the name of its processor and as "this machine".
func (t *Table) readProfile(data []byte) error {
	var p probed
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&p); err != nil {
		return profileFault(data, d.InputOffset(), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return profileFault(data, d.InputOffset(), errors.New("more text after the profile"))
	}
	if err := p.check(); err != nil {
		return err
	}
	e := p.entry()
	if i := t.at(e.Name); i >= 0 {
		t.entries[i] = e
	} else {
		t.entries = append(t.entries, e)
	}
	return nil
}

func (p *probed) check() error {
	if p.Version != probedVersion {
		return fmt.Errorf("not a profile: version is %d, expected %d: give what baleen probe --out wrote", p.Version, probedVersion)
	}
	for _, figure := range []struct {
		name        string
		value, most float64
		needed      bool
	}{
		{"machine.memory", p.Machine.Memory, mostFigure * gib, true}, {"machine.memory_limit", p.Machine.Limit, mostFigure * gib, false},
		{"read_gb_s_n", p.Read, mostFigure, true}, {"bf16_gflops", p.BF16, mostFigure, false}, {"vnni_gops", p.VNNI, mostFigure, false},
		{"fma_gflops", p.FMA, mostFigure, p.BF16 == 0}, {"disk_gb_s", p.Disk, mostFigure, false},
	} {
		if figure.needed && figure.value == 0 {
			return fmt.Errorf("not a profile: no %s: give what baleen probe --out wrote", figure.name)
		}
		if figure.value < 0 || figure.value > figure.most {
			return fmt.Errorf("bad profile: %s is %g: measure again with baleen probe", figure.name, figure.value)
		}
	}
	return nil
}

func (p *probed) entry() entry {
	e := entry{class: "cpu", domain: 1}
	e.Name = thisMachine
	cpu := strings.Join(strings.Fields(strings.Map(printable, p.Machine.CPU)), " ")
	if name := cpu + " (" + thisMachine + ")"; cpu != "" && checkName(name) == nil {
		e.Name = name
	}
	e.Memory = p.Machine.Memory
	if p.Machine.Limit > 0 {
		e.Memory = min(e.Memory, p.Machine.Limit)
	}
	e.Bandwidth = p.Read * giga
	e.BF16 = max(p.BF16, p.FMA) * giga
	e.INT8 = p.VNNI * giga
	e.Disk = p.Disk * giga
	e.Measured = true
	e.Source = "measured by baleen probe"
	return e
}

// printable drops what has no place in a name.
func printable(r rune) rune {
	if r == utf8.RuneError || !unicode.IsPrint(r) {
		return ' '
	}
	return r
}

// profileFault is an error with its place in the text.
func profileFault(data []byte, offset int64, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
		err = fmt.Errorf("%s is a %s", kind.Field, kind.Value)
	case errors.Is(err, io.ErrUnexpectedEOF):
		offset, err = int64(len(data)), errors.New("the text ends too early")
	}
	before := data[:min(max(offset, 0), int64(len(data)))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n') - 1
	return fmt.Errorf("bad profile: line %d, column %d: %w: give what baleen probe --out wrote", line, max(column, 1), err)
}
