package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// maxSettings bounds a file of settings or keys.
const maxSettings = 1 << 20

// readSettings reads a file of settings or keys.
func readSettings(name string) ([]byte, error) {
	dir, file := filepath.Split(name)
	if dir == "" {
		dir = "."
	}
	return readFile(os.DirFS(dir), dir, file, maxSettings)
}

// readKeys reads a file of keys, one per line. Empty lines and those that begin with # are none.
func readKeys(name string) (keys []string, err error) {
	data, err := readSettings(name)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, fault("bad key", fmt.Sprintf("%s line %d", name, n), "use printable ASCII without blanks")
		}
		keys = append(keys, line)
	}
	if err := lines.Err(); err != nil {
		return nil, fault("bad key", fmt.Sprintf("%s (%v)", name, err), "write one key per line")
	}
	if len(keys) == 0 {
		return nil, fault("no keys", name, "write one key per line, or leave --api-key-file out")
	}
	return keys, nil
}

// applyConfig sets the flags that a YAML file names and the command line does not. The key model names the MODEL.
func applyConfig(flags *pflag.FlagSet, name string, model *string) error {
	data, err := readSettings(name)
	if err != nil {
		return err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return fault("bad configuration", fmt.Sprintf("%s (%v)", name, err), "write lines of FLAG: VALUE")
	}
	if len(document.Content) == 0 {
		return nil // an empty file
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return fault("bad configuration", name+" is no list of flags", "write lines of FLAG: VALUE")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		where := fmt.Sprintf("%s line %d: %s", name, key.Line, key.Value)
		if seen[key.Value] {
			return fault("setting given twice", where, "leave one out")
		}
		seen[key.Value] = true
		if err := applySetting(flags, where, key.Value, value, model); err != nil {
			return err
		}
	}
	return nil
}

// applySetting sets one flag, to one value or to several.
func applySetting(flags *pflag.FlagSet, where, key string, value *yaml.Node, model *string) error {
	values := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		values = value.Content
	}
	flag := flags.Lookup(key)
	if key != "model" && (flag == nil || key == "config" || key == "help") {
		return fault("unknown setting", where, "see 'baleen serve --help': settings are its flags, and model")
	}
	for _, v := range values {
		if v.Kind != yaml.ScalarNode {
			return fault("bad setting", where, "give a value, or a list of values")
		}
	}
	switch {
	case key == "model":
		if value.Kind != yaml.ScalarNode {
			return fault("bad setting", where, "give one model")
		}
		*model = value.Value
		return nil
	case flag.Changed:
		return nil // the command line wins
	}
	_, several := flag.Value.(pflag.SliceValue)
	if value.Kind == yaml.SequenceNode && !several {
		return fault("bad setting", where, "give one value")
	}
	for _, v := range values {
		if err := flag.Value.Set(v.Value); err != nil {
			return fault("bad setting", where+": "+v.Value, fmt.Sprintf("give %s; see 'baleen serve --help'", wanted(flag)))
		}
	}
	return nil
}

// wanted says in words what a flag takes.
func wanted(flag *pflag.Flag) string {
	if c, ok := flag.Value.(*choice); ok {
		return c.list()
	}
	return aValue(flag.Value.Type())
}

// tellSystemd tells systemd how the service is, if it was systemd that started it and asked for it (Type=notify).
func tellSystemd(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	if name[0] == '@' {
		name = "\x00" + name[1:] // a name that is no file
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return // nobody waits for it
	}
	defer c.Close()
	_, _ = c.Write([]byte(state)) // as above
}
