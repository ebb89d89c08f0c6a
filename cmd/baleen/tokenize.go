package main

import (
	"fmt"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

func newTokenize() *cobra.Command {
	var special bool
	cmd := &cobra.Command{
		Use:   "tokenize MODEL [TEXT]",
		Short: "Turn text into token ids",
		Long: `Tokenize writes the ids of TEXT, or of standard input, as a JSON array. Nothing is trimmed, and no
begin-of-sentence is put in front. Control tokens that are written out in the text stay plain text, unless
--special is given.`,
		Example: `  baleen tokenize demo "Hello"
  baleen tokenize demo < story.txt
  baleen tokenize --special demo "<｜User｜>Hello<｜Assistant｜></think>"`,
		Args:              arguments(1, 2),
		ValidArgsFunction: completeModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := loadTokenizer(args[0])
			if err != nil {
				return err
			}
			text, err := textArgument(cmd, args[1:])
			if err != nil {
				return err
			}
			if special {
				return writeIDs(cmd, t.EncodeSpecial(text))
			}
			return writeIDs(cmd, t.Encode(text))
		},
	}
	cmd.Flags().BoolVar(&special, "special", false, "recognise control tokens in the text")
	return cmd
}

// textArgument returns the text that a command is given, or standard input. Which ids bytes have that are no UTF-8 is not
// defined, so they are refused.
func textArgument(cmd *cobra.Command, args []string) (string, error) {
	where, text := "TEXT", ""
	if len(args) > 0 {
		text = args[0]
	} else {
		data, err := readInput(cmd)
		if err != nil {
			return "", err
		}
		where, text = "standard input", string(data)
	}
	if !utf8.ValidString(text) {
		return "", fault("text is not UTF-8", fmt.Sprintf("%s, byte %d", where, invalidAt(text)), "convert it first, for example with iconv")
	}
	return text, nil
}

// invalidAt returns the offset of the first byte that is no UTF-8.
func invalidAt(text string) int {
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return i
			}
		}
	}
	return len(text)
}
