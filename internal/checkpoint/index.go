package checkpoint

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// indexName is the file that tells which shard holds which tensor (formats spec 1.2).
const indexName = "model.safetensors.index.json"

// index is its weight_map: tensor name to shard file name. total_size and all else in the file is advisory and unread.
type index map[string]string

// parseIndex reads the text of an index. It also returns the names of the shard files, sorted.
func parseIndex(text []byte) (weights index, shards []string, _ *Error) {
	if !utf8.Valid(text) {
		return nil, nil, &Error{Kind: invalidIndex, Found: "bytes that are no UTF-8", Want: "UTF-8 text"}
	}
	p := indexParser{scanner: scanner{text: text}}
	p.parse()
	for _, fault := range []*Error{p.err, p.fault} {
		if fault != nil {
			if fault.Kind == headerSyntax {
				fault.Kind = invalidIndex
			}
			return nil, nil, fault
		}
	}
	return p.weights, slices.Sorted(maps.Keys(p.names)), nil
}

type indexParser struct {
	scanner
	weights index
	names   map[string]string // one string per shard
	fault   *Error            // the first that is not one of syntax
}

func (p *indexParser) parse() {
	p.object(func(key []byte) {
		if string(key) != "weight_map" {
			p.skip()
			return
		}
		if p.weights != nil {
			p.note(&Error{Kind: invalidIndex, Found: "weight_map twice", Want: "every key once"})
		}
		p.weights, p.names = make(index, len(p.text)/128), map[string]string{}
		p.object(p.readEntry)
	})
	p.end()
	if len(p.weights) == 0 {
		p.note(&Error{Kind: invalidIndex, Found: "no tensor in weight_map", Want: "the names of all tensors"})
	}
}

func (p *indexParser) readEntry(key []byte) {
	name := string(key)
	text := p.string()
	shard, known := p.names[string(text)]
	if !known {
		shard = string(text)
		p.names[shard] = shard
		if !plainName(shard) {
			p.note(&Error{Kind: shardName, Tensor: name, Found: quote(shard), Want: "a plain file name"})
		}
	}
	if _, twice := p.weights[name]; twice {
		p.note(&Error{Kind: invalidIndex, Tensor: name, Found: "it twice", Want: "every key once"})
	}
	p.weights[name] = shard
	if len(p.weights) > maxTensors {
		p.failWith(tooManyTensors, fmt.Sprint("more than ", maxTensors), "an index with fewer")
	}
}

func (p *indexParser) note(fault *Error) {
	if p.fault == nil {
		p.fault = fault
	}
}

// plainName accepts names of files that lie beside the index: no path in any system's spelling, nothing unprintable.
func plainName(name string) bool {
	odd := func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`/\:`, r) }
	return name != "" && name != "." && !strings.Contains(name, "..") && !strings.ContainsFunc(name, odd)
}

// checkIndex compares what the index says with what the shards hold.
func (c *Checkpoint) checkIndex(weights index) *Error {
	for _, t := range c.tensors {
		if _, listed := weights[t.Name]; !listed {
			return &Error{Kind: tensorUnlisted, File: t.File(), Tensor: t.Name, Found: "no such key in weight_map", Want: "every tensor of a shard there"}
		}
	}
	var missing *Error
	for name, shard := range weights {
		t, stored := c.Tensor(name)
		if stored && t.shard.name == shard || missing != nil && missing.Tensor < name {
			continue // of several, the one to name is the first by name, in every run
		}
		missing = &Error{Kind: tensorMissing, File: c.path(shard), Tensor: name, Found: "no such tensor", Want: "it here, by weight_map"}
		if stored {
			missing.Found = "it in " + t.File()
		}
	}
	return missing
}
