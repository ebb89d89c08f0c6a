package kv

import (
	"crypto/sha256"
	"encoding/binary"
)

// ID names a prefix: all tokens up to the end of a page, and what else decides the bits that are remembered of them.
type ID [sha256.Size]byte

// Root is the ID of the empty prefix under a key.
func Root(key string) ID { return sha256.Sum256([]byte("baleen prefix 1\n" + key)) }

// Next is the ID of the prefix that is a page of tokens longer.
func (id ID) Next(page []int32) ID {
	data := append(make([]byte, 0, len(id)+4*PageSize), id[:]...)
	for _, token := range page {
		data = binary.LittleEndian.AppendUint32(data, uint32(token))
	}
	return sha256.Sum256(data)
}

// Blob is a box for the bytes of a checkpoint: somebody else fills it, and nobody changes it afterwards.
type Blob struct{ Data []byte }

// place says where a copy of something is.
type place uint8

const (
	absent  place = iota
	coming        // it is being read, or written
	present       // it can be used
)

// Node is a remembered prefix: its last page, and perhaps the checkpoint at its end. Both may be in memory, on disk, or in
// both places.
type Node struct {
	ID    ID
	Depth int // pages up to the end

	parent   *Node
	next     *Node // in the table
	children int
	pins     int    // sequences that have gone this far
	stamp    uint64 // when the last of them went; a prefix has a later one than those that go on from it
	used     uint64 // when the checkpoint was

	inMemory   place // the page; it may be coming from disk
	page       int32 // where it is then
	checkpoint *Blob // in memory, or nil
	arriving   bool  // a checkpoint is coming from disk
	kept       bool  // the checkpoint stays when its sequence goes on

	pageFile, checkpointFile place // they may be coming from memory

	at [queues]links // the places in the queues of what may go
}

// Parent returns the prefix that is a page shorter; it is nil where that is empty.
func (n *Node) Parent() *Node { return n.parent }

// Here tells whether the page can be read from memory, and Coming whether it is on its way there.
func (n *Node) Here() bool   { return n.inMemory == present }
func (n *Node) Coming() bool { return n.inMemory == coming }

// Page returns where the page is in the device's memory, if it is there or on its way.
func (n *Node) Page() int32 { return n.page }

// Checkpoint returns the checkpoint that is in memory, or nil.
func (n *Node) Checkpoint() *Blob { return n.checkpoint }

// Resumes tells whether a sequence can go on from here: there is a checkpoint somewhere.
func (n *Node) Resumes() bool {
	return n.checkpoint != nil || n.arriving || n.checkpointFile == present
}

func (n *Node) reachable() bool { return n.inMemory != absent || n.pageFile == present }

func (n *Node) busy() bool {
	return n.inMemory == coming || n.arriving || n.pageFile == coming || n.checkpointFile == coming
}

// Limits are the sizes of what a tree remembers, and how much it may be, in bytes.
type Limits struct {
	Page, Checkpoint int64
	Memory           int64 // of checkpoints: pages are as many as the pool has
	Disk             int64 // of the content of files; 0 is no disk
}

// Tree remembers prefixes by whole pages. A page belongs to the prefix that ends with it, so it is found by a walk from the
// root, page by page, and shared by all who begin alike.
//
//  1. A node is pinned by each sequence that has gone this far; so are those before it. What is pinned stays in memory.
//  2. The tree has one reference to each page that is in memory or coming there.
//  3. Where room is wanted, what was let go longest ago goes first, and longer prefixes before those they go on from:
//     otherwise what is left could not be reached.
//  4. A node that has nothing, and that nobody goes on from, is forgotten.
//
// Check tests all of it.
type Tree struct {
	limits Limits
	pool   *Pool
	nodes  table
	clock  uint64
	may    [queues]queue
	dirty  []File // to be written, in this order

	resident     int   // pages in memory
	memory, disk int64 // bytes of checkpoints; of files
	evicted      uint64
}

// NewTree returns an empty tree over the pages of a pool.
func NewTree(pool *Pool, l Limits) *Tree {
	t := &Tree{limits: l, pool: pool, nodes: newTable()}
	for which := range t.may {
		t.may[which].which = which
	}
	return t
}

// Match returns what is remembered of prefixes, each a page longer than the one before, from the first on.
func (t *Tree) Match(prefixes []ID) (path []*Node) {
	for i := range prefixes {
		n := t.nodes.get(&prefixes[i])
		if n == nil || !n.reachable() {
			break
		}
		path = append(path, n)
	}
	return path
}

// Pin keeps a prefix for a sequence.
func (t *Tree) Pin(n *Node) {
	for ; n != nil; n = n.parent {
		n.pins++
		t.settle(n)
	}
}

// Unpin lets it go.
func (t *Tree) Unpin(n *Node) {
	for n != nil {
		shorter := n.parent
		if n.pins--; n.pins == 0 {
			n.stamp = t.tick()
		}
		t.settle(n)
		n = shorter
	}
}

func (t *Tree) tick() uint64 {
	t.clock++
	return t.clock
}

// Add remembers the page that makes a sequence's prefix a page longer. The sequence has pinned the shorter one, and now has
// the longer. If its page is in memory already, the table gets that one: two sequences that computed the same have the same bits.
func (t *Tree) Add(shorter *Node, id ID, table *Table) *Node {
	var n *Node
	if shorter == nil || shorter.children > 0 {
		n = t.nodes.get(&id)
	}
	if n == nil {
		n = &Node{ID: id, Depth: 1, parent: shorter}
		if shorter != nil {
			n.Depth = shorter.Depth + 1
			shorter.children++
		}
		t.nodes.add(n)
	}
	n.pins++
	switch n.inMemory {
	case absent:
		n.page, n.inMemory = table.pages[n.Depth-1], present
		t.pool.references[n.page]++
		t.resident++
		t.write(File{n, false})
	case present:
		t.pool.replace(table, n.Depth-1, n.page)
	}
	t.settle(n)
	return n
}

// Table returns a table of the pages up to a pinned node's end, all of which are in memory or coming.
func (t *Tree) Table(n *Node) Table {
	pages := make([]int32, n.Depth)
	for ; n != nil; n = n.parent {
		pages[n.Depth-1] = n.page
		t.pool.references[n.page]++
	}
	return Table{pages}
}

// Spare is how many pages Free could make free.
func (t *Tree) Spare() int { return t.may[pages].length }

// Free makes at least so many pages of the pool free, if it can.
func (t *Tree) Free(want int) bool {
	for t.pool.Free() < want {
		n := t.may[pages].first()
		if n == nil {
			return false
		}
		t.evicted++
		t.lose(n)
	}
	return true
}

// lose gives a node's page back to the pool.
func (t *Tree) lose(n *Node) {
	if n.inMemory == present {
		t.resident--
	}
	t.pool.release(n.page)
	n.inMemory = absent
	if n.checkpoint != nil && !n.reachable() {
		t.dropCheckpoint(n)
	}
	t.settle(n)
}

// SetCheckpoint gives a node its checkpoint, in memory. Others go where there is too little room, or this one if it is alone.
func (t *Tree) SetCheckpoint(n *Node, b *Blob) {
	if n.checkpoint == nil {
		t.memory += t.limits.Checkpoint
	}
	n.checkpoint = b
	t.Use(n)
	for t.memory > t.limits.Memory {
		t.dropCheckpoint(t.may[checkpoints].first())
	}
}

// Use says that a node's checkpoint is used now.
func (t *Tree) Use(n *Node) {
	n.used = t.tick()
	t.settle(n)
}

// Keep makes a checkpoint stay after its sequence has gone on, and brings it to disk.
func (t *Tree) Keep(n *Node) {
	if n.checkpoint != nil && !n.kept {
		n.kept = true
		t.write(File{n, true})
	}
}

// Pass drops a checkpoint that was not to be kept: its sequence has a later one.
func (t *Tree) Pass(n *Node) {
	if n.checkpoint != nil && !n.kept {
		t.dropCheckpoint(n)
	}
}

func (t *Tree) dropCheckpoint(n *Node) {
	t.memory -= t.limits.Checkpoint
	n.checkpoint, n.kept = nil, false
	t.settle(n)
}

// Forget drops all that is in memory and not pinned.
func (t *Tree) Forget() {
	for n := t.may[pages].first(); n != nil; n = t.may[pages].first() {
		t.lose(n)
	}
	for n := t.may[checkpoints].first(); n != nil; n = t.may[checkpoints].first() {
		t.dropCheckpoint(n)
	}
}

// settle puts a node into the queues of what may go, as its state is now, and forgets it if it has nothing.
func (t *Tree) settle(n *Node) {
	t.may[pages].put(n, n.inMemory == present && n.pins == 0)
	t.may[files].put(n, n.pins == 0 && !n.busy() && (n.pageFile == present || n.checkpointFile == present))
	t.may[checkpoints].put(n, n.checkpoint != nil)
	if n.pins > 0 || n.children > 0 || n.busy() || n.reachable() || n.Resumes() {
		return
	}
	t.nodes.remove(n)
	if n.parent != nil {
		n.parent.children--
		t.settle(n.parent)
		n.parent = nil
	}
}
