package plan

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

// hardwareCSV is the table of published figures. Its columns up to notes are those of the study's table, row by row; the last
// five were added to it: class, domain, disk_gb_s, like and consists_of (see entry).
//
//go:embed data/hardware.csv
var hardwareCSV string

// Table is the chips that there are: those in the binary, and those that a user adds.
type Table struct{ entries []entry }

// entry is a row, with its figures as published.
type entry struct {
	Chip
	fp16        float64 // operations/s; Chip.BF16 holds those of bfloat16
	class       string  // as written; empty is not known
	domain      float64 // chips that one fast link domain holds
	like        string  // "A/B NAME": operations that are not known are A/B of that chip's, as cores are or another figure
	parts       string  // of a whole machine: what it consists of, as --on has it
	evidence    string  // M is measured
	priceSource string
}

// Bounds of what Add takes.
const (
	mostHardware = 16 << 20 // bytes
	mostEntries  = 2_000
)

// Hardware reads the table in the binary. Every call gives a table of its own.
func Hardware() (*Table, error) {
	t := &Table{}
	if err := t.Add([]byte(hardwareCSV)); err != nil {
		return nil, fmt.Errorf("the table of chips in this program: %w", err)
	}
	return t, nil
}

// Add takes in a user's file: rows with the columns of hardware.csv, or what `baleen probe` wrote. A row whose name is there
// already changes it: cells that are empty leave it as it is. Where the file is bad, all of it is left out.
func (t *Table) Add(data []byte) error {
	if len(data) > mostHardware {
		return fmt.Errorf("hardware file too large: %d bytes, at most %d: give rows of hardware.csv, or a profile by baleen probe", len(data), mostHardware)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	added := &Table{slices.Clone(t.entries)}
	read := added.readRows
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		read = added.readProfile
	}
	if err := read(data); err != nil {
		return err
	}
	t.entries = added.entries
	return nil
}

// Chips lists all that a plan can be made for, in the order of the table.
func (t *Table) Chips() []*Chip {
	var chips []*Chip
	for i := range t.entries {
		if c, err := t.chip(&t.entries[i], 1); err == nil {
			chips = append(chips, c)
		}
	}
	return chips
}

// find returns the chip of a name as people write it.
func (t *Table) find(name string) (*Chip, error) {
	e, err := t.lookUp(name)
	if err != nil {
		return nil, err
	}
	return t.chip(e, 1)
}

// at is where a name stands in the table, letters' case and blanks aside.
func (t *Table) at(name string) int {
	return slices.IndexFunc(t.entries, func(e entry) bool { return strings.EqualFold(e.Name, name) })
}

// Domain is how many chips one domain of fast links holds: Intra is the speed within it, Inter that beyond.
//
// It is what the chip's maker sells as one machine: 8 on a board or behind PCIe in one host; 72 for NVL72; 384 packages or 768
// dies for 910C (CloudMatrix 384, arXiv 2506.12708); 8,192 and 15,488 for 950DT and 960 (Atlas 950 and 960 SuperPoD, Huawei
// Connect 2025; nobody has told of a 950PR in one); 64 for Trainium 2 (UltraServer); 256 for TPU v6e (a pod). Server processors
// come in twos; the NUMA nodes of an A3 host are taken as eight; machines with unified memory, desktops and whole hosts stand alone.
func (c *Chip) Domain() int {
	switch {
	case c.domain > 0:
		return c.domain
	case c.Class == accelerator:
		return 8
	case c.Class == processor && !c.Measured:
		return 2
	}
	return 1
}
