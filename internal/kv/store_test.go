package kv

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var storeLimits = Limits{Page: 40, Checkpoint: 100}

// shelf is a store in a directory of its own, and what it refused.
type shelf struct {
	*Store
	dir     string
	refused []string
}

func openShelf(t *testing.T, dir, key string) (*shelf, []Entry) {
	t.Helper()
	s := &shelf{dir: dir}
	store, entries, err := OpenStore(dir, key, storeLimits, func(file string, why error) {
		s.refused = append(s.refused, fmt.Sprintf("%s: %v", filepath.Ext(file), why))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	s.Store = store
	return s, entries
}

func someBytes(seed uint64, n int64) []byte {
	r := rand.New(rand.NewPCG(seed, 3))
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// aPage and aState belong to one prefix.
func aPage() Entry {
	return Entry{ID: Root("x").Next(make([]int32, PageSize)), Parent: Root("x"), Depth: 1}
}

func aState() Entry {
	e := aPage()
	e.Checkpoint = true
	return e
}

func TestStoreKeeps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "cache")
	s, entries := openShelf(t, dir, "model")
	if len(entries) != 0 {
		t.Errorf("new: %v", entries)
	}
	page, state := someBytes(1, 40), someBytes(2, 100)
	for e, data := range map[Entry][]byte{aPage(): page, aState(): state} {
		if err := s.Write(e, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Write(aPage(), state); err == nil {
		t.Error("takes a page of a wrong size")
	}
	if _, _, err := OpenStore(dir, "model", storeLimits, nil); err == nil {
		t.Error("opened twice")
	}
	s.Close()
	other := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(other, []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, entries = openShelf(t, dir, "model")
	if len(entries) != 2 || entries[0].Time.IsZero() {
		t.Fatalf("found again: %+v", entries)
	}
	for _, e := range entries {
		want := page
		if e.Checkpoint {
			want = state
		}
		if got, err := s.Read(e); err != nil || !bytes.Equal(got, want) || e.ID != aPage().ID || e.Parent != Root("x") || e.Depth != 1 {
			t.Errorf("%+v: %v, %v", e, got, err)
		}
	}
	s.Delete(aPage().ID)
	if _, err := s.Read(aPage()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("deleted: %v", err)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

// TestStoreRefuses: every byte of a file may have flipped, it may have ended anywhere, and it may be of another model, version,
// place or name: it is refused with a reason, deleted, and nothing of it comes back.
func TestStoreRefuses(t *testing.T) {
	dir := t.TempDir()
	s, _ := openShelf(t, dir, "model")
	data := someBytes(1, 40)
	good := slices.Clone(s.encode(aPage(), data))
	path := filepath.Join(dir, aPage().name())
	try := func(what string, content []byte, e Entry) {
		t.Helper()
		s.refused = nil
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read(e); err == nil || got != nil || len(s.refused) != 1 {
			t.Errorf("%s: read %v, %v; refused %v", what, got, err, s.refused)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: still there", what)
		}
	}
	for i := range good {
		for _, bit := range []int{0, 7} {
			bad := slices.Clone(good)
			bad[i] ^= 1 << bit
			try(fmt.Sprintf("bit %d of byte %d", bit, i), bad, aPage())
		}
		try(fmt.Sprintf("cut at %d", i), good[:i], aPage())
	}
	try("longer", append(slices.Clone(good), 0), aPage())
	other := aPage()
	other.Parent[0]++
	try("of another parent", good, other)
	other = aPage()
	other.Depth++
	try("of another depth", good, other)
	s.key[0]++
	try("of another key", good, aPage())
	s.key[0]--
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Read(aPage()); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the good one: %v", err)
	}
}

// TestStoreLooks: what is found at the start is looked at, and what is broken deleted, told once.
func TestStoreLooks(t *testing.T) {
	dir := t.TempDir()
	s, _ := openShelf(t, dir, "model")
	page := slices.Clone(s.encode(aPage(), someBytes(1, 40)))
	s.Close()
	name := strings.TrimSuffix(aPage().name(), pageSuffix)
	other := strings.Repeat("ab", 32)
	for file, content := range map[string][]byte{
		name + pageSuffix: page, name + stateSuffix: page, other + pageSuffix: page, other + stateSuffix: nil,
		name + pageSuffix + tempSuffix: page, "x" + pageSuffix: page, other: page, name + ".txt": page, "README": nil,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, strings.Repeat("cd", 32)+pageSuffix), 0o700); err != nil {
		t.Fatal(err)
	}
	s, entries := openShelf(t, dir, "model")
	slices.Sort(s.refused)
	want := []string{".page: it has another file's name", ".state: 0 bytes: shorter than a header", ".state: it has another file's name", ".tmp: its writing was interrupted"}
	if len(entries) != 1 || entries[0].ID != aPage().ID || !slices.Equal(s.refused, want) {
		t.Errorf("%+v, refused %q", entries, s.refused)
	}
	s.Close()
	s, entries = openShelf(t, dir, "another")
	if len(entries) != 0 || !slices.Equal(s.refused, []string{".page: it is of another model, device or format"}) {
		t.Errorf("of another model: %v, refused %q", entries, s.refused)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 6 {
		t.Errorf("left: %v", left)
	}
}

// FuzzStoreFile: whatever a file holds, it is taken only if it is just what was written.
func FuzzStoreFile(f *testing.F) {
	dir := f.TempDir()
	s, _, err := OpenStore(dir, "model", storeLimits, func(string, error) {})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	data := someBytes(1, 40)
	good := slices.Clone(s.encode(aPage(), data))
	f.Add(good, false)
	f.Add(slices.Clone(s.encode(aState(), someBytes(2, 100))), true)
	f.Add(good[:50], false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, content []byte, checkpoint bool) {
		e := aPage()
		if e.Checkpoint = checkpoint; len(content) > 1<<12 {
			return
		}
		path := filepath.Join(dir, e.name())
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s.look(e.name())
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := s.Read(e)
		if _, there := os.Stat(path); (there == nil) != (err == nil) {
			t.Errorf("%v, and the file: %v", err, there)
		}
		if err == nil && !bytes.Equal(s.encode(e, got), content) {
			t.Errorf("takes %x as %x", content, got)
		}
	})
}
