// Command baleen runs models of the DeepSeek-V4 class straight from their released checkpoints.
//
// Each command has a file of its own. This is the only place of the project that reads flags or the environment, and that
// names concrete devices.
package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(execute(newRoot(), os.Args[1:], os.Stderr))
}

// execute runs a command line and returns its exit status: 0 fine, 1 failed, 2 used wrongly. What is wrong is said in one
// line on stderr. The first interrupt ends the command's context, the second one the program.
func execute(root *cobra.Command, args []string, stderr io.Writer) int {
	ctx, stop := watchInterrupts()
	defer stop()
	root.SetArgs(args)
	root.SetErr(stderr)
	err := guard(func() error { return root.ExecuteContext(ctx) })
	if err != nil && ctx.Err() != nil {
		err = errInterrupted
	}
	return report(root, err, stderr)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "baleen",
		Short: "Run DeepSeek-V4-class models from their released checkpoints",
		Long: `Baleen runs models of the DeepSeek-V4 class straight from their released checkpoints.

MODEL is a directory with a checkpoint as released, or "demo": a tiny model inside this program.
Exit status: 0 fine, 1 failed, 2 used wrongly.`,
		Example: `  baleen run "Tell me a story about Mia and the kite."
  baleen inspect /models/DeepSeek-V4-Flash
  baleen tokenize demo "Hello"`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(newHelp())
	root.AddCommand(newRun(), newServe(), newPlan(), newBench(), newProbe(), newQualify(), newLogits(), newSynth(), newTokenize(), newDetokenize(), newRender(), newInspect(), newVersion(), newCompletion())
	return root
}

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Say how a command is used",
		Example: `  baleen help
  baleen help tokenize`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			about, _, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
