package grammar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// value is a JSON value that keeps the order of its members and the spelling of its numbers.
type value struct {
	kind   kinds
	text   string // of a string; of a number, as it is spelt
	truth  bool
	items  []*value
	keys   []string
	fields map[string]*value
	canon  string // see canonical
}

// kinds is a set of the kinds of JSON values. A number that is an integer is of kind integer alone.
type kinds uint8

const (
	kindNull kinds = 1 << iota
	kindBoolean
	kindInteger
	kindFraction // a number that is no integer
	kindString
	kindArray
	kindObject

	kindNumber = kindInteger | kindFraction
	kindAny    = kindNull | kindBoolean | kindNumber | kindString | kindArray | kindObject
)

// parseValue reads a JSON text.
func parseValue(data []byte) (*value, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("bytes that are no UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := readValue(d, 0)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something behind the value")
	}
	return v, nil
}

func readValue(d *json.Decoder, depth int) (*value, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("more than %d levels", maxNesting)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case nil:
		return &value{kind: kindNull}, nil
	case bool:
		return &value{kind: kindBoolean, truth: t}, nil
	case string:
		return &value{kind: kindString, text: t}, nil
	case json.Number:
		return readNumber(t.String())
	}
	v := &value{kind: kindArray}
	if t == json.Delim('{') {
		v.kind, v.fields = kindObject, map[string]*value{}
	}
	for d.More() {
		if err := v.readMember(d, depth); err != nil {
			return nil, err
		}
	}
	_, err = d.Token()
	return v, err
}

func (v *value) readMember(d *json.Decoder, depth int) error {
	key := ""
	if v.kind == kindObject {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key = t.(string)
	}
	item, err := readValue(d, depth+1)
	switch {
	case err != nil:
		return err
	case v.kind == kindArray:
		v.items = append(v.items, item)
		return nil
	case v.fields[key] == nil:
		v.keys = append(v.keys, key)
	}
	v.fields[key] = item
	return nil
}

// readNumber refuses numbers that are not finite as float64, which few programs can read.
func readNumber(text string) (*value, error) {
	if _, err := strconv.ParseFloat(text, 64); err != nil || len(text) > 400 {
		return nil, fmt.Errorf("the number %s, which is too large", quote(text))
	}
	v := &value{kind: kindFraction, text: text}
	if v.rat().IsInt() {
		v.kind = kindInteger
	}
	return v, nil
}

// rat is the value of a number. Its exponent is small, or so negative that it counts as zero.
func (v *value) rat() *big.Rat {
	if f, _ := strconv.ParseFloat(v.text, 64); f == 0 {
		return new(big.Rat)
	}
	r, ok := new(big.Rat).SetString(v.text)
	if !ok {
		return new(big.Rat)
	}
	return r
}

// canonical is a text that values have in common which JSON schema calls equal.
func (v *value) canonical() string {
	if v.canon == "" {
		var b strings.Builder
		v.writeCanonical(&b)
		v.canon = b.String()
	}
	return v.canon
}

func (v *value) writeCanonical(b *strings.Builder) {
	fmt.Fprintf(b, "%d", v.kind)
	switch v.kind {
	case kindBoolean:
		fmt.Fprint(b, v.truth)
	case kindInteger, kindFraction:
		b.WriteString(v.rat().String())
	case kindString:
		fmt.Fprintf(b, "%q", v.text)
	}
	b.WriteByte('(')
	for _, item := range v.items {
		b.WriteString(item.canonical())
	}
	for _, key := range slices.Sorted(slices.Values(v.keys)) {
		fmt.Fprintf(b, "%q", key)
		b.WriteString(v.fields[key].canonical())
	}
	b.WriteByte(')')
}

// write writes a value as JSON without spaces. Tags are broken by an escape, so that they are none in the text.
func (v *value) write(b *strings.Builder, tags []string) {
	switch v.kind {
	case kindNull:
		b.WriteString("null")
	case kindBoolean:
		b.WriteString(strconv.FormatBool(v.truth))
	case kindInteger, kindFraction:
		b.WriteString(v.text)
	case kindString:
		writeString(b, v.text, tags)
	case kindArray:
		b.WriteByte('[')
		for i, item := range v.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b, tags)
		}
		b.WriteByte(']')
	case kindObject:
		b.WriteByte('{')
		for i, key := range v.keys {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, key, tags)
			b.WriteByte(':')
			v.fields[key].write(b, tags)
		}
		b.WriteByte('}')
	}
}

// writeString writes a JSON string. All tags begin with <.
func writeString(b *strings.Builder, text string, tags []string) {
	b.WriteByte('"')
	for i, r := range text {
		switch e := escape(r); {
		case e != "":
			b.WriteString(e)
		case r == '<' && beginsWith(text[i:], tags):
			b.WriteString(`\u003c`)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

func beginsWith(text string, tags []string) bool {
	for _, tag := range tags {
		if strings.HasPrefix(text, tag) {
			return true
		}
	}
	return false
}
