package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"baleen/internal/token"
)

func newDetokenize() *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:   "detokenize MODEL [IDS]",
		Short: "Turn token ids into text",
		Long: `Detokenize writes the text of IDS, or of standard input: a JSON array, or numbers with blanks between. No newline
is added. What the tokens leave as invalid UTF-8 becomes U+FFFD; --bytes writes it as it is.`,
		Example: `  baleen detokenize demo "[72, 101]"
  baleen detokenize demo 72 101
  baleen tokenize demo < story.txt | baleen detokenize demo`,
		Args:              arguments(1, -1),
		ValidArgsFunction: completeModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := loadTokenizer(args[0])
			if err != nil {
				return err
			}
			ids, err := idsArgument(cmd, args[1:])
			if err != nil {
				return err
			}
			if raw {
				return writeTokenBytes(cmd, t, ids)
			}
			text, err := t.Decode(ids)
			if err != nil {
				return err
			}
			return write(cmd, []byte(text))
		},
	}
	cmd.Flags().BoolVar(&raw, "bytes", false, "write the tokens' bytes, valid UTF-8 or not")
	return cmd
}

func writeTokenBytes(cmd *cobra.Command, t *token.Tokenizer, ids []int32) error {
	if _, err := t.Decode(ids); err != nil {
		return err
	}
	var data []byte
	for _, id := range ids {
		b, _ := t.Bytes(id)
		data = append(data, b...)
	}
	return write(cmd, data)
}

// idsArgument returns the ids that a command is given, or those on standard input.
func idsArgument(cmd *cobra.Command, args []string) ([]int32, error) {
	if len(args) > 0 {
		return parseIDs("IDS", strings.Join(args, " "))
	}
	data, err := readInput(cmd)
	if err != nil {
		return nil, err
	}
	return parseIDs("standard input", string(data))
}

// parseIDs reads a JSON array of ids, or ids with blanks between.
func parseIDs(where, text string) ([]int32, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "[") {
		return parseIDArray(where, text)
	}
	words := strings.Fields(text)
	ids := make([]int32, len(words))
	for i, word := range words {
		id, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return nil, fault("bad ids", fmt.Sprintf("%s, word %d: %s", where, i+1, strconv.Quote(word[:min(len(word), 40)])), "give whole numbers with blanks between, or a JSON array")
		}
		ids[i] = int32(id)
	}
	return ids, nil
}

func parseIDArray(where, text string) ([]int32, error) {
	var numbers []*int32
	err := json.Unmarshal([]byte(text), &numbers)
	ids := make([]int32, len(numbers))
	for i, n := range numbers {
		if n == nil {
			err = errors.New("null")
			break
		}
		ids[i] = *n
	}
	if err != nil {
		return nil, fault("bad ids", where+" is no JSON array of token ids", "give whole numbers, as [72, 101]")
	}
	return ids, nil
}
