package engine

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"baleen/internal/deepseek"
	"baleen/internal/op"
)

// feeder feeds the tokens of one sequence to a machine, in slot and pages of its own.
type feeder struct {
	*Machine
	slot  int32
	pages []int32
}

// feed runs tokens from one position to another in chunks, and then the draft block over the same. It returns the logits of
// every position, and those of the draft.
func (f feeder) feed(t *testing.T, ids []int32, from, to, chunk int) (logits []float32) {
	t.Helper()
	pages := make([][]int32, f.slot+1)
	pages[f.slot] = f.pages
	vocab := f.Model.Config.Vocab
	for at := from; at < to; at += chunk {
		rows := slotRows(f.slot, at, min(at+chunk, to))
		for i := range rows {
			rows[i].Token, rows[i].Logits = ids[rows[i].Position], true
		}
		read := func(err error, get func(int, []float32) error) {
			t.Helper()
			some := make([]float32, len(rows)*vocab)
			if err == nil {
				err = get(0, some)
			}
			if err != nil {
				t.Fatal(err)
			}
			logits = append(logits, some...)
		}
		read(f.Forward(rows, pages), f.Logits)
		for i := range rows {
			rows[i].Token = ids[rows[i].Position+1]
		}
		read(f.Draft(rows, pages), f.DraftLogits)
	}
	return logits
}

func demoText(t *testing.T, n int) []int32 {
	t.Helper()
	var ids []int32
	for len(ids) < n {
		for _, r := range asks(tokenizerOf(t)) {
			ids = append(ids, r.prompt...)
		}
	}
	return ids[:n]
}

// TestRestored: a sequence whose pages and checkpoint were taken out, and put into another slot and other pages of another
// machine, over what others left there, goes on with the same bits as the one that was never interrupted. The checkpoint is
// taken as late as it may be: a whole run beyond its position.
func TestRestored(t *testing.T) {
	ids := demoText(t, 330)
	for _, on := range []string{"ref", "cpu"} {
		for n := deepseek.Reference; n <= deepseek.Fast; n++ {
			for _, position := range []int{128, 256} {
				after := 70
				if on == "ref" { // slow
					after = 52
					if position == 256 {
						continue
					}
				}
				t.Run(fmt.Sprint(on, n, position), func(t *testing.T) {
					caps := op.Caps{Rows: 48, Slots: 3, Pages: 9, Context: 400}
					to := position + after
					a := feeder{place(t, caps, n, on), 1, []int32{4, 2, 7}}
					a.feed(t, ids, 0, position, 48)
					want := a.feed(t, ids, position, position+48, 48)
					pages, checkpoint := a.take(t, position)
					want = append(want, a.feed(t, ids, position+48, to, 48)...)

					b := feeder{place(t, caps, n, on), 2, []int32{8, 0, 5}}
					b.feed(t, ids[17:], 0, 40, 48) // another sequence was here
					b.put(t, pages, checkpoint)
					again, checkpointAgain := b.take(t, position)
					if !slices.EqualFunc(again, pages, bytes.Equal) || !bytes.Equal(checkpointAgain, checkpoint) {
						t.Error("other bytes when it is taken out again")
					}
					got := append(b.feed(t, ids, position, position+48, 48), b.feed(t, ids, position+48, to, 48)...)
					if !slices.Equal(got, want) {
						t.Error("other logits than without interruption")
					}
				})
			}
		}
	}
}

// take takes out the pages before a position, and its checkpoint.
func (f feeder) take(t *testing.T, position int) (pages [][]byte, checkpoint []byte) {
	t.Helper()
	for _, page := range f.pages[:position/op.PageSize] {
		pages = append(pages, make([]byte, f.PageBytes()))
		if err := f.SavePage(page, pages[len(pages)-1]); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint = make([]byte, f.CheckpointBytes())
	if err := f.SaveCheckpoint(f.slot, position, checkpoint); err != nil {
		t.Fatal(err)
	}
	return pages, checkpoint
}

func (f feeder) put(t *testing.T, pages [][]byte, checkpoint []byte) {
	t.Helper()
	for i, data := range pages {
		if err := f.LoadPage(f.pages[i], data); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.LoadCheckpoint(f.slot, op.PageSize*len(pages), checkpoint); err != nil {
		t.Fatal(err)
	}
}

// TestStashSees: a checkpoint that lacks a byte, or a page of another sequence, gives other logits; else TestRestored would
// prove nothing.
func TestStashSees(t *testing.T) {
	ids := demoText(t, 330)
	caps := op.Caps{Rows: 64, Slots: 1, Pages: 6, Context: 400}
	m := place(t, caps, deepseek.Wide, "cpu")
	a := feeder{m, 0, []int32{0, 1, 2}}
	a.feed(t, ids, 0, 128, 64)
	pages, checkpoint := a.take(t, 128)
	want := a.feed(t, ids, 128, 200, 64)
	goOn := func(pages [][]byte, checkpoint []byte) bool {
		a.put(t, pages, checkpoint)
		return slices.Equal(a.feed(t, ids, 128, 200, 64), want)
	}
	if !goOn(pages, checkpoint) {
		t.Fatal("not the same even when nothing is changed")
	}
	at := 0
	for _, s := range m.state[1:] {
		for _, v := range s.moves {
			broken := slices.Clone(checkpoint)
			last := broken[at+v.bytes()-v.Row.Bytes():][:v.Row.Bytes()]
			for i := range last {
				last[i] = 0x3f
			}
			if at += v.bytes(); goOn(pages, broken) {
				t.Errorf("%s: its last row does not matter", v.Name)
			}
		}
	}
	at = 0
	for _, v := range m.state[0].moves {
		broken := slices.Clone(pages[0])
		for i := range v.bytes() {
			broken[at+i] = 0x3f
		}
		if at += v.bytes(); goOn([][]byte{broken}, checkpoint) {
			t.Errorf("%s: a page of it does not matter", v.Name)
		}
	}
}

// The sizes are those of model spec 12.1 for the demo's shape: no frontier of the ratio 128, and half of the other's rings.
func TestStateBytes(t *testing.T) {
	m := place(t, op.Caps{Rows: 5, Slots: 2, Pages: 3, Context: 400}, deepseek.Reference, "ref")
	c := m.Model.Config
	layers, ratio4, ratio128 := c.Layers+1, 0, 0 // and the draft block
	for _, r := range c.Ratios {
		switch r {
		case 4:
			ratio4++
		case 128:
			ratio128++
		}
	}
	row := c.HeadDim - c.RopeDim + (c.HeadDim-c.RopeDim)/64 + 4*c.RopeDim
	key := c.IndexDim/2 + c.IndexDim/32
	page := ratio4*32*(row+key) + ratio128*row
	checkpoint := layers*(c.Window-1)*row + ratio4*4*2*4*2*(c.HeadDim+c.IndexDim)
	if m.PageBytes() != page || m.CheckpointBytes() != checkpoint {
		t.Errorf("a page of %d bytes, want %d; a checkpoint of %d, want %d", m.PageBytes(), page, m.CheckpointBytes(), checkpoint)
	}
}
