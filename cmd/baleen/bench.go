package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"baleen/internal/bench"
	"baleen/internal/deepseek"
)

// benchRun is what `baleen bench` was asked for.
type benchRun struct {
	placing
	request     bench.Request
	chunk       int
	window      time.Duration
	json, stdin bool
}

func newBench() *cobra.Command {
	var r benchRun
	cmd := &cobra.Command{
		Use:   "bench MODEL",
		Short: "Measure a model on this machine, and how near it is to the machine's limits",
		Long: `Bench measures how fast prompts of some lengths are read, and how fast sequences make tokens, alone or in a batch,
behind some depth of context. Depths are not read first: state is filled with random numbers on the right grid. Tokens
are random, too. Before and after, it measures the machine's limits; rows are noisy if these differ by more than a
tenth. No tokenizer is needed.

A row is the median of some runs. For prefill a run is the prompt; for decode it is 16 steps, each of which makes one
token in every sequence, and times are those of a step. Of a model with some of the layers of a release, rows marked
projected tell what all of its layers would take.

With --stdin the model stays loaded: each line of standard input is a request, such as
{"prompt":[512],"depths":[0,4096],"batch":[1],"runs":5}, within what --prompt, --depths and --batch allow, and each gives
one line of JSON. What a request leaves out is as the flags say; [] is none.`,
		Example: `  baleen bench demo
  baleen bench /models/DeepSeek-V4-Flash --prompt 512,2048 --depths 4096,65536 --batch 1,8 --json
  baleen bench /tmp/small --depths 0 --batch 1 --prompt "" --window 0`,
		Args:              arguments(1, 1),
		ValidArgsFunction: completeModel,
		RunE:              func(cmd *cobra.Command, args []string) error { return r.run(cmd, args[0]) },
	}
	r.flags(cmd)
	f := cmd.Flags()
	f.Var(numbers{&r.request.Prompt}, "prompt", "lengths of prompts (default 128,512)")
	f.Var(numbers{&r.request.Depths}, "depths", "positions before the tokens that are made (default 0,4096)")
	f.Var(numbers{&r.request.Batch}, "batch", "sequences that make tokens together (default 1,4)")
	f.IntVar(&r.request.Runs, "runs", 0, "runs of a row, fewer where one takes long (default 5)")
	f.IntVar(&r.chunk, "chunk", 512, "tokens of a prompt in one run")
	f.DurationVar(&r.window, "window", 100*time.Millisecond, "how long to measure a limit of the machine, five times; 0: none")
	f.BoolVar(&r.json, "json", false, "write JSON")
	f.BoolVar(&r.stdin, "stdin", false, "read requests from standard input, one a line")
	return cmd
}

// numbers is a flag of whole numbers with commas between; nothing is a list of none.
type numbers struct{ list *[]int }

func (n numbers) Set(text string) error {
	*n.list = []int{}
	for word := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		number, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil {
			return err
		}
		*n.list = append(*n.list, number)
	}
	return nil
}

func (n numbers) String() string {
	if n.list == nil || *n.list == nil {
		return ""
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(*n.list), " ", ","), "[]")
}

// Type is what help shows behind the flag.
func (numbers) Type() string { return "list of whole numbers" }

func (r *benchRun) run(cmd *cobra.Command, name string) error {
	if r.window != 0 {
		if err := checkWindow("--window", r.window); err != nil {
			return err
		}
	}
	files, err := findModel(name)
	if err != nil {
		return err
	}
	c, m, err := r.load(files)
	if err != nil {
		return err
	}
	defer c.Close()
	request := r.request.Defaults(m.Config.MaxContext)
	if err := request.Check(m.Config.MaxContext); err != nil {
		return usageError{err}
	}
	if r.chunk < 1 {
		return misuse("bad value of a flag", fmt.Sprintf("--chunk %d", r.chunk), "give 1 or more")
	}
	d, err := r.newDevice()
	if err != nil {
		return err
	}
	defer d.Close()
	setup := bench.Setup{
		Model: m, Device: d, Most: request, Chunk: r.chunk,
		Shape: filepath.Base(name), Commit: buildVersion().Commit, ISA: r.tier(), Threads: r.workers(),
		Loops: loops(), Window: r.window, File: largestFile(files, name),
	}
	b, err := openBench(cmd, setup)
	if err != nil {
		return err
	}
	if r.stdin {
		return r.serve(cmd, b)
	}
	report, err := b.Run(cmd.Context(), bench.Request{})
	if err != nil {
		return err
	}
	if r.json {
		return writeJSON(cmd, report)
	}
	return write(cmd, []byte(report.String()))
}

// workers is how many threads the device has.
func (r *benchRun) workers() int {
	switch {
	case r.device.word == "ref":
		return 1
	case r.threads == 0:
		return runtime.NumCPU()
	}
	return r.threads
}

// openBench places the model, with progress bars for that and for the rows.
func openBench(cmd *cobra.Command, s bench.Setup) (*bench.Bench, error) {
	bar := newProgress(cmd.ErrOrStderr(), "loading", backboneBytes(s.Model), true)
	defer bar.Finish()
	s.Loaded = func(done int64) { bar.Set64(done) }
	rows := newProgress(cmd.ErrOrStderr(), "measuring", 1, false)
	s.Rows = func(done, total int) {
		rows.ChangeMax(total)
		rows.Set(done)
	}
	return bench.Open(cmd.Context(), s)
}

func backboneBytes(m *deepseek.Model) int64 {
	backbone, _ := m.Weights.Bytes()
	return backbone
}

// largestFile is a file of the model to measure its disk with: the largest with weights. The demo has none.
func largestFile(m *model, dir string) (path string) {
	if m.name == demoName {
		return ""
	}
	names, _ := fs.Glob(m.files, "*.safetensors") // a constant pattern
	var most int64
	for _, name := range names {
		if info, err := fs.Stat(m.files, name); err == nil && info.Size() > most {
			most, path = info.Size(), filepath.Join(dir, name)
		}
	}
	return path
}

// mostLine bounds a request.
const mostLine = 1 << 20

// serve answers requests, one a line. What is wrong with one is said in its answer, and the next is read.
func (r *benchRun) serve(cmd *cobra.Command, b *bench.Bench) error {
	lines, failed := readLines(cmd.Context(), cmd.InOrStdin())
	for {
		select {
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		case line, ok := <-lines:
			if !ok {
				return <-failed
			}
			if len(line) == 0 {
				continue
			}
			if err := writeJSON(cmd, answer(cmd.Context(), b, line)); err != nil {
				return err
			}
		}
	}
}

// answer is a report, or what is wrong with the request.
func answer(ctx context.Context, b *bench.Bench, line []byte) any {
	var request bench.Request
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	err := d.Decode(&request)
	if err == nil && d.More() {
		err = errors.New("more than one value")
	}
	if err != nil {
		err = fault("no request", err.Error(), `write one line such as {"prompt":[512],"depths":[0],"batch":[1],"runs":5}`)
	} else {
		var report *bench.Report
		if report, err = b.Run(ctx, request); err == nil {
			return report
		}
	}
	return struct {
		Version int    `json:"version"`
		Error   string `json:"error"`
	}{bench.Version, oneLine(err.Error())}
}

// readLines reads lines in the background, so that waiting for one can be interrupted. What went wrong is in failed, once
// there are no more.
func readLines(ctx context.Context, in io.Reader) (lines chan []byte, failed chan error) {
	lines, failed = make(chan []byte), make(chan error, 1)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(in)
		s.Buffer(nil, mostLine)
		for s.Scan() {
			select {
			case lines <- bytes.TrimSpace(bytes.Clone(s.Bytes())):
			case <-ctx.Done():
				return
			}
		}
		err := s.Err()
		if err != nil {
			err = fault("cannot read", fmt.Sprintf("standard input (%s)", reason(err)), fmt.Sprintf("give requests of at most %d bytes a line", mostLine))
		}
		failed <- err
	}()
	return lines, failed
}
