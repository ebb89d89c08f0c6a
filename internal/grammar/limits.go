package grammar

import (
	"fmt"
	"strings"
)

// Bounds of what is compiled. They are far above what people write, and keep the worst input below about a second and a
// hundred megabytes.
const (
	maxInput    = 1 << 20  // bytes of a schema or grammar
	maxNesting  = 200      // of a schema, a pattern or a grammar's brackets
	maxNodes    = 200_000  // of a grammar
	maxShapes   = 512      // alternatives of one schema, multiplied out
	maxReadings = 200_000  // schemas looked at while alternatives are multiplied out
	maxMembers  = 5_000    // properties of an object, values of an enum
	maxRepeat   = 1 << 20  // a bound on items or characters above this is as good as none
	maxFragment = 40_000   // states of the nondeterministic automaton of one leaf
	maxStates   = 20_000   // states of one leaf
	maxTable    = 1 << 20  // transitions of one leaf
	maxWork     = 16 << 20 // steps of making all leaves of a grammar
	maxTables   = 8 << 20  // transitions of all leaves of a grammar
)

// maxToken is the most bytes of a token that takes part: few enough for where a token ends in a leaf to be an uint16.
const maxToken = 256

// Bounds of a walk. What is beyond is left out of the language.
const (
	maxDepth  = 500     // frames of a stack, where there is a way that is not deeper
	maxOpened = 4_096   // frames that may be read first where one is on top
	maxStacks = 512     // readings of an answer between two tokens
	maxVisits = 1 << 14 // frames that one mask or token looks at
	fewVisits = 1 << 12 // places of the vocabulary's tree that are tried one by one, before all are read at once
	maxSets   = 1 << 12 // sets of frames that a matcher remembers
	maxFrames = 100_000 // frames that a matcher remembers
	maxListed = 1 << 18 // tokens in the masks that a matcher remembers
)

// never is the cost of what cannot be completed.
const never = int32(1) << 29

// add adds costs.
func add(a, b int32) int32 { return min(a+b, never) }

// fault is the error of an input: what, where, and how to mend it, on one line.
func fault(what, where, found, mend string) error {
	return fmt.Errorf("bad %s: %s: %s: %s", what, where, found, mend)
}

// quote keeps a text from outside on one line and of a bearable length.
func quote(text string) string {
	const limit = 100
	for n := min(len(text), limit-10); ; n /= 2 {
		quoted := fmt.Sprintf("%q", strings.ToValidUTF8(text[:n], "?"))
		if n < len(text) {
			quoted += "..."
		}
		if len(quoted) <= limit || n == 0 {
			return quoted
		}
	}
}
