package plan

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Units of the table's columns.
const (
	giga = 1e9
	tera = 1e12
)

// hardwareColumn is a column: the field that its cells fill, a *string or a *float64, and the unit that numbers come in.
type hardwareColumn struct {
	field func(e *entry) any
	unit  float64
}

var hardwareColumns = map[string]hardwareColumn{
	"name":              {func(e *entry) any { return &e.Name }, 0},
	"vendor":            {func(e *entry) any { return &e.Vendor }, 0},
	"memory_gib":        {func(e *entry) any { return &e.Memory }, gib},
	"memory_bw_gb_s":    {func(e *entry) any { return &e.Bandwidth }, giga},
	"fp4_dense_tflops":  {func(e *entry) any { return &e.FP4 }, tera},
	"fp8_dense_tflops":  {func(e *entry) any { return &e.FP8 }, tera},
	"int8_dense_tops":   {func(e *entry) any { return &e.INT8 }, tera},
	"bf16_dense_tflops": {func(e *entry) any { return &e.BF16 }, tera},
	"fp16_dense_tflops": {func(e *entry) any { return &e.fp16 }, tera},

	"interconnect_intra_node_gb_s_per_direction": {func(e *entry) any { return &e.Intra }, giga},
	"interconnect_inter_node_gb_s_per_direction": {func(e *entry) any { return &e.Inter }, giga},

	"tdp_w":               {func(e *entry) any { return &e.Watts }, 1},
	"price_usd":           {func(e *entry) any { return &e.Price }, 1},
	"rental_usd_per_hour": {func(e *entry) any { return &e.Rental }, 1},
	"price_source":        {func(e *entry) any { return &e.priceSource }, 0},
	"evidence":            {func(e *entry) any { return &e.evidence }, 0},
	"source":              {func(e *entry) any { return &e.Source }, 0},
	"notes":               {func(e *entry) any { return &e.Notes }, 0},
	"class":               {func(e *entry) any { return &e.class }, 0},
	"domain":              {func(e *entry) any { return &e.domain }, 1},
	"disk_gb_s":           {func(e *entry) any { return &e.Disk }, giga},
	"like":                {func(e *entry) any { return &e.like }, 0},
	"consists_of":         {func(e *entry) any { return &e.parts }, 0},
}

// Bounds of cells.
const (
	mostName   = 200
	mostCell   = 4000
	mostFigure = 1e9 // in the unit of its column
)

// rowReader reads rows and knows where it is.
type rowReader struct {
	*csv.Reader
	columns []string
}

// readRows reads a CSV with columns of the table's into it.
func (t *Table) readRows(data []byte) error {
	r := &rowReader{Reader: csv.NewReader(bytes.NewReader(data))}
	if err := r.head(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for {
		record, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return r.unreadable(err)
		}
		e, err := t.row(r, record)
		if err != nil {
			return err
		}
		if key := strings.ToLower(e.Name); seen[key] {
			return r.fault(0, "name %q comes twice: give a chip one row", e.Name)
		} else {
			seen[key] = true
		}
		if i := t.at(e.Name); i >= 0 {
			t.entries[i] = e
		} else if t.entries = append(t.entries, e); len(t.entries) > mostEntries {
			return r.fault(0, "more than %d chips: leave some out", mostEntries)
		}
	}
}

// head reads the first line: names of columns, in any order; only name must be there.
func (r *rowReader) head() error {
	columns, err := r.Read()
	if err == io.EOF {
		return fmt.Errorf("bad hardware file: it is empty: begin with the header of hardware.csv")
	}
	if err != nil {
		return r.unreadable(err)
	}
	seen := map[string]bool{}
	for i, name := range columns {
		name = strings.TrimSpace(name)
		if _, ok := hardwareColumns[name]; !ok {
			return r.fault(i, "no such column %q: use those of hardware.csv", short(name))
		}
		if seen[name] {
			return r.fault(i, "%s comes twice: leave one out", name)
		}
		seen[name] = true
		r.columns = append(r.columns, name)
	}
	if !seen["name"] {
		return fmt.Errorf("bad hardware file: line 1: no column name: use those of hardware.csv")
	}
	return nil
}

// fault is an error at a field of the record that was read last.
func (r *rowReader) fault(field int, format string, args ...any) error {
	line, column := r.FieldPos(field)
	return fmt.Errorf("bad hardware file: line %d, column %d: "+format, append([]any{line, column}, args...)...)
}

func (r *rowReader) unreadable(err error) error {
	var at *csv.ParseError
	if !errors.As(err, &at) {
		return fmt.Errorf("bad hardware file: %w: give a CSV with the columns of hardware.csv, or a profile by baleen probe", err)
	}
	return fmt.Errorf("bad hardware file: line %d, column %d: %w: write a row as those of hardware.csv", at.Line, at.Column, at.Err)
}

// row is the entry of a record: what the table has of that name, changed by the cells that are filled.
func (t *Table) row(r *rowReader, record []string) (e entry, err error) {
	named := 0
	for i, column := range r.columns {
		if column == "name" {
			named = i
		}
	}
	name := strings.Join(strings.Fields(record[named]), " ")
	if err := checkName(name); err != nil {
		return e, r.fault(named, "name %q: %w", short(name), err)
	}
	at := t.at(name)
	if at >= 0 {
		e = t.entries[at]
	} else {
		e.Source = "a hardware file"
	}
	old := e.Source
	for i, column := range r.columns {
		if err := e.set(column, record[i]); err != nil {
			return e, r.fault(i, "%s %q: %w", column, short(record[i]), err)
		}
	}
	if at >= 0 {
		e.Name = t.entries[at].Name
	}
	if at >= 0 && e.Source == old {
		e.Source = strings.TrimSuffix(old, alsoFile) + alsoFile
	}
	return e, nil
}

const alsoFile = "; changed by a hardware file"

// checkName tells whether --on can name a chip so.
func checkName(name string) error {
	if name == "" || len(name) > mostName {
		return fmt.Errorf("write one of 1 to %d bytes", mostName)
	}
	if len(splitItems(name)) != 1 || counted.MatchString(name) || disk.MatchString(name) || len(wordsOf(name)) == 0 {
		return errors.New("--on could not tell it from a list, a number of chips or a disk: write another")
	}
	return nil
}

// set fills a field from a cell. An empty one says nothing.
func (e *entry) set(column, cell string) error {
	cell = strings.Join(strings.Fields(cell), " ")
	if cell == "" {
		return nil
	}
	if !utf8.ValidString(cell) || len(cell) > mostCell || strings.ContainsFunc(cell, unicode.IsControl) {
		return fmt.Errorf("write plain text of at most %d bytes", mostCell)
	}
	c := hardwareColumns[column]
	switch to := c.field(e).(type) {
	case *string:
		*to = cell
		return e.checkText(column, cell)
	case *float64:
		x, err := strconv.ParseFloat(cell, 64)
		if err != nil || strings.Trim(cell, "0123456789.eE+-") != "" || !(x >= 0 && x <= mostFigure) {
			return fmt.Errorf("give a number from 0 to %.0e, or nothing", mostFigure)
		}
		*to = x * c.unit
	}
	if column == "domain" && (e.domain < 1 || e.domain != math.Trunc(e.domain)) {
		return errors.New("give a whole number of chips, 1 or more")
	}
	return nil
}

// checkText checks the text columns that mean something to a program.
func (e *entry) checkText(column, cell string) error {
	switch column {
	case "class":
		if _, ok := classes[strings.ToLower(cell)]; !ok {
			return errors.New("give accelerator, unified or cpu")
		}
	case "like":
		if _, _, ok := cutLike(cell); !ok {
			return errors.New("write A/B NAME: the share of another chip's operations")
		}
	case "consists_of":
		if len(cell) > mostText {
			return fmt.Errorf("write at most %d bytes, as --on takes them", mostText)
		}
	}
	return nil
}

// short is text of somebody else's in an error.
func short(text string) string {
	if len(text) <= 60 {
		return text
	}
	return text[:57] + "..."
}
