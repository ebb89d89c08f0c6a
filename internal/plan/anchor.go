package plan

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// anchor is a published measurement: a row of anchors.csv, whose columns its README explains. NaN is a number that is not given.
type anchor struct {
	id, model, format, engine, hardware, layout, phase, metric, source, note, host string

	devices, hosts, in, out, context, concurrency, drafts, accept, ram, disk, hit, value float64
}

// anchorColumns are those that are read.
var anchorColumns = map[string]func(a *anchor) any{
	"id": func(a *anchor) any { return &a.id }, "model": func(a *anchor) any { return &a.model },
	"weights_format": func(a *anchor) any { return &a.format }, "engine": func(a *anchor) any { return &a.engine },
	"hardware": func(a *anchor) any { return &a.hardware }, "layout": func(a *anchor) any { return &a.layout },
	"phase": func(a *anchor) any { return &a.phase }, "metric": func(a *anchor) any { return &a.metric },
	"source": func(a *anchor) any { return &a.source }, "note": func(a *anchor) any { return &a.note },
	"host_hardware": func(a *anchor) any { return &a.host },
	"devices":       func(a *anchor) any { return &a.devices }, "hosts": func(a *anchor) any { return &a.hosts },
	"input_tokens": func(a *anchor) any { return &a.in }, "output_tokens": func(a *anchor) any { return &a.out },
	"context_tokens": func(a *anchor) any { return &a.context }, "concurrency": func(a *anchor) any { return &a.concurrency },
	"spec_tokens": func(a *anchor) any { return &a.drafts }, "spec_accept": func(a *anchor) any { return &a.accept },
	"ram_gib": func(a *anchor) any { return &a.ram }, "disk_gb_s": func(a *anchor) any { return &a.disk },
	"expert_hit": func(a *anchor) any { return &a.hit }, "value": func(a *anchor) any { return &a.value },
}

// needed are the columns without which a file is none of this kind.
var needed = []string{"id", "model", "hardware", "devices", "phase", "metric", "value"}

// mostAnchors bounds a file of measurements.
const mostAnchors = 100_000

// readAnchors reads a file of measurements.
func readAnchors(r io.Reader) ([]anchor, error) {
	c := csv.NewReader(r)
	head, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("not readable: measurements: %v: give a CSV with the columns of anchors.csv", err)
	}
	at := map[string]int{}
	for i, name := range head {
		at[strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))] = i
	}
	for _, name := range needed {
		if _, ok := at[name]; !ok {
			return nil, fmt.Errorf("no such column: measurements: %q: give a CSV with the columns of anchors.csv", name)
		}
	}
	var list []anchor
	for {
		record, err := c.Read()
		if err == io.EOF {
			return list, nil
		}
		if err != nil || len(list) == mostAnchors {
			return nil, fmt.Errorf("not readable: measurements: row %d: %v: give a CSV of at most %d rows", len(list)+1, err, mostAnchors)
		}
		a, err := parseAnchor(record, at)
		if err != nil {
			line, _ := c.FieldPos(0)
			return nil, fmt.Errorf("bad number: measurements: line %d, %v", line, err)
		}
		list = append(list, a)
	}
}

func parseAnchor(record []string, at map[string]int) (a anchor, err error) {
	for name, field := range anchorColumns {
		text := ""
		if i, ok := at[name]; ok {
			text = strings.TrimSpace(record[i])
		}
		switch to := field(&a).(type) {
		case *string:
			*to = text
		case *float64:
			*to = math.NaN()
			if text == "" {
				continue
			}
			x, err := strconv.ParseFloat(text, 64)
			if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || x < 0 || x > 1e15 {
				return a, fmt.Errorf("column %s: %q: give a number, or nothing", name, text)
			}
			*to = x
		}
	}
	return a, nil
}

func known(x float64) bool { return !math.IsNaN(x) }

// or is x, or y where x is not given.
func or(x, y float64) float64 {
	if known(x) {
		return x
	}
	return y
}

// cuts are what a layout's words say.
type cuts struct{ tp, dp, ep, pp, chips float64 }

var (
	cutWord   = regexp.MustCompile(`(?i)\b(tp|dp|ep|pp)[ =-]?(\d+)`)
	chipWord  = regexp.MustCompile(`(?i)\b(\d+) (?:GPUs?|NPUs?|chips|devices)\b`)
	nodeWord  = regexp.MustCompile(`(?i)\b(\d+) nodes?\b`)
	phaseWord = regexp.MustCompile(`(?i)\b(prefill|decode)\b`)
	sockets   = regexp.MustCompile(`(?i)\b(\d+) CPU`)
)

// ofPhase is the part of a layout's text that is about a phase, where it tells them apart.
func ofPhase(layout, phase string) string {
	marks := phaseWord.FindAllStringIndex(layout, -1)
	if len(marks) < 2 {
		return layout
	}
	for i, m := range marks {
		end := len(layout)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		if strings.EqualFold(layout[m[0]:m[1]], phase) {
			return layout[m[0]:end]
		}
	}
	return layout
}

// cutsOf reads a layout. chips is 0 where the text does not say how many the phase has.
func (a *anchor) cutsOf(phase string) cuts {
	text := ofPhase(a.layout, phase)
	var c cuts
	for _, m := range cutWord.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.ParseFloat(m[2], 64)
		switch strings.ToLower(m[1]) {
		case "tp":
			c.tp = n
		case "dp":
			c.dp = n
		case "ep":
			c.ep = n
		case "pp":
			c.pp = n
		}
	}
	if m := chipWord.FindStringSubmatch(text); m != nil && text != a.layout {
		c.chips, _ = strconv.ParseFloat(m[1], 64)
	}
	if m := nodeWord.FindStringSubmatch(text); m != nil && text != a.layout && known(a.hosts) && a.hosts > 0 {
		n, _ := strconv.ParseFloat(m[1], 64)
		c.chips = n * a.devices / a.hosts
	}
	return c
}
