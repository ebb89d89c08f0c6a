package checkpoint

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
)

// entry is a header with the one tensor "t".
func entry(dtype, shape, offsets string) string {
	return fmt.Sprintf(`{"t":{"dtype":%q,"shape":%s,"data_offsets":%s}}`, dtype, shape, offsets)
}

const u8 = `{"dtype":"U8","shape":[1],"data_offsets":[0,1]}`

// Every check of formats spec 1.9, in its order, with the line that the user reads.
func TestBrokenHeaders(t *testing.T) {
	const where = "m.safetensors"
	for _, c := range []struct{ name, file, kind, want string }{
		{"empty file", "", "HeaderTooSmall", "file too short: m.safetensors: found 0 bytes, expected at least 8: the file is damaged or no safetensors file; fetch it again"},
		{"7 bytes", "1234567", "HeaderTooSmall", "file too short: m.safetensors: found 7 bytes, expected at least 8: "},
		{"2^63", "\x00\x00\x00\x00\x00\x00\x00\x80{}", "HeaderTooLarge", "header too large: m.safetensors: found a header of 9223372036854775808 bytes, expected at most 100000000: "},
		{"2^64-1", "\xff\xff\xff\xff\xff\xff\xff\xff{}", "HeaderTooLarge", "header too large: m.safetensors: found a header of 18446744073709551615 bytes, "},
		{"100,000,001", "\x01\xe1\xf5\x05\x00\x00\x00\x00{}", "HeaderTooLarge", "header too large: m.safetensors: found a header of 100000001 bytes, "},
		{"100,000,000 claimed", "\x00\xe1\xf5\x05\x00\x00\x00\x00{}", "InvalidHeaderLength", "header longer than its file: m.safetensors: found a header of 100000000 bytes, expected at most the 2 that follow: the file is cut short or no safetensors file; fetch it again"},
		{"one too long", "\x03\x00\x00\x00\x00\x00\x00\x00{}", "InvalidHeaderLength", "header longer than its file: m.safetensors: found a header of 3 bytes, expected at most the 2 that follow: "},
		{"no header", "\x00\x00\x00\x00\x00\x00\x00\x00", "InvalidHeaderStart", "header does not start as JSON: m.safetensors: found an empty header, expected '{': "},
		{"leading blank", container(` {}`, 0), "InvalidHeaderStart", "header does not start as JSON: m.safetensors: found byte 0x20, expected '{': "},
		{"array", container(`[]`, 0), "InvalidHeaderStart", "header does not start as JSON: m.safetensors: found byte 0x5b, expected '{': "},
		{"not UTF-8", container("{\"\xff\":0}", 0), "InvalidHeader", "header not UTF-8: m.safetensors: found bytes that are no UTF-8, expected UTF-8 text: the file is damaged; fetch it again"},

		{"cut", container(`{"t":{"dtype":"U8"`, 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found the end at byte 18 of the JSON, expected ',' or '}': the file is damaged; fetch it again`},
		{"only a brace", container(`{`, 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: found the end at byte 1 of the JSON, expected '"': `},
		{"text behind", container(`{} x`, 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: found 'x' at byte 3 of the JSON, expected the end: `},
		{"zero behind", container("{}\x00", 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: found '\x00' at byte 2 of the JSON, expected the end: `},
		{"trailing comma", container(`{"t":`+u8+`,}`, 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: found '}' at byte 53 of the JSON, expected '"': `},
		{"no tensor object", container(`{"t":[]}`, 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found '[' at byte 5 of the JSON, expected '{': `},
		{"single quotes", container(`{'t':{}}`, 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: found '\'' at byte 1 of the JSON, expected '"': `},
		{"newline in a name", container("{\"t\n\":{}}", 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: found '\n' at byte 3 of the JSON, expected a string without control characters: `},
		{"bad escape", container(`{"\x":{}}`, 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: found 'x' at byte 3 of the JSON, expected an escape: `},
		{"half a pair", container(`{"\ud800x":{}}`, 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: found 'x' at byte 8 of the JSON, expected a whole pair of surrogates: `},
		{"bad digit", container(`{"\u00g0":{}}`, 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: found 'g' at byte 6 of the JSON, expected a hexadecimal digit: `},
		{"unknown key", container(`{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"strides":[1]}}`, 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found the key "strides", expected dtype, shape and data_offsets: `},
		{"no shape", container(`{"t":{"dtype":"U8","data_offsets":[0,1]}}`, 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found an entry with keys missing, expected dtype, shape and data_offsets: `},
		{"metadata number", container(`{"__metadata__":{"n":1}}`, 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: found '1' at byte 21 of the JSON, expected '"': `},
		{"metadata null", container(`{"__metadata__":null}`, 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: found 'n' at byte 16 of the JSON, expected '{': `},
		{"negative", container(entry("U8", "[-1]", "[0,1]"), 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found '-' at byte 28 of the JSON, expected an integer of 0 or more: `},
		{"fraction", container(entry("U8", "[1.0]", "[0,1]"), 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found '.' at byte 29 of the JSON, expected ',' or ']': `},
		{"exponent", container(entry("U8", "[1]", "[0,1e0]"), 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found 'e' at byte 50 of the JSON, expected ']': `},
		{"leading zero", container(entry("U8", "[01]", "[0,1]"), 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found '0' at byte 28 of the JSON, expected an integer of 0 or more: `},
		{"2^63 elements", container(entry("U8", "[9223372036854775808]", "[0,1]"), 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found '9' at byte 28 of the JSON, expected an integer below 2^63: `},
		{"three offsets", container(entry("U8", "[1]", "[0,1,2]"), 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found ',' at byte 50 of the JSON, expected ']': `},
		{"rank 9", container(entry("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1), "TensorInvalidInfo", `bad tensor: m.safetensors: tensor "t": found more than 8 dimensions, expected at most 8: `},

		{"name twice", container(`{"t":`+u8+`,"t":`+u8+`}`, 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: found the key "t" twice, expected every key once: `},
		{"name twice, once escaped", container(`{"t":`+u8+`,"\u0074":`+u8+`}`, 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: found the key "t" twice, expected every key once: `},
		{"dtype twice", container(`{"t":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found the key "dtype" twice, expected every key once: `},
		{"metadata twice", container(`{"__metadata__":{},"__metadata__":{}}`, 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: found the key "__metadata__" twice, expected every key once: `},
		{"metadata key twice", container(`{"__metadata__":{"a":"","a":""}}`, 0), "InvalidHeaderDeserialization", `bad header: m.safetensors: found the key "a" twice, expected every key once: `},
		{"dtype unknown", container(entry("F8_E4M3FN", "[1]", "[0,1]"), 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found dtype "F8_E4M3FN", expected one that safetensors defines: `},
		{"dtype in lower case", container(entry("u8", "[1]", "[0,1]"), 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "t": found dtype "u8", expected one that safetensors defines: `},

		{"overflow", container(entry("U8", "[4294967296,4294967296]", "[0,1]"), 1), "ValidationOverflow", `tensor too large: m.safetensors: tensor "t": found U8 [4294967296 4294967296], expected fewer than 2^63 bits: the file is damaged; fetch it again`},
		{"overflow by size", container(entry("F64", "[1152921504606846976]", "[0,1]"), 1), "ValidationOverflow", `tensor too large: m.safetensors: tensor "t": found F64 [1152921504606846976], `},
		{"overflow before a zero", container(entry("U8", "[4294967296,4294967296,0]", "[0,0]"), 0), "ValidationOverflow", `tensor too large: m.safetensors: tensor "t": found U8 [4294967296 4294967296 0], `},
		{"half a byte", container(entry("F4", "[3]", "[0,2]"), 2), "TensorInvalidInfo", `bad tensor: m.safetensors: tensor "t": found F4 [3], 12 bits, expected whole bytes: `},
		{"two bits over", container(entry("F6_E2M3", "[3]", "[0,3]"), 3), "TensorInvalidInfo", `bad tensor: m.safetensors: tensor "t": found F6_E2M3 [3], 18 bits, expected whole bytes: `},
		{"size", container(entry("F32", "[2,2]", "[0,12]"), 12), "TensorInvalidInfo", `bad tensor: m.safetensors: tensor "t": found 12 bytes for F32 [2 2], expected 16: the file is damaged; fetch it again`},
		{"backwards", container(entry("U8", "[1]", "[1,0]"), 1), "InvalidOffset", `bad offsets: m.safetensors: tensor "t": found offsets [1, 0], expected the begin before the end: `},
		{"truncated", container(entry("F32", "[2]", "[0,8]"), 7), "MetadataIncompleteBuffer", `data incomplete: m.safetensors: tensor "t": found 7 bytes of data, expected 8 for this tensor to end in: the file is cut short or has bytes added; fetch it again`},
		{"far away", container(entry("U8", "[0]", "[9223372036854775807,9223372036854775807]"), 1), "MetadataIncompleteBuffer", `data incomplete: m.safetensors: tensor "t": found 1 bytes of data, expected 9223372036854775807 for `},
		{"hole in front", container(entry("U8", "[1]", "[1,2]"), 2), "InvalidOffset", `bad offsets: m.safetensors: tensor "t": found a hole: begin 1, expected 0: `},
		{"hole", container(`{"t":`+u8+`,"u":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3), "InvalidOffset", `bad offsets: m.safetensors: tensor "u": found a hole: begin 2, expected 1: `},
		{"overlap", container(`{"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"u":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), "InvalidOffset", `bad offsets: m.safetensors: tensor "u": found an overlap: begin 1, expected 2: `},
		{"empty tensor inside another", container(`{"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"u":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`, 2), "InvalidOffset", `bad offsets: m.safetensors: tensor "u": found an overlap: begin 1, expected 2: `},
		{"bytes behind", container(`{"t":`+u8+`}`, 2), "MetadataIncompleteBuffer", `data incomplete: m.safetensors: found 2 bytes of data, expected 1, where the last tensor ends: `},
		{"data of nobody", container(`{}`, 1), "MetadataIncompleteBuffer", `data incomplete: m.safetensors: found 1 bytes of data, expected 0, where the last tensor ends: `},

		{"syntax before duplicates", container(`{"t":`+u8+`,"t":`+u8+`]`, 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: found ']' at `},
		{"duplicates before types", container(`{"t":{"dtype":"X","shape":[1],"data_offsets":[0,1]},"t":`+u8+`}`, 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: found the key "t" twice`},
		{"types before sizes", container(`{"t":{"dtype":"U8","shape":[9],"data_offsets":[0,1]},"u":{"dtype":"X","shape":[1],"data_offsets":[0,1]}}`, 1), "InvalidHeaderDeserialization", `bad header: m.safetensors: tensor "u": found dtype "X"`},
		{"sizes before offsets", container(`{"t":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},"u":{"dtype":"U8","shape":[9],"data_offsets":[0,1]}}`, 1), "TensorInvalidInfo", `bad tensor: m.safetensors: tensor "u": found 1 bytes for U8 [9], expected 9`},
		{"range before holes", container(`{"t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"u":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 2), "MetadataIncompleteBuffer", `data incomplete: m.safetensors: tensor "u": found 2 bytes of data, expected 3 for `},
		{"a name that would not fit a line", container(`{"a\nb`+strings.Repeat("c", 1000)+`":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), "InvalidOffset", `bad offsets: m.safetensors: tensor "a\nb` + strings.Repeat("c", 197) + `"...: found a hole: `},
	} {
		_, err := OpenFS(files(where, c.file))
		checkLine(t, c.name, err, c.want)
		if fault := (*Error)(nil); !errors.As(err, &fault) || fault.Kind != c.kind {
			t.Errorf("%s: %v is not %s", c.name, err, c.kind)
		}
	}
}

func TestBrokenIndexes(t *testing.T) {
	const end = ": the file is damaged; fetch it again"
	for _, c := range []struct{ name, index, kind, want string }{
		{"empty", "", "InvalidIndex", `bad index: model.safetensors.index.json: found the end at byte 0 of the JSON, expected '{'` + end},
		{"not UTF-8", "{\"\xc0\":1}", "InvalidIndex", "bad index: model.safetensors.index.json: found bytes that are no UTF-8, expected UTF-8 text" + end},
		{"no map", `{"metadata":{}}`, "InvalidIndex", "bad index: model.safetensors.index.json: found no tensor in weight_map, expected the names of all tensors" + end},
		{"empty map", `{"weight_map":{}}`, "InvalidIndex", "bad index: model.safetensors.index.json: found no tensor in weight_map"},
		{"map twice", `{"weight_map":{"a":"s1"},"weight_map":{"a":"s1"}}`, "InvalidIndex", "bad index: model.safetensors.index.json: found weight_map twice, expected every key once"},
		{"list", `{"weight_map":["a"]}`, "InvalidIndex", "bad index: model.safetensors.index.json: found '[' at byte 14 of the JSON, expected '{'"},
		{"number", `{"weight_map":{"a":1}}`, "InvalidIndex", `bad index: model.safetensors.index.json: found '1' at byte 19 of the JSON, expected '"'`},
		{"bad number", `{"metadata":01}`, "InvalidIndex", "bad index: model.safetensors.index.json: found '0' at byte 12 of the JSON, expected a value"},
		{"no value", `{"metadata":}`, "InvalidIndex", "bad index: model.safetensors.index.json: found '}' at byte 12 of the JSON, expected a value"},
		{"deep", `{"metadata":` + strings.Repeat("[", 1000), "InvalidIndex", "bad index: model.safetensors.index.json: found '[' at byte 76 of the JSON, expected values nested at most 64 deep"},
		{"tensor twice", `{"weight_map":{"a":"s1","a":"s1"}}`, "InvalidIndex", `bad index: model.safetensors.index.json: tensor "a": found it twice, expected every key once`},
		{"parent", `{"weight_map":{"a":"../s1"}}`, "InvalidShardName", `bad shard name: model.safetensors.index.json: tensor "a": found "../s1", expected a plain file name: shards lie beside their index; correct weight_map`},
		{"dots", `{"weight_map":{"a":".."}}`, "InvalidShardName", `bad shard name: model.safetensors.index.json: tensor "a": found ".."`},
		{"absolute", `{"weight_map":{"a":"/s1"}}`, "InvalidShardName", `bad shard name: model.safetensors.index.json: tensor "a": found "/s1"`},
		{"folder", `{"weight_map":{"a":"x/s1"}}`, "InvalidShardName", `bad shard name: model.safetensors.index.json: tensor "a": found "x/s1"`},
		{"backslash", `{"weight_map":{"a":"x\\s1"}}`, "InvalidShardName", `bad shard name: model.safetensors.index.json: tensor "a": found "x\\s1"`},
		{"drive", `{"weight_map":{"a":"c:s1"}}`, "InvalidShardName", `bad shard name: model.safetensors.index.json: tensor "a": found "c:s1"`},
		{"newline", `{"weight_map":{"a":"s\n1"}}`, "InvalidShardName", `bad shard name: model.safetensors.index.json: tensor "a": found "s\n1"`},
		{"no name", `{"weight_map":{"a":""}}`, "InvalidShardName", `bad shard name: model.safetensors.index.json: tensor "a": found ""`},
		{"missing shard", `{"weight_map":{"a":"s1","b":"s2","c":"s9"}}`, "FileMissing", "file missing: s9: found nothing, expected a file: fetch it from where the checkpoint came"},
		{"first missing shard", `{"weight_map":{"a":"s9","b":"s2","c":"s8"}}`, "FileMissing", "file missing: s8: "},
		{"missing tensor", `{"weight_map":{"a":"s1","b":"s2","c":"s2","z":"s1","d":"s2"}}`, "TensorMissing", `tensor missing: s2: tensor "d": found no such tensor, expected it here, by weight_map: index and shards are not of one release; fetch the whole set again`},
		{"nameless tensor", `{"weight_map":{"a":"s1","b":"s2","c":"s2","":"s1"}}`, "TensorMissing", `tensor missing: s1: found no such tensor`},
		{"wrong shard", `{"weight_map":{"a":"s1","b":"s1","c":"s2"}}`, "TensorMissing", `tensor missing: s1: tensor "b": found it in s2, expected it here, by weight_map: `},
		{"unlisted tensor", `{"weight_map":{"a":"s1","b":"s2"}}`, "TensorUnlisted", `tensor not in the index: s2: tensor "c": found no such key in weight_map, expected every tensor of a shard there: `},
		{"twice stored", `{"weight_map":{"a":"s1","x":"s3"}}`, "TensorTwice", `tensor stored twice: s3: tensor "a": found it also in s1, expected it once: `},
	} {
		_, err := OpenFS(files(indexName, c.index, "s1", shard1, "s2", shard2, "s3", shard1))
		checkLine(t, c.name, err, c.want)
		if fault := (*Error)(nil); !errors.As(err, &fault) || fault.Kind != c.kind {
			t.Errorf("%s: %v is not %s", c.name, err, c.kind)
		}
	}
}

func TestTooManyTensors(t *testing.T) {
	var b strings.Builder
	for i := range maxTensors + 1 {
		fmt.Fprintf(&b, `,"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i)
	}
	_, err := OpenFS(files("m.safetensors", container("{"+b.String()[1:]+"}", 0)))
	checkLine(t, "in a header", err, `too many tensors: m.safetensors: tensor "f4240": found more than 1000000, expected a header with fewer`)

	b.Reset()
	for i := range maxTensors + 1 {
		fmt.Fprintf(&b, `,"%x":"s"`, i)
	}
	_, _, fault := parseIndex([]byte(`{"weight_map":{` + b.String()[1:] + "}}"))
	if fault == nil || fault.Kind != "TooManyTensors" {
		t.Errorf("in an index: %v", fault)
	}
}

// A file of a few bytes that claims much, whatever it claims, must not cost memory.
func TestClaimsAllocateNothing(t *testing.T) {
	claims := []string{
		"\x00\xe1\xf5\x05\x00\x00\x00\x00{" + strings.Repeat(" ", 1000),
		container(entry("F64", "[1152921504606846975]", "[0,9223372036854775800]"), 1),
		container(entry("U8", "[1,1,1,1,1,1,1,1"+strings.Repeat(",1", 1000)+"]", "[0,1]"), 1),
	}
	for _, file := range claims {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := OpenFS(files("m.safetensors", file))
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%.40q is accepted", file)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
			t.Errorf("%.40q allocates %d bytes", file, got)
		}
	}
}

// A sparse file of 100 MB of zeros has a header as long as it claims; its first byte must be looked at first.
func TestFirstByteBeforeHeader(t *testing.T) {
	file := zeros{claim: maxHeader}
	_, buf, fault := readHeader(file, math.MaxInt64, nil)
	if fault == nil || fault.Kind != "InvalidHeaderStart" || cap(buf) > 0 {
		t.Errorf("%v, %d bytes allocated", fault, cap(buf))
	}
}

type zeros struct{ claim uint32 }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = byte(uint64(z.claim) >> (8 * min(uint64(off)+uint64(i), 63)))
	}
	return len(p), nil
}
