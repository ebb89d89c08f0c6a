package qualify

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"baleen/internal/device"
	"baleen/internal/device/ref"
	"baleen/internal/op"
)

// all makes the tests look at every device and tier whole, clean with as many seeds; both take minutes.
var (
	all   = flag.Bool("all", false, "look at ref and at every tier of cpu, not only at the best")
	clean = flag.Uint64("clean", 0, "count false alarms over this many seeds")
)

func openRef(int) (device.Device, error) { return ref.New(), nil }

func expectPass(t *testing.T, s Subject) *Report {
	t.Helper()
	r, err := Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	byOp := map[string]float64{}
	for _, c := range r.Checks {
		byOp[c.Level+" "+c.Op] += c.MS
		if c.Verdict == Fail {
			t.Errorf("%s %s %s %s: %s", c.Level, c.Op, c.Shape, c.Numerics, c.Note)
		}
	}
	slowest := slices.SortedFunc(maps.Keys(byOp), func(a, b string) int { return cmp.Compare(byOp[b], byOp[a]) })
	for _, name := range slowest[:min(len(slowest), 20)] {
		t.Logf("%6.0f ms %s", byOp[name], name)
	}
	t.Logf("%d checks, %v, %.1f s", len(r.Checks), r.Verdict, r.Seconds)
	if r.Verdict != Pass || len(r.NotCovered) < 10 {
		t.Errorf("%v, not covered: %q", r.Verdict, r.NotCovered)
	}
	return r
}

// TestRef: the specification meets itself without a false alarm.
func TestRef(t *testing.T) {
	if !*all {
		t.Skip("it takes half a minute: run with -all")
	}
	expectPass(t, Subject{Open: openRef, ISA: "generic", Seed: 1})
}

// crooked is a device with a defect of its own.
type crooked struct {
	device.Device
	download func(data []byte)
	run      func()
}

func (c crooked) Download(b device.Buffer, offset int64, to []byte) error {
	err := c.Device.Download(b, offset, to)
	if c.download != nil {
		c.download(to)
	}
	return err
}

func (c crooked) Run(e device.Executable, args *op.Args) error {
	if c.run != nil {
		c.run()
	}
	return c.Device.Run(e, args)
}

// TestBrokenDevices: defects are found, and a panic does not end the suite.
func TestBrokenDevices(t *testing.T) {
	for name, c := range map[string]crooked{
		"zeros": {download: func(data []byte) { clear(data) }},
		"one bit": {download: func(data []byte) {
			if len(data) > 100 {
				data[100] ^= 1
			}
		}},
		"panic": {run: func() { panic("out of order") }},
	} {
		c.Device = ref.New()
		r, err := Run(t.Context(), Subject{Open: func(int) (device.Device, error) { return c, nil }, FirstFault: true})
		if err != nil || r.Verdict != Fail || r.Failed() != 1 {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

// TestReport: the fields of the contract are there, whatever numbers a check ended with.
func TestReport(t *testing.T) {
	q := &suite{Subject: Subject{ISA: "generic"}, ctx: t.Context(), device: ref.New(), met: map[string]bool{}}
	q.identify()
	for _, d := range []deviation{{}, {0.5, 1, ""}, {math.NaN(), 0, "wrong"}, {math.Inf(1), 0, "worse"}} {
		if err := q.record(Check{Level: "op", Op: "linear", Shape: "8 x 8"}, time.Now(), d); err != nil {
			t.Fatal(err)
		}
	}
	q.conclude()
	var data, text bytes.Buffer
	if err := q.report.WriteJSON(&data); err != nil {
		t.Fatal(err)
	}
	if err := q.report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(data.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"version", "verdict", "device", "os", "binary_sha256", "kernels", "checkpoint", "declared", "route", "checks", "not_covered"} {
		if fields[name] == nil {
			t.Errorf("no field %s", name)
		}
	}
	if r := q.report; r.Verdict != Fail || r.Failed() != 2 || r.Checks[2].Error != math.MaxFloat64 {
		t.Errorf("%v, %d failed, %v", r.Verdict, r.Failed(), r.Checks)
	}
	if at := strings.Index(text.String(), "fail    op"); at < 0 || at > strings.Index(text.String(), "pass    op") {
		t.Errorf("failures do not come first:\n%s", text.String())
	}
	if !slices.ContainsFunc(q.report.NotCovered, func(s string) bool { return s == "op linear was not looked at by itself" }) {
		t.Errorf("not covered: %q", q.report.NotCovered)
	}
}

// TestLegalSums: sums of float32 in any order, fused or not, stay within the bound, and a result of bfloat16 does not.
func TestLegalSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		n := 32 * (1 + rng.IntN(128))
		x, w := normal(rng, n), scattered(rng, n, -8, 4)
		exact, bound := product(x, w), dotBound(x, w)
		plain, fused := float32(0), float32(0)
		for at := 0; at < n; at += 32 {
			block, chain := float32(0), float32(0)
			for _, i := range rng.Perm(32) {
				block += float32(x[at+i] * w[at+i])
				chain = float32(math.FMA(float64(x[at+i]), float64(w[at+i]), float64(chain)))
			}
			plain, fused = plain+block, fused+chain
		}
		for name, sum := range map[string]float32{"plain": plain, "fused": fused} {
			if math.Abs(float64(sum)-exact) > bound {
				t.Errorf("%s sum of %d: %g, not %g, and the bound is %g", name, n, sum, exact, bound)
			}
		}
	}
}

// TestFalseAlarms counts them over seeds that the gate does not have.
func TestFalseAlarms(t *testing.T) {
	if *clean == 0 {
		t.Skip("run with -clean=SEEDS")
	}
	checks, alarms := 0, 0
	for seed := range *clean {
		r, err := Run(t.Context(), Subject{Open: openClean, ISA: "generic", Seed: 1000 + seed})
		if err != nil {
			t.Fatal(err)
		}
		checks, alarms = checks+len(r.Checks), alarms+r.Failed()
		for _, c := range r.Checks {
			if c.Verdict == Fail {
				t.Errorf("seed %d: %s %s %s %s: %s", 1000+seed, c.Level, c.Op, c.Shape, c.Numerics, c.Note)
			}
		}
	}
	t.Logf("%d false alarms in %d clean checks", alarms, checks)
}
