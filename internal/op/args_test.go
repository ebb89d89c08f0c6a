package op_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"baleen/internal/op"
)

// ratiosProgram has the windows of the given ratios and nothing else.
func ratiosProgram(caps op.Caps, ratios ...int) (*op.Program, []op.Windows) {
	b := op.NewBuilder("ratios", caps)
	var windows []op.Windows
	for _, ratio := range ratios {
		windows = append(windows, b.Windows(ratio))
	}
	return b.Program(), windows
}

// inOrder are page tables in which page i of slot s is s*perSlot+i.
func inOrder(slots, perSlot int) [][]int32 {
	tables := make([][]int32, slots)
	for s := range tables {
		for i := range perSlot {
			tables[s] = append(tables[s], int32(s*perSlot+i))
		}
	}
	return tables
}

// completed lists the windows of a ratio that rows complete, from the other side: for each window of each sequence it looks
// whether its last token is among the rows. Windows come in the order of those tokens.
func completed(rows []op.Row, slots, context, ratio int) (slot, start []int32) {
	type window struct{ at, slot, start int }
	var found []window
	for s := range slots {
		for first := 0; first+ratio <= context; first += ratio {
			last := func(r op.Row) bool { return int(r.Slot) == s && int(r.Position) == first+ratio-1 }
			if at := slices.IndexFunc(rows, last); at >= 0 {
				found = append(found, window{at, s, first})
			}
		}
	}
	slices.SortFunc(found, func(a, b window) int { return a.at - b.at })
	for _, w := range found {
		slot, start = append(slot, int32(w.slot)), append(start, int32(w.start))
	}
	return slot, start
}

// randomRows interleaves stretches of sequences, each in order.
func randomRows(rng *rand.Rand, caps op.Caps) []op.Row {
	next := make([]int32, caps.Slots)
	for s := range next {
		next[s] = int32(rng.IntN(caps.Context - caps.Rows))
	}
	active := 1 + rng.IntN(caps.Slots)
	rows := make([]op.Row, 1+rng.IntN(caps.Rows))
	for i := range rows {
		s := rng.IntN(active)
		rows[i] = op.Row{Token: rng.Int32N(1000), Slot: int32(s), Position: next[s], Logits: rng.IntN(3) == 0}
		next[s]++
	}
	return rows
}

func TestArgsAgainstNaiveTables(t *testing.T) {
	ratios := []int{1, 2, 4, 32, 128}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		caps := op.Caps{Rows: 1 + rng.IntN(40), Slots: 1 + rng.IntN(5), Pages: 5 * 4, Context: 512}
		p, windows := ratiosProgram(caps, ratios...)
		rows, pages := randomRows(rng, caps), inOrder(caps.Slots, 4)
		a, err := p.Args(rows, pages)
		if err != nil {
			t.Fatal(err)
		}
		want := make([][]int32, len(p.Buffers))
		counts := make([]int, len(p.Dims))
		counts[op.Rows] = len(rows)
		for i, r := range rows {
			want[op.Token] = append(want[op.Token], r.Token)
			want[op.Slot] = append(want[op.Slot], r.Slot)
			want[op.Position] = append(want[op.Position], r.Position)
			if r.Logits {
				want[op.LogitRow] = append(want[op.LogitRow], int32(i))
				counts[op.Logits]++
			}
		}
		for i, w := range windows {
			want[w.Slot], want[w.Start] = completed(rows, caps.Slots, caps.Context, ratios[i])
			counts[w.Dim] = len(want[w.Slot])
		}
		if !slices.EqualFunc(a.Tables, want, slices.Equal[[]int32]) || !reflect.DeepEqual(a.Counts, counts) || !reflect.DeepEqual(a.Pages, pages) {
			t.Fatalf("%+v of %+v gives\n%+v\nnot\n%+v of %v", rows, caps, a, want, counts)
		}
		for d, n := range a.Counts {
			if n > p.Dims[d].Capacity {
				t.Fatalf("%d of %s, for which there is room for %d", n, p.Dims[d].Name, p.Dims[d].Capacity)
			}
		}
	}
}

// TestWindowsCapacity gives Args the rows that complete most windows: as many sequences as there are begin at the last token of
// a window, and one of them has all other rows. That is s + (rows-s)/ratio windows of s sequences, for the best s.
func TestWindowsCapacity(t *testing.T) {
	for _, ratio := range []int{1, 2, 4, 16, 128} {
		for n := 1; n <= 140; n += 1 + n/20 {
			for slots := 1; slots <= 12; slots++ {
				p, windows := ratiosProgram(op.Caps{Rows: n, Slots: slots, Pages: 100, Context: 1024}, ratio)
				most := min(slots, n)
				var rows []op.Row
				for s := range most {
					rows = append(rows, op.Row{Slot: int32(s), Position: int32(ratio - 1)})
				}
				for len(rows) < n {
					rows = append(rows, op.Row{Position: int32(ratio + len(rows) - most)})
				}
				a, err := p.Args(rows, inOrder(slots, 8))
				if err != nil {
					t.Fatal(err)
				}
				got, room := a.Counts[windows[0].Dim], p.Dims[windows[0].Dim].Capacity
				if want := most + (n-most)/ratio; got != want || got > room || room > n {
					t.Fatalf("ratio %d, %d rows of %d sequences: %d windows, not %d; there is room for %d", ratio, n, most, got, want, room)
				}
			}
		}
	}
}

func TestWindowsAreMadeOnce(t *testing.T) {
	b := op.NewBuilder("windows", smallCaps)
	first, other, again := b.Windows(4), b.At("elsewhere").Windows(128), b.Windows(4)
	if first != again || first == other || first.Dim == other.Dim {
		t.Errorf("%+v, %+v, %+v", first, other, again)
	}
	if info := b.Program().Dims[other.Dim]; info != (op.DimInfo{Name: "windows.128", Capacity: 2, Ratio: 128}) {
		t.Errorf("%+v", info)
	}
}

// TestVisible counts the entries whose last token is not after the query.
func TestVisible(t *testing.T) {
	for _, ratio := range []int{1, 2, 4, 128} {
		want := 0
		for position := range 600 {
			if last := want*ratio + ratio - 1; last <= position {
				want++
			}
			if got := op.Visible(position, ratio); got != want {
				t.Fatalf("ratio %d, position %d: %d entries, not %d", ratio, position, got, want)
			}
		}
	}
}

// TestBadArgs: what could lead a device out of its memory is an error that names the row.
func TestBadArgs(t *testing.T) {
	row := func(slot, position int32) op.Row { return op.Row{Slot: slot, Position: position} }
	pages := inOrder(2, 4)
	for name, c := range map[string]struct {
		rows  []op.Row
		pages [][]int32
		want  string
	}{
		"no rows":               {nil, pages, "wrong number of rows: program every: 0: give 1 to 6"},
		"too many rows":         {slices.Repeat([]op.Row{row(0, 0)}, 7), pages, "wrong number of rows: program every: 7: give 1 to 6"},
		"slot below":            {[]op.Row{row(0, 0), row(-1, 0)}, pages, "row 1: slot -1"},
		"slot above":            {[]op.Row{row(2, 0)}, inOrder(3, 4), "row 0: slot 2"},
		"position below":        {[]op.Row{row(0, -1)}, pages, "row 0: position -1"},
		"position above":        {[]op.Row{row(0, 512)}, inOrder(2, 8), "row 0: position 512"},
		"token below":           {[]op.Row{{Token: -1}}, pages, "row 0: token -1"},
		"token above":           {[]op.Row{{Token: 32}}, pages, "row 0: token 32"},
		"no page table":         {[]op.Row{row(1, 0)}, pages[:1], "row 0: position 0 of slot 1"},
		"nil pages":             {[]op.Row{row(0, 0)}, nil, "row 0: position 0 of slot 0"},
		"page table too short":  {[]op.Row{row(0, 127), row(0, 128)}, inOrder(2, 1), "row 1: position 128 of slot 0"},
		"page below":            {[]op.Row{row(0, 0)}, [][]int32{{-1}}, "row 0: page 0 of slot 0"},
		"page above":            {[]op.Row{row(0, 0)}, [][]int32{{16}}, "row 0: page 0 of slot 0"},
		"earlier page above":    {[]op.Row{row(0, 300)}, [][]int32{{0, 99, 2}}, "row 0: page 1 of slot 0"},
		"next page above":       {[]op.Row{row(0, 127), row(0, 128)}, [][]int32{{0, 99}}, "row 1: page 1 of slot 0"},
		"gap":                   {[]op.Row{row(0, 3), row(0, 7)}, pages, "row 1: position 7 of slot 0"},
		"gap between sequences": {[]op.Row{row(0, 3), row(1, 9), row(1, 10), row(0, 5)}, pages, "row 3: position 5 of slot 0"},
		"twice":                 {[]op.Row{row(0, 3), row(0, 3)}, pages, "row 1: position 3 of slot 0"},
		"backwards":             {[]op.Row{row(0, 3), row(0, 2)}, pages, "row 1: position 2 of slot 0"},
	} {
		_, err := everyOp().Program().Args(c.rows, c.pages)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The edges that are good, and a page behind the rows that nobody looks at.
	good := []op.Row{{Token: 31, Slot: 1, Position: 510}, {Token: 0, Slot: 1, Position: 511}, {Slot: 0, Position: 0}}
	if _, err := everyOp().Program().Args(good, [][]int32{{15, 99}, {0, 1, 2, 3}}); err != nil {
		t.Error(err)
	}
}

// TestArgsNeverFillBeyondCapacity gives any rows at all: either an error, or counts within the capacities.
func TestArgsNeverFillBeyondCapacity(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	p, _ := ratiosProgram(op.Caps{Rows: 8, Slots: 2, Pages: 2, Context: 16}, 1, 2, 4, 8)
	good := 0
	for range 20000 {
		rows := make([]op.Row, rng.IntN(10))
		for i := range rows {
			rows[i] = op.Row{Slot: rng.Int32N(4) - 1, Position: rng.Int32N(18) - 1}
			if i > 0 && rng.IntN(4) > 0 {
				rows[i] = rows[i-1]
				rows[i].Position++
			}
		}
		a, err := p.Args(rows, inOrder(2, 1))
		if err != nil {
			continue
		}
		good++
		for d, n := range a.Counts {
			if n > p.Dims[d].Capacity {
				t.Fatalf("%v: %s", rows, fmt.Sprint(n, " of ", p.Dims[d].Name))
			}
		}
	}
	if good < 100 {
		t.Errorf("only %d lists of rows were good", good)
	}
}

// TestLast: every row has the position of the last row of its sequence, and a program that does not ask has no such table.
func TestLast(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		caps := op.Caps{Rows: 1 + rng.IntN(40), Slots: 1 + rng.IntN(5), Pages: 5 * 4, Context: 512}
		b := op.NewBuilder("last", caps)
		last := b.Last()
		if b.Last() != last {
			t.Fatal("two tables")
		}
		a := b.Program().NewArgs()
		for range 3 {
			rows := randomRows(rng, caps)
			if err := a.Set(rows, inOrder(caps.Slots, 4)); err != nil {
				t.Fatal(err)
			}
			var want []int32
			for _, r := range rows {
				most := r.Position
				for _, other := range rows {
					if other.Slot == r.Slot {
						most = max(most, other.Position)
					}
				}
				want = append(want, most)
			}
			if !slices.Equal(a.Tables[last], want) {
				t.Fatalf("%+v have %v, not %v", rows, a.Tables[last], want)
			}
		}
	}
}
