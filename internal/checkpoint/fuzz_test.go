package checkpoint

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

// oneLine wants every fault to be an *Error that names what, where, found, expected and how to mend it, on one line.
func oneLine(t *testing.T, err error) {
	t.Helper()
	var fault *Error
	if !errors.As(err, &fault) {
		t.Fatalf("%T is no *Error: %v", err, err)
	}
	if _, known := faults[fault.Kind]; !known || fault.Found == "" || fault.Want == "" || len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\n\r") {
		t.Fatalf("not a line for the user: %+v: %q", fault, err.Error())
	}
}

// Whatever the bytes of a file are: an error of one line, or tensors that cover the data exactly and can be read, in a
// header that encoding/json reads as the same tensors.
func FuzzHeader(f *testing.F) {
	for _, file := range []string{
		shard1, shard2, "", "1234567", "\x00\x00\x00\x00\x00\x00\x00\x80{}", "\x03\x00\x00\x00\x00\x00\x00\x00{}",
		container(`{}`, 0), container(`{`, 0), container(`{"t":`+u8+`,}`, 1), container(`{"t":`+u8+`,"\u0074":`+u8+`}`, 1),
		container(entry("F4", "[3]", "[0,2]"), 2), container(entry("U8", "[4294967296,4294967296,0]", "[0,0]"), 0),
		container(`{"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"u":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3),
		container(`{"\ud83d\ude00\n":`+u8+`,"__metadata__":{"a":"\u0000"}}  `, 1), container("{\"\xff\":0}", 0),
	} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := OpenFS(files("model.safetensors", string(file)))
		if err != nil {
			oneLine(t, err)
			return
		}
		defer c.Close()
		size := int64(0)
		for tensor := range c.Tensors() {
			data, err := io.ReadAll(tensor.Section())
			if err != nil || int64(len(data)) != tensor.Bytes() {
				t.Fatalf("%q: %d bytes of %d, %v", tensor.Name, len(data), tensor.Bytes(), err)
			}
			size += tensor.Bytes()
		}
		header := file[8 : int64(len(file))-size]
		var entries map[string]json.RawMessage
		if err := json.Unmarshal(header, &entries); err != nil {
			t.Fatalf("accepted, but no JSON: %v", err)
		}
		delete(entries, metadataKey)
		for name, raw := range entries {
			var e struct {
				DType   string   `json:"dtype"`
				Shape   []int64  `json:"shape"`
				Offsets [2]int64 `json:"data_offsets"`
			}
			tensor, ok := c.Tensor(name)
			if err := json.Unmarshal(raw, &e); err != nil || !ok || e.DType != tensor.DType.String() || len(e.Shape) != len(tensor.Shape) || e.Offsets[1]-e.Offsets[0] != tensor.Bytes() {
				t.Fatalf("%q: %s is read as %+v (%v)", name, raw, tensor, err)
			}
		}
		if len(entries) != c.Len() {
			t.Fatalf("%d tensors, encoding/json sees %d", c.Len(), len(entries))
		}
	})
}

// Whatever the index says: an error of one line, or just the tensors of the shards, each where the index has it.
func FuzzIndex(f *testing.F) {
	for _, text := range []string{
		twoShards, "", "{}", `{"weight_map":{}}`, `{"weight_map":{"a":"../s1"}}`, `{"weight_map":{"a":"s1","b":"s1","c":"s2"}}`,
		`{"weight_map":{"a":"s1","b":"s2","c":"s9"}}`, `{"weight_map":{"a":"s1","a":"s1"}}`, `{"metadata":01}`,
		`{"metadata":` + strings.Repeat("[", 100), `{"weight_map":{"a":"s1","b":"s2","c":"s2"},"x":[-1.5e+3,"\u00e9",true,null,{}]}`,
		"{\"weight_map\":{\"\xc0\":\"s1\"}}", `{"weight_map":{"a":"."}}`, `{"weight_map":{"a":"s\u0000"}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := OpenFS(files(indexName, string(text), "s1", shard1, "s2", shard2))
		if err != nil {
			oneLine(t, err)
			return
		}
		defer c.Close()
		var keys map[string]json.RawMessage
		var weights map[string]string
		if err := errors.Join(json.Unmarshal(text, &keys), json.Unmarshal(keys["weight_map"], &weights)); err != nil {
			t.Fatalf("accepted, but no JSON: %v", err)
		}
		for tensor := range c.Tensors() {
			if weights[tensor.Name] != tensor.File() {
				t.Fatalf("%q lies in %q, by the index in %q", tensor.Name, tensor.File(), weights[tensor.Name])
			}
		}
		if c.Len() != len(weights) {
			t.Fatalf("%d tensors, encoding/json sees %d", c.Len(), len(weights))
		}
	})
}
