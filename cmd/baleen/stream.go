package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// maxInput bounds what is read from standard input as a whole.
const maxInput = 256 << 20

// readInput reads standard input to its end. An interrupt ends the wait.
func readInput(cmd *cobra.Command) ([]byte, error) {
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintln(cmd.ErrOrStderr(), "reading what you type, up to Ctrl-D on a line of its own")
	}
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(io.LimitReader(in, maxInput+1))
		done <- result{data, err}
	}()
	select {
	case <-cmd.Context().Done():
		return nil, cmd.Context().Err()
	case r := <-done:
		if r.err != nil {
			return nil, fault("cannot read", fmt.Sprintf("standard input (%s)", reason(r.err)), "check where it comes from")
		}
		if len(r.data) > maxInput {
			return nil, fault("input too long", fmt.Sprintf("standard input has more than %d bytes", maxInput), "give it in parts")
		}
		return r.data, nil
	}
}

// write writes to standard output.
func write(cmd *cobra.Command, data []byte) error {
	if _, err := cmd.OutOrStdout().Write(data); err != nil {
		return fault("cannot write", fmt.Sprintf("standard output (%s)", reason(err)), "check where it goes")
	}
	return nil
}

// writeJSON writes a value as JSON on one line.
func writeJSON(cmd *cobra.Command, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fault("cannot write as JSON", err.Error(), "this is a fault of baleen; report this line with the command")
	}
	return write(cmd, append(data, '\n'))
}

// writeIDs writes token ids as a JSON array, never null.
func writeIDs(cmd *cobra.Command, ids []int32) error {
	if ids == nil {
		ids = []int32{}
	}
	return writeJSON(cmd, ids)
}
