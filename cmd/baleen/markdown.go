package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"unicode"

	"charm.land/glamour/v2"
	"charm.land/glamour/v2/styles"
	"github.com/rivo/uniseg"
	"golang.org/x/term"
)

// markdown writes an answer to a terminal while it is made: text as it comes, and each block (a paragraph, a list, a
// fenced piece of code) again in its proper form as soon as it is complete.
type markdown struct {
	to            io.Writer
	width, height int
	render        func(string) (string, error)

	block  strings.Builder // what is shown raw
	fenced string          // the fence that the block is within, or empty
	line   strings.Builder // of block, the line that is not complete
}

// newMarkdown returns a writer for a terminal, or nil where out is none.
func newMarkdown(out io.Writer) *markdown {
	f, ok := out.(*os.File)
	if !ok {
		return nil
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 20 || height < 4 {
		return nil
	}
	return markdownFor(out, width, height, os.Getenv("COLORFGBG"))
}

// markdownFor returns a writer for a terminal of a size. colours is what some terminals say about theirs, such as 15;0.
func markdownFor(out io.Writer, width, height int, colours string) *markdown {
	style := styles.DarkStyle
	if background := colours[strings.LastIndex(colours, ";")+1:]; background == "7" || background == "15" {
		style = styles.LightStyle
	}
	renderer, err := glamour.NewTermRenderer(glamour.WithStandardStyle(style), glamour.WithWordWrap(min(width, 100)))
	if err != nil {
		return nil // the text is shown as it is
	}
	return &markdown{to: out, width: width, height: height, render: renderer.Render}
}

// write shows text. Control characters, with which a model could write elsewhere on the screen, are left out.
func (m *markdown) write(text string) error {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
	for text != "" {
		piece, rest, whole := strings.Cut(text, "\n")
		if whole {
			piece += "\n"
		}
		text = rest
		m.block.WriteString(piece)
		m.line.WriteString(piece)
		if err := writeTo(m.to, strings.ReplaceAll(piece, "\t", "    ")); err != nil {
			return err
		}
		if whole && m.ends() {
			if err := m.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// ends takes a complete line, and tells whether the block ends with it: at an empty line, or with a fence that is closed.
func (m *markdown) ends() bool {
	line := strings.TrimSpace(m.line.String())
	m.line.Reset()
	if m.fenced != "" {
		closed := strings.HasPrefix(line, m.fenced) && strings.Trim(line, m.fenced[:1]) == ""
		if closed {
			m.fenced = ""
		}
		return closed
	}
	for _, mark := range []string{"```", "~~~"} {
		if strings.HasPrefix(line, mark) {
			m.fenced = line[:len(line)-len(strings.TrimLeft(line, mark[:1]))]
			return false
		}
	}
	return line == ""
}

// flush shows what is raw in its proper form. A block that is higher than the screen stays as it is: what scrolled away
// cannot be written over.
func (m *markdown) flush() error {
	raw := m.block.String()
	m.block.Reset()
	m.line.Reset()
	m.fenced = ""
	if strings.TrimSpace(raw) == "" {
		return nil
	}
	rows := m.rows(raw)
	rendered, err := m.render(raw)
	if err != nil || rows >= m.height {
		return nil
	}
	back := "\r"
	if rows > 0 {
		back = strings.Repeat("\x1b[A", rows) + "\r"
	}
	return writeTo(m.to, back+"\x1b[J"+tidy(rendered)+"\n\n")
}

var (
	lineEnd  = regexp.MustCompile(`( |\x1b\[[0-9;]*m)+\n`)
	textEdge = regexp.MustCompile(`^(\s|\x1b\[[0-9;]*m)*\n|(\s|\x1b\[[0-9;]*m)+$`)
)

// tidy takes from a rendered block the blanks that fill its lines up, and the empty lines around it.
func tidy(rendered string) string {
	return textEdge.ReplaceAllString(lineEnd.ReplaceAllString(rendered, plain+"\n"), "") + plain
}

// rows is by how many rows the cursor is below the one where text began.
func (m *markdown) rows(text string) (rows int) {
	lines := strings.Split(strings.ReplaceAll(text, "\t", "    "), "\n")
	for i, line := range lines {
		width := uniseg.StringWidth(line)
		if i < len(lines)-1 {
			rows++
		}
		rows += max(0, width-1) / m.width
	}
	return rows
}
