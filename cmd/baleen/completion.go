package main

import (
	"bytes"

	"github.com/spf13/cobra"
)

func newCompletion() *cobra.Command {
	shells := choice{words: []string{"bash", "zsh", "fish", "powershell"}}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Write a script that completes baleen's words in a shell",
		Long:  "Completion writes a script for bash, zsh, fish or powershell. Load it from the shell's start file.",
		Example: `  source <(baleen completion bash)
  baleen completion zsh > "${fpath[1]}/_baleen"
  baleen completion fish > ~/.config/fish/completions/baleen.fish`,
		Args:      arguments(1, 1),
		ValidArgs: shells.words,
		RunE: func(cmd *cobra.Command, args []string) error {
			if shells.Set(args[0]) != nil {
				return misuse("unknown shell", args[0], "give "+shells.list())
			}
			var script bytes.Buffer
			if err := writeCompletion(cmd.Root(), &script, args[0]); err != nil {
				return err
			}
			return write(cmd, script.Bytes())
		},
	}
}

func writeCompletion(root *cobra.Command, script *bytes.Buffer, shell string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(script, true)
	case "zsh":
		return root.GenZshCompletion(script)
	case "fish":
		return root.GenFishCompletion(script, true)
	}
	return root.GenPowerShellCompletionWithDesc(script)
}
