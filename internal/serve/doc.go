// Package serve speaks HTTP for an engine: the forms of OpenAI (chat, completions, responses), of Anthropic (messages) and
// DeepSeek's own paths. It is the only place that knows a wire form.
//
//	body → fields → ask ────────→ prompt → engine → answer → events → the wire form, as a stream or at once
//	       (fields.go) (ask.go,    (conversation.go, (answer.go)      (wire.go, sse.go)
//	                   openai.go,   replay.go)                         (openai_chat.go, completions.go,
//	                   responses.go,                                   responses_wire.go, anthropic_wire.go)
//	                   anthropic.go, tools.go, format.go)
//
// Every form becomes the same ask, and every answer the same events; a form only says how these are spelt. Unknown
// fields are ignored, wrong ones named.
//
// Before all of it stands a guard (guard.go): who may come in, how long a client is waited for, what is logged. What goes on is
// told by metrics.go, debug.go (for the page's live panel, and why a prompt was not in the cache), trace_otel.go (in builds with
// that tag) and watch.go, which looks for signs that state went wrong. page.go shows the page.
//
// Source: formats spec 5, and 4 for what lies between messages and text.
package serve
