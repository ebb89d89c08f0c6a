package main

import (
	"fmt"
	"slices"
	"strings"
)

// choice is a flag that takes one word of some.
type choice struct {
	word  string
	words []string
}

func (c *choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		return fmt.Errorf("not one of %s", c.list())
	}
	c.word = word
	return nil
}

func (c *choice) String() string { return c.word }

// Type is what help shows behind the flag.
func (c *choice) Type() string { return strings.Join(c.words, "|") }

// list reads as a sentence: a, b or c.
func (c *choice) list() string {
	last := len(c.words) - 1
	return strings.Join(c.words[:last], ", ") + " or " + c.words[last]
}
