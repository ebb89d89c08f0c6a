package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/spf13/cobra"

	"baleen/internal/checkpoint"
	"baleen/internal/demo"
	"baleen/internal/token"
)

// demoName is how the model inside the program is asked for.
const demoName = "demo"

// maxTokenizer bounds a tokenizer.json: the largest released one has 8 MB.
const maxTokenizer = 64 << 20

// model is where a MODEL's files lie.
type model struct {
	name  string // as it was given
	files fs.FS
}

// findModel looks where MODEL is; it opens nothing.
func findModel(name string) (*model, error) {
	if name == demoName {
		return &model{name, demo.Files()}, nil
	}
	const mend = "name a directory with a checkpoint as released, or " + demoName
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault("no such model", name, mend)
	case err != nil:
		return nil, fault("cannot open the model", fmt.Sprintf("%s (%s)", name, reason(err)), mend)
	case !info.IsDir():
		return nil, fault("not a model", name+" is no directory", mend)
	}
	return &model{name, os.DirFS(name)}, nil
}

// reason is what the system said, without the path that the message has already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return err.Error()
}

// open opens the checkpoint.
func (m *model) open() (*checkpoint.Checkpoint, error) {
	if m.name == demoName {
		return checkpoint.OpenFS(m.files)
	}
	return checkpoint.Open(m.name)
}

// tokenizer reads the model's tokenizer.json, for which no weights need to be there.
func (m *model) tokenizer() (*token.Tokenizer, error) {
	const file = "tokenizer.json"
	data, err := readFile(m.files, m.name, file, maxTokenizer)
	if err != nil {
		return nil, err
	}
	t, err := token.Load(data)
	if err != nil {
		return nil, fmt.Errorf("cannot load the tokenizer: %s: %w", path.Join(m.name, file), err)
	}
	return t, nil
}

// loadTokenizer reads the tokenizer of a MODEL.
func loadTokenizer(name string) (*token.Tokenizer, error) {
	m, err := findModel(name)
	if err != nil {
		return nil, err
	}
	return m.tokenizer()
}

// readFile reads a file of a model, of at most limit bytes. What is no plain file is not waited for.
func readFile(files fs.FS, dir, name string, limit int64) ([]byte, error) {
	const mend = "check the path; if it is a model's, fetch it from where that came"
	where := path.Join(dir, name)
	info, err := fs.Stat(files, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault("file missing", where, mend)
	case err != nil:
		return nil, fault("cannot read", fmt.Sprintf("%s (%s)", where, reason(err)), "check path and permissions")
	case !info.Mode().IsRegular():
		return nil, fault("cannot read", where+" is no plain file", mend)
	case info.Size() > limit:
		return nil, fault("file too large", fmt.Sprintf("%s has %d bytes, at most %d are read", where, info.Size(), limit), mend)
	}
	data, err := readAll(files, name, limit)
	if err != nil {
		return nil, fault("cannot read", fmt.Sprintf("%s (%s)", where, reason(err)), "check path, permissions and disk")
	}
	return data, nil
}

// readAll reads a file that may have grown since it was looked at.
func readAll(files fs.FS, name string, limit int64) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// completeModel offers the demo and directories where a command's first argument is typed.
func completeModel(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []cobra.Completion{demoName}, cobra.ShellCompDirectiveFilterDirs
}
