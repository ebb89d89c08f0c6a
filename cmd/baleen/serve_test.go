package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/pflag"
)

// await waits until a file holds what a pattern describes, and keeps what the pattern's first group found in a variable:
// await FILE PATTERN [VARIABLE].
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: await FILE PATTERN [VARIABLE]")
	}
	pattern := regexp.MustCompile(args[1])
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(ts.MkAbs(args[0])) // it may not be there yet
		if found := pattern.FindSubmatch(text); found != nil {
			if len(args) == 3 {
				ts.Setenv(args[2], string(found[1]))
			}
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not come to hold %s: %q", args[0], args[1], text)
		}
	}
}

// fakeFlags are a few flags of each kind, for files of settings.
func fakeFlags() *pflag.FlagSet {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.String("addr", "default", "")
	flags.Int("slots", 1, "")
	flags.Bool("log-prompts", false, "")
	flags.StringSlice("cors", nil, "")
	flags.Duration("drain-timeout", time.Second, "")
	flags.Var(new(byteSize), "kv-memory", "")
	flags.Var(&choice{"info", []string{"info", "warn"}}, "log-level", "")
	flags.String("config", "", "")
	return flags
}

func TestConfig(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"nothing", "", "addr=default slots=1 log-prompts=false cors=[] drain-timeout=1s kv-memory= log-level=info model=demo"},
		{"a comment", "# nothing\n", "addr=default slots=1 log-prompts=false cors=[] drain-timeout=1s kv-memory= log-level=info model=demo"},
		{"all", "model: /m\naddr: 0.0.0.0:80\nslots: 4\nlog-prompts: true\ncors: [https://a, https://b]\ndrain-timeout: 2m\nkv-memory: 2GiB\nlog-level: warn\n",
			"addr=0.0.0.0:80 slots=4 log-prompts=true cors=[https://a,https://b] drain-timeout=2m0s kv-memory=2147483648B log-level=warn model=/m"},
		{"one of several", "cors: https://a", "addr=default slots=1 log-prompts=false cors=[https://a] drain-timeout=1s kv-memory= log-level=info model=demo"},
		{"unknown", "addr: x\nslotz: 4", "unknown setting: FILE line 2: slotz: "},
		{"config in config", "config: x", "unknown setting: FILE line 1: config: "},
		{"twice", "slots: 4\nslots: 5", "setting given twice: FILE line 2: slots: "},
		{"bad number", "slots: many", "bad setting: FILE line 1: slots: many: give a whole number"},
		{"bad word", "log-level: loud", "bad setting: FILE line 1: log-level: loud: give info or warn"},
		{"list for one", "slots: [1, 2]", "bad setting: FILE line 1: slots: give one value"},
		{"nested", "slots: {a: 1}", "bad setting: FILE line 1: slots: give a value"},
		{"a list", "- slots", "bad configuration: FILE is no list of flags"},
		{"no YAML", "a: [", "bad configuration: FILE (yaml: "},
		{"bomb", "a: &a [x, x]\nslots: [*a, *a]", "unknown setting: FILE line 1: a: "},
	} {
		file := filepath.Join(t.TempDir(), "FILE")
		if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		flags := fakeFlags()
		model := demoName
		got := ""
		if err := applyConfig(flags, file, &model); err != nil {
			got = strings.ReplaceAll(err.Error(), file, "FILE")
		} else {
			var text []string
			for _, name := range []string{"addr", "slots", "log-prompts", "cors", "drain-timeout", "kv-memory", "log-level"} {
				text = append(text, name+"="+flags.Lookup(name).Value.String())
			}
			got = strings.Join(append(text, "model="+model), " ")
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s\nexpected %s", c.name, got, c.want)
		}
	}
}

func TestFlagsWinOverConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "serve.yaml")
	if err := os.WriteFile(file, []byte("addr: file\nslots: 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := fakeFlags()
	if err := flags.Parse([]string{"--slots", "3"}); err != nil {
		t.Fatal(err)
	}
	model := ""
	if err := applyConfig(flags, file, &model); err != nil {
		t.Fatal(err)
	}
	if addr, slots := flags.Lookup("addr").Value.String(), flags.Lookup("slots").Value.String(); addr != "file" || slots != "3" {
		t.Errorf("addr %s, slots %s", addr, slots)
	}
}

func TestKeyFiles(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb\n":                 "a b",
		"# comment\n\n  a  \r\n": "a",
		"":                       "no keys",
		"# only\n":               "no keys",
		"two words\n":            "bad key: FILE line 1",
		"ok\nschlüssel\n":        "bad key: FILE line 2",
	} {
		file := filepath.Join(t.TempDir(), "FILE")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := readKeys(file)
		got := strings.Join(keys, " ")
		if err != nil {
			got = strings.ReplaceAll(err.Error(), file, "FILE")
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, expected %s", text, got, want)
		}
	}
}

// screen is the least of a terminal that shows what markdown writes: text, going up, and erasing to the end. Colours are left
// out. Lines are wrapped at the width.
type screen struct {
	rows   [][]rune
	row    int
	column int
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*([A-Za-z])")

func (s *screen) write(text string, width int) {
	for text != "" {
		for len(s.rows) <= s.row {
			s.rows = append(s.rows, nil)
		}
		if loc := escapes.FindStringSubmatchIndex(text); loc != nil && loc[0] == 0 {
			switch text[loc[2]:loc[3]] {
			case "A":
				s.row--
			case "J":
				s.rows = append(s.rows[:s.row], s.rows[s.row][:s.column])
			}
			text = text[loc[1]:]
			continue
		}
		c, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		switch {
		case c == '\n':
			s.row, s.column = s.row+1, 0
		case c == '\r':
			s.column = 0
		default:
			if s.column == width {
				s.row, s.column = s.row+1, 0
				s.rows = append(s.rows[:s.row], nil)
			}
			s.rows[s.row] = append(s.rows[s.row][:s.column], c)
			s.column++
		}
	}
}

// Blocks replace the raw text that they were made from, however the text was cut into pieces and wrapped, and nothing else.
func TestMarkdown(t *testing.T) {
	const width = 40
	text := "# Title\n\nSome *text* that is long enough to be wrapped at the width of this small terminal.\n\n- one\n- two\n\n```go\nfunc f() {\n\n}\n```\nAfter `code`.\n"
	var first string
	for size := 1; size < len(text); size += 3 {
		var out bytes.Buffer
		m := markdownFor(&out, width, 24, "")
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			if err := m.write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := m.flush(); err != nil {
			t.Fatal(err)
		}
		var s screen
		s.write(out.String(), width)
		shown := ""
		for _, row := range s.rows {
			shown += strings.TrimRight(string(row), " ") + "\n"
		}
		if first == "" {
			first = shown
			for _, want := range []string{"Title", "Some text that is long", "• one", "func f() {", "  After"} {
				if !strings.Contains(shown, want) {
					t.Errorf("no %q in\n%s", want, shown)
				}
			}
			for _, raw := range []string{"*text*", "```", "- one"} {
				if strings.Contains(shown, raw) {
					t.Errorf("%q is left in\n%s", raw, shown)
				}
			}
		}
		if shown != first {
			t.Fatalf("pieces of %d bytes show\n%s\nothers\n%s", size, shown, first)
		}
	}
}

// A model cannot steer the terminal.
func TestMarkdownLeavesOutControls(t *testing.T) {
	var out bytes.Buffer
	m := markdownFor(&out, 40, 24, "")
	if err := m.write("a\x1b]0;title\x07\x1b[2J\u009b2Jb"); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "a]0;title[2J2Jb" {
		t.Errorf("%q", got)
	}
}

// systemd hears how the service is, where it asked to; elsewhere nobody does.
func TestTellSystemd(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Skip(err) // no such sockets here
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	tellSystemd("READY=1")
	got := make([]byte, 64)
	n, err := l.Read(got)
	if err != nil || string(got[:n]) != "READY=1" {
		t.Errorf("%q %v", got[:n], err)
	}
	for _, nowhere := range []string{"", filepath.Join(t.TempDir(), "missing")} {
		t.Setenv("NOTIFY_SOCKET", nowhere)
		tellSystemd("READY=1")
	}
}
