package kv

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// The scripts. A prefix is written as letters, each a page of tokens that are that letter; a page and a checkpoint have one byte.
//
//	new pages=N checkpoints=N files=N
//	begin name=s text=abc     a sequence begins behind what is known of abc
//	go name=s text=d          it computes a page d
//	save name=s [keep]        it has a checkpoint where it is
//	pass name=s               its last checkpoint is not needed any more
//	end name=s
//	read [fail] | write [fail]   what is to be read, or one thing that is to be written, is
//	free pages=N
//	forget
//
// After every command the books are checked and shown: "here" and "coming" are pages in memory, "state" is a checkpoint there,
// "file" and "state file" are on disk, and numbers count those that have pinned it.
func TestTreeScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/tree", func(t *testing.T, path string) {
		f := &forest{}
		datadriven.RunTest(t, path, f.command)
	})
}

type forest struct {
	*Tree
	runs  map[string]*walker
	names map[ID]string
	reads []File
}

// walker is a sequence.
type walker struct {
	text  string
	node  *Node
	table Table
}

func letters(text string) (tokens [][]int32) {
	for _, letter := range text {
		tokens = append(tokens, slices.Repeat([]int32{letter}, PageSize))
	}
	return tokens
}

// prefixes names the prefixes of a text.
func (f *forest) prefixes(text string) (list []ID) {
	id := Root("")
	for i, page := range letters(text) {
		id = id.Next(page)
		f.names[id] = text[:i+1]
		list = append(list, id)
	}
	return list
}

func (f *forest) command(t *testing.T, d *datadriven.TestData) string {
	var name, text string
	d.MaybeScanArgs(t, "name", &name)
	d.MaybeScanArgs(t, "text", &text)
	w := f.runs[name]
	note := ""
	switch d.Cmd {
	case "new":
		var pages, checkpoints, files int
		d.ScanArgs(t, "pages", &pages)
		d.ScanArgs(t, "checkpoints", &checkpoints)
		d.ScanArgs(t, "files", &files)
		f.Tree = NewTree(NewPool(pages), Limits{1, 1, int64(checkpoints), int64(files)})
		f.runs, f.names = map[string]*walker{}, map[ID]string{}
	case "begin":
		w = &walker{}
		f.runs[name] = w
		note = f.begin(w, text)
	case "go":
		w.text += text
		if err := f.pool.Grow(&w.table, len(w.text)*PageSize); err != nil {
			return err.Error()
		}
		w.node = f.Add(w.node, f.prefixes(w.text)[len(w.text)-1], &w.table)
	case "save":
		f.SetCheckpoint(w.node, &Blob{})
		if d.HasArg("keep") {
			f.Keep(w.node)
		}
	case "pass":
		f.Pass(w.node)
	case "end":
		f.pool.Release(&w.table)
		f.Unpin(w.node)
		delete(f.runs, name)
	default:
		note = f.storage(t, d)
	}
	return note + f.show()
}

func (f *forest) begin(w *walker, text string) string {
	path := f.Match(f.prefixes(text))
	for _, n := range path {
		if n.Resumes() {
			w.node, w.text = n, text[:n.Depth]
		}
	}
	f.Pin(w.node)
	missing := w.node.Missing()
	if !f.Free(missing) {
		f.Unpin(w.node)
		w.node, w.text = nil, ""
		return "no room\n"
	}
	if w.node != nil {
		files := f.Fetch(w.node)
		f.reads = append(f.reads, files...)
		w.table = f.Table(w.node)
		return fmt.Sprintf("knows %d pages, goes on behind %d, reads %d files\n", len(path), w.node.Depth, len(files))
	}
	return fmt.Sprintf("knows %d pages, goes on behind 0\n", len(path))
}

func (f *forest) storage(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "read":
		for _, file := range f.reads {
			f.Fetched(file, &Blob{}, !d.HasArg("fail"))
		}
		f.reads = nil
	case "write":
		file, deleted, ok := f.Write()
		note := ""
		for _, id := range deleted {
			note += "delete " + f.names[id] + "\n"
		}
		if !ok {
			return note + "nothing to write\n"
		}
		what := "page "
		if file.Checkpoint {
			what = "state of "
		}
		f.Written(file, !d.HasArg("fail"))
		return note + "write " + what + f.names[file.Node.ID] + "\n"
	case "free":
		n := 0
		d.ScanArgs(t, "pages", &n)
		return fmt.Sprintln(f.Free(n))
	case "forget":
		f.Forget()
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
	return ""
}

func (f *forest) show() string {
	var out strings.Builder
	byName := map[string]*Node{}
	for n := range f.nodes.all {
		byName[f.names[n.ID]] = n
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		n := byName[name]
		fmt.Fprintf(&out, "%s:", name)
		for _, what := range []struct {
			is   bool
			text string
		}{
			{n.pins > 0, fmt.Sprint(" ", n.pins)}, {n.Here(), " here"}, {n.Coming(), " coming"}, {n.checkpoint != nil, " state"}, {n.kept, " kept"},
			{n.pageFile == present, " file"}, {n.checkpointFile == present, " state file"},
		} {
			if what.is {
				out.WriteString(what.text)
			}
		}
		fmt.Fprintln(&out)
	}
	fmt.Fprintf(&out, "free: %d\n", f.pool.Free())
	if err := f.Check(f.tables()); err != nil {
		fmt.Fprintln(&out, "BROKEN:", err)
	}
	return out.String()
}

func (f *forest) tables() map[*Table]*Node {
	tables := map[*Table]*Node{}
	for _, w := range f.runs {
		tables[&w.table] = w.node
	}
	return tables
}

// TestTreeCheckSeesDamage: or the scripts, and the scheduler's random tests, would prove nothing.
func TestTreeCheckSeesDamage(t *testing.T) {
	for name, damage := range map[string]func(*forest, *Node){
		"pins":                   func(f *forest, n *Node) { n.pins++ },
		"children":               func(f *forest, n *Node) { n.parent.children++ },
		"page of another":        func(f *forest, n *Node) { n.page = n.parent.page },
		"page without reference": func(f *forest, n *Node) { n.inMemory = absent },
		"pages in memory":        func(f *forest, n *Node) { f.resident++ },
		"bytes in memory":        func(f *forest, n *Node) { n.checkpoint = &Blob{} },
		"bytes on disk":          func(f *forest, n *Node) { n.pageFile = absent },
		"too much on disk":       func(f *forest, n *Node) { f.limits.Disk = 1 },
		"not in a queue":         func(f *forest, n *Node) { f.may[pages].put(n, false) },
		"parent goes first":      func(f *forest, n *Node) { n.parent.stamp = 0 },
		"forgotten":              func(f *forest, n *Node) { f.nodes.remove(n) },
		"wrong name":             func(f *forest, n *Node) { n.ID[0]++ },
		"nothing left":           func(f *forest, n *Node) { f.lose(n); n.pageFile, f.disk = absent, 1; f.settle(n.parent) },
		"a table has another": func(f *forest, n *Node) {
			w := &walker{}
			f.runs["x"] = w
			f.begin(w, "a")
			w.table.pages[0]++
		},
	} {
		f := &forest{Tree: NewTree(NewPool(5), Limits{1, 1, 5, 10}), runs: map[string]*walker{}, names: map[ID]string{}}
		w := &walker{}
		for i, id := range f.prefixes("ab") {
			if err := f.pool.Grow(&w.table, (i+1)*PageSize); err != nil {
				t.Fatal(err)
			}
			w.node = f.Add(w.node, id, &w.table)
			if i == 0 {
				f.SetCheckpoint(w.node, &Blob{})
			}
			file, _, _ := f.Write()
			f.Written(file, true)
		}
		n := w.node
		f.pool.Release(&w.table)
		f.Unpin(n)
		if err := f.Check(nil); err != nil {
			t.Fatal(err)
		}
		damage(f, n)
		if f.Check(f.tables()) == nil {
			t.Errorf("%s: not seen", name)
		}
	}
}

// Found takes what hangs together, and what is used last where there is too much.
func TestFound(t *testing.T) {
	f := &forest{names: map[ID]string{}}
	abc, abd, x := f.prefixes("abc"), f.prefixes("abd"), f.prefixes("xy")
	at := func(n int) (e Entry) { e.Time = e.Time.AddDate(0, 0, n); return e }
	entry := func(ids []ID, depth, day int, checkpoint bool) Entry {
		e := at(day)
		e.ID, e.Depth, e.Checkpoint = ids[depth-1], depth, checkpoint
		if depth > 1 {
			e.Parent = ids[depth-2]
		}
		return e
	}
	list := []Entry{
		entry(abc, 3, 3, true), entry(abc, 3, 3, false), entry(abc, 2, 2, false), entry(abc, 1, 1, false),
		entry(abd, 3, 9, false),
		entry(x, 2, 5, false), // its first page is missing
		entry(x, 1, 5, true),  // its page is missing
		{ID: x[1], Depth: 2, Parent: abc[2], Checkpoint: false}, // says that it has another depth than its parent
	}
	tree := NewTree(NewPool(4), Limits{1, 1, 4, 4})
	var deleted []string
	for _, id := range tree.Found(slices.Clone(list)) {
		deleted = append(deleted, f.names[id])
	}
	slices.Sort(deleted)
	if want := []string{"abc", "x", "xy", "xy"}; !slices.Equal(deleted, want) {
		t.Errorf("deletes %v, want %v", deleted, want)
	}
	if err := tree.Check(nil); err != nil {
		t.Error(err)
	}
	if n := len(tree.Match(abd)); n != 3 {
		t.Errorf("%d pages of abd are left", n)
	}
}
