// Package demo is a tiny trained model of the DeepSeek-V4 architecture, in the released format, inside the program. It uses
// every mechanism of the real ones and tells children's stories; model/README.md says how it was made and what it may be
// used for.
package demo

import (
	"embed"
	"io/fs"
)

//go:embed model
var files embed.FS

// Files returns the model's directory: config.json, model.safetensors, tokenizer.json and what else a release has. Its
// files are io.ReaderAt.
func Files() fs.FS {
	dir, err := fs.Sub(files, "model")
	if err != nil {
		panic(err) // "model" is a valid path
	}
	return dir
}
