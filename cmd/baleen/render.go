package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"baleen/internal/chat"
	"baleen/internal/deepseek"
	"baleen/internal/token"
)

const (
	maxMessages = 256 << 20 // bytes of a file of messages or tools
	maxConfig   = 16 << 20
)

// rendering is what `baleen render` was asked for.
type rendering struct {
	model                  string
	messages, tools        string // files
	mode, encoding, effort choice
	ids, parse, strict     bool
}

func newRender() *cobra.Command {
	r := rendering{
		mode:     choice{words: []string{string(chat.Thinking), string(chat.Chat)}},
		encoding: choice{words: []string{string(chat.V4), string(chat.V40731)}},
		effort:   choice{words: []string{"none", "low", "high", "max"}},
	}
	cmd := &cobra.Command{
		Use:   "render MODEL --mode thinking|chat (--messages FILE | --parse)",
		Short: "Turn messages into a prompt, or an answer into a message",
		Long: `Render writes the prompt for a file of messages: an array, or an object with "messages" and "tools". No newline is
added. With --ids it writes the prompt's token ids as a JSON array.

With --parse it reads what a model wrote from standard input, and writes the message that it means as JSON.

Without --encoding the model's config.json decides: v4-0731 for releases with a block drafter, else v4.`,
		Example: `  baleen render demo --mode chat --messages conversation.json
  baleen render demo --mode chat --messages conversation.json --ids
  baleen render demo --mode thinking --parse < answer.txt`,
		Args:              arguments(1, 1),
		ValidArgsFunction: completeModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.model = args[0]
			return r.run(cmd)
		},
	}
	cmd.Flags().StringVar(&r.messages, "messages", "", "a file of messages")
	cmd.Flags().Var(&r.mode, "mode", "whether the model thinks before it answers")
	cmd.Flags().Var(&r.encoding, "encoding", "the generation of the chat format")
	cmd.Flags().Var(&r.effort, "effort", "how hard to think")
	cmd.Flags().BoolVar(&r.ids, "ids", false, "write token ids")
	cmd.Flags().BoolVar(&r.parse, "parse", false, "read an answer from standard input instead")
	cmd.Flags().StringVar(&r.tools, "tools", "", "with --parse: a file with the array of tools that were offered")
	cmd.Flags().BoolVar(&r.strict, "strict", false, "with --parse: accept only what the reference accepts, to the letter")
	return cmd
}

// check finds flags that do not go together.
func (r *rendering) check() error {
	with := map[string]bool{
		"--messages": r.messages != "", "--encoding": r.encoding.word != "", "--effort": r.effort.word != "", "--ids": r.ids,
		"--tools": r.tools != "", "--strict": r.strict,
	}
	foreign := []string{"--tools", "--strict"}
	if r.parse {
		foreign = []string{"--messages", "--encoding", "--effort", "--ids"}
	}
	for _, flag := range foreign {
		switch {
		case with[flag] && r.parse:
			return misuse("flags do not go together", flag+" and --parse", "leave one out")
		case with[flag]:
			return misuse("flag without --parse", flag, "add --parse, or leave it out")
		}
	}
	switch {
	case r.mode.word == "":
		return misuse("flag missing", "--mode", "give "+r.mode.list())
	case r.messages == "" && !r.parse:
		return misuse("flag missing", "--messages", "name a file of messages, or give --parse")
	}
	return nil
}

func (r *rendering) run(cmd *cobra.Command) error {
	if err := r.check(); err != nil {
		return err
	}
	m, err := findModel(r.model)
	if err != nil {
		return err
	}
	if r.parse {
		reply, err := r.reply(cmd)
		if err != nil {
			return err
		}
		return write(cmd, append(reply.JSON(), '\n'))
	}
	prompt, err := r.prompt(m)
	if err != nil {
		return err
	}
	if r.ids {
		t, err := m.tokenizer()
		if err != nil {
			return err
		}
		ids, err := t.EncodePieces(prompt)
		if err != nil {
			return err
		}
		return writeIDs(cmd, ids)
	}
	var text []byte
	for _, piece := range prompt {
		text = append(text, piece.Text...)
	}
	return write(cmd, text)
}

// prompt renders the file of messages.
func (r *rendering) prompt(m *model) ([]token.Piece, error) {
	data, err := readPath(r.messages, maxMessages)
	if err != nil {
		return nil, err
	}
	request, err := chat.ReadMessages(data)
	if err != nil {
		return nil, fmt.Errorf("cannot use the messages: %s: %w", r.messages, err)
	}
	request.Mode, request.Effort, request.Encoding = chat.Mode(r.mode.word), r.effort.word, chat.Encoding(r.encoding.word)
	if request.Encoding == "" {
		if request.Encoding, err = m.encoding(); err != nil {
			return nil, err
		}
	}
	prompt, err := chat.Render(request)
	if err != nil {
		return nil, fmt.Errorf("cannot render: %s: %w", r.messages, err)
	}
	return prompt, nil
}

// reply parses what a model wrote.
func (r *rendering) reply(cmd *cobra.Command) (*chat.Reply, error) {
	options := chat.Options{Mode: chat.Mode(r.mode.word), EOS: true}
	if r.tools != "" {
		data, err := readPath(r.tools, maxMessages)
		if err != nil {
			return nil, err
		}
		if options.Tools, err = chat.ReadTools(data); err != nil {
			return nil, fmt.Errorf("cannot use the tools: %s: %w", r.tools, err)
		}
		options.NoTools = len(options.Tools) == 0
	}
	text, err := textArgument(cmd, nil)
	if err != nil {
		return nil, err
	}
	if r.strict {
		return chat.ParseStrict(text, options.Mode)
	}
	p := chat.NewParser(options)
	p.Feed([]byte(text))
	_, reply := p.Finish(false)
	return reply, nil
}

// readPath reads a plain file of at most limit bytes.
func readPath(name string, limit int64) ([]byte, error) {
	dir := filepath.Dir(name)
	return readFile(os.DirFS(dir), dir, filepath.Base(name), limit)
}

// encoding returns the chat format of a model by its config.json, for which no weights need to be there.
func (m *model) encoding() (chat.Encoding, error) {
	data, err := readFile(m.files, m.name, "config.json", maxConfig)
	if err != nil {
		return "", err
	}
	config, err := deepseek.ParseConfig(data)
	if err != nil {
		return "", fmt.Errorf("cannot tell the chat format: %s: %w", m.name, err)
	}
	return encodingOf(config), nil
}

// encodingOf: releases with a block drafter have the later chat format.
func encodingOf(config *deepseek.Config) chat.Encoding {
	if config.DSpark != nil {
		return chat.V40731
	}
	return chat.V4
}
