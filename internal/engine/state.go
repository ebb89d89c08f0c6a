package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"baleen/internal/device"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// What a sequence remembers lies in pages and in the rings of a slot (design 4). It can be taken out and put back: a page,
// which holds the compressed rows of op.PageSize positions; and a checkpoint, which is what a sequence needs from its rings
// to go on at a position that is a multiple of op.PageSize. There every compression window is complete. So a checkpoint
// holds the last rows of the window rings, and of an overlapping compressor those of the last window; the other frontiers
// are empty.
//
// Rows are taken out by Download, packed as they lie. A device fills only whole buffers, so they come back as they came
// first: a program stores them. To pack a row that was packed before gives the same bytes.

// stash moves rows of state that belong to the same positions.
type stash struct {
	*program           // stores the rows
	behind   int       // of a ring, how many rows before a position are moved; 0 for pages
	moves    []stashed // in the order of the bytes
	bytes    int       // of all together
}

// stashed is one buffer of a stash.
type stashed struct {
	op.Buffer
	rows int
	from string // the IO that the program stores from
}

func (v stashed) bytes() int { return v.rows * v.Row.Bytes() }

// stashes sorts the state of programs: pages first, then rings by what is needed of them.
func (m *Machine) stashes(programs []*program) []*stash {
	list := []*stash{{behind: 0}}
	seen := map[string]bool{}
	for _, p := range programs {
		for i, b := range p.Buffers {
			if b.Space != op.State || seen[b.Name] {
				continue
			}
			seen[b.Name] = true
			if b.PerPage > 0 {
				list[0].moves = append(list[0].moves, stashed{Buffer: b, rows: b.PerPage})
				continue
			}
			if n := p.behind(op.ID(i), max(m.Caps.Rows, p.Caps.Rows)); n > 0 {
				s := find(&list, n)
				s.moves = append(s.moves, stashed{Buffer: b, rows: n})
			}
		}
	}
	for i, s := range list {
		m.record(s, fmt.Sprintf("restore.%d", i))
	}
	return list
}

func find(list *[]*stash, behind int) *stash {
	for _, s := range (*list)[1:] {
		if s.behind == behind {
			return s
		}
	}
	s := &stash{behind: behind}
	*list = append(*list, s)
	return s
}

// behind returns how many rows of a ring a sequence needs that goes on at a multiple of every ratio. The ring has room for a
// chunk besides.
func (p *program) behind(ring op.ID, chunk int) int {
	for _, o := range p.Ops {
		if pool, ok := o.(op.Pool); ok && (op.ID(pool.U) == ring || op.ID(pool.Z) == ring) {
			if pool.Overlap {
				return pool.Ratio
			}
			return 0
		}
	}
	return p.Buffer(ring).Ring - chunk
}

// record makes the program that stores the rows of a stash.
func (m *Machine) record(s *stash, name string) {
	caps := m.Caps
	caps.Rows = s.behind
	if s.behind == 0 {
		caps.Rows = op.PageSize
	}
	b := op.NewBuilder(name, caps)
	for i := range s.moves {
		v := &s.moves[i]
		v.from = name + "." + v.Name
		s.bytes += v.bytes()
		if v.PerPage == 0 {
			state := b.Ring(v.Name, v.Row, v.Ring)
			b.Add(op.Store{X: op.In(b.IO(v.from, op.Rows, v.Cols)), Slot: op.Slot, Entry: op.Position, S: op.InOut(state), Divide: 1})
			continue
		}
		ratio := op.PageSize / v.PerPage
		windows, state := b.Windows(ratio), b.Pages(v.Name, v.Row, v.PerPage)
		b.Add(op.Store{X: op.In(b.IO(v.from, windows.Dim, v.Cols)), Slot: windows.Slot, Entry: windows.Start, S: op.InOut(state), Divide: ratio})
	}
	s.program = &program{Program: b.Program()}
}

// PageBytes is the size of a page.
func (m *Machine) PageBytes() int { return m.state[0].bytes }

// CheckpointBytes is the size of a checkpoint.
func (m *Machine) CheckpointBytes() int {
	n := 0
	for _, s := range m.state[1:] {
		n += s.bytes
	}
	return n
}

// layout describes the bytes of pages and checkpoints.
func (m *Machine) layout() string {
	var text bytes.Buffer
	for _, s := range m.state {
		for _, v := range s.moves {
			fmt.Fprintf(&text, "%d rows of %s: %v\n", v.rows, v.Name, v.Row)
		}
	}
	return text.String()
}

// SavePage copies a page out of the device.
func (m *Machine) SavePage(page int32, to []byte) error {
	for _, v := range m.state[0].moves {
		n := v.bytes()
		if err := m.device.Download(m.buffers[v.Name], int64(page)*int64(n), to[:n]); err != nil {
			return err
		}
		to = to[n:]
	}
	return nil
}

// LoadPage puts a page into the device.
func (m *Machine) LoadPage(page int32, from []byte) error {
	return m.put(m.state[0], slotRows(0, 0, op.PageSize), [][]int32{{page}}, from)
}

// SaveCheckpoint copies out what a slot needs to go on at a position. It is a multiple of op.PageSize, and the slot has run
// it, and not more than the rows of a run beyond it.
func (m *Machine) SaveCheckpoint(slot int32, position int, to []byte) error {
	for _, s := range m.state[1:] {
		for _, v := range s.moves {
			if err := m.saveRing(v, slot, position, to[:v.bytes()]); err != nil {
				return err
			}
			to = to[v.bytes():]
		}
	}
	return nil
}

// saveRing copies out the rows of a ring that lie before a position. Rows before the beginning are left as they are.
func (m *Machine) saveRing(v stashed, slot int32, position int, to []byte) error {
	size := v.Row.Bytes()
	first := max(position-v.rows, 0)
	to = to[(first-position+v.rows)*size:]
	for first < position {
		at := first % v.Ring
		n := min(position-first, v.Ring-at)
		if err := m.device.Download(m.buffers[v.Name], (int64(slot)*int64(v.Ring)+int64(at))*int64(size), to[:n*size]); err != nil {
			return err
		}
		to, first = to[n*size:], first+n
	}
	return nil
}

// LoadCheckpoint puts a checkpoint into a slot.
func (m *Machine) LoadCheckpoint(slot int32, position int, from []byte) error {
	pages := make([][]int32, slot+1)
	pages[slot] = make([]int32, position/op.PageSize) // nothing goes there
	for _, s := range m.state[1:] {
		first := max(position-s.behind, 0)
		if err := m.put(s, slotRows(slot, first, position), pages, from[:s.bytes]); err != nil {
			return err
		}
		from = from[s.bytes:]
	}
	return nil
}

// slotRows are the rows of a slot from one position to another.
func slotRows(slot int32, from, to int) []op.Row {
	rows := make([]op.Row, to-from)
	for i := range rows {
		rows[i] = op.Row{Slot: slot, Position: int32(from + i)}
	}
	return rows
}

// put stores what a stash packed. Of a ring, which may have begun later than the stash reaches back, the last rows count.
func (m *Machine) put(s *stash, rows []op.Row, pages [][]int32, from []byte) error {
	if len(s.moves) == 0 {
		return nil
	}
	for _, v := range s.moves {
		packed := from[:v.bytes()]
		if v.PerPage == 0 {
			packed = packed[(v.rows-len(rows))*v.Row.Bytes():]
		}
		data := unpack(v.Row, packed, int(s.Bytes(s.Buffer(s.Lookup(v.from)))))
		source := device.Source{Name: v.from, Data: device.Span{From: bytes.NewReader(data), Length: int64(len(data))}}
		if err := m.device.Upload(m.buffers[v.from], []device.Source{source}); err != nil {
			return err
		}
		from = from[v.bytes():]
	}
	return m.run(s.program, rows, pages)
}

// unpack makes size bytes of numbers from packed rows; those beyond the rows are zeros.
func unpack(row quant.Row, packed []byte, size int) []byte {
	data, numbers := make([]byte, 0, size), make([]float32, row.Width)
	for ; len(packed) > 0; packed = packed[row.Bytes():] {
		row.Decode(numbers, packed)
		for _, x := range numbers {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
	}
	return data[:size]
}
