package plan

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of the text of --on.
const (
	mostText  = 1000 // bytes
	mostItems = 32
	mostCount = 1_000_000
)

var (
	counted = regexp.MustCompile(`^(\d+)\s*[xX×*]\s*(.*)$`)
	disk    = regexp.MustCompile(`(?i)^(?:(?:ssd|nvme|disk)s?\s*([\d.]+)\s*([gm])b/s|([\d.]+)\s*([gm])b/s\s*(?:ssd|nvme|disk)s?)$`)
	isDisk  = regexp.MustCompile(`(?i)^(?:ssd|nvme|disk)s?\b|\b(?:ssd|nvme|disk)s?$`)
	numbers = regexp.MustCompile(`^(\d+)\s+(\S.*)$`) // a count that lacks its x
	opens   = regexp.MustCompile(`(?i)^\s*(?:\d+\s*[x×*]|ssd|nvme|disk)`)
)

// Machine reads the text of --on: chips and disks, joined by +. A chip is "16 x NAME", "16x NAME" or NAME, where the name may be
// shortened (see lookUp); a disk is "SSD 7GB/s" or "2 x SSD 3.5GB/s". Where no disk is named, those of measured machines count.
func (t *Table) Machine(text string) (Machine, error) {
	var m Machine
	if len(text) > mostText || !utf8.ValidString(text) {
		return m, fmt.Errorf("bad machine: %d bytes: write at most %d of plain text, as \"8 x B200 + 2 x EPYC 9755\"", len(text), mostText)
	}
	items := splitItems(text)
	if len(items) > mostItems {
		return m, fmt.Errorf("bad machine: %d chips and disks: write at most %d", len(items), mostItems)
	}
	for _, item := range items {
		if err := t.addItem(&m, item, 1, true); err != nil {
			return Machine{}, err
		}
	}
	if len(m.Pools) == 0 {
		return Machine{}, fmt.Errorf("no chip: machine %q: add one, as \"EPYC 9755 + SSD 7GB/s\"", text)
	}
	if m.Disk == 0 {
		for _, p := range m.Pools {
			m.Disk += p.Chip.Disk * float64(p.Count)
		}
	}
	return m, nil
}

// splitItems cuts at the signs + that join items. One that ends a word, as in "Xeon Platinum 8480+" or "Ryzen AI Max+ 395",
// belongs to a name, unless a number of chips or a disk follows.
func splitItems(text string) (items []string) {
	begin := 0
	for i, r := range text {
		if r != '+' {
			continue
		}
		before, _ := utf8.DecodeLastRuneInString(text[begin:i])
		after, _ := utf8.DecodeRuneInString(text[i+1:])
		inWord := i > begin && !unicode.IsSpace(before) && (i+1 == len(text) || unicode.IsSpace(after) || strings.ContainsRune(",)+", after))
		if inWord && !opens.MatchString(text[i+1:]) {
			continue
		}
		items = append(items, strings.TrimSpace(text[begin:i]))
		begin = i + 1
	}
	return append(items, strings.TrimSpace(text[begin:]))
}

// addItem adds times an item. What a whole machine consists of must be chips and disks: whole is false there.
func (t *Table) addItem(m *Machine, item string, times int, whole bool) error {
	if item == "" {
		return fmt.Errorf("nothing beside +: machine: write chips and disks, as \"8 x B200 + 2 x EPYC 9755\"")
	}
	count, name := 1, item
	if found := counted.FindStringSubmatch(item); found != nil && t.at(item) < 0 {
		n, err := strconv.Atoi(found[1])
		if err != nil || n < 1 || n > mostCount/times {
			return fmt.Errorf("bad number of chips: %q: give 1 to %d in all", short(item), mostCount)
		}
		count, name = n, found[2]
	}
	count *= times
	if speed := disk.FindStringSubmatch(name); speed != nil {
		return m.addDisk(item, speed, count)
	}
	e, err := t.lookUp(name)
	switch {
	case err != nil && isDisk.MatchString(name):
		return fmt.Errorf("bad disk: %q: say how fast it reads, as \"SSD 7GB/s\"", short(item))
	case err != nil:
		return t.mendItem(item, err)
	case e.parts != "" && whole:
		return t.addParts(m, e, count)
	}
	c, err := t.chip(e, count)
	if err != nil {
		return err
	}
	m.Pools = append(m.Pools, Pool{c, count})
	return nil
}

// mendItem looks for a number that lacks its x.
func (t *Table) mendItem(item string, err error) error {
	if found := numbers.FindStringSubmatch(item); found != nil {
		if e, err := t.lookUp(found[2]); err == nil {
			return fmt.Errorf("no such chip: %q: write a number with x, as \"%s x %s\"", short(item), short(found[1]), e.Name)
		}
	}
	return err
}

// addParts adds count of a whole machine.
func (t *Table) addParts(m *Machine, e *entry, count int) error {
	for _, item := range splitItems(e.parts) {
		if err := t.addItem(m, item, count, false); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return nil
}

func (m *Machine) addDisk(item string, speed []string, count int) error {
	x, err := strconv.ParseFloat(speed[1]+speed[3], 64)
	if err != nil || !(x > 0 && x <= mostFigure) {
		return fmt.Errorf("bad speed of a disk: %q: give more than 0, at most %.0e GB/s", short(item), mostFigure)
	}
	unit := giga
	if strings.EqualFold(speed[2]+speed[4], "m") {
		unit = 1e6
	}
	m.Disk += x * unit * float64(count)
	return nil
}
