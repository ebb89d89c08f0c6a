// Package kv keeps the books of remembered tokens, and their files. It holds no device memory: a page is a number, under which
// the device keeps the compressed rows of PageSize positions across all layers (design 4).
//
//	kv.go             pages: who has which
//	tree.go, queue.go prefixes: which pages and checkpoints are known, and what goes when room is wanted
//	disk.go           which of them are on disk, or on their way
//	store.go          the files
//	check.go          what must hold
//
// The books are not safe for concurrent use: the scheduler owns them. A Store belongs to a goroutine of its own.
package kv

import (
	"errors"
	"fmt"
	"slices"
)

// PageSize is how many positions a page stands for.
const PageSize = 128

// ErrFull is what Grow returns, wrapped, when the pool has too few free pages.
var ErrFull = errors.New("state memory full")

// Pool is a fixed number of pages and the count of references to each.
//
//  1. A page is in free exactly once when its count is 0, and not at all otherwise.
//  2. The count of a page is the number of tables that have it; a table has it once.
//  3. A page that two tables share is complete: neither writes to it again.
//
// Check tests 1 and 2. Whoever writes must keep 3, for which Share gives whole pages only.
type Pool struct {
	references []int32
	free       []int32 // the last is taken next
}

// NewPool returns a pool of free pages, numbered from 0.
func NewPool(pages int) *Pool {
	p := &Pool{references: make([]int32, pages), free: make([]int32, pages)}
	for i := range p.free {
		p.free[i] = int32(pages - 1 - i)
	}
	return p
}

// Free returns how many pages nobody has.
func (p *Pool) Free() int { return len(p.free) }

// Table lists the pages of one sequence in order of position. A copy of a Table is the same table, not another reference.
type Table struct {
	pages []int32
}

// Pages returns the numbers of the pages, for op.Args. They stay as they are when the table grows or is released.
func (t *Table) Pages() []int32 { return t.pages }

// PagesFor returns how many pages the given number of positions needs.
func PagesFor(positions int) int { return (positions + PageSize - 1) / PageSize }

// Grow makes a table reach at least the given number of positions. With too few free pages it changes nothing.
func (p *Pool) Grow(t *Table, positions int) error {
	need := PagesFor(positions) - len(t.pages)
	if need > len(p.free) {
		return fmt.Errorf("%w: %d more pages for %d positions, and %d of %d are free: wait for another sequence to end, or give more memory",
			ErrFull, need, positions, len(p.free), len(p.references))
	}
	if t.pages == nil {
		t.pages = make([]int32, 0, need+4)
	}
	for range need {
		page := p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		p.references[page] = 1
		t.pages = append(t.pages, page)
	}
	return nil
}

// Share returns a new table with the first pages of t, as many as lie wholly within the given number of positions. Those
// positions must have been computed and committed: from now on nobody may write to them.
func (p *Pool) Share(t *Table, positions int) Table {
	n := min(positions/PageSize, len(t.pages))
	for _, page := range t.pages[:n] {
		p.references[page]++
	}
	return Table{slices.Clone(t.pages[:n])}
}

// Release empties a table. Pages that no other table has become free.
func (p *Pool) Release(t *Table) {
	for _, page := range slices.Backward(t.pages) {
		p.release(page)
	}
	t.pages = nil
}

func (p *Pool) release(page int32) {
	p.references[page]--
	if p.references[page] == 0 {
		p.free = append(p.free, page)
	}
}

// replace puts another page, which its owner shares, in the place of a table's own. Who has the old list keeps it as it is.
func (p *Pool) replace(t *Table, i int, page int32) {
	own := t.pages[i]
	if own == page {
		return
	}
	t.pages = slices.Clone(t.pages)
	t.pages[i] = page
	p.references[page]++
	p.release(own)
}

// Check says what is wrong with the books, given every table that has pages. It costs as much as there are pages: it is for
// tests and idle moments.
func (p *Pool) Check(tables ...*Table) error {
	found, seen := make([]int32, len(p.references)), make([]*Table, len(p.references))
	for i, t := range tables {
		for _, page := range t.pages {
			if page < 0 || int(page) >= len(found) {
				return fmt.Errorf("page table %d: page %d of %d", i, page, len(found))
			}
			if seen[page] == t {
				return fmt.Errorf("page table %d: page %d twice", i, page)
			}
			found[page]++
			seen[page] = t
		}
	}
	isFree := make([]bool, len(found))
	for _, page := range p.free {
		if isFree[page] {
			return fmt.Errorf("page pool: page %d free twice", page)
		}
		isFree[page] = true
	}
	for page, n := range p.references {
		if n != found[page] || isFree[page] != (n == 0) {
			return fmt.Errorf("page pool: page %d: %d references, %d tables have it, free: %v", page, n, found[page], isFree[page])
		}
	}
	return nil
}
