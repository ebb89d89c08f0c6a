package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxPart is the size in bytes of the parts of a file that are read as a whole. Real ones have less than 1000.
const maxPart = 1 << 16

// parser reads a tokenizer.json from front to end, so that what it holds is bounded by counts and not by what
// the file claims. The first fault sticks in err; every method then returns at once, and loops end.
type parser struct {
	dec  *json.Decoder
	err  error
	file file
}

func parse(data []byte) (*file, error) {
	p := &parser{dec: json.NewDecoder(bytes.NewReader(data))}
	seen := map[string]bool{}
	p.object("the file", func(key string) {
		seen[key] = true
		p.part(key)
	})
	if _, err := p.dec.Token(); p.err == nil && err != io.EOF {
		p.fail("the file", "more behind the end of the JSON", "nothing")
	}
	for _, key := range []string{"added_tokens", "normalizer", "pre_tokenizer", "decoder", "model"} {
		if !seen[key] {
			p.fail("the file", "no "+key, "one")
		}
	}
	return &p.file, p.err
}

// fail notes the first fault.
func (p *parser) fail(where, found, want string) {
	if p.err == nil {
		p.err = fault(where, found, want)
	}
}

// part reads the value of a key of the file.
func (p *parser) part(key string) {
	switch key {
	case "added_tokens":
		p.list(key, p.addedToken)
	case "normalizer":
		p.checkNormalizer()
	case "pre_tokenizer":
		p.checkPreTokenizer()
	case "decoder":
		p.checkDecoder()
	case "model":
		p.model()
	default:
		p.skip(quote(key))
	}
}

// object calls member for every key, which occurs once; member reads the value.
func (p *parser) object(where string, member func(key string)) {
	seen := map[string]bool{}
	p.delim(where, '{')
	for p.more() {
		key, _ := p.token(where).(string)
		if seen[key] {
			p.fail(where, "the key "+quote(key)+" twice", "every key once")
		}
		seen[key] = true
		if len(seen) > maxTokens {
			p.fail(where, fmt.Sprint("more than ", maxTokens, " entries"), "fewer")
		}
		if p.err == nil {
			member(key)
		}
	}
	p.delim(where, '}')
}

// list calls element for every index; element reads the value.
func (p *parser) list(where string, element func(i int)) {
	p.delim(where, '[')
	for i := 0; p.more(); i++ {
		if i == maxTokens {
			p.fail(where, fmt.Sprint("more than ", maxTokens, " entries"), "fewer")
			return
		}
		element(i)
	}
	p.delim(where, ']')
}

func (p *parser) more() bool { return p.err == nil && p.dec.More() }

func (p *parser) token(where string) json.Token {
	if p.err != nil {
		return nil
	}
	token, err := p.dec.Token()
	p.check(where, err)
	return token
}

func (p *parser) delim(where string, want json.Delim) {
	if token := p.token(where); token != want {
		p.fail(where, fmt.Sprintf("no %v", want), "it")
	}
}

// read reads a value into dst.
func (p *parser) read(where string, dst any) {
	if p.err == nil {
		p.check(where, p.dec.Decode(dst))
	}
}

// readPart reads a small value as a whole.
func (p *parser) readPart(where string, dst any) {
	var raw json.RawMessage
	p.read(where, &raw)
	if len(raw) > maxPart {
		p.fail(where, fmt.Sprintf("%d bytes", len(raw)), fmt.Sprint("at most ", maxPart))
	}
	if p.err == nil {
		p.check(where, json.Unmarshal(raw, dst))
	}
}

// ignored is a value that is only passed over; keeping it would double the memory.
type ignored struct{}

func (*ignored) UnmarshalJSON([]byte) error { return nil }

func (p *parser) skip(where string) { p.read(where, new(ignored)) }

// check turns an error of the JSON into ours.
func (p *parser) check(where string, err error) {
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
	case errors.As(err, &wrongType):
		kind, _, _ := strings.Cut(wrongType.Value, " ") // behind it may come the whole of a number
		p.fail(where, fmt.Sprintf("a wrong %s before byte %d", kind, p.dec.InputOffset()), "another type or range")
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		p.fail(where, "the end of the file", "more")
	default:
		p.fail(where, fmt.Sprintf("%v before byte %d", err, p.dec.InputOffset()), "JSON")
	}
}

func (p *parser) addedToken(i int) {
	where := fmt.Sprintf("added_tokens[%d]", i)
	a := addedToken{ID: -1}
	p.readPart(where, &a)
	p.checkID(where, a.ID)
	switch {
	case a.Content == "" || len(a.Content) > maxLiteral:
		p.fail(where, fmt.Sprintf("a literal of %d bytes", len(a.Content)), fmt.Sprint("1 to ", maxLiteral))
	case a.SingleWord || a.LStrip || a.RStrip:
		p.fail(where, "single_word, lstrip or rstrip", "none of them: baleen does not implement it")
	}
	p.file.added = append(p.file.added, a)
}

func (p *parser) checkID(where string, id int32) {
	if id < 0 || id >= maxID {
		p.fail(where, fmt.Sprintf("id %d", id), fmt.Sprint("0 to ", maxID-1))
	}
}

// model reads the BPE model.
func (p *parser) model() {
	var kind string
	p.object("model", func(key string) {
		switch key {
		case "type":
			p.read("model.type", &kind)
		case "vocab":
			p.vocab()
		case "merges":
			p.list("model.merges", p.merge)
		default:
			p.option(key)
		}
	})
	if kind != "BPE" {
		p.fail("model.type", quote(kind), quote("BPE"))
	}
}

// option checks an option of the model: those that change what BPE does must be off.
func (p *parser) option(key string) {
	where := "model." + key
	switch key {
	case "byte_fallback", "ignore_merges", "dropout", "continuing_subword_prefix", "end_of_word_suffix":
		var value any
		p.readPart(where, &value)
		if value != nil && value != false && value != 0.0 && value != "" {
			p.fail(where, quote(fmt.Sprint(value)), "it off: baleen does not implement it")
		}
	default:
		p.skip("model." + quote(key))
	}
}

func (p *parser) vocab() {
	p.file.vocab = map[string]int32{}
	const where = "model.vocab"
	p.delim(where, '{')
	for p.more() {
		token, _ := p.token(where).(string)
		id := int32(-1)
		p.read(where, &id)
		if _, seen := p.file.vocab[token]; seen || token == "" || len(p.file.vocab) == maxTokens {
			p.fail(where, fmt.Sprintf("entry %d: %s", len(p.file.vocab), quote(token)), fmt.Sprint("at most ", maxTokens, " different texts"))
		}
		p.checkID(where, id)
		p.file.vocab[token] = id
	}
	p.delim(where, '}')
}

// merge reads one merge, in either of the two forms: "left right" or ["left", "right"].
func (p *parser) merge(i int) {
	const where = "model.merges"
	var left, right string
	ok := true
	switch first := p.token(where).(type) {
	case string:
		left, right, ok = strings.Cut(first, " ")
		ok = ok && !strings.Contains(right, " ")
	default:
		if ok = first == json.Delim('['); ok {
			p.read(where, &left)
			p.read(where, &right)
			p.delim(where, ']')
		}
	}
	if !ok {
		p.fail(where, fmt.Sprintf("no pair at index %d", i), `"left right" or ["left", "right"]`)
	}
	p.file.merges = append(p.file.merges, [2]string{left, right})
}
