package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"baleen/internal/demo"
	"baleen/internal/synth"
)

func newSynth() *cobra.Command {
	var o synth.Options
	shapes := []string{"v4-flash", "v4-pro", demoName}
	cmd := &cobra.Command{
		Use:   "synth v4-flash|v4-pro|demo DIR",
		Short: "Write a checkpoint of a real shape with random weights",
		Long: `Synth writes random weights in the released format, with the shapes of a release, into a new directory. The same
options and seed give the same bytes. Fewer layers, experts or ids make it smaller; picked layers keep their compression
and their way of routing.

With --sparse it writes headers and holes: a checkpoint of full size that takes next to no disk, to inspect and to plan
with. It cannot be run.`,
		Example: `  baleen synth v4-flash --pick 2,3 --experts 16 --vocab 4096 --seed 1 /tmp/small
  baleen synth v4-pro --sparse --mtp /tmp/pro
  baleen inspect /tmp/pro`,
		Args: arguments(2, 2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return shapes, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Shape = args[0]
			return synthesise(cmd, o, args[1])
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Layers, "layers", 0, "write the first so many layers")
	f.IntSliceVar(&o.Pick, "pick", nil, "write these layers, ascending")
	f.IntVar(&o.Experts, "experts", 0, "experts of a layer")
	f.IntVar(&o.Vocab, "vocab", 0, "token ids")
	f.BoolVar(&o.MTP, "mtp", false, "write the block that drafts, too")
	f.BoolVar(&o.Sparse, "sparse", false, "write headers and holes")
	f.Uint64Var(&o.Seed, "seed", 0, "of the random numbers")
	return cmd
}

func synthesise(cmd *cobra.Command, o synth.Options, dir string) error {
	if _, err := synth.Config(o); err != nil {
		return usageError{err}
	}
	if o.Shape == demoName && o.Vocab == 0 {
		o.Files = map[string][]byte{}
		for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
			data, err := readFile(demo.Files(), demoName, name, maxTokenizer)
			if err != nil {
				return err
			}
			o.Files[name] = data
		}
	}
	bar := newProgress(cmd.ErrOrStderr(), "writing", 1, true)
	err := synth.Write(cmd.Context(), dir, o, func(done, total int64) {
		bar.ChangeMax64(total)
		bar.Set64(done)
	})
	bar.Finish()
	if err != nil {
		return err
	}
	return write(cmd, []byte(fmt.Sprintf("%s\n", dir)))
}
