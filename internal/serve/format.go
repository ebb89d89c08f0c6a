package serve

import (
	"encoding/json"

	"baleen/internal/chat"
)

// format says what language the content of an answer is in.
type format struct {
	kind  formatKind
	text  string // the schema, pattern or grammar
	param string // the field that it is in
}

type formatKind int

const (
	freely formatKind = iota
	asObject
	asSchema
	asPattern
	asGrammar
)

// readFormat reads the format of an answer in the chat form, and as vLLM's and llama.cpp's clients say it.
func readFormat(o *object) (f format) {
	r := o.child("response_format")
	switch r.word("type", "text", "json_object", "json_schema") {
	case "json_object":
		f.kind = asObject
		if r.has("schema") { // llama.cpp's way
			f = r.schema("schema")
		}
	case "json_schema":
		f = r.child("json_schema").schema("schema")
	}
	for _, at := range []*object{o, o.child("structured_outputs")} {
		for _, way := range []struct {
			kind  formatKind
			names []string
		}{
			{asSchema, []string{"guided_json", "json_schema", "json"}},
			{asPattern, []string{"guided_regex", "regex"}},
			{asGrammar, []string{"guided_grammar", "grammar"}},
		} {
			for _, name := range way.names {
				if at.has(name) {
					f = format{way.kind, at.source(way.kind, name), at.path + name}
				}
			}
		}
	}
	return f
}

// schema reads the schema of an answer, which must be there.
func (o *object) schema(field string) format { return format{asSchema, o.value(field), o.path + field} }

// value returns the JSON of a field that must be there.
func (o *object) value(field string) string {
	if !o.has(field) {
		o.wrong(field, "a JSON schema")
	}
	return string(o.fields[field])
}

// source returns a schema, pattern or grammar. A schema may also be JSON in a string.
func (o *object) source(k formatKind, field string) string {
	if k == asSchema && chat.JSONKind(o.fields[field]) != "a string" {
		return o.value(field)
	}
	text := o.text(field)
	if k == asSchema && !json.Valid([]byte(text)) {
		o.wrong(field, "a JSON schema")
	}
	return text
}

// printed is what the prompt says of a format (formats spec 4.1 rule 7 and 4.8).
func (f format) printed() json.RawMessage {
	switch f.kind {
	case asObject:
		return json.RawMessage(`{"type": "json_object"}`)
	case asSchema:
		return json.RawMessage(f.text)
	}
	return nil
}
