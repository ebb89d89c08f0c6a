package qualify

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/demo"
	"baleen/internal/op"
)

// identify says what is looked at, and how its programs run.
func (q *suite) identify() {
	info := q.device.Info()
	q.report = Report{Version: 1, Tier: q.Tier.String(), OS: operatingSystem(), Kernels: info.Detail, Checkpoint: "the demo"}
	q.report.Device = DeviceReport{Name: info.Name, ISA: q.ISA, CPU: cpuField("model name"), Microcode: cpuField("microcode"), Driver: "none", Libraries: libraries()}
	if path, err := os.Executable(); err == nil {
		q.report.BinarySHA256 = hashFile(path)
	}
	q.report.Declared = Declared{
		Accumulator: "float32: chains of 32 products, blocks ascending; each bound is derived for this order",
		Denormals:   "codes below the normal range keep their value; products below 2^-126 may count as zero",
	}
	if q.Model != nil {
		q.report.Checkpoint += " and " + q.Model.Digest()
	}
	q.report.NotCovered = q.limits()
}

func operatingSystem() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(runtime.GOOS + "/" + runtime.GOARCH + " " + string(kernel))
}

// cpuField reads a line of /proc/cpuinfo; it is empty where there is none.
func cpuField(name string) string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func hashFile(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// libraries are the shared objects that are mapped into this process: none in a static build without accelerators.
func libraries() []Library {
	list := []Library{}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return list
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		at := strings.IndexByte(lines.Text(), '/')
		if at < 0 || !strings.Contains(lines.Text()[at:], ".so") {
			continue
		}
		path := lines.Text()[at:]
		if !slices.ContainsFunc(list, func(l Library) bool { return l.Name == path }) {
			list = append(list, Library{Name: path, Version: filepath.Base(path), SHA256: hashFile(path)})
		}
	}
	return list
}

// unmet lists kinds of ops that the model's program has and that were not looked at by themselves, and fills the route.
func (q *suite) unmet() (sentences []string) {
	c, err := checkpoint.OpenFS(demo.Files())
	if err != nil {
		return nil
	}
	defer c.Close()
	m, err := deepseek.Load(c, deepseek.Reference, deepseek.Quirks{})
	if err != nil {
		return nil
	}
	has := q.device.Info().Has
	drafter, err := drafterModel(deepseek.Reference)
	if err != nil {
		return nil
	}
	counts := map[string]*Route{}
	for _, t := range slices.Concat(turns(m)[:3], drafterTurns(drafter)) {
		for _, o := range t.program.Ops {
			kind := op.KindOf(o)
			if counts[kind] == nil {
				counts[kind] = &Route{Op: kind, Runs: "device"}
			}
			counts[kind].Count++
			if _, fused := o.(op.Fused); fused && !has(o) {
				counts[kind].Runs = "parts"
			} else if !has(o) {
				counts[kind].Runs = "missing"
			}
		}
	}
	for kind, route := range counts {
		q.report.Route = append(q.report.Route, *route)
		if route.Runs == "parts" {
			q.report.NotCovered = append(q.report.NotCovered, fmt.Sprintf("op %s as one: the device lacks it and runs its parts", kind))
		}
		if !q.met[kind] {
			sentences = append(sentences, fmt.Sprintf("op %s was not looked at by itself", kind))
		}
	}
	slices.SortFunc(q.report.Route, func(a, b Route) int { return strings.Compare(a.Op, b.Op) })
	slices.Sort(sentences)
	return sentences
}

// limits says what this suite does not see, in words.
func (q *suite) limits() []string {
	list := []string{
		"how near numerics fast comes: only that its bits do not depend on company, chunks, slots and launches, where the device has it",
		"layers are looked at with the demo's trained weights alone" + map[bool]string{true: " and those of the model", false: "; no released checkpoint was read"}[q.Model != nil],
		"matrices and attention of released sizes: products are looked at to 16384 columns, attention to 128 heads, but not whole layers of such a width",
		"runs of more than 2049 rows, batches of more than 70 sequences in attention and of more than 11 in the model",
		"memories beyond 100 MB: an address that wraps at 2 GiB or 4 GiB is not seen",
		"faults that come and go: each run is repeated once in a process, and the device is opened twice; what strikes fewer than half of the runs or launches may be missed",
		"a real prefill of a million tokens: far positions stand on memories that are drawn",
		"several devices: tensor, expert and pipeline parallelism",
		"weights that are streamed from disk or evicted while others run",
		"denormal products, and sums with scales beyond 2^60, which are only bounded",
		"data corruption after this run, temperature and power states, other processes on the device",
		"agreement with the hosted API, the quality of the model, text: templates, tools, grammar",
	}
	if q.Tier == Gate {
		list = append(list, "this is the gate tier: one seed; use --tier standard or deep for more")
	}
	return list
}
