package qualify

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Verdict is how a check or a report ends.
type Verdict string

// The verdicts. A report is partial where all checks pass but something that the model needs could not be looked at.
const (
	Pass    Verdict = "pass"
	Partial Verdict = "partial"
	Fail    Verdict = "fail"
)

// Report is what `baleen qualify` writes (contract, qualify). Its form has version 1.
type Report struct {
	Version      int          `json:"version"`
	Verdict      Verdict      `json:"verdict"`
	Device       DeviceReport `json:"device"`
	OS           string       `json:"os"`
	BinarySHA256 string       `json:"binary_sha256"`
	Kernels      string       `json:"kernels"`
	Checkpoint   string       `json:"checkpoint"`
	Declared     Declared     `json:"declared"`
	Route        []Route      `json:"route"`
	Checks       []Check      `json:"checks"`
	NotCovered   []string     `json:"not_covered"`

	Tier    string  `json:"tier"`
	Seconds float64 `json:"seconds"`
}

// DeviceReport names what was looked at.
type DeviceReport struct {
	Name      string    `json:"name"`
	ISA       string    `json:"isa"`
	CPU       string    `json:"cpu"`
	Microcode string    `json:"microcode"`
	Driver    string    `json:"driver"`
	Libraries []Library `json:"libraries"`
}

// Library is a file that was mapped while the suite ran.
type Library struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
}

// Declared is the arithmetic that bounds were derived for.
type Declared struct {
	Accumulator string `json:"accumulator"`
	Denormals   string `json:"denormals"`
}

// Route says how the device runs one kind of op of the model's program.
type Route struct {
	Op    string `json:"op"`
	Count int    `json:"count"` // in a forward pass and a draft
	Runs  string `json:"runs"`  // "device", "parts" where the device lacks a fused op, or "missing"
}

// Check is one thing that was looked at. Error is that of the element that comes nearest to its bound, or exceeds it
// most; where nothing but equality will do, both are 0.
type Check struct {
	Level    string  `json:"level"`
	Op       string  `json:"op"`
	Shape    string  `json:"shape"`
	Numerics string  `json:"numerics"`
	Seed     uint64  `json:"seed"`
	Error    float64 `json:"error"`
	Bound    float64 `json:"bound"`
	Verdict  Verdict `json:"verdict"`
	MS       float64 `json:"ms"`
	Note     string  `json:"note,omitempty"` // what is wrong
}

// Failed returns how many checks failed.
func (r *Report) Failed() (n int) {
	for _, c := range r.Checks {
		if c.Verdict == Fail {
			n++
		}
	}
	return n
}

// WriteJSON writes the form that programs read.
func (r *Report) WriteJSON(w io.Writer) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// WriteText writes the form that people read: what was not looked at comes first.
func (r *Report) WriteText(w io.Writer) error {
	var s strings.Builder
	fmt.Fprintf(&s, "verdict     %s: %d of %d checks failed, tier %s, %.1f s\n", r.Verdict, r.Failed(), len(r.Checks), r.Tier, r.Seconds)
	fmt.Fprintf(&s, "device      %s, isa %s, %s\n", r.Device.Name, r.Device.ISA, r.Kernels)
	fmt.Fprintf(&s, "machine     %s, microcode %s, %s\n", r.Device.CPU, r.Device.Microcode, r.OS)
	fmt.Fprintf(&s, "program     sha256 %s\nmodel       %s\n", r.BinarySHA256, r.Checkpoint)
	fmt.Fprintf(&s, "declared    accumulator %s; denormals %s\n", r.Declared.Accumulator, r.Declared.Denormals)
	s.WriteString("\nnot covered\n")
	for _, line := range r.NotCovered {
		fmt.Fprintf(&s, "  - %s\n", line)
	}
	s.WriteString("\nroute\n")
	for _, route := range r.Route {
		fmt.Fprintf(&s, "  %-14s %4d  %s\n", route.Op, route.Count, route.Runs)
	}
	s.WriteString("\nchecks (level, op, shape, numerics: worst error of its bound, ms)\n")
	for _, c := range r.ordered() {
		fmt.Fprintf(&s, "  %-7s %-10s %-28s %s %s: %.3g of %.3g, %.0f ms", c.Verdict, c.Level, c.Op, c.Shape, c.Numerics, c.Error, c.Bound, c.MS)
		if c.Note != "" {
			fmt.Fprintf(&s, "\n          %s", c.Note)
		}
		s.WriteByte('\n')
	}
	_, err := io.WriteString(w, s.String())
	return err
}

// ordered has failures first.
func (r *Report) ordered() []Check {
	list := slices.Clone(r.Checks)
	slices.SortStableFunc(list, func(a, b Check) int { return strings.Compare(string(a.Verdict), string(b.Verdict)) })
	return list
}

// finite keeps a number that JSON can hold.
func finite(x float64) float64 {
	if x != x || x > math.MaxFloat64 {
		return math.MaxFloat64
	}
	return x
}
