package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/device/ref"
	"baleen/internal/engine"
	"baleen/internal/op"
)

// placing is how a model is put on a device: the flags that every command has which runs one.
type placing struct {
	numerics, device choice
	quirks           []string
}

func (p *placing) flags(cmd *cobra.Command) {
	p.numerics = choice{"reference", []string{"reference", "wide", "fast"}}
	p.device = choice{"ref", []string{"ref"}}
	cmd.Flags().Var(&p.numerics, "numerics", "arithmetic: as the official code quantises, float32 throughout, or the device's own")
	cmd.Flags().Var(&p.device, "device", "what to run on")
	cmd.Flags().StringSliceVar(&p.quirks, "quirk", nil, "behave as older code did: unclamped-shared, no-act-round, mtp-zero-first")
}

// load opens a model and binds its weights; nothing is read of them yet.
func (p *placing) load(m *model) (*checkpoint.Checkpoint, *deepseek.Model, error) {
	numerics, err := deepseek.ParseNumerics(p.numerics.word)
	if err != nil {
		return nil, nil, usageError{err}
	}
	if numerics == deepseek.Fast {
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
	return c, loaded, nil
}

// newDevice makes the device that was chosen.
func (p *placing) newDevice() device.Device { return ref.New() }

// place puts a model on the chosen device, with a progress bar if that takes long.
func (p *placing) place(cmd *cobra.Command, m *deepseek.Model, caps op.Caps, trace bool) (*engine.Machine, error) {
	backbone, drafter := m.Weights.Bytes()
	bar := newProgress(cmd.ErrOrStderr(), "loading", backbone+drafter, true)
	defer bar.Finish()
	return engine.Place(cmd.Context(), m, p.newDevice(), caps, trace, func(done int64) { bar.Set64(done) })
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
