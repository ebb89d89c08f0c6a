package engine

import (
	"testing"

	"baleen/internal/op"
)

// TestNoGarbage: a run allocates nothing.
func TestNoGarbage(t *testing.T) {
	e, _ := start(t, op.Caps{Rows: 4, Slots: 1, Pages: 4, Context: 512})
	m := e.machine
	e.Close()
	pages, row, logits := [][]int32{{0, 1, 2, 3}}, []op.Row{{Token: 5, Logits: true}}, make([]float32, m.Model.Config.Vocab)
	next := func() {
		if err := m.Forward(row, pages); err != nil {
			t.Fatal(err)
		}
		if err := m.Logits(0, logits); err != nil {
			t.Fatal(err)
		}
		row[0].Position++
	}
	next()
	if n := testing.AllocsPerRun(200, next); n != 0 {
		t.Errorf("%v allocations in a run", n)
	}
}
