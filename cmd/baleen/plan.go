package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"baleen/internal/plan"
)

// planRun is what `baleen plan` was asked for.
type planRun struct {
	on          []string
	hardware    []string
	fromBench   string
	context     tokens
	in, out     tokens
	concurrency int
	rate        float64
	cached      float64
	spec        draftsFlag
	layout      layoutFlag
	backtest    string
	leaveOut    bool
	html        string
	json        bool
}

func newPlan() *cobra.Command {
	r := planRun{in: 4096, out: 1024}
	cmd := &cobra.Command{
		Use:   "plan MODEL --on HARDWARE",
		Short: "Say what a token of a model costs on given hardware, before anyone buys it",
		Long: `Plan says whether a model fits, in which layout, how long the first token and each further one take, how many there are
in a second, where the time goes, and what they cost: each with the interval that four of five published measurements
lie in. MODEL is v4-flash, v4-pro, v4-flash-0731, v4-pro-0813, v4.1-flash, v3, v3.2, a config.json, or a directory with
one.

HARDWARE is a number of devices and a name, as in the table of hardware that is built in: "16 x Ascend 950DT". Accelerators
with a processor behind them keep experts there ("1 x RTX 5090 + 1 x EPYC 9755"), and a disk takes what memory does not
hold ("+ SSD 7GB/s"). Two kinds of accelerators read prompts and make tokens apart. --hardware adds chips of your own, or a
profile that 'baleen probe --out' wrote.

A request is of --in tokens and is answered with --out. With --rate, requests come at random and are simulated with the
engine's own scheduler. 'baleen plan compare' sets machines side by side. --backtest predicts every row of a file of
measurements with the columns of the project's anchors.csv; --leave-one-out fits the factors anew for each source of the
file, to the others alone.`,
		Example: `  baleen plan v4-pro --on "16 x Ascend 950DT" --concurrency 64
  baleen plan v4-flash --on "1 x RTX 5090 + 1 x EPYC 9755" --in 8k --html plan.html
  baleen plan v4-flash --on "8 x B200" --rate 20 --spec 2:1.4
  baleen plan compare v4-pro "16 x Ascend 950DT" "8 x B200"
  baleen bench /tmp/small --json > bench.json && baleen plan /tmp/small --from-bench bench.json
  baleen plan --backtest anchors.csv`,
		Args:              arguments(0, 1),
		ValidArgsFunction: completePlanned,
		RunE:              func(cmd *cobra.Command, args []string) error { return r.run(cmd, args) },
	}
	r.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&r.on, "on", nil, "hardware, such as \"8 x B200\"")
	f.StringVar(&r.fromBench, "from-bench", "", "plan on the machine of a report of 'baleen bench --json', calibrated with it")
	f.StringVar(&r.backtest, "backtest", "", "predict the measurements in this file instead")
	f.BoolVar(&r.leaveOut, "leave-one-out", false, "with --backtest, fit to the other sources of the file")
	cmd.AddCommand(newPlanCompare())
	return cmd
}

// flags are those that planning one machine and comparing several have in common.
func (r *planRun) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&r.hardware, "hardware", nil, "file with more hardware: CSV as the built-in table, or a profile of 'baleen probe'")
	f.Var(&r.context, "context", "tokens that a sequence sees while it makes tokens (default --in and half of --out)")
	f.Var(&r.in, "in", "tokens of a prompt")
	f.Var(&r.out, "out", "tokens of an answer")
	f.IntVar(&r.concurrency, "concurrency", 0, "sequences at once (default 1)")
	f.Float64Var(&r.rate, "rate", 0, "requests a second, at random times, instead of --concurrency")
	f.Float64Var(&r.cached, "cached", 0, "share of prompt tokens that are remembered")
	f.Var(&r.spec, "spec", "drafts in a step and how many of them are accepted on average, as 2:1.4")
	f.Var(&r.layout, "layout", "parts and copies, as tp=8,dp=2 with ep, pp and prefill (default the best that is found)")
	f.StringVar(&r.html, "html", "", "write a page to this file, too")
	f.BoolVar(&r.json, "json", false, "write JSON")
}

func (r *planRun) run(cmd *cobra.Command, args []string) error {
	table, err := r.table()
	if err != nil {
		return err
	}
	if err := r.clash(args); err != nil {
		return err
	}
	if r.backtest != "" {
		return r.test(cmd, table)
	}
	if len(args) == 0 {
		return misuse("no model", "plan", "name one, such as v4-flash; "+seeHelp(cmd))
	}
	shape, err := findShape(args[0])
	if err != nil {
		return err
	}
	machine, err := r.machine(table)
	if err != nil {
		return err
	}
	p, err := r.plan(cmd, shape, machine)
	if err != nil {
		return err
	}
	if err := r.page([]*plan.Plan{p}); err != nil {
		return err
	}
	return r.write(cmd, p)
}

// clash refuses flags that say nothing together.
func (r *planRun) clash(args []string) error {
	for _, c := range []struct {
		wrong       bool
		where, mend string
	}{
		{r.backtest != "" && (len(args) > 0 || len(r.on) > 0 || r.html != "" || r.fromBench != ""), "--backtest with a model, --on, --html or --from-bench", "the file names models and hardware; leave the others out"},
		{r.leaveOut && r.backtest == "", "--leave-one-out without --backtest", "name a file of measurements"},
		{r.fromBench != "" && len(r.on) > 0, "--from-bench and --on", "a report calibrates the machine that it is of; give one of them"},
		{r.html == "-", "--html -", "name a file"},
	} {
		if c.wrong {
			return misuse("flags that do not go together", c.where, c.mend)
		}
	}
	return nil
}

// page writes the page, if there is to be one.
func (r *planRun) page(plans []*plan.Plan) error {
	if r.html == "" {
		return nil
	}
	return writePage(r.html, plans)
}

// write writes what was planned as JSON, or for people.
func (r *planRun) write(cmd *cobra.Command, result interface{ Text(io.Writer) error }) error {
	if r.json {
		return writeJSON(cmd, result)
	}
	var b bytes.Buffer
	if err := result.Text(&b); err != nil {
		return err
	}
	return write(cmd, b.Bytes())
}

// machine is the hardware that was named, or that a bench report is of.
func (r *planRun) machine(table *plan.Table) (plan.Machine, error) {
	var m plan.Machine
	switch {
	case len(r.on) > 1:
		return m, misuse("more than one --on", strings.Join(r.on, ", "), "join kinds with +, or set machines side by side with 'baleen plan compare'")
	case r.fromBench != "":
		return benched(r.fromBench)
	case len(r.on) == 0:
		return m, misuse("no hardware", "plan", `name it with --on, such as --on "8 x B200"`)
	}
	m, err := table.Machine(r.on[0])
	if err != nil {
		return m, usageError{err}
	}
	return m, nil
}

// benched is the machine that a bench report is of.
func benched(path string) (m plan.Machine, err error) {
	data, err := readSmall(path)
	if err != nil {
		return m, err
	}
	return plan.FromBench(data)
}

// plan plans on one machine.
func (r *planRun) plan(cmd *cobra.Command, shape *plan.Shape, machine plan.Machine) (*plan.Plan, error) {
	if r.rate > 0 && r.concurrency > 0 {
		return nil, misuse("two loads", "--rate and --concurrency", "give one of them")
	}
	p, err := plan.Make(cmd.Context(), plan.Request{
		Model: shape, Machine: machine, In: int(r.in), Out: int(r.out), Context: int(r.context), Concurrency: r.concurrency, Rate: r.rate,
		Cached: r.cached, Spec: plan.Spec(r.spec), Layout: r.layout.layout,
	})
	if err != nil && cmd.Context().Err() == nil {
		return nil, usageError{err}
	}
	return p, err
}

// table is the built-in table of hardware and what was added to it.
func (r *planRun) table() (*plan.Table, error) {
	t, err := plan.Hardware()
	if err != nil {
		return nil, err
	}
	for _, path := range r.hardware {
		if err := addHardware(t, path); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func addHardware(t *plan.Table, path string) error {
	data, err := readSmall(path)
	if err != nil {
		return err
	}
	if err := t.Add(data); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// test predicts a file of measurements.
func (r *planRun) test(cmd *cobra.Command, table *plan.Table) error {
	file, err := os.Open(r.backtest)
	if err != nil {
		return fault("cannot read the measurements", fmt.Sprintf("%s (%s)", r.backtest, reason(err)), "check path and permissions")
	}
	defer file.Close()
	b, err := plan.Backtest(cmd.Context(), io.LimitReader(file, mostSmall), table, r.leaveOut)
	if err != nil {
		return err
	}
	return r.write(cmd, b)
}

// findShape takes a model by the name of a release, or from a config.json.
func findShape(name string) (*plan.Shape, error) {
	path := configOf(name)
	if path == "" {
		return plan.Model(name, nil)
	}
	data, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	return plan.Model(filepath.Base(name), data)
}

// configOf is where the config.json of a model lies, or nothing.
func configOf(name string) string {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return ""
	case info.IsDir():
		return filepath.Join(name, "config.json")
	}
	return name
}

// mostSmall bounds files that are read whole.
const mostSmall = 16 << 20

// readSmall reads a file that is to be small.
func readSmall(path string) ([]byte, error) {
	return readFile(os.DirFS(filepath.Dir(path)), filepath.Dir(path), filepath.Base(path), mostSmall)
}

// tokens is a flag for a number of tokens: 4096, 4k, 1m.
type tokens int

func (t *tokens) Set(text string) error {
	number, factor := times(text)
	n, err := strconv.ParseFloat(number, 64)
	if n *= factor; err != nil || n < 0 || n > math.MaxInt32 || math.Trunc(n) != n {
		return fmt.Errorf("no number of tokens")
	}
	*t = tokens(n)
	return nil
}

// times splits a k or m off a number.
func times(text string) (number string, factor float64) {
	for suffix, factor := range map[string]float64{"k": 1 << 10, "K": 1 << 10, "m": 1 << 20, "M": 1 << 20} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			return number, factor
		}
	}
	return text, 1
}

func (t *tokens) String() string { return strconv.Itoa(int(*t)) }

// Type is what help shows behind the flag.
func (t *tokens) Type() string { return "number of tokens" }

// draftsFlag is speculation as k:accepted.
type draftsFlag plan.Spec

func (s *draftsFlag) Set(text string) error {
	drafts, accept, ok := strings.Cut(text, ":")
	k, err := strconv.Atoi(drafts)
	if err != nil || !ok {
		return fmt.Errorf("not k:accepted")
	}
	a, err := strconv.ParseFloat(accept, 64)
	if err != nil {
		return err
	}
	*s = draftsFlag{Drafts: k, Accept: a}
	return nil
}

func (s *draftsFlag) String() string {
	if s.Drafts == 0 {
		return ""
	}
	return fmt.Sprintf("%d:%g", s.Drafts, s.Accept)
}

// Type is what help shows behind the flag.
func (s *draftsFlag) Type() string { return "k:accepted" }

// layoutFlag is a layout as tp=8,dp=2.
type layoutFlag struct{ layout *plan.Layout }

func (l *layoutFlag) Set(text string) error {
	var layout plan.Layout
	fields := map[string]*int{"tp": &layout.TP, "ep": &layout.EP, "dp": &layout.DP, "pp": &layout.PP, "prefill": &layout.Prefill}
	for word := range strings.SplitSeq(text, ",") {
		name, number, ok := strings.Cut(word, "=")
		field := fields[strings.ToLower(strings.TrimSpace(name))]
		n, err := strconv.Atoi(number)
		if !ok || field == nil || err != nil || n < 1 || n > 1e6 {
			return fmt.Errorf("no layout: %q", word)
		}
		*field = n
	}
	l.layout = &layout
	return nil
}

func (l *layoutFlag) String() string { return "" }

// Type is what help shows behind the flag.
func (l *layoutFlag) Type() string { return "layout" }

// writePage writes plans as a page, which appears under its name when it is whole.
func writePage(path string, plans []*plan.Plan) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fault("cannot write", fmt.Sprintf("%s (%s)", path, reason(err)), "check path and permissions")
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := plan.HTML(f, plans); err != nil {
		return fault("cannot write", fmt.Sprintf("%s (%s)", path, reason(err)), "check the disk")
	}
	return publish(f, path)
}
