package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"baleen/internal/chat"
)

// maxDepth bounds the nesting of a body. Tools' schemas are the deepest thing that anybody sends.
const maxDepth = 200

// object reads the fields of a JSON object. A field that is null counts as absent, one that nobody asks for is ignored,
// and of one that comes twice the last counts. The first fault is kept in *fault.
type object struct {
	path   string // of the fields, such as "messages[2]."; empty at the top
	fields map[string]json.RawMessage
	fault  **apiError
}

// readBody reads the body of a request.
func readBody(r *http.Request) (*object, *apiError) {
	data, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &apiError{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("body too large: the request: more than %d bytes: send less", tooLarge.Limit)}
	case err != nil:
		return nil, refuse("", "cannot read: the body: %s: send it whole", oneLine(err.Error()))
	case tooDeep(data):
		return nil, refuse("", "bad body: the request: brackets within brackets more than %d deep: make it flatter", maxDepth)
	}
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, refuse("", "bad body: the request: no JSON (%s): send a JSON object", oneLine(err.Error()))
	}
	var fault *apiError
	o := &object{fault: &fault}
	if o.open(raw); o.fields == nil {
		return nil, refuse("", "bad body: the request: found %s, expected an object: send a JSON object", chat.JSONKind(raw))
	}
	return o, nil
}

// tooDeep tells whether JSON is nested deeper than maxDepth, also where it is no JSON otherwise.
func tooDeep(data []byte) bool {
	depth, inText := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

func (o *object) open(data json.RawMessage) { _ = json.Unmarshal(data, &o.fields) }

// err is the first fault, or nil.
func (o *object) err() *apiError { return *o.fault }

// refuse notes the first fault, at a field.
func (o *object) refuse(field, format string, args ...any) {
	if *o.fault == nil {
		param := o.path + field
		*o.fault = refuse(param, "bad request: %s: %s", param, fmt.Sprintf(format, args...))
	}
}

// wrong notes that a field is not what it should be.
func (o *object) wrong(field, want string) {
	o.refuse(field, "found %s, expected %s", found(o.fields[field]), want)
}

func (o *object) has(field string) bool {
	value := o.fields[field]
	return value != nil && string(value) != "null"
}

// read reads a field into a variable and tells whether it was there and right.
func (o *object) read(field, want string, into any) bool {
	if !o.has(field) {
		return false
	}
	if json.Unmarshal(o.fields[field], into) != nil {
		o.wrong(field, want)
		return false
	}
	return true
}

func (o *object) text(field string) (text string) {
	o.read(field, "a string", &text)
	return text
}

// need is text that must be there and not be empty.
func (o *object) need(field, want string) string {
	text := o.text(field)
	if text == "" {
		o.wrong(field, want)
	}
	return text
}

// word is text that must be one of a few.
func (o *object) word(field string, words ...string) string {
	if !o.has(field) {
		return ""
	}
	text := o.text(field)
	for _, w := range words {
		if text == w {
			return text
		}
	}
	o.wrong(field, "one of "+strings.Join(words, ", "))
	return ""
}

func (o *object) flag(field string, absent bool) bool {
	o.read(field, "true or false", &absent)
	return absent
}

// number reads a number between two others, both included.
func (o *object) number(field string, absent, low, high float64) float64 {
	value := absent
	want := fmt.Sprintf("a number from %v to %v", low, high)
	if o.read(field, want, &value) && !(value >= low && value <= high) {
		o.wrong(field, want)
	}
	return value
}

// integer reads a whole number between two others, both included. It may be written as 16.0 or 1e3, as some clients do.
func (o *object) integer(field string, absent, low, high int64) int64 {
	var number json.Number
	want := fmt.Sprintf("a whole number from %d to %d", low, high)
	if !o.has(field) || o.fields[field][0] == '"' || !o.read(field, want, &number) {
		if o.has(field) {
			o.wrong(field, want)
		}
		return absent
	}
	value, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		f, err := number.Float64()
		if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			o.wrong(field, want)
			return absent
		}
		value = int64(f)
	}
	if value < low || value > high {
		o.wrong(field, want)
		return absent
	}
	return value
}

// child returns the object of a field, without fields where there is none.
func (o *object) child(field string) *object {
	c := &object{path: o.path + field + ".", fault: o.fault}
	if o.has(field) {
		if c.open(o.fields[field]); c.fields == nil {
			o.wrong(field, "an object")
		}
	}
	return c
}

// list returns the values of an array.
func (o *object) list(field string) (values []json.RawMessage) {
	o.read(field, "an array", &values)
	return values
}

// each calls use with every object of an array.
func (o *object) each(field string, use func(*object)) {
	for i, data := range o.list(field) {
		element := &object{path: fmt.Sprintf("%s%s[%d].", o.path, field, i), fault: o.fault}
		if element.open(data); element.fields == nil {
			o.refuse(fmt.Sprintf("%s[%d]", field, i), "found %s, expected an object", chat.JSONKind(data))
			return
		}
		use(element)
	}
}

// texts reads a string or an array of strings.
func (o *object) texts(field string) []string {
	if !o.has(field) {
		return nil
	}
	if o.fields[field][0] == '"' {
		return []string{o.text(field)}
	}
	var list []string
	for i, value := range o.list(field) {
		var text string
		if chat.JSONKind(value) != "a string" || json.Unmarshal(value, &text) != nil {
			o.refuse(fmt.Sprintf("%s[%d]", field, i), "found %s, expected a string", chat.JSONKind(value))
			return nil
		}
		list = append(list, text)
	}
	return list
}

// found says what a value is: a short one as it stands.
func found(value json.RawMessage) string {
	const short = 80
	if k := chat.JSONKind(value); k == "an object" || k == "an array" || k == "nothing" || len(value) > short {
		return k
	}
	return string(value)
}

// oneLine keeps a text of others on one line and short.
func oneLine(text string) string {
	const limit = 200
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
}
