package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"baleen/internal/device/cpu/kernel"
	"baleen/internal/profile"
)

// probeRun is what `baleen probe` was asked for.
type probeRun struct {
	out, dir string
	threads  int
	window   time.Duration
	json     bool
}

func newProbe() *cobra.Command {
	var r probeRun
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Measure what this machine can do",
		Long: `Probe measures, in less than a minute, how fast this machine reads memory with one thread and with all, how much it
computes with each kind of instruction, and how fast it reads a disk past the page cache. For the disk it writes a
file of at most 1 GiB into --dir and takes it away again.

A figure is the best of five windows of --window. 0 is not measured: these kernels do not have the instructions. The
profile names the machine by CPU model, microcode, kernel and memory; compare profiles of one key only.`,
		Example: `  baleen probe
  baleen probe --dir /models --out machine.json
  baleen probe --json --dir ""`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&r.out, "out", "", "write the profile to this file, as JSON")
	f.StringVar(&r.dir, "dir", ".", "measure the disk of this directory; empty: none")
	f.IntVar(&r.threads, "threads", 0, "threads to measure with (0: all processors)")
	f.DurationVar(&r.window, "window", 200*time.Millisecond, "length of a window")
	f.BoolVar(&r.json, "json", false, "write JSON")
	return cmd
}

// longestWindow keeps a probe below a minute.
const longestWindow = 500 * time.Millisecond

func (r *probeRun) run(cmd *cobra.Command) error {
	if err := checkWindow("--window", r.window); err != nil {
		return err
	}
	if r.threads < 0 || r.threads > maxThreads {
		return misuse("bad value of a flag", fmt.Sprintf("--threads %d", r.threads), fmt.Sprintf("give 0 to %d", maxThreads))
	}
	p, err := profile.Full(cmd.Context(), profile.Options{Loops: loops(), Threads: r.threads, Window: r.window}, r.dir)
	if err != nil {
		return fault("cannot probe", oneLine(err.Error()), "check memory and disk, or give another --dir")
	}
	if r.out != "" {
		if err := writeProfile(p, r.out); err != nil {
			return err
		}
	}
	if r.json {
		return writeJSON(cmd, p)
	}
	return write(cmd, []byte(profileText(p)))
}

// maxThreads is more than any machine has.
const maxThreads = 4096

func checkWindow(flag string, window time.Duration) error {
	if window < time.Millisecond || window > longestWindow {
		return misuse("bad value of a flag", fmt.Sprintf("%s %v", flag, window), fmt.Sprintf("give 1ms to %v", longestWindow))
	}
	return nil
}

// writeProfile writes a profile to a file, which appears under its name when it is whole.
func writeProfile(p *profile.Profile, path string) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fault("cannot write as JSON", err.Error(), "this is a fault of baleen; report this line with the command")
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fault("cannot write", fmt.Sprintf("%s (%s)", path, reason(err)), "check path and permissions")
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(append(data, '\n')); err != nil {
		return fault("cannot write", fmt.Sprintf("%s (%s)", path, reason(err)), "check the disk")
	}
	return publish(f, path)
}

// profileText is a profile for people.
func profileText(p *profile.Profile) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	line := func(name, format string, values ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, values...))
	}
	machineLines(line, p.Machine)
	line("read", "%.1f GB/s with one thread, %.1f with %d", p.Read1, p.ReadN, p.Threads)
	line("bf16", "%s", operations(p.Core.BF16, p.BF16, "GFLOP/s", p.Threads))
	line("int8", "%s", operations(p.Core.VNNI, p.VNNI, "GOP/s", p.Threads))
	line("fma", "%s", operations(p.Core.FMA, p.FMA, "GFLOP/s", p.Threads))
	for _, r := range p.Disk.Reads {
		order := "in order"
		if r.Random {
			order = "random"
		}
		line("disk", "%s, %d KiB, %d at a time: %.2f GB/s, %.0f reads/s", order, r.Block>>10, r.Depth, r.GBs, r.Rate)
	}
	if len(p.Disk.Reads) > 0 && !p.Disk.Direct {
		line("", "%s has no direct reads: these figures may be memory's", p.Disk.Dir)
	}
	line("took", "%.0f s", p.Seconds)
	w.Flush()
	return text.String()
}

func machineLines(line func(name, format string, values ...any), m profile.Machine) {
	line("cpu", "%s, %d processors, microcode %s", m.CPU, m.CPUs, m.Microcode)
	line("kernel", "%s %s", m.Platform, m.Kernel)
	line("memory", "%s, of these %s available; last cache %s", bytesOf(m.Memory), bytesOf(m.Available), bytesOf(m.LastCache))
	if m.Limit > 0 || m.CPULimit > 0 {
		line("limits", "%s of memory, %g processors (0: none)", bytesOf(m.Limit), m.CPULimit)
	}
	for _, n := range m.Nodes {
		line("node", "%d: processors %s, %s", n.ID, n.CPUs, bytesOf(n.Memory))
	}
	line("huge pages", "transparent: %s, reserved: %d of %s", m.Huge.Transparent, m.Huge.Total, bytesOf(m.Huge.Size))
}

// operations says a figure of one thread and of all, or that there is none.
func operations(one, all float64, unit string, threads int) string {
	if all == 0 {
		return "not measured: these kernels have no such instructions"
	}
	return fmt.Sprintf("%.0f %s with one thread, %.0f with %d", one, unit, all, threads)
}

// loops are the best of this machine's kernels that measure it.
func loops() profile.Loops {
	tiers := kernel.Tiers()
	l := kernel.For(tiers[len(tiers)-1])
	return profile.Loops{Read: l.Read, BF16: l.PeakBF16, VNNI: l.PeakVNNI, FMA: l.PeakFMA}
}
