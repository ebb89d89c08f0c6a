package checkpoint

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var entries = []Entry{
	{"a", F32, []int64{2, 3}}, {`quote " and \ and é`, F4, []int64{1, 4}}, {"empty", BF16, []int64{0, 7}}, {"scalar", I64, nil}, {"<tag>", U8, []int64{3}},
}

// The bytes themselves, counted by hand: a length, JSON, spaces up to a multiple of 8, data.
func TestWriterBytes(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out, []Entry{{"t", BF16, []int64{1, 2}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte{1, 2})
	w.Write([]byte{3, 4})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	want := "\x40\x00\x00\x00\x00\x00\x00\x00" + `{"t":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}` + strings.Repeat(" ", 64-57) + "\x01\x02\x03\x04"
	if got := out.String(); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestWriterRoundTrip(t *testing.T) {
	metadata := map[string]string{"format": "pt", "note": "line\nbreak"}
	var out bytes.Buffer
	w, err := NewWriter(&out, entries, metadata)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 24+2+0+8+3)
	for i := range data {
		data[i] = byte(i + 1)
	}
	for piece := range slices.Chunk(data, 5) {
		if n, err := w.Write(piece); n != len(piece) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	header, total, err := Header(entries, metadata)
	if err != nil || total != int64(out.Len()) || !bytes.HasPrefix(out.Bytes(), header) || len(header)%8 != 0 {
		t.Errorf("Header: %d bytes of %d, %v; the Writer wrote %d", len(header), total, err, out.Len())
	}
	c, err := OpenFS(files("model.safetensors", out.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []byte
	i := 0
	for tensor := range c.Tensors() {
		if e := entries[i]; tensor.Name != e.Name || tensor.DType != e.DType || !slices.Equal(tensor.Shape, e.Shape) {
			t.Errorf("%+v, want %+v", tensor, e)
		}
		part, _ := io.ReadAll(tensor.Section())
		got, i = append(got, part...), i+1
	}
	if i != len(entries) || !bytes.Equal(got, data) || !maps.Equal(c.Metadata(), metadata) {
		t.Errorf("%d entries, data %v, metadata %q", i, got, c.Metadata())
	}
}

func TestSparseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	header, total, err := Header([]Entry{{"t", F32, []int64{1 << 20, 1 << 10}}}, nil)
	if err == nil {
		err = errors.Join(os.WriteFile(path, header, 0o644), os.Truncate(path, total))
	}
	if err != nil {
		t.Skip("no sparse files here: ", err)
	}
	c, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if tensor, _ := c.Tensor("t"); tensor.Bytes() != 4<<30 {
		t.Errorf("%d bytes", tensor.Bytes())
	}
	c.Close()
}

// What a reader would refuse is not written.
func TestWriterRefuses(t *testing.T) {
	for want, e := range map[string]Entry{
		`no dtype: tensor "t"`:                      {"t", unknown, nil},
		`no dtype: tensor "u"`:                      {"u", 200, nil},
		`bad tensor name: "__metadata__"`:           {metadataKey, U8, nil},
		`bad tensor name: "\xff"`:                   {"\xff", U8, nil},
		`negative dimension: tensor "t"`:            {"t", U8, []int64{-1}},
		`too many dimensions: tensor "t" has 9`:     {"t", U8, make([]int64, 9)},
		`bad size: tensor "t": found F4 [1], 4 bit`: {"t", F4, []int64{1}},
		`bad size: tensor "t": found U8 [9223`:      {"t", U8, []int64{math.MaxInt64, 2}},
		`file too large: tensor "t"`:                {"t", U8, []int64{math.MaxInt64/8 - 1}},
		`tensor written twice: "a"`:                 {"a", U8, nil},
	} {
		list := []Entry{{"a", U8, []int64{math.MaxInt64/8 - 1}}}
		if strings.HasPrefix(want, "file too large") {
			for i := range 6 {
				list = append(list, Entry{strings.Repeat("b", i+1), U8, []int64{math.MaxInt64/8 - 1}})
			}
		}
		_, _, err := Header(append(list, e), nil)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if _, _, err := Header(nil, map[string]string{"k": "\xff"}); err == nil {
		t.Error("metadata that is not UTF-8 is written")
	}
}

func TestWriterAmounts(t *testing.T) {
	w, err := NewWriter(io.Discard, []Entry{{"a", U8, []int64{2}}, {"b", U8, []int64{2}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte{1, 2, 3})
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), `3 bytes of 4 written, tensor "b"`) {
		t.Errorf("short: %v", err)
	}
	if n, err := w.Write([]byte{4, 5}); n != 0 || err == nil {
		t.Errorf("too much: %d, %v", n, err)
	}
	if err := w.Close(); err == nil || !strings.HasPrefix(err.Error(), "too much data") {
		t.Errorf("the first fault does not stay: %v", err)
	}
}
