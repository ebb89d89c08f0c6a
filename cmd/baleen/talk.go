package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"golang.org/x/term"

	"baleen/internal/engine"
)

const talkHelp = `  /think     think before the next answers
  /nothink   answer at once
  /clear     forget the conversation
  /bye       end, as Ctrl-D does
Ctrl-C stops an answer. Pasted lines are one message. The arrow keys bring earlier lines back.
`

// talk is a conversation at a terminal.
func (s *session) talk(ctx context.Context) error {
	k := newKeyboard(s.aside)
	s.markdown = newMarkdown(s.out)
	fmt.Fprintln(s.aside, "(talk, or /help)")
	system := ""
	if len(s.request.Messages) > 0 {
		system = s.request.Messages[0].Content[0].Text
	}
	for {
		line, err := k.line(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return writeTo(s.out, "\n")
		case err != nil:
			return err
		}
		command := strings.TrimSpace(line)
		switch {
		case command == "":
		case command == "/bye":
			return nil
		case isCommand(command):
			s.command(command, system)
		default:
			if err := s.say(ctx, line); err != nil {
				return err
			}
		}
	}
}

var commandForm = regexp.MustCompile(`^/[a-z]+$`)

func isCommand(line string) bool { return commandForm.MatchString(line) }

func (s *session) command(command, system string) {
	switch command {
	case "/think", "/nothink":
		s.think(command == "/think")
		fmt.Fprintln(s.aside, map[bool]string{true: "(thinks before it answers)", false: "(answers at once)"}[command == "/think"])
	case "/clear":
		s.reset(system)
		fmt.Fprintln(s.aside, "(the conversation is forgotten)")
	case "/help":
		fmt.Fprint(s.aside, talkHelp)
	default:
		fmt.Fprintf(s.aside, "(no such command: %s: see /help)\n", command)
	}
}

// say answers one message. What goes wrong is told, and the conversation goes on; only the end of the program ends it.
func (s *session) say(ctx context.Context, message string) error {
	inner, release := withInterrupt(ctx)
	defer release()
	finish, err := s.answer(inner, message)
	if err == nil && !errors.Is(finish.Err, context.Canceled) {
		err = s.ending(finish)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		fmt.Fprintf(s.aside, "(%s)\n", oneLine(err.Error()))
	case finish.Err != nil:
		fmt.Fprintln(s.aside, "(stopped)")
	case finish.Reason == engine.AtMaxTokens:
		fmt.Fprintln(s.aside, "(as many tokens as --max-tokens says)")
	}
	if s.dim && !s.stats && err == nil && s.last.answer > 1 {
		fmt.Fprintf(s.aside, dim+"(%d tokens, %.1f tokens/s)"+plain+"\n", s.last.answer, rate(s.last.answer-1, s.last.answering))
	}
	return nil
}

// keyboard reads lines from the terminal, with editing and history.
type keyboard struct {
	*term.Terminal
	lines chan typed
}

type typed struct {
	line string
	err  error
}

func newKeyboard(echo io.Writer) *keyboard {
	k := &keyboard{lines: make(chan typed)}
	k.Terminal = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{keyReader{k}, echo}, ">>> ")
	return k
}

// line waits for the next line, or for the end of ctx. Pasted lines come as one. While it waits, the terminal is raw: keys
// come one by one, and Ctrl-C is a key.
func (k *keyboard) line(ctx context.Context) (string, error) {
	fd := int(os.Stdin.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return "", fault("cannot read keys", fmt.Sprintf("the terminal (%v)", err), "pipe the prompt in instead")
	}
	defer term.Restore(fd, before)
	k.SetBracketedPasteMode(true)
	defer k.SetBracketedPasteMode(false)
	if width, height, err := term.GetSize(fd); err == nil && width > 0 {
		k.SetSize(width, height)
	}
	go func() {
		line, err := k.read()
		select {
		case k.lines <- typed{line, err}:
		case <-ctx.Done():
		}
	}()
	select {
	case t := <-k.lines:
		return t.line, t.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// read joins the lines of a paste with the one that is typed after them.
func (k *keyboard) read() (string, error) {
	var pasted []string
	for {
		line, err := k.ReadLine()
		if errors.Is(err, term.ErrPasteIndicator) {
			pasted = append(pasted, line)
			continue
		}
		return strings.Join(append(pasted, line), "\n"), err
	}
}

// keyReader is the keys. Ctrl-C, at which the terminal would end, empties the line instead, and a line feed, as text has
// that was pasted or typed ahead, ends one.
type keyReader struct{ *keyboard }

const (
	ctrlC = 3
	ctrlE = 5  // to the end of the line
	ctrlU = 21 // erase all before
)

func (k keyReader) Read(p []byte) (int, error) {
	typed := make([]byte, max(1, len(p)/2)) // a key may become two
	n, err := os.Stdin.Read(typed)
	keys := p[:0]
	for _, key := range typed[:n] {
		switch {
		case key == '\n':
			keys = append(keys, '\r')
		case key != ctrlC:
			keys = append(keys, key)
		case len(p) > 1:
			keys = append(keys, ctrlE, ctrlU)
			k.Write([]byte("(Ctrl-D or /bye ends)\n"))
		}
	}
	return len(keys), err
}
