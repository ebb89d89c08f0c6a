package token

// Piece is a part of a prompt: plain text, in which nothing is recognised as a control token whatever it looks like, or
// the literal of exactly one added token. Neighbouring plain pieces count as one text: tokens may span their border.
type Piece struct {
	Text    string
	Control bool
}
