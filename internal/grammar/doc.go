// Package grammar keeps an answer within a language: that of a JSON schema, of a regular expression, of a grammar in EBNF, or
// of the tool calls of this model family. It knows bytes and tokens, no model and no wire form.
//
//	schema, pattern, grammar, tools → nodes, automata over bytes → stacks of frames → the tokens that may come next
//	(schema.go, regex.go, ebnf.go,    (node.go, dfa.go)            (frame.go)        (mask.go, with vocabulary.go)
//	 tools.go)
//
// A language is a tree of nodes. What is regular in it and read byte by byte (the inside of a string, a number, a pattern)
// is a deterministic automaton in one node, a leaf; what nests is a stack of frames, each a node and how far it is read. An
// answer that is being written is a set of stacks, since its bytes may have several readings. The tokens that may come
// next are the union over the stacks: a literal, or some that are read as one (words, the keys of an object), is followed down
// the tree of the vocabulary; a leaf reads all of the tree at once, level by level, and what comes of that is remembered by its
// state; and what a token has behind the end of a leaf is tried on the frames below.
//
// # An answer is always completed
//
// Every frame knows its cost: a number of tokens in which the frame and those below it can be brought to their end. It
// is an upper bound of the fewest, made so that there is always a next token that brings it down:
//
//   - within a literal, the fewest tokens of the vocabulary that spell its rest: the first of them leads to a frame that costs
//     one less;
//   - within a leaf, the fewest bytes to its end, since every byte is a token of the vocabulary: the first of them leads to a
//     frame that costs one less (text.go says so of leaves that count characters);
//   - of anything else, the sum of its parts or the least of its alternatives, and the end token at the bottom: 1.
//
// Both steps add no cost below the frame that they change, and a set costs what its cheapest stack does. So: if a set costs
// at most left tokens, then there is a token behind which the set costs at most left-1, down to the end token alone at 1. Mask
// allows exactly the tokens behind which that holds. Where even the start costs more than left, the answer cannot be
// completed, and only those tokens are allowed that bring the cost down.
//
// What limits drop (limits.go) is dropped from alternatives, dearest first: the language becomes smaller, never empty and
// never larger.
package grammar
