// Command build bundles the page: it reads web/src and the packages that web/package-lock.json names, and writes
// web/dist. With -check it writes nothing and fails where the committed dist is not what the sources give.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	web := flag.String("web", "web", "the folder with src and dist")
	check := flag.Bool("check", false, "compare with the committed dist instead of writing it")
	flag.Parse()
	if err := run(*web, *check); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(web string, check bool) error {
	if _, err := os.Stat(filepath.Join(web, "node_modules")); err != nil {
		return fmt.Errorf("no packages: %s: run npm ci there", web)
	}
	page, err := bundle(web)
	if err != nil {
		return err
	}
	dist := filepath.Join(web, "dist")
	if check {
		return compare(page, dist)
	}
	return write(page, dist)
}

// bundle makes the files of the page, by name.
func bundle(web string) (map[string][]byte, error) {
	root, err := filepath.Abs(web)
	if err != nil {
		return nil, err
	}
	result := api.Build(api.BuildOptions{
		AbsWorkingDir: root,
		EntryPointsAdvanced: []api.EntryPoint{
			{InputPath: "src/main.tsx", OutputPath: "baleen"},
			{InputPath: "src/styles/page.css", OutputPath: "baleen"},
		},
		Outdir:            "dist",
		Bundle:            true,
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		LegalComments:     api.LegalCommentsNone, // licences.txt has them whole
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		LineLimit:         400,
		Metafile:          true,
		LogLevel:          api.LogLevelSilent,
	})
	if len(result.Errors) > 0 {
		said := api.FormatMessages(slices.Concat(result.Errors, result.Warnings), api.FormatMessagesOptions{})
		return nil, errors.New(strings.Join(said, ""))
	}
	page := map[string][]byte{}
	for _, f := range result.OutputFiles {
		page[filepath.Base(f.Path)] = f.Contents
	}
	if err := addPlainFiles(page, filepath.Join(root, "src", "static")); err != nil {
		return nil, err
	}
	page["licences.txt"], err = licences(root, result.Metafile)
	return page, err
}

func addPlainFiles(page map[string][]byte, folder string) error {
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return err
		}
		page[entry.Name()] = text
	}
	return err
}

// compare tells the first file of dist that differs from the page.
func compare(page map[string][]byte, dist string) error {
	const mend = "run go run ./web/build and commit what it writes"
	entries, err := os.ReadDir(dist)
	if err != nil {
		return fmt.Errorf("page not built: %w: %s", err, mend)
	}
	for _, entry := range entries {
		if page[entry.Name()] == nil {
			return fmt.Errorf("not of the page: %s: %s", filepath.Join(dist, entry.Name()), mend)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(page)) {
		committed, err := os.ReadFile(filepath.Join(dist, name))
		if err != nil || !bytes.Equal(committed, page[name]) {
			return fmt.Errorf("not what the sources give: %s: %s", filepath.Join(dist, name), mend)
		}
	}
	return nil
}

// write makes dist hold the page and nothing else.
func write(page map[string][]byte, dist string) error {
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dist)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if page[entry.Name()] == nil {
			if err := os.Remove(filepath.Join(dist, entry.Name())); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(page)) {
		if err := os.WriteFile(filepath.Join(dist, name), page[name], 0o644); err != nil {
			return err
		}
		fmt.Printf("%8d %s\n", len(page[name]), name)
	}
	return nil
}
