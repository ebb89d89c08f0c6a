package kv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// The scripts: new, grow, share, release. After every command the books are checked and shown.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/pool", func(t *testing.T, path string) {
		b := &books{tables: map[string]*Table{}}
		datadriven.RunTest(t, path, b.command)
	})
}

type books struct {
	pool   *Pool
	tables map[string]*Table
}

func (b *books) command(t *testing.T, d *datadriven.TestData) string {
	var name, from string
	var n int
	switch d.Cmd {
	case "new":
		d.ScanArgs(t, "pages", &n)
		b.pool = NewPool(n)
		return b.show(nil)
	case "grow":
		d.ScanArgs(t, "table", &name)
		d.ScanArgs(t, "positions", &n)
		return b.show(b.pool.Grow(b.table(name), n))
	case "share":
		d.ScanArgs(t, "table", &name)
		d.ScanArgs(t, "from", &from)
		d.ScanArgs(t, "positions", &n)
		*b.table(name) = b.pool.Share(b.table(from), n)
		return b.show(nil)
	case "release":
		d.ScanArgs(t, "table", &name)
		b.pool.Release(b.table(name))
		return b.show(nil)
	}
	d.Fatalf(t, "unknown command %s", d.Cmd)
	return ""
}

func (b *books) table(name string) *Table {
	if b.tables[name] == nil {
		b.tables[name] = &Table{}
	}
	return b.tables[name]
}

func (b *books) show(err error) string {
	var out strings.Builder
	if err != nil {
		fmt.Fprintln(&out, "error:", err)
	}
	var names []string
	var all []*Table
	for name, t := range b.tables {
		names, all = append(names, name), append(all, t)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&out, "%s: %v\n", name, b.tables[name].Pages())
	}
	fmt.Fprintf(&out, "free: %d\n", b.pool.Free())
	if err := b.pool.Check(all...); err != nil {
		fmt.Fprintln(&out, "BROKEN:", err)
	}
	return out.String()
}

// Random histories against the plainest model there is: a list of page sets.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		const pages = 40
		pool, tables := NewPool(pages), make([]*Table, 6)
		for i := range tables {
			tables[i] = &Table{}
		}
		for step := range 300 {
			a, b := tables[r.IntN(len(tables))], tables[r.IntN(len(tables))]
			before, positions := slices.Clone(a.Pages()), r.IntN(20*PageSize)
			switch r.IntN(4) {
			case 0, 1:
				err := pool.Grow(a, positions)
				want := max(len(before), (positions+127)/128)
				if errors.Is(err, ErrFull) {
					want = len(before)
				} else if err != nil {
					t.Fatal(err)
				}
				if len(a.Pages()) != want || !slices.Equal(a.Pages()[:len(before)], before) {
					t.Fatalf("seed %d step %d: grow %v to %d positions: %v, %v", seed, step, before, positions, a.Pages(), err)
				}
			case 2:
				if len(a.Pages()) == 0 && a != b {
					*a = pool.Share(b, positions)
					if want := b.Pages()[:min(positions/128, len(b.Pages()))]; !slices.Equal(a.Pages(), want) {
						t.Fatalf("seed %d step %d: share %d positions of %v: %v", seed, step, positions, b.Pages(), a.Pages())
					}
				}
			case 3:
				pool.Release(a)
			}
			if err := pool.Check(tables...); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			distinct := map[int32]bool{}
			for _, t := range tables {
				for _, p := range t.Pages() {
					distinct[p] = true
				}
			}
			if pool.Free() != pages-len(distinct) {
				t.Fatalf("seed %d step %d: %d free, %d of %d held", seed, step, pool.Free(), len(distinct), pages)
			}
		}
	}
}

// A batch that is out keeps the page numbers it was made with.
func TestPagesOutliveRelease(t *testing.T) {
	pool, a, b := NewPool(4), &Table{}, &Table{}
	if err := pool.Grow(a, 3*PageSize); err != nil {
		t.Fatal(err)
	}
	held, want := a.Pages(), slices.Clone(a.Pages())
	pool.Release(a)
	for _, t2 := range []*Table{b, a} {
		if err := pool.Grow(t2, 2*PageSize); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(held, want) {
		t.Errorf("held %v, was %v", held, want)
	}
}

// Check must see each kind of damage, or the tests above prove nothing.
func TestCheckSeesDamage(t *testing.T) {
	for name, damage := range map[string]func(*Pool, *Table){
		"count too high":    func(p *Pool, t *Table) { p.references[t.pages[0]]++ },
		"count too low":     func(p *Pool, t *Table) { p.references[t.pages[0]]-- },
		"held and free":     func(p *Pool, t *Table) { p.free = append(p.free, t.pages[1]) },
		"free twice":        func(p *Pool, t *Table) { p.free = append(p.free, p.free[0]) },
		"lost":              func(p *Pool, t *Table) { p.free = p.free[1:] },
		"twice in a table":  func(p *Pool, t *Table) { t.pages = append(t.pages, t.pages[0]) },
		"no such page":      func(p *Pool, t *Table) { t.pages[0] = 99 },
		"table of nobody's": func(p *Pool, t *Table) { t.pages = append(t.pages, p.free[0]) },
	} {
		p, table := NewPool(5), &Table{}
		if err := p.Grow(table, 300); err != nil {
			t.Fatal(err)
		}
		damage(p, table)
		if p.Check(table) == nil {
			t.Errorf("%s: not seen", name)
		}
	}
}
