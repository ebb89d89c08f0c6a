package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/engine"
	"baleen/internal/op"
	"baleen/internal/serve"
	"baleen/internal/token"
)

// keepAlive is how often a waiting client hears something: often enough to show how far its prompt is read.
const keepAlive = 2 * time.Second

// up is a model that answers.
type up struct {
	model      *model
	checkpoint *checkpoint.Checkpoint
	loaded     *deepseek.Model
	tokenizer  *token.Tokenizer
	caps       op.Caps
	machine    *engine.Machine
	engine     *engine.Engine
	times      *timed

	checkpoints int64 // bytes for those of prefixes
}

func (u *up) close() {
	u.engine.Close()
	u.machine.Close()
	u.checkpoint.Close()
}

// open makes a model ready to answer.
func (s *serving) open(cmd *cobra.Command, name string) (u *up, err error) {
	u = &up{}
	if u.model, err = findModel(name); err != nil {
		return nil, err
	}
	if u.tokenizer, err = u.model.tokenizer(); err != nil {
		return nil, err
	}
	if u.checkpoint, u.loaded, err = s.load(u.model); err != nil {
		return nil, err
	}
	if err := s.start(cmd, u); err != nil {
		u.checkpoint.Close()
		return nil, err
	}
	return u, nil
}

// start puts a model on its device.
func (s *serving) start(cmd *cobra.Command, u *up) (err error) {
	if u.caps, u.checkpoints, err = s.caps(u.loaded); err != nil {
		return err
	}
	d, err := s.newDevice()
	if err != nil {
		return err
	}
	u.times = newTimed(d)
	backbone, drafter := u.loaded.Weights.Bytes()
	bar := newProgress(cmd.ErrOrStderr(), "loading", backbone+drafter, true)
	u.machine, err = engine.Place(cmd.Context(), u.loaded, u.times, u.caps, false, func(done int64) { bar.Set64(done) })
	bar.Finish()
	if err != nil {
		d.Close()
		return err
	}
	o := engine.Options{Queue: s.queue, Checkpoints: u.checkpoints}
	if s.kvDisk != "" {
		if o.Disk, err = s.openDisk(u); err != nil {
			u.machine.Close()
			return err
		}
	}
	u.engine = engine.Start(u.machine, u.tokenizer, o)
	return nil
}

// openDisk opens the folder that prefixes are kept in.
func (s *serving) openDisk(u *up) (*engine.Disk, error) {
	program, err := programDigest()
	if err != nil {
		return nil, err
	}
	size := int64(s.kvDiskSize)
	if size == 0 {
		size = serveDisk
	}
	identity := fmt.Sprintf("%s %s %s %s", u.checkpoint.Digest(), s.device.word, s.tier(), program)
	return u.machine.OpenDisk(s.kvDisk, size, identity, s.log)
}

// programDigest names this very build. Kernels have no number of their own: what another build left on disk is not trusted.
func programDigest() (string, error) {
	name, err := os.Executable()
	if err != nil {
		return "", fault("cannot find this program", err.Error(), "leave --kv-disk out")
	}
	f, err := os.Open(name)
	if err != nil {
		return "", fault("cannot read this program", fmt.Sprintf("%s (%s)", name, reason(err)), "make it readable, or leave --kv-disk out")
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fault("cannot read this program", fmt.Sprintf("%s (%s)", name, reason(err)), "leave --kv-disk out")
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// server makes the server of a model. How answers are sampled where a request does not say it, the model says.
func (u *up) server(s *serving, operation serve.Operation) (*serve.Server, error) {
	never := func() bool { return false }
	suggested := sampling{temperatureGiven: never, topPGiven: never, seedGiven: never}
	suggested.Temperature, suggested.TopP = 1, 1
	limits, err := suggested.limits(u.model, u.loaded.Config)
	if err != nil {
		return nil, err
	}
	operation.Times = u.times.read
	operation.Memory = u.memory()
	operation.PageBytes = int64(u.machine.PageBytes())
	operation.CacheBytes = operation.PageBytes*int64(u.caps.Pages) + u.checkpoints
	return serve.New(serve.Options{
		Engine: u.engine, Tokenizer: u.tokenizer, Model: s.modelName(u.model), Context: min(u.caps.Context, u.caps.Pages*op.PageSize),
		BOS: u.loaded.Config.BOS, EOS: u.loaded.Config.EOS, Encoding: encodingOf(u.loaded.Config),
		Think: u.model.name != demoName, Sampling: limits.Sampling, KeepAlive: keepAlive, Operation: operation,
	})
}

// memory is what the model and its state take, in bytes.
func (u *up) memory() map[string]int64 {
	backbone, drafter := u.loaded.Weights.Bytes()
	size := stateSize(u.loaded, u.caps)
	return map[string]int64{
		"weights": backbone + drafter,
		"state":   size.Slot*int64(u.caps.Slots) + int64(u.machine.PageBytes())*int64(u.caps.Pages),
	}
}

func (s *serving) modelName(m *model) string {
	if s.servedAs != "" {
		return s.servedAs
	}
	return filepath.Base(m.name)
}
