package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"baleen/internal/checkpoint"
	"baleen/internal/device"
	"baleen/internal/qualify"
)

// qualification is what `baleen qualify` was asked for.
type qualification struct {
	placing
	tier  choice
	out   string
	seed  uint64
	fault string
}

func newQualify() *cobra.Command {
	var q qualification
	cmd := &cobra.Command{
		Use:   "qualify [MODEL]",
		Short: "Prove that what a device computes is right",
		Long: `Qualify compares a device with the specification: each op by itself over random and adversarial inputs, each op of the
demo model with what it meets there, far positions, and the demo whole, alone and in company. Of a MODEL it also looks at
every op. It writes report.json and report.txt, which say first what was not looked at.

The verdict is pass, partial (something that the model needs could not be looked at) or fail; only the last has exit
status 1. The tier gate takes at most half a minute, standard minutes, deep many of them; a large MODEL longer.`,
		Example: `  baleen qualify
  baleen qualify --device cpu --isa avx2 --out reports
  baleen qualify /models/DeepSeek-V4-Flash --tier standard`,
		Args:              arguments(0, 1),
		ValidArgsFunction: completeModel,
		RunE:              q.run,
	}
	q.device = choice{"cpu", []string{"cpu", "ref"}}
	q.tier = choice{"gate", []string{"gate", "standard", "deep"}}
	f := cmd.Flags()
	f.Var(&q.device, "device", "what to look at")
	f.StringVar(&q.isa, "isa", "auto", "instructions that the cpu device may use: auto, generic, avx2, avx512vnni or avx512bf16")
	f.Var(&q.tier, "tier", "how much to look at")
	f.StringVar(&q.out, "out", ".", "where to write report.json and report.txt")
	f.Uint64Var(&q.seed, "seed", 1, "what inputs are drawn from")
	if len(qualify.FaultNames()) > 0 {
		f.StringVar(&q.fault, "fault", "", "plant a fault around the device; list names them")
	}
	return cmd
}

func (q *qualification) run(cmd *cobra.Command, args []string) error {
	if q.fault == "list" {
		return write(cmd, []byte(strings.Join(qualify.FaultNames(), "\n")+"\n"))
	}
	subject := qualify.Subject{Open: q.open, ISA: q.placing.tier(), Seed: q.seed}
	for tier := qualify.Gate; tier <= qualify.Deep; tier++ {
		if tier.String() == q.tier.word {
			subject.Tier = tier
		}
	}
	if len(args) == 1 && args[0] != demoName {
		c, err := openForLook(args[0])
		if err != nil {
			return err
		}
		defer c.Close()
		subject.Model = c
	}
	subject.Progress = func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), oneLine(line)) }
	report, err := qualify.Run(cmd.Context(), subject)
	if err != nil {
		return err
	}
	if err := q.write(report); err != nil {
		return err
	}
	line := fmt.Sprintf("%s: %d of %d checks failed, %.1f s; see %s\n", report.Verdict, report.Failed(), len(report.Checks), report.Seconds, filepath.Join(q.out, "report.txt"))
	if err := write(cmd, []byte(line)); err != nil {
		return err
	}
	if report.Verdict == qualify.Fail {
		return fault("the device is not right", fmt.Sprintf("%d checks", report.Failed()), "read "+filepath.Join(q.out, "report.txt")+" and do not serve with this device")
	}
	return nil
}

// open makes the device, with the fault that is to be planted.
func (q *qualification) open(threads int) (device.Device, error) {
	p := q.placing
	p.threads = threads
	d, err := p.newDevice()
	if err != nil || q.fault == "" {
		return d, err
	}
	planted, err := qualify.Plant(q.fault, d)
	if err != nil {
		d.Close()
		return nil, usageError{err}
	}
	return planted, nil
}

// openForLook opens a model whose weights are there.
func openForLook(name string) (*checkpoint.Checkpoint, error) {
	m, err := findModel(name)
	if err != nil {
		return nil, err
	}
	p := placing{numerics: choice{word: "reference"}, device: choice{word: "ref"}}
	c, _, err := p.load(m)
	return c, err
}

// write puts both forms of the report into the folder.
func (q *qualification) write(report *qualify.Report) error {
	if err := os.MkdirAll(q.out, 0o755); err != nil {
		return fault("cannot write", fmt.Sprintf("%s (%s)", q.out, reason(err)), "check path and permissions")
	}
	for name, form := range map[string]func(io.Writer) error{"report.json": report.WriteJSON, "report.txt": report.WriteText} {
		path := filepath.Join(q.out, name)
		f, err := os.Create(path)
		if err == nil {
			err = errors.Join(form(f), f.Close())
		}
		if err != nil {
			return fault("cannot write", fmt.Sprintf("%s (%s)", path, reason(err)), "check path, permissions and disk")
		}
	}
	return nil
}
