package engine

import "baleen/internal/op"

// batch is what runs now. It is complete when it is made: nothing changes it afterwards, whatever happens to its sequences.
type batch struct {
	Rows  []op.Row
	Pages [][]int32 // by slot, for op.Program.Args

	// Wants are the sequences that want next tokens, in the order of the rows with Logits: each has the row of its last token,
	// and one for every guess behind it.
	Wants []want

	parts  []part
	logits int // rows with Logits
}

// want is a sequence that wants next tokens. The logits of its rows begin at row first of the program's output.
type want struct {
	*sequence
	first   int
	guesses []int32 // what ran behind its last token
}

// part is how many rows of a batch are a sequence's, and how many of these are guesses: the last ones.
type part struct {
	sequence      *sequence
	rows, guesses int
}

// take puts the next n tokens of a running sequence into the batch.
func (b *batch) take(q *sequence, n int) {
	b.parts = append(b.parts, part{sequence: q, rows: n})
	if q.length+n == len(q.tokens) {
		b.Wants = append(b.Wants, want{sequence: q, first: b.logits})
		b.logits++
	}
}

// guess puts what is guessed behind last tokens, at most so many rows, and returns how many.
func (b *batch) guess(most, context int) (rows int) {
	i := 0 // of Wants
	for k := range b.parts {
		p := &b.parts[k]
		if q := p.sequence; q.length+p.rows == len(q.tokens) {
			p.guesses = min(len(q.guesses), most-rows, q.room(context))
			b.Wants[i].guesses, b.Wants[i].first = q.guesses[:p.guesses], i+rows
			p.rows += p.guesses
			rows += p.guesses
			i++
		}
	}
	b.logits += rows
	return rows
}

// lay lists the rows, so many of them, and the pages by slot.
func (b *batch) lay(rows, slots int) {
	b.Rows, b.Pages = make([]op.Row, 0, rows), make([][]int32, slots)
	for _, p := range b.parts {
		q := p.sequence
		for i := q.length; i < q.length+p.rows-p.guesses; i++ {
			b.Rows = append(b.Rows, op.Row{Token: q.tokens[i], Slot: q.slot, Position: int32(i), Logits: i == len(q.tokens)-1})
		}
		for i, guess := range q.guesses[:p.guesses] {
			b.Rows = append(b.Rows, op.Row{Token: guess, Slot: q.slot, Position: int32(len(q.tokens) + i), Logits: true})
		}
		b.Pages[q.slot] = q.pages.Pages()
	}
}
