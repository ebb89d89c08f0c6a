package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/device/cpu"
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/device/ref"
	"baleen/internal/engine"
	"baleen/internal/op"
)

// placing is how a model is put on a device: the flags that every command has which runs one.
type placing struct {
	numerics, device choice
	isa              string
	threads          int
	memory           byteSize
	quirks           []string
	speculate        choice // of commands that answer: see speculation
}

func (p *placing) flags(cmd *cobra.Command) {
	p.numerics = choice{"reference", []string{"reference", "wide", "fast"}}
	p.device = choice{"cpu", []string{"cpu", "ref"}}
	cmd.Flags().Var(&p.numerics, "numerics", "arithmetic: as the official code quantises, float32 throughout, or the device's own")
	cmd.Flags().Var(&p.device, "device", "what to run on: the fast device, or the slow specification")
	cmd.Flags().StringVar(&p.isa, "isa", "auto", "instructions that the cpu device may use: auto, generic, avx2, avx512vnni or avx512bf16")
	cmd.Flags().IntVar(&p.threads, "threads", 0, "threads of the cpu device; 0 is one for each processor")
	cmd.Flags().Var(&p.memory, "memory", "what the cpu device may allocate, such as 12GiB; experts that do not fit are read from disk when they are chosen (default: what is free)")
	cmd.Flags().StringSliceVar(&p.quirks, "quirk", nil, "behave as older code did: unclamped-shared, no-act-round, mtp-zero-first")
}

// speculation adds the flag of commands that make answers.
func (p *placing) speculation(cmd *cobra.Command) {
	p.speculate = choice{"auto", []string{"auto", "off"}}
	cmd.Flags().Var(&p.speculate, "speculate", "guess next tokens with the checkpoint's drafter, if it has one and while that is faster, or not; answers are the same")
}

// load opens a model and binds its weights; nothing is read of them yet.
func (p *placing) load(m *model) (*checkpoint.Checkpoint, *deepseek.Model, error) {
	numerics, err := deepseek.ParseNumerics(p.numerics.word)
	if err != nil {
		return nil, nil, usageError{err}
	}
	if numerics == deepseek.Fast && p.device.word == "ref" {
		return nil, nil, misuse("no such numerics on this device", "--numerics fast --device "+p.device.word, "use reference or wide: the specification executor has no arithmetic of its own")
	}
	quirks, err := deepseek.ParseQuirks(p.quirks)
	if err != nil {
		return nil, nil, usageError{err}
	}
	c, err := m.open()
	if err != nil {
		return nil, nil, err
	}
	loaded, err := deepseek.Load(c, numerics, quirks)
	if _, sparse := c.Metadata()["sparse"]; sparse && err == nil {
		err = fault("no weights", "its files are headers and holes, written by synth --sparse", "inspect it, or write one without --sparse")
	}
	if err != nil {
		c.Close()
		return nil, nil, fmt.Errorf("cannot load %s: %w", m.name, err)
	}
	if p.speculate.word == "off" {
		loaded = loaded.WithoutDrafter()
	}
	return c, loaded, nil
}

// newDevice makes the device that was chosen.
func (p *placing) newDevice() (device.Device, error) {
	if p.device.word == "ref" {
		return ref.New(), nil
	}
	tier, err := kernel.ParseTier(p.isa)
	if err != nil {
		return nil, usageError{err}
	}
	d, err := cpu.New(cpu.Options{Tier: tier, Fast: p.numerics.word == "fast", Threads: p.threads, Memory: int64(p.memory)})
	if err != nil {
		return nil, usageError{err}
	}
	return d, nil
}

// tier names the instructions that the device uses.
func (p *placing) tier() string {
	tier, err := kernel.ParseTier(p.isa)
	if p.device.word == "ref" || err != nil {
		return kernel.Generic.String()
	}
	return tier.String()
}

// place puts a model on the chosen device, with a progress bar if that takes long.
func (p *placing) place(cmd *cobra.Command, m *deepseek.Model, caps op.Caps, trace bool) (*engine.Machine, error) {
	d, err := p.newDevice()
	if err != nil {
		return nil, err
	}
	backbone, drafter := m.Weights.Bytes()
	bar := newProgress(cmd.ErrOrStderr(), "loading", backbone+drafter, true)
	defer bar.Finish()
	return engine.Place(cmd.Context(), m, d, caps, trace, func(done int64) { bar.Set64(done) })
}

// newProgress makes a progress bar on a terminal; elsewhere it shows nothing.
func newProgress(w io.Writer, what string, total int64, bytes bool) *progressbar.ProgressBar {
	f, ok := w.(*os.File)
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetVisibility(ok && term.IsTerminal(int(f.Fd()))),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(true),
	)
}

// byteSize is a flag of an amount of memory.
type byteSize int64

var byteUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}}

func (b *byteSize) Set(text string) error {
	for _, unit := range byteUnits {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if bytes := n * float64(unit.bytes); err == nil && bytes >= 1 && bytes < 1<<62 {
			*b = byteSize(bytes)
			return nil
		}
		break
	}
	return errors.New("give a number and a unit, such as 12GiB, 1.5GiB or 256MiB")
}

func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return fmt.Sprintf("%dB", *b)
}

// Type is what help shows behind the flag.
func (*byteSize) Type() string { return "size" }
