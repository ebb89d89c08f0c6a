package kv

import (
	"cmp"
	"slices"
	"time"
)

// File is the page of a node, or its checkpoint, as a file.
type File struct {
	Node       *Node
	Checkpoint bool
}

// state is where the file stands.
func (f File) state() *place {
	if f.Checkpoint {
		return &f.Node.checkpointFile
	}
	return &f.Node.pageFile
}

func (t *Tree) size(f File) int64 {
	if f.Checkpoint {
		return t.limits.Checkpoint
	}
	return t.limits.Page
}

// write notes what is to be written.
func (t *Tree) write(f File) {
	if t.limits.Disk > 0 && *f.state() == absent {
		t.dirty = append(t.dirty, f)
	}
}

// Write returns the next file to be written, from memory where it is now, and the nodes whose files must be deleted before
// to make room. ok is false when there is none. Written must follow.
func (t *Tree) Write() (f File, deleted []ID, ok bool) {
	for len(t.dirty) > 0 {
		f, t.dirty = t.dirty[0], t.dirty[1:]
		if !t.worthWriting(f) {
			continue
		}
		t.disk += t.size(f)
		*f.state() = coming
		t.settle(f.Node)
		for t.disk > t.limits.Disk && t.may[files].length > 0 {
			n := t.may[files].first()
			t.deleted(n)
			deleted = append(deleted, n.ID)
		}
		if t.disk <= t.limits.Disk {
			return f, deleted, true
		}
		t.Written(f, false) // all of it is in use
	}
	t.dirty = nil
	return File{}, deleted, false
}

// worthWriting tells whether a file's content is still in memory, and can be reached where it is written.
func (t *Tree) worthWriting(f File) bool {
	n := f.Node
	if *f.state() != absent || t.nodes.get(&n.ID) != n {
		return false
	}
	if f.Checkpoint {
		return n.checkpoint != nil && n.pageFile != absent
	}
	return n.inMemory == present && (n.parent == nil || n.parent.pageFile != absent)
}

// Written says how a write went.
func (t *Tree) Written(f File, ok bool) {
	*f.state() = present
	if !ok {
		t.disk -= t.size(f)
		*f.state() = absent
	}
	t.settle(f.Node)
}

// deleted notes that a node's files are gone.
func (t *Tree) deleted(n *Node) {
	for _, f := range []File{{n, false}, {n, true}} {
		if *f.state() == present {
			t.disk -= t.size(f)
			*f.state() = absent
		}
	}
	t.settle(n)
}

// Fetch returns what must be read so that a sequence can go on from a pinned node: the missing pages, in order, which get places in
// the pool's memory, and the checkpoint. The pool has enough free pages. Fetched must follow for each.
func (t *Tree) Fetch(n *Node) (list []File) {
	if n.checkpoint == nil && !n.arriving {
		n.arriving = true
		list = append(list, File{n, true})
		t.settle(n)
	}
	for ; n != nil; n = n.parent {
		if n.inMemory == absent {
			var table Table
			if err := t.pool.Grow(&table, 1); err != nil {
				panic("kv: fetch without free pages: " + err.Error())
			}
			n.page, n.inMemory = table.pages[0], coming
			list = append(list, File{n, false})
			t.settle(n)
		}
	}
	slices.Reverse(list)
	return list
}

// Missing is how many pages Fetch would take from the pool.
func (n *Node) Missing() (pages int) {
	for ; n != nil; n = n.parent {
		if n.inMemory == absent {
			pages++
		}
	}
	return pages
}

// Complete tells whether all pages up to the node's end can be read.
func (n *Node) Complete() bool {
	for ; n != nil; n = n.parent {
		if n.inMemory != present {
			return false
		}
	}
	return true
}

// Fetched says that a file was read: a page is in its place, or a checkpoint in b. With !ok the file is gone.
func (t *Tree) Fetched(f File, b *Blob, ok bool) {
	n := f.Node
	if !ok && *f.state() == present {
		t.disk -= t.size(f)
		*f.state() = absent
	}
	switch {
	case f.Checkpoint && ok:
		n.arriving = false
		n.kept = true
		t.SetCheckpoint(n, b)
	case f.Checkpoint:
		n.arriving = false
		t.settle(n)
	case ok:
		n.inMemory = present
		t.resident++
		t.settle(n)
	default:
		t.lose(n)
	}
}

// Entry is what a file says of itself.
type Entry struct {
	ID, Parent ID
	Depth      int
	Checkpoint bool
	Time       time.Time
}

// Found fills an empty tree with the files of an earlier one. It returns what must be deleted: what does not hang together, and what
// is too much.
func (t *Tree) Found(entries []Entry) (deleted []ID) {
	slices.SortStableFunc(entries, func(a, b Entry) int { // a page before its checkpoint
		return cmp.Or(cmp.Compare(a.Depth, b.Depth), compareBool(a.Checkpoint, b.Checkpoint))
	})
	for _, e := range entries {
		if !t.found(e) {
			deleted = append(deleted, e.ID)
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	for _, e := range entries {
		if n := t.nodes.get(&e.ID); n != nil && n.children == 0 {
			for ; n != nil; n = n.parent {
				n.stamp = t.tick()
			}
		}
	}
	for n := range t.nodes.all {
		t.settle(n)
	}
	for t.disk > t.limits.Disk {
		n := t.may[files].first()
		deleted = append(deleted, n.ID)
		t.deleted(n)
	}
	return deleted
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// found takes one entry, shorter ones first.
func (t *Tree) found(e Entry) bool {
	n := t.nodes.get(&e.ID)
	if n == nil && !e.Checkpoint {
		n = &Node{ID: e.ID, Depth: e.Depth}
		if e.Depth > 1 {
			n.parent = t.nodes.get(&e.Parent)
			if n.parent == nil || n.parent.Depth != e.Depth-1 {
				return false
			}
			n.parent.children++
		}
		t.nodes.add(n)
	}
	if n == nil || n.Depth != e.Depth {
		return false
	}
	f := File{n, e.Checkpoint}
	if *f.state() == absent {
		t.disk += t.size(f)
		*f.state() = present
	}
	return true
}
