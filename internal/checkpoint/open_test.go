package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// container is a file with the given header and size bytes of data 0, 1, 2...
func container(header string, size int) string {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range size {
		b = append(b, byte(i))
	}
	return string(b)
}

// files makes a file system of names and contents, in turn.
func files(pairs ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for pair := range slices.Chunk(pairs, 2) {
		fsys[pair[0]] = &fstest.MapFile{Data: []byte(pair[1])}
	}
	return fsys
}

// shard1 and shard2 make a sound checkpoint with this index.
const twoShards = `{"metadata": {"total_size": 6, "more": [1.5e3, {"x": null}, true, "\u00e9"]}, "weight_map": {"a": "s1", "b": "s2", "c": "s2"}}`

var (
	shard1 = container(`{"__metadata__":{"format":"pt","n":"1"},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}   `, 2)
	shard2 = container(`{"c":{"dtype":"BF16","shape":[1,1],"data_offsets":[1,3]},"__metadata__":{"n":"2","m":"\"\\"}, "b":{"shape":[],"data_offsets":[0,1],"dtype":"I8"}}`, 3)
)

func TestOpenTwoShards(t *testing.T) {
	c, err := OpenFS(files(indexName, twoShards, "s1", shard1, "s2", shard2, "config.json", "{}", "x.safetensors", "not ours"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []string
	for tensor := range c.Tensors() {
		data, err := io.ReadAll(tensor.Section())
		if err != nil || int64(len(data)) != tensor.Bytes() {
			t.Fatalf("%s: %d bytes, %v", tensor.Name, len(data), err)
		}
		got = append(got, tensor.Name, tensor.DType.String(), tensor.File(), string(data))
	}
	if want := []string{"a", "U8", "s1", "\x00\x01", "b", "I8", "s2", "\x00", "c", "BF16", "s2", "\x01\x02"}; !slices.Equal(got, want) {
		t.Errorf("tensors %q, want %q", got, want)
	}
	if b, ok := c.Tensor("b"); !ok || len(b.Shape) != 0 || b.Bytes() != 1 {
		t.Errorf("rank 0: %+v, %v", b, ok)
	}
	if _, ok := c.Tensor("d"); ok || c.Len() != 3 || !slices.Equal(c.Names(), []string{"a", "b", "c"}) {
		t.Errorf("names %q", c.Names())
	}
	if want := map[string]string{"format": "pt", "n": "1", "m": `"\`}; !maps.Equal(c.Metadata(), want) {
		t.Errorf("metadata %q, want %q", c.Metadata(), want)
	}
	if config, err := c.Config(); err != nil || string(config) != "{}" {
		t.Errorf("config %q, %v", config, err)
	}
}

// Which file is opened, by what lies in the directory.
func TestDiscovery(t *testing.T) {
	one, model := container(`{"one":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0), container(`{"model":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}`, 1)
	for _, c := range []struct {
		name string
		fsys fstest.MapFS
		want string // names, or the error
	}{
		{"single", files("one.safetensors", one, "config.json", "{}"), "one"},
		{"preferred", files("one.safetensors", one, "model.safetensors", model), "model"},
		{"index first", files(indexName, twoShards, "s1", shard1, "s2", shard2, "model.safetensors", model), "a b c"},
		{"no tensors", files("m.safetensors", container("{}", 0)), ""},
		{"empty", files(), "no weights: .: found 0 files *.safetensors and no index, expected an index, or one file: name the directory that holds model.safetensors or model.safetensors.index.json"},
		{"two", files("a.safetensors", one, "b.safetensors", one), "no weights: .: found 2 files *.safetensors and no index, expected an index, or one file: name the directory that holds model.safetensors or model.safetensors.index.json"},
		{"directory", files("model.safetensors/x", ""), "cannot read: model.safetensors: found a directory, expected a regular file: check path, permissions and disk"},
	} {
		got := ""
		checkpoint, err := OpenFS(c.fsys)
		if err != nil {
			got = err.Error()
		} else {
			got = strings.Join(checkpoint.Names(), " ")
		}
		if got != c.want {
			t.Errorf("%s: got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// write puts a file system on disk, where there are links, pipes and permissions.
func write(t *testing.T, fsys fs.FS) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, fsys); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOpenDirectoryFaults(t *testing.T) {
	empty := t.TempDir()
	dir := write(t, files("model.safetensors", shard1))
	loop := write(t, files("config.json", "{}"))
	dangling := write(t, files("model.safetensors", shard1))
	for link, target := range map[string]string{
		filepath.Join(loop, "model.safetensors"): "model.safetensors",
		filepath.Join(dangling, indexName):       "../blobs/none",
		filepath.Join(empty, "loop"):             "loop",
	} {
		if err := os.Symlink(target, link); err != nil {
			t.Skip("no symbolic links here: ", err)
		}
	}
	for path, want := range map[string]string{
		dir + "none":                 "cannot read: " + dir + "none: found no such file or directory, expected a directory",
		dir + "/model.safetensors":   "cannot read: " + dir + "/model.safetensors: found not a directory, expected a directory",
		empty:                        "no weights: " + empty + ": found 0 files",
		filepath.Join(empty, "loop"): "cannot read: " + empty + "/loop: found too many levels of symbolic links",
		loop:                         "cannot read: " + loop + "/model.safetensors: found too many levels of symbolic links",
		dangling:                     "file missing: " + dangling + "/" + indexName + ": found nothing",
		"":                           "cannot read: .: found os: DirFS with empty root",
	} {
		_, err := Open(path)
		checkLine(t, path, err, want)
	}
	if c, err := Open(dir); err != nil || c.Len() != 1 {
		t.Errorf("the sound one: %v", err)
	}
}

// checkLine wants an *Error of one line that begins with want.
func checkLine(t *testing.T, name string, err error, want string) {
	t.Helper()
	var fault *Error
	if err == nil || !errors.As(err, &fault) || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s:\ngot  %v\nwant %s", name, err, want)
	}
}

// A hub's cache holds links to files elsewhere.
func TestOpenThroughLinks(t *testing.T) {
	blobs := write(t, files("b1", shard1))
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(blobs, "b1"), filepath.Join(dir, "model.safetensors")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestOpenFile(t *testing.T) {
	dir := write(t, files("expected.safetensors", shard1, "other.safetensors", shard2))
	t.Chdir(dir)
	for _, path := range []string{filepath.Join(dir, "expected.safetensors"), "expected.safetensors", "./expected.safetensors"} {
		c, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Tensor("a"); !ok {
			t.Errorf("%s: tensors %q", path, c.Names())
		}
		_, err = c.Config()
		checkLine(t, "config.json", err, "file missing: "+filepath.Join(filepath.Dir(path), "config.json")+": found nothing, expected a file")
		c.Close()
	}
	_, err := OpenFile("none.safetensors")
	checkLine(t, "none", err, "file missing: none.safetensors: found nothing")
	_, err = OpenFile(dir)
	checkLine(t, "directory", err, "cannot read: "+dir+": found a directory, expected a regular file")
}

func TestReadFile(t *testing.T) {
	c, err := OpenFS(files("model.safetensors", shard1, "tokenizer.json", "12345"))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := c.ReadFile("tokenizer.json", 5); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
	_, err = c.ReadFile("tokenizer.json", 4)
	checkLine(t, "limit", err, "file too large: tokenizer.json: found 5 bytes, expected at most 4")
	_, err = c.ReadFile("none.json", 4)
	checkLine(t, "missing", err, "file missing: none.json: found nothing")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	_, err = c.ReadFile("../x", 4)
	checkLine(t, "outside", err, "cannot read: ../x: found a path that leads elsewhere, expected a plain file name")
	if _, err := c.Config(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("config: %v is not fs.ErrNotExist", err)
	}
}

// A file that shrinks under us, or is closed, must not look like a short tensor.
func TestReadAfterChange(t *testing.T) {
	dir := write(t, files("model.safetensors", shard1))
	path := filepath.Join(dir, "model.safetensors")
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := c.Tensor("a")
	r, off, n := a.Location()
	whole := make([]byte, n)
	if _, err := r.ReadAt(whole, off); err != nil || !bytes.Equal(whole, []byte{0, 1}) {
		t.Fatalf("%v, %v", whole, err)
	}
	if k, err := r.ReadAt(make([]byte, 9), off); k != 2 || err != io.EOF {
		t.Errorf("behind the end of the file: %d, %v, want 2, EOF", k, err)
	}
	if err := os.Truncate(path, int64(len(shard1)-1)); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(a.Section())
	checkLine(t, "shrunk", err, "cannot read: "+path+": found 1 bytes at offset 103 (unexpected EOF)")
	if errors.Is(err, io.EOF) {
		t.Error("it counts as a regular end")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = a.Section().Read(whole)
	checkLine(t, "closed", err, "cannot read: "+path+": found 0 bytes at offset 103 (file already closed)")
	checkLine(t, "closed twice", c.Close(), "cannot read: "+path+": found file already closed, expected it to close")
}

// What a digest tells apart, and what it does not look at.
func TestDigest(t *testing.T) {
	digest := func(change func(fstest.MapFS)) string {
		fsys := files(indexName, twoShards, "s1", shard1, "s2", shard2, "config.json", "{}")
		long := `{"long":{"dtype":"U8","shape":[200000],"data_offsets":[0,200000]}}`
		fsys["s3"] = &fstest.MapFile{Data: []byte(container(long, 200000))}
		fsys[indexName].Data = []byte(strings.Replace(twoShards, `"a"`, `"long": "s3", "a"`, 1))
		change(fsys)
		c, err := OpenFS(fsys)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.Digest()
	}
	flip := func(name string, at int) func(fstest.MapFS) {
		return func(fsys fstest.MapFS) {
			data := fsys[name].Data
			data[(at+len(data))%len(data)] ^= 1
		}
	}
	same := digest(func(fstest.MapFS) {})
	if len(same) != 64 {
		t.Errorf("digest %q", same)
	}
	for name, change := range map[string]func(fstest.MapFS){
		"config":       func(fsys fstest.MapFS) { fsys["config.json"].Data = []byte("{ }") },
		"empty config": func(fsys fstest.MapFS) { fsys["config.json"].Data = nil },
		"no config":    func(fsys fstest.MapFS) { delete(fsys, "config.json") },
		"dtype": func(fsys fstest.MapFS) {
			fsys["s2"].Data = bytes.Replace(fsys["s2"].Data, []byte(`"I8"`), []byte(`"U8"`), 1)
		},
		"first byte": flip("s3", 8+66), "64 KiB": flip("s3", 8+66+65535), "last byte": flip("s3", -1), "last 64 KiB": flip("s3", -65536),
		"small shard": flip("s1", -1),
	} {
		if got := digest(change); got == same {
			t.Errorf("%s changes nothing", name)
		}
	}
	for name, change := range map[string]func(fstest.MapFS){
		"middle":    flip("s3", 8+66+65536),
		"tokenizer": func(fsys fstest.MapFS) { fsys["tokenizer.json"] = &fstest.MapFile{} },
	} {
		if got := digest(change); got != same {
			t.Errorf("%s changes the digest", name)
		}
	}
}
