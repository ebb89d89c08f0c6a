package op

import (
	"fmt"
	"math"
)

// Row is one token of a run.
type Row struct {
	Token    int32
	Slot     int32 // of the sequence's state
	Position int32
	Logits   bool // its logits are wanted
}

// Args are the arguments of one run.
type Args struct {
	Counts []int     // by Dim
	Tables [][]int32 // by ID of a Table; nil for other buffers
	Pages  [][]int32 // by slot: where the sequence's pages lie

	program    *Program
	vocabulary int
	next       []int32 // by slot: the position that must follow, or -1
}

// NewArgs returns arguments that Set fills, again and again.
func (p *Program) NewArgs() *Args {
	a := &Args{
		Counts: make([]int, len(p.Dims)), Tables: make([][]int32, len(p.Buffers)),
		program: p, vocabulary: p.vocabulary(), next: make([]int32, p.Caps.Slots),
	}
	for id, b := range p.Buffers {
		if b.Space == Table {
			a.Tables[id] = make([]int32, 0, p.Dims[b.Dim].Capacity)
		}
	}
	return a
}

// Args is NewArgs and Set.
func (p *Program) Args(rows []Row, pages [][]int32) (*Args, error) {
	a := p.NewArgs()
	if err := a.Set(rows, pages); err != nil {
		return nil, err
	}
	return a, nil
}

// Set lays rows out as the program's tables. Rows of one sequence must come in order of position, without a gap; pages must
// reach as far as the rows. It checks what could lead a device out of its memory, and allocates nothing.
func (a *Args) Set(rows []Row, pages [][]int32) error {
	p := a.program
	if len(rows) == 0 || len(rows) > p.Caps.Rows {
		return fmt.Errorf("wrong number of rows: program %s: %d: give 1 to %d", p.Name, len(rows), p.Caps.Rows)
	}
	a.reset(pages)
	for i, r := range rows {
		if r.Token < 0 || int(r.Token) >= a.vocabulary {
			return fmt.Errorf("bad row: program %s: row %d: token %d: give 0 to %d", p.Name, i, r.Token, a.vocabulary-1)
		}
		if err := p.checkRow(r, a.next, pages); err != nil {
			return fmt.Errorf("bad row: program %s: row %d: %w", p.Name, i, err)
		}
		a.Counts[Rows]++
		a.add(Token, r.Token)
		a.add(Slot, r.Slot)
		a.add(Position, r.Position)
		if r.Logits {
			a.Counts[Logits]++
			a.add(LogitRow, int32(i))
		}
		a.addWindows(p, r)
	}
	if last := In(p.byName[lastTable]); last != 0 {
		for _, r := range rows {
			a.add(last, a.next[r.Slot]-1)
		}
	}
	return nil
}

func (a *Args) reset(pages [][]int32) {
	clear(a.Counts)
	for i := range a.Tables {
		a.Tables[i] = a.Tables[i][:0]
	}
	for i := range a.next {
		a.next[i] = -1
	}
	a.Pages = pages
}

// vocabulary is how many tokens the program can look up.
func (p *Program) vocabulary() int {
	n := math.MaxInt32
	for _, o := range p.Ops {
		switch o := o.(type) {
		case Embed:
			n = min(n, p.Buffer(ID(o.W)).Rows)
		case Lookup:
			n = min(n, p.Buffer(ID(o.W)).Rows)
		}
	}
	return n
}

// checkRow checks one row. next is by slot the position that must follow: without a gap, no run completes more windows than
// there is room for.
func (p *Program) checkRow(r Row, next []int32, pages [][]int32) error {
	if r.Slot < 0 || int(r.Slot) >= p.Caps.Slots {
		return fmt.Errorf("slot %d: give 0 to %d", r.Slot, p.Caps.Slots-1)
	}
	if r.Position < 0 || int(r.Position) >= p.Caps.Context {
		return fmt.Errorf("position %d: the context ends at %d", r.Position, p.Caps.Context)
	}
	page := int(r.Position) / PageSize
	if int(r.Slot) >= len(pages) || page >= len(pages[r.Slot]) {
		return fmt.Errorf("position %d of slot %d: it has no page", r.Position, r.Slot)
	}
	first := 0 // a row reads every page up to its own
	if wanted := next[r.Slot]; wanted >= 0 {
		if r.Position != wanted {
			return fmt.Errorf("position %d of slot %d: the row before it in the sequence wants %d", r.Position, r.Slot, wanted)
		}
		first = page
	}
	next[r.Slot] = r.Position + 1
	for i, n := range pages[r.Slot][first : page+1] {
		if n < 0 || int(n) >= p.Caps.Pages {
			return fmt.Errorf("page %d of slot %d: it is %d of %d", first+i, r.Slot, n, p.Caps.Pages)
		}
	}
	return nil
}

// addWindows adds the window that a row completes, for every ratio of the program.
func (a *Args) addWindows(p *Program, r Row) {
	for d, info := range p.Dims {
		if info.Ratio == 0 || (int(r.Position)+1)%info.Ratio != 0 {
			continue
		}
		slot := In(p.byName[info.Name+".slot"])
		a.Counts[d]++
		a.add(slot, r.Slot)
		a.add(slot+1, r.Position+1-int32(info.Ratio)) // Builder.Windows makes the two tables together
	}
}

func (a *Args) add(table In, value int32) { a.Tables[table] = append(a.Tables[table], value) }
