package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"baleen/internal/deepseek"
	"baleen/internal/device/cpu/kernel"
)

// versionInfo is what a report must say about the program that made it.
type versionInfo struct {
	Version  int      `json:"version"` // of this form
	Release  string   `json:"release"`
	Commit   string   `json:"commit"`   // empty where the build did not record it
	Modified bool     `json:"modified"` // the tree had changes on top of the commit
	Go       string   `json:"go"`
	Platform string   `json:"platform"`
	Tiers    []string `json:"tiers"`
	Numerics []string `json:"numerics"`
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which build this is and what it can do",
		Example: `  baleen version
  baleen version --json`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			info := buildVersion()
			if asJSON {
				return writeJSON(cmd, info)
			}
			return write(cmd, []byte(info.String()))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func buildVersion() versionInfo {
	info := versionInfo{
		Version: 1, Release: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	for t := kernel.Generic; t <= kernel.AVX512BF16; t++ {
		if t == kernel.Generic || runtime.GOARCH == "amd64" {
			info.Tiers = append(info.Tiers, t.String())
		}
	}
	for _, n := range []deepseek.Numerics{deepseek.Reference, deepseek.Wide, deepseek.Fast} {
		info.Numerics = append(info.Numerics, n.String())
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		info.Release = build.Main.Version
		for _, s := range build.Settings {
			switch s.Key {
			case "vcs.revision":
				info.Commit = s.Value
			case "vcs.modified":
				info.Modified = s.Value == "true"
			}
		}
	}
	return info
}

func (v versionInfo) String() string {
	commit := v.Commit
	switch {
	case commit == "":
		commit = "not recorded (build with -buildvcs=true inside the repository)"
	case v.Modified:
		commit += " with changes"
	}
	return fmt.Sprintf("baleen %s\ncommit    %s\ngo        %s %s\ntiers     %s\nnumerics  %s\n",
		v.Release, commit, v.Go, v.Platform, strings.Join(v.Tiers, " "), strings.Join(v.Numerics, " "))
}
