// Package chat turns messages into the text that a DeepSeek-V4 model was trained on, and what the model writes back into
// a message. It is the only place that knows this family's chat format, and it holds the one internal form, Request, of
// all wire forms. Everything in it is a pure function of its input.
//
//	JSON → Request → merged, sorted, thinned → pieces          model output → deltas, Reply
//	(read.go)        (prepare.go)              (render.go)     (parser.go; the reference's rules: strict.go)
//
// The template writes control tokens as control pieces; text from outside is always plain, whatever it looks like, so
// that nobody can forge a turn.
//
// Source: formats spec 4 without 4.6 (images) and 4.9 (V4.1).
package chat
