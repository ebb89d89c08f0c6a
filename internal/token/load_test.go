package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

type object = map[string]any

// edit returns the demo's file with changes.
func edit(tb testing.TB, change func(file object)) []byte {
	tb.Helper()
	var file object
	if err := json.Unmarshal(read(tb, demoFile), &file); err != nil {
		tb.Fatal(err)
	}
	change(file)
	data, err := json.Marshal(file)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// oneLine wants an error that a user can read: one line, not long, that names want.
func oneLine(tb testing.TB, err error, want string) {
	tb.Helper()
	switch {
	case err == nil:
		tb.Errorf("no error, want one with %q", want)
	case strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 1000 || strings.Count(err.Error(), ": ") < 2:
		tb.Errorf("not a line of what, where and how to mend: %q", err)
	case !strings.Contains(err.Error(), want):
		tb.Errorf("%q does not name %q", err, want)
	}
}

func model(file object) object { return file["model"].(object) }
func vocab(file object) object { return model(file)["vocab"].(object) }

func splitStep(file object, i int) object {
	return file["pre_tokenizer"].(object)["pretokenizers"].([]any)[i].(object)
}

func addedEntry(file object, i int) object { return file["added_tokens"].([]any)[i].(object) }

func addMerge(file object, merge any) {
	model(file)["merges"] = append(model(file)["merges"].([]any), merge)
}

// faults are files that are JSON, but not of the kind that the package implements. The key is what the error names.
var faults = map[string]func(file object){
	"no added_tokens":                 func(f object) { delete(f, "added_tokens") },
	"no normalizer":                   func(f object) { delete(f, "normalizer") },
	"no pre_tokenizer":                func(f object) { delete(f, "pre_tokenizer") },
	"no decoder":                      func(f object) { delete(f, "decoder") },
	"no model":                        func(f object) { delete(f, "model") },
	`normalizer: found "NFC"`:         func(f object) { f["normalizer"] = object{"type": "NFC"} },
	`normalizer: found "Lowercase"`:   func(f object) { f["normalizer"].(object)["normalizers"] = []any{object{"type": "Lowercase"}} },
	"normalizer: found a wrong":       func(f object) { f["normalizer"] = 7 },
	`pre_tokenizer: found "ByteLevel`: func(f object) { f["pre_tokenizer"] = object{"type": "ByteLevel"} },
	`pre_tokenizer: found ""`:         func(f object) { f["pre_tokenizer"] = nil },
	"of 5 steps": func(f object) {
		p := f["pre_tokenizer"].(object)
		p["pretokenizers"] = append(p["pretokenizers"].([]any), object{"type": "Digits"})
	},
	"step 1: found the expression":      func(f object) { splitStep(f, 0)["pattern"] = object{"Regex": `\p{N}`} },
	"step 2: found the expression":      func(f object) { splitStep(f, 1)["pattern"] = object{"String": "a"} },
	`step 3: found "Split", "Removed`:   func(f object) { splitStep(f, 2)["behavior"] = "Removed" },
	"invert true":                       func(f object) { splitStep(f, 2)["invert"] = true },
	`step 1: found "Digits"`:            func(f object) { splitStep(f, 0)["type"] = "Digits" },
	`step 4: found "ByteLevel"`:         func(f object) { splitStep(f, 3)["add_prefix_space"] = true },
	`step 4: found "Metaspace"`:         func(f object) { splitStep(f, 3)["type"] = "Metaspace" },
	"without prefix space and expr":     func(f object) { splitStep(f, 3)["use_regex"] = true },
	"found \"ByteLevel\", expected":     func(f object) { delete(splitStep(f, 3), "use_regex") },
	`decoder: found "Metaspace"`:        func(f object) { f["decoder"] = object{"type": "Metaspace"} },
	`model.type: found "Unigram"`:       func(f object) { model(f)["type"] = "Unigram" },
	`model.type: found ""`:              func(f object) { delete(model(f), "type") },
	"model.byte_fallback":               func(f object) { model(f)["byte_fallback"] = true },
	"model.ignore_merges":               func(f object) { model(f)["ignore_merges"] = true },
	"model.dropout":                     func(f object) { model(f)["dropout"] = 0.1 },
	"model.continuing_subword_prefix":   func(f object) { model(f)["continuing_subword_prefix"] = "##" },
	"model.end_of_word_suffix":          func(f object) { model(f)["end_of_word_suffix"] = object{"a": 1} },
	"no token for byte 0x00":            func(f object) { delete(vocab(f), "Ā") },
	"no token for byte 0x61":            func(f object) { delete(vocab(f), "a") },
	"merge 1773: found":                 func(f object) { addMerge(f, "nowhere a") },
	`"qqq" and "zzz"`:                   func(f object) { addMerge(f, []any{"qqq", "zzz"}) },
	`"q" and "z"`:                       func(f object) { addMerge(f, "q z") },
	"no pair at index 1773":             func(f object) { addMerge(f, "ab") },
	"no pair at index":                  func(f object) { addMerge(f, "a b c") },
	"model.merges: found no ]":          func(f object) { addMerge(f, []any{"a", "b", "c"}) },
	"model.merges: found":               func(f object) { addMerge(f, []any{"a"}) },
	"no pair at":                        func(f object) { addMerge(f, nil) },
	"1 of 1774 twice":                   func(f object) { addMerge(f, "Ġ t") },
	"expected an id of its own":         func(f object) { vocab(f)["newtoken"] = 300 },
	"id 1048576":                        func(f object) { vocab(f)["newtoken"] = maxID },
	"id 5000 among":                     func(f object) { vocab(f)["newtoken"] = 5000 },
	"a wrong number":                    func(f object) { vocab(f)["newtoken"] = 1 << 40 },
	"wrong number":                      func(f object) { vocab(f)["newtoken"] = 1.5 },
	"a wrong string":                    func(f object) { vocab(f)["newtoken"] = "2048" },
	"id -1":                             func(f object) { vocab(f)["newtoken"] = nil },
	"different texts":                   func(f object) { vocab(f)[""] = 2048 },
	"model.vocab: found no {":           func(f object) { model(f)["vocab"] = []any{} },
	"model.merges: found no [":          func(f object) { model(f)["merges"] = object{} },
	"id -2":                             func(f object) { addedEntry(f, 3)["id"] = -2 },
	"added_tokens[3]: found id 1148576": func(f object) { addedEntry(f, 3)["id"] = maxID + 100_000 },
	"found it twice":                    func(f object) { addedEntry(f, 3)["content"] = "<think>" },
	"the id 2034 of another":            func(f object) { addedEntry(f, 3)["id"] = 2034 },
	"as in the vocabulary":              func(f object) { addedEntry(f, 0)["id"] = 2048 },
	"which \"<｜User｜>\" has, too":       func(f object) { vocab(f)["newtoken"] = 2032 },
	"literal of 0 bytes":                func(f object) { addedEntry(f, 3)["content"] = "" },
	"literal of 1025 bytes":             func(f object) { addedEntry(f, 3)["content"] = strings.Repeat("x", 1025) },
	"lstrip":                            func(f object) { addedEntry(f, 3)["lstrip"] = true },
	"rstrip":                            func(f object) { addedEntry(f, 3)["rstrip"] = true },
	"single_word":                       func(f object) { addedEntry(f, 3)["single_word"] = true },
	"added_tokens: found no [":          func(f object) { f["added_tokens"] = object{} },
	"bytes, expected at most 65536":     func(f object) { addedEntry(f, 3)["note"] = strings.Repeat("x", 70_000) },
}

func TestLoadFaults(t *testing.T) {
	for want, change := range faults {
		_, err := Load(edit(t, change))
		oneLine(t, err, want)
	}
}

func TestLoadText(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "the end of the file",
		"{}":                                     "no added_tokens",
		"[]":                                     "no {",
		`{"version":1,"version":1}`:              `the key "version" twice`,
		`{"model":{"type":"BPE","type":"BPE"}}`:  `the key "type" twice`,
		`{"model":{"vocab":{"a":1,"\u0061":2}}}`: `entry 1: "a"`,
		`{"a\nb":]}`:                             `"a\nb": found`,
		`{"model":{"a\nb":]}}`:                   `model."a\nb": found`,
		"{\"a\nb\":1}":                           `'\n'`,
		`{"model":`:                              "model: found the end of the file",
		"{\"\xff\":1}":                           "no UTF-8",
		string(read(t, demoFile)) + "0":          "more behind the end",
		string(read(t, demoFile)) + "}":          "more behind the end",
		`{"decoder":{"type":"` + "\\n" + `"}}`:   `decoder: found "\n"`,
		`{"model":{"merges":["a b", 7]}}`:        "index 1",
		`{"model":{"merges":[["a", 7]]}}`:        "wrong number",
	} {
		_, err := Load([]byte(text))
		oneLine(t, err, want)
	}
}

// Forms of the file that mean the same.
func TestLoadVariants(t *testing.T) {
	want := demo(t).EncodeSpecial(article + "<｜User｜>")
	for name, data := range map[string][]byte{
		"compact":            edit(t, func(object) {}),
		"no normaliser":      edit(t, func(f object) { f["normalizer"] = nil }),
		"keys of later days": edit(t, func(f object) { f["new\nkey"], model(f)["new\nkey"] = object{"a": []any{}}, 7 }),
		"options off":        edit(t, func(f object) { model(f)["dropout"], model(f)["end_of_word_suffix"] = 0.0, "" }),
		"merges as pairs": edit(t, func(f object) {
			merges := model(f)["merges"].([]any)
			for i, merge := range merges {
				merges[i] = strings.Split(merge.(string), " ")
			}
		}),
	} {
		tokenizer, err := Load(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := tokenizer.EncodeSpecial(article + "<｜User｜>"); !slices.Equal(got, want) {
			t.Errorf("%s: other ids", name)
		}
	}
}

// An id that no token has is no fault as long as the file has few of them; it stands for nothing. A token with a character
// outside the byte alphabet stands for itself, as in the reference's decoder.
func TestLoadOddTokens(t *testing.T) {
	const odd = "Ġ中a"
	tokenizer := load(t, edit(t, func(f object) { vocab(f)[odd] = 2050 }))
	_, gap := tokenizer.Bytes(2049)
	last, ok := tokenizer.Bytes(2050)
	if tokenizer.Vocab() != 2051 || gap || !ok || string(last) != odd {
		t.Errorf("%d ids, gap %v, last %q, %v", tokenizer.Vocab(), gap, last, ok)
	}
}

// wild returns files that are hardly JSON, most of 2 MiB, and some made to be dear.
func wild(t *testing.T) map[string][]byte {
	const size = 2 << 20
	demo := read(t, demoFile)
	random := make([]byte, size)
	source := rand.New(rand.NewPCG(15, 16))
	for i := range random {
		random[i] = byte(source.Uint32())
	}
	ascii := bytes.Clone(random)
	for i := range ascii {
		ascii[i] = ` {}[]",:0e-tn\a`[ascii[i]%15]
	}
	repeat := func(front, middle string) []byte {
		return append([]byte(front), strings.Repeat(middle, size/len(middle))...)
	}
	files := map[string][]byte{
		"nothing": nil, "random": random, "random characters": ascii, "null": []byte("null"), "list": []byte("[]"), "text": []byte(`"a"`), "empty": []byte("{}"),
		"zeros": make([]byte, size), "spaces": repeat("", " "), "too large": make([]byte, maxFile+1),
		"deep": repeat("", "["), "deep objects": repeat("", `{"a":`), "deep value": repeat(`{"a":`, "["), "deep normaliser": repeat(`{"normalizer":`, `{"a":`),
		"deep vocabulary": repeat(`{"model":{"vocab":{"a":`, "["), "deep merges": repeat(`{"model":{"merges":`, "["), "deep tokens": repeat(`{"added_tokens":`, "["),
		"long number": repeat(`{"model":{"vocab":{"a":`, "9"), "long id": append(repeat(`{"added_tokens":[{"id":`, "9"), '}'), "long key": append(repeat(`{"`, "k"), `":]`...),
		"long model key": append(repeat(`{"model":{"`, "k"), `":{]`...), "long merge": append(repeat(`{"model":{"merges":["`, " "), '"'),
		"many merges": repeat(`{"model":{"merges":[`, `"",`), "wide merge": repeat(`{"model":{"merges":[[`, `"",`), "empty merges": repeat(`{"model":{"merges":[`, `" ",`),
		"wide steps": append(repeat(`{"pre_tokenizer":{"type":"Sequence","pretokenizers":[`, `{},`), `{}]}}`...), "many tokens": repeat(`{"added_tokens":[`, `{"id":1,"content":"a"},`),
		"escapes": append(repeat(`{"model":{"type":"`, `\u0000`), `"}}`...), "behind": append(bytes.Clone(demo), '0'), "twice": append(bytes.Clone(demo), demo...),
		"long type": append(repeat(`{"decoder":{"type":"`, "\\n"), `"}}`...),

		"latin letters": bytes.Replace(demo, []byte("<think>"), []byte("<thin\xe9>"), 1),
	}
	var many strings.Builder
	many.WriteString(`{"model":{"vocab":{`)
	for i := 0; many.Len() < size; i++ {
		fmt.Fprintf(&many, `"%d":%d,`, i, i)
	}
	files["many entries"] = []byte(many.String())
	for n := 0; n < len(demo)-1; n += 997 {
		files[fmt.Sprintf("truncated to %d", n)] = demo[:n]
	}
	return files
}

func TestLoadWild(t *testing.T) {
	files := wild(t)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		_, err := Load(files[name])
		took := time.Since(begin)
		runtime.ReadMemStats(&after)
		oneLine(t, err, "bad tokenizer")
		if took > time.Minute {
			t.Errorf("%s: took %v", name, took)
		}
		// In all, not at once: a buffer that doubles until it holds a part, and what the entries take.
		if got := after.TotalAlloc - before.TotalAlloc; got > 128<<20 {
			t.Errorf("%s: allocated %d MiB", name, got>>20)
		}
	}
}
