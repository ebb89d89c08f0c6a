package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/engine"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// logitsRun is what `baleen logits` was asked for.
type logitsRun struct {
	placing
	idsFile, out string
	mtp, trace   bool
	chunk        int
}

func newLogits() *cobra.Command {
	var r logitsRun
	cmd := &cobra.Command{
		Use:   "logits MODEL --ids-file FILE --out OUT.safetensors",
		Short: "Write the logits of every position of a sequence",
		Long: `Logits runs a sequence of token ids and writes what the model gives at every position to a safetensors
file: "logits" [n, vocabulary] and, with --mtp, "mtp_logits" [n-1, vocabulary], whose row i comes from the streams
of position i and the token of position i+1. With --trace, the activations of every layer are in it, too. The
file's metadata name version, device, numerics and the model's digest.`,
		Example: `  baleen logits demo --ids-file ids.json --out logits.safetensors
  baleen logits /models/DeepSeek-V4-Flash --ids-file ids.json --out l.safetensors --mtp --numerics wide
  baleen logits demo --ids-file ids.json --out trace.safetensors --trace --chunk 1`,
		Args:              arguments(1, 1),
		ValidArgsFunction: completeModel,
		RunE:              func(cmd *cobra.Command, args []string) error { return r.run(cmd, args[0]) },
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&r.idsFile, "ids-file", "", "a file with one JSON array of token ids")
	cmd.Flags().StringVar(&r.out, "out", "", "the safetensors file to write")
	cmd.Flags().BoolVar(&r.mtp, "mtp", false, "run the draft block, too")
	cmd.Flags().IntVar(&r.chunk, "chunk", 512, "tokens in one run; 1 is decoding")
	cmd.Flags().BoolVar(&r.trace, "trace", false, "write the activations of every layer, of the program without fused ops")
	return cmd
}

func (r *logitsRun) run(cmd *cobra.Command, name string) error {
	switch {
	case r.idsFile == "":
		return misuse("flag missing", "--ids-file", "name a file with one JSON array of token ids")
	case r.out == "":
		return misuse("flag missing", "--out", "name the safetensors file to write")
	case r.chunk < 1:
		return misuse("bad value of a flag", fmt.Sprintf("--chunk %d", r.chunk), "give 1 or more")
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
	ids, err := readIDs(r.idsFile, m.Config)
	if err != nil {
		return err
	}
	switch {
	case !r.mtp:
		m = m.WithoutDrafter()
	case m.Weights.MTP == nil:
		return fault("no draft block", name+" has no MTP tensors", "leave --mtp out, or fetch the shard that holds them")
	}
	chunk := min(r.chunk, len(ids))
	caps := op.Caps{Rows: chunk, Slots: 1, Pages: (len(ids)-1)/op.PageSize + 1, Context: len(ids)}
	machine, err := r.place(cmd, m, caps, r.trace)
	if err != nil {
		return err
	}
	defer machine.Close()
	metadata := map[string]string{
		"version": "1", "device": r.device.word, "isa": r.tier(), "numerics": m.Numerics.String(), "model": c.Digest(), "quirks": m.Quirks.String(),
	}
	return r.write(cmd, machine, engine.Scoring{IDs: ids, Chunk: chunk, Draft: r.mtp}, metadata)
}

// maxIDs bounds an ids file: a context of 2^24 tokens fits.
const maxIDs = 256 << 20

// readIDs reads a JSON array of token ids and checks each.
func readIDs(path string, c *deepseek.Config) ([]int32, error) {
	data, err := readFile(os.DirFS(filepath.Dir(path)), filepath.Dir(path), filepath.Base(path), maxIDs)
	if err != nil {
		return nil, err
	}
	var numbers []json.Number
	if err := json.Unmarshal(data, &numbers); err != nil {
		return nil, fault("no token ids", fmt.Sprintf("%s (%v)", path, err), "write one JSON array of whole numbers, such as [0,412,435]")
	}
	if len(numbers) == 0 {
		return nil, fault("no token ids", path+" holds an empty array", "give at least one")
	}
	if len(numbers) > c.MaxContext {
		return nil, fault("context too long", fmt.Sprintf("%s holds %d ids, and the model reads %d", path, len(numbers), c.MaxContext), "give fewer")
	}
	ids := make([]int32, len(numbers))
	for i, number := range numbers {
		id, err := number.Int64()
		if err != nil || id < 0 || id >= int64(c.Vocab) {
			return nil, fault("token id out of range", fmt.Sprintf("%s: id %d is %s", path, i, number), fmt.Sprintf("give whole numbers from 0 to %d", c.Vocab-1))
		}
		ids[i] = int32(id)
	}
	return ids, nil
}

// write runs the sequence and streams what it gives to the file, which appears under its name when it is complete.
func (r *logitsRun) write(cmd *cobra.Command, m *engine.Machine, s engine.Scoring, metadata map[string]string) error {
	f, err := os.CreateTemp(filepath.Dir(r.out), "."+filepath.Base(r.out)+".*")
	if err != nil {
		return fault("cannot write", fmt.Sprintf("%s (%s)", r.out, reason(err)), "check path and permissions")
	}
	defer os.Remove(f.Name())
	defer f.Close()
	begins, err := writeHeader(f, m.Results(s), metadata)
	if err != nil {
		return fault("cannot write", fmt.Sprintf("%s (%s)", r.out, reason(err)), "check path and disk")
	}
	bar := newProgress(cmd.ErrOrStderr(), "running", int64(len(s.IDs)), false)
	defer bar.Finish()
	err = m.Score(cmd.Context(), s, func(result engine.Result, first int, data []byte) error {
		if result.Name == deepseek.LogitsName {
			bar.Set(first)
		}
		if result.Kind == quant.KindI32 {
			data = widen(data)
		}
		at := begins[result.Name] + int64(first*result.Width*elementBytes(result))
		if _, err := f.WriteAt(data, at); err != nil {
			return fault("cannot write", fmt.Sprintf("%s (%s)", r.out, reason(err)), "check the disk")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return publish(f, r.out)
}

// publish puts a complete file under its name.
func publish(f *os.File, path string) error {
	err := f.Chmod(0o644)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fault("cannot write", fmt.Sprintf("%s (%s)", path, reason(err)), "check path, permissions and disk")
	}
	return nil
}

// writeHeader writes the front of the file and returns where each result begins.
func writeHeader(f *os.File, results []engine.Result, metadata map[string]string) (map[string]int64, error) {
	entries := make([]checkpoint.Entry, len(results))
	for i, r := range results {
		entries[i] = checkpoint.Entry{Name: r.Name, DType: checkpoint.F32, Shape: r.Shape}
		if r.Kind == quant.KindI32 {
			entries[i].DType = checkpoint.I64
		}
	}
	header, total, err := checkpoint.Header(entries, metadata)
	if err != nil {
		return nil, err
	}
	begins, at := map[string]int64{}, int64(len(header))
	for _, r := range results {
		begins[r.Name] = at
		at += int64(r.Rows) * int64(r.Width) * int64(elementBytes(r))
	}
	if _, err := f.Write(header); err != nil {
		return nil, err
	}
	return begins, f.Truncate(total)
}

// elementBytes is what an element takes in the file, where ids are I64.
func elementBytes(r engine.Result) int {
	if r.Kind == quant.KindI32 {
		return 8
	}
	return 4
}

// widen turns int32 into int64, little-endian.
func widen(data []byte) []byte {
	wide := make([]byte, 0, 2*len(data))
	for ; len(data) > 0; data = data[4:] {
		wide = binary.LittleEndian.AppendUint64(wide, uint64(int32(binary.LittleEndian.Uint32(data))))
	}
	return wide
}
