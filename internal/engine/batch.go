package engine

import "baleen/internal/op"

// batch is what runs now. It is complete when it is made: nothing changes it afterwards, whatever happens to its sequences.
type batch struct {
	Rows  []op.Row
	Pages [][]int32 // by slot, for op.Program.Args

	// Wants are the sequences that want a next token, in the order of the rows with Logits: the logits of row i of the
	// program's output belong to Wants[i].
	Wants []*sequence

	parts []part
}

// part is how many rows of a batch are a sequence's.
type part struct {
	sequence *sequence
	rows     int
}

// add puts the next n tokens of a running sequence into the batch.
func (b *batch) add(q *sequence, n int) {
	for i := q.length; i < q.length+n; i++ {
		last := i == len(q.tokens)-1
		b.Rows = append(b.Rows, op.Row{Token: q.tokens[i], Slot: q.slot, Position: int32(i), Logits: last})
		if last {
			b.Wants = append(b.Wants, q)
		}
	}
	b.Pages[q.slot] = q.pages.Pages()
	b.parts = append(b.parts, part{q, n})
}
