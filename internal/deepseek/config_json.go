package deepseek

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonObject is a JSON object. Values are json.Number, string, bool, nil, []any or jsonObject.
type jsonObject map[string]any

const (
	configName     = "config.json"
	maxConfigDepth = 32

	fetchConfig = "fetch the config.json of the release again"
	notThisKind = "this build runs models as DeepSeek-V4 was released; use one of those"
)

// configFault is every message about a configuration: what, where, and how to mend it, in one line.
func configFault(what, key, found, want, mend string) error {
	where := configName
	if key != "" {
		where += ": " + key
	}
	return fmt.Errorf("%s: %s: found %s, expected %s: %s", what, where, found, want, mend)
}

// parseObject reads text that is one JSON object. encoding/json accepts a key that comes twice and keeps the last; here
// it is an error, since nobody can say which was meant.
func parseObject(text []byte) (jsonObject, error) {
	if !utf8.Valid(text) {
		return nil, configFault("bad config", "", "bytes that are no UTF-8", "JSON", fetchConfig)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	value, err := parseValue(d, "", 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, configFault("bad config", "", fmt.Sprintf("more text at byte %d", d.InputOffset()), "the end", fetchConfig)
	}
	o, ok := value.(jsonObject)
	if !ok {
		return nil, configFault("bad config", "", describe(value), "a JSON object", fetchConfig)
	}
	return o, nil
}

func parseValue(d *json.Decoder, path string, depth int) (any, error) {
	if depth > maxConfigDepth {
		return nil, configFault("bad config", "", "values nested deeper than that", fmt.Sprint("at most ", maxConfigDepth, " levels"), fetchConfig)
	}
	token, err := d.Token()
	if err != nil {
		return nil, badJSON(d, err)
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := parseValue(d, path, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, closeValue(d)
	case json.Delim('{'):
		return parseMembers(d, path, depth)
	}
	return token, nil
}

func parseMembers(d *json.Decoder, path string, depth int) (jsonObject, error) {
	o := jsonObject{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, badJSON(d, err)
		}
		key := token.(string) // the decoder makes sure of that
		if _, twice := o[key]; twice {
			return nil, configFault("bad config", shorten(path+key), "the key twice", "it once", fetchConfig)
		}
		if o[key], err = parseValue(d, path+key+".", depth+1); err != nil {
			return nil, err
		}
	}
	return o, closeValue(d)
}

// closeValue reads the bracket that ends a list or an object.
func closeValue(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return badJSON(d, err)
	}
	return nil
}

func badJSON(d *json.Decoder, err error) error {
	found := err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		found = "the end of the text"
	}
	return configFault("bad config", "", fmt.Sprintf("%s at byte %d", oneLine(found), d.InputOffset()), "JSON", fetchConfig)
}

// describe shows a value in a message.
func describe(value any) string {
	switch v := value.(type) {
	case jsonObject:
		return "an object"
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	case json.Number:
		return shorten(v.String())
	case string:
		return shorten(strconv.Quote(v))
	}
	return strings.ReplaceAll(fmt.Sprint(value), "<nil>", "null")
}

// shorten keeps text from a file on one line of a bearable length.
func shorten(text string) string {
	const limit = 120
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	return oneLine(text)
}

func oneLine(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }) {
		return strconv.QuoteToASCII(text)
	}
	return text
}

// configReader takes values out of an object and checks each. The first fault sticks in err; what is read after it means
// nothing.
type configReader struct {
	jsonObject
	path string // of the object, with a dot behind it; empty at the top
	err  error
}

func (r *configReader) fail(key, found, want string) {
	if r.err == nil {
		r.err = configFault("wrong value", shorten(r.path+key), found, want, fetchConfig)
	}
}

// unsupported is for a value that may be right, but not for this program.
func (r *configReader) unsupported(key, found, want string) {
	if r.err == nil {
		r.err = configFault("cannot run this model", shorten(r.path+key), found, want, notThisKind)
	}
}

// get returns the value of a key that must be there.
func (r *configReader) get(key, want string) any {
	value, ok := r.jsonObject[key]
	if !ok && r.err == nil {
		r.err = configFault("missing key", r.path+key, "nothing", want, fetchConfig)
	}
	return value
}

// has tells a key with a value from one that is missing or null.
func (r *configReader) has(key string) bool { return r.jsonObject[key] != nil }

// integer reads a whole number from low to high.
func (r *configReader) integer(key string, low, high int) int {
	want := fmt.Sprintf("a whole number from %d to %d", low, high)
	return r.toInteger(key, r.get(key, want), low, high)
}

func (r *configReader) toInteger(key string, value any, low, high int) int {
	number, _ := value.(json.Number)
	n, err := strconv.Atoi(string(number))
	if err != nil || n < low || n > high {
		r.fail(key, describe(value), fmt.Sprintf("a whole number from %d to %d", low, high))
		return low
	}
	return n
}

// integers reads a list of least to most whole numbers from low to high.
func (r *configReader) integers(key string, least, most, low, high int) []int {
	value := r.get(key, "a list of whole numbers")
	list, ok := value.([]any)
	if !ok || len(list) < least || len(list) > most {
		r.fail(key, describe(value), fmt.Sprintf("a list of %d to %d whole numbers", least, most))
		return nil
	}
	numbers := make([]int, len(list))
	for i, value := range list {
		numbers[i] = r.toInteger(fmt.Sprintf("%s[%d]", key, i), value, low, high)
	}
	return numbers
}

// float reads a number from low to high. NaN and infinity have no JSON form, and what overflows to one is refused.
func (r *configReader) float(key string, low, high float64) float64 {
	want := fmt.Sprintf("a number from %g to %g", low, high)
	value := r.get(key, want)
	number, _ := value.(json.Number)
	x, err := strconv.ParseFloat(string(number), 64)
	if err != nil || math.IsNaN(x) || x < low || x > high {
		r.fail(key, describe(value), want)
	}
	return x
}

// one requires one of the values that this program knows the meaning of.
func (r *configReader) one(key string, known ...any) {
	names := make([]string, len(known))
	for i, value := range known {
		names[i] = describe(value)
	}
	want := strings.Join(names, " or ")
	if value := r.get(key, want); !slices.ContainsFunc(known, func(k any) bool { return sameScalar(k, value) }) {
		r.unsupported(key, describe(value), want)
	}
}

// optional is one where the key is there.
func (r *configReader) optional(key string, known ...any) {
	if r.has(key) {
		r.one(key, known...)
	}
}

// sameScalar compares scalars; numbers by their text, so 1 and 1.0 differ, which no release needs.
func sameScalar(known, value any) bool {
	switch value.(type) {
	case string, bool, json.Number:
		return known == value
	}
	return false
}

// inner returns a reader of the object under a key.
func (r *configReader) inner(key string) *configReader {
	o, ok := r.get(key, "an object").(jsonObject)
	if !ok {
		r.fail(key, describe(r.jsonObject[key]), "an object")
	}
	return &configReader{jsonObject: o, path: r.path + key + ".", err: r.err}
}
