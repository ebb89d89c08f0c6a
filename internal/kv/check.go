package kv

import "fmt"

// Counts say what a tree has.
type Counts struct {
	Pages, Checkpoints int    // in memory
	Memory, Disk       int64  // bytes of checkpoints in memory; of files
	Evicted            uint64 // pages, from memory
}

// Counts returns them.
func (t *Tree) Counts() Counts {
	return Counts{t.resident, t.may[checkpoints].length, t.memory, t.disk, t.evicted}
}

// Check says what is wrong with the books, given every table that has pages, and the node that each of them has pinned, or nil.
func (t *Tree) Check(tables map[*Table]*Node) error {
	c := &census{Tree: t, pins: map[*Node]int{}, children: map[*Node]int{}}
	all := []*Table{{}}
	for table, n := range tables {
		all = append(all, table)
		for ; n != nil; n = n.parent {
			c.pins[n]++
			if n.inMemory == present && (len(table.pages) < n.Depth || table.pages[n.Depth-1] != n.page) {
				return fmt.Errorf("prefix tree: a table lacks page %d of depth %d, which it has pinned", n.page, n.Depth)
			}
		}
	}
	for n := range t.nodes.all {
		c.children[n.parent]++
		if n.inMemory != absent {
			all[0].pages = append(all[0].pages, n.page)
		}
	}
	for n := range t.nodes.all {
		if err := c.node(n); err != nil {
			return fmt.Errorf("prefix tree: node of depth %d: %w", n.Depth, err)
		}
	}
	if c.resident != t.resident {
		return fmt.Errorf("prefix tree: counts %d pages in memory, has %d", t.resident, c.resident)
	}
	if c.memory != t.memory || c.disk != t.disk || t.memory > t.limits.Memory || t.disk > t.limits.Disk {
		return fmt.Errorf("prefix tree: counts %d and %d bytes, has %d and %d, may have %d and %d", t.memory, t.disk, c.memory, c.disk, t.limits.Memory, t.limits.Disk)
	}
	return t.pool.Check(all...)
}

// census is what Check counts.
type census struct {
	*Tree
	pins, children map[*Node]int
	memory, disk   int64
	resident       int
}

func (c *census) node(n *Node) error {
	if c.nodes.get(&n.ID) != n {
		return fmt.Errorf("it is not found by its name")
	}
	if n.pins != c.pins[n] || n.children != c.children[n] {
		return fmt.Errorf("%d pins and %d children, in truth %d and %d", n.pins, n.children, c.pins[n], c.children[n])
	}
	if p := n.parent; p != nil && (c.nodes.get(&p.ID) != p || p.Depth != n.Depth-1 || p.pins == 0 && p.stamp <= n.stamp) {
		return fmt.Errorf("its parent, of depth %d and stamp %d, goes before it", p.Depth, p.stamp)
	}
	if n.pins == 0 && n.children == 0 && !n.busy() && !n.reachable() && !n.Resumes() {
		return fmt.Errorf("it has nothing")
	}
	for which, want := range [queues]bool{
		pages:       n.pins == 0 && n.inMemory == present,
		files:       n.pins == 0 && !n.busy() && (n.pageFile == present || n.checkpointFile == present),
		checkpoints: n.checkpoint != nil,
	} {
		q := &c.may[which]
		if at := n.at[which]; want != at.in || at.in && !(q.ordered(at.before, n) && q.ordered(n, at.after)) {
			return fmt.Errorf("place in queue %d: a member: %v", which, at.in)
		}
	}
	if n.inMemory == present {
		c.resident++
	}
	if n.checkpoint != nil {
		c.memory += c.limits.Checkpoint
	}
	for _, f := range []File{{n, false}, {n, true}} {
		if *f.state() != absent {
			c.disk += c.size(f)
		}
	}
	return nil
}
