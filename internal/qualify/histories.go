package qualify

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"baleen/internal/deepseek"
	"baleen/internal/device"
	"baleen/internal/op"
	"baleen/internal/quant"
)

// machine is a model's whole programs on a device.
type machine struct {
	*subject
	forward, draft, next *loaded // the latter two may be nil
	tables               [][]int32
}

func newMachine(d device.Device, s *subject, caps op.Caps) (*machine, error) {
	st := newStand(d, s.sources)
	m := &machine{subject: s, tables: make([][]int32, caps.Slots)}
	var err error
	if m.forward, err = st.load(s.Forward(caps)); err != nil {
		return nil, err
	}
	if s.Weights.MTP == nil {
		return m, nil
	}
	if m.draft, err = st.load(s.Draft(caps)); err != nil {
		return nil, err
	}
	m.next, err = st.load(s.DraftNext(caps))
	return m, err
}

// history is a sequence and what a machine gave for it.
type history struct {
	text   int // which of the texts; ids may end before it
	ids    []int32
	slot   int32
	pages  []int32
	from   int // it begins here, with memories that are drawn, not computed
	length int // how far it has come
	until  int // how far it is to come, or 0 for all the way

	logits, drafts [][]float32
}

// step runs the next n tokens of each history, in one run. commit says that they count.
func (m *machine) step(list []*history, n []int, commit bool) error {
	var rows, next []op.Row
	for i, h := range list {
		rows, next = append(rows, h.rows(n[i], 0)...), append(next, h.rows(n[i], 1)...)
		m.tables[h.slot] = h.pages
	}
	logits, err := m.call(m.forward, rows, deepseek.LogitsName)
	if err != nil {
		return err
	}
	var drafts [][]float32
	if m.draft != nil {
		if drafts, err = m.call(m.draft, next, deepseek.DraftLogitsName); err != nil {
			return err
		}
	}
	at := 0
	for i, h := range list {
		k := min(n[i], len(h.ids)-h.length)
		if commit {
			h.logits = append(h.logits, logits[at:at+k]...)
			if drafts != nil {
				h.drafts = append(h.drafts, drafts[at:at+k]...)
			}
			h.length += k
		}
		at += k
	}
	return nil
}

// call runs a program and returns its logits, row by row.
func (m *machine) call(l *loaded, rows []op.Row, name string) ([][]float32, error) {
	args, err := l.Args(rows, m.tables)
	if err != nil {
		return nil, fmt.Errorf("the suite's own arguments: %w", err)
	}
	if err := l.run(args); err != nil {
		return nil, err
	}
	data, err := l.get(name, args)
	if err != nil {
		return nil, err
	}
	return slices.Collect(slices.Chunk(toFloats(data), l.Buffer(l.Lookup(name)).Cols)), nil
}

// play runs histories to their ends; chunk says how many tokens the i-th gets at a position.
func (m *machine) play(list []*history, chunk func(i, position int) int) error {
	for _, h := range list {
		if h.length < h.from {
			if err := m.remember(h); err != nil {
				return err
			}
		}
	}
	for {
		var now []*history
		var n []int
		for i, h := range list {
			if end := h.end(); h.length < end {
				now, n = append(now, h), append(n, min(end-h.length, max(1, chunk(i, h.length))))
			}
		}
		if len(now) == 0 {
			return nil
		}
		if err := m.step(now, n, true); err != nil {
			return err
		}
	}
}

// remember gives a sequence the memories of what lies before its beginning. They are drawn by position: wherever a sequence lies, they are the
// same.
func (m *machine) remember(h *history) error {
	h.length, h.logits, h.drafts = h.from, make([][]float32, h.from), make([][]float32, h.from)
	m.tables[h.slot] = h.pages
	buffers, of := m.memories()
	for name, b := range buffers {
		data, err := of[name].get(name, nil)
		if err != nil {
			return err
		}
		first, end := max(0, h.from-b.Ring), h.from
		if b.PerPage > 0 {
			first, end = 0, h.from*b.PerPage/op.PageSize
		}
		for e := first; e < end; e++ {
			rng := rand.New(rand.NewPCG(uint64(e), hashOf(name)))
			exponent := map[quant.Kind]int{quant.KindE4M3: -9, quant.KindE2M1: -2}[b.Row.Kind] // not so large that they outweigh what is computed
			row := drawRow(nil, rng, b.Row, exponent, func() float32 { return float32(rng.NormFloat64()) / 2 })
			copy(data[placeOf(b, m.tables, h.slot, e)*b.Row.Bytes():], row)
		}
		if err := of[name].put(name, data); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) end() int {
	if h.until > 0 {
		return h.until
	}
	return len(h.ids)
}

// historyCaps are those of histories.
var historyCaps = op.Caps{Rows: 66, Slots: 11, Pages: 16, Context: 384}

// begun is where the first of the texts begins.
const begun = 112

// texts are three sequences: one over the edge of a page, one over a window, a short one. The first begins far in.
func texts() ([][]int32, error) {
	list, err := expectations()
	if err != nil {
		return nil, err
	}
	long := slices.Concat(list[2].Prompt, list[2].Continuation)
	return [][]int32{long[:138], slices.Concat(list[1].Prompt, list[1].Continuation)[:68], list[0].Prompt[:14]}, nil
}

// event is a way to run the three sequences that must not change what they give.
type event struct {
	name string
	run  func(q *suite, s *subject, m *machine, texts [][]int32) ([]*history, error)
}

var events = []event{
	{"in company, in chunks of every size, in used slots and scattered pages", inCompany},
	{"after rejected tokens, at every residue", afterRejected},
	{"after being put back, in another's slot and pages", putBack},
	{"after its memory was read, given to others, and put back", restored},
	{"another launch, one thread, in memory full of NaN, without waiting between runs", oneThread},
}

// histories runs sequences alone, and then as a busy server would: the same bits.
func (q *suite) histories(s *subject) error {
	began := time.Now()
	c := Check{Level: "model", Op: "alone", Shape: s.name, Numerics: s.Numerics.String()}
	all, err := texts()
	if err != nil {
		return err
	}
	m, err := newMachine(q.device, s, historyCaps)
	if err != nil {
		return q.record(c, began, broken(err))
	}
	sparing := q.Tier == Gate && s.Numerics != deepseek.Reference // rings and pages are those of reference
	if sparing {
		all[1] = all[1][:16]
	}
	var alone []*history
	for i, ids := range all {
		h := &history{text: i, ids: ids, slot: int32(i), pages: []int32{int32(2 * i), int32(2*i + 1)}, from: []int{begun, 0, 0}[i]}
		if err := m.play([]*history{h}, func(int, int) int { return historyCaps.Rows }); err != nil {
			return q.record(c, began, broken(err))
		}
		alone = append(alone, h)
	}
	if err := q.record(c, began, deviation{}); err != nil {
		return err
	}
	list := events
	if sparing {
		list = events[:1]
	}
	for _, e := range list {
		began := time.Now()
		c.Op = e.name
		list, err := e.run(q, s, m, all)
		d := deviation{}
		if err != nil {
			d = broken(err)
		}
		for _, h := range list {
			d = d.worse(h.equal(alone))
		}
		if err := q.record(c, began, d); err != nil {
			return err
		}
	}
	if sparing {
		return nil
	}
	began, c.Op = time.Now(), "drafts of drafts, after others that fell and beside another sequence"
	return q.record(c, began, m.chains(all))
}

// equal compares a history with the one of the same tokens that ran alone, as far as both went.
func (h *history) equal(alone []*history) (worst deviation) {
	a := alone[h.text]
	for p, want := range a.logits[:h.length] {
		if h.logits[p] == nil {
			continue // it was not read
		}
		worst = worst.worse(within(fmt.Sprint("logits of position ", p), len(want), h.logits[p], want, nil))
		if p+1 < h.length && len(h.drafts) > 0 {
			worst = worst.worse(within(fmt.Sprint("draft logits of position ", p), len(want), h.drafts[p], a.drafts[p], nil))
		}
	}
	return worst
}

// inCompany mixes all three, in other slots than before, with pages in no order, and the short one eight times more.
func inCompany(q *suite, _ *subject, m *machine, texts [][]int32) ([]*history, error) {
	rng := rand.New(rand.NewPCG(q.Seed, 9))
	list := []*history{
		{text: 0, ids: texts[0], slot: 2, pages: []int32{6, 1}, from: begun}, {text: 1, ids: texts[1], slot: 0, pages: []int32{0}}, {text: 2, ids: texts[2], slot: 1, pages: []int32{2}},
	}
	for slot := int32(3); slot < 11; slot++ {
		list = append(list, &history{text: 2, ids: texts[2], slot: slot, pages: []int32{18 - slot}, until: 6 + int(slot)%3})
	}
	return list, m.play(list, func(i, position int) int {
		switch {
		case i == 0 && position > 118 && position < 134:
			return 1 + position%2
		case i > 0:
			return 1 + rng.IntN(4)
		}
		return 1 + rng.IntN(17)
	})
}

// afterRejected runs tokens that do not count before those that do.
func afterRejected(q *suite, _ *subject, m *machine, texts [][]int32) ([]*history, error) {
	rng := rand.New(rand.NewPCG(q.Seed, 10))
	list := []*history{{text: 1, ids: texts[1][:26], slot: 1, pages: []int32{3}}, {text: 0, ids: texts[0][:136], slot: 1, pages: []int32{3, 0}, from: begun}}
	for _, h := range list {
		if err := m.remember(h); err != nil {
			return nil, err
		}
		for i := 0; h.length < len(h.ids); i++ {
			wrong := *h
			wrong.ids = slices.Clone(h.ids)
			for p := h.length; p < len(wrong.ids); p++ {
				wrong.ids[p] = int32(rng.IntN(m.Config.Vocab))
			}
			if err := m.step([]*history{&wrong}, []int{2 + i%5}, false); err != nil {
				return nil, err
			}
			if err := m.step([]*history{h}, []int{1 + i%4}, true); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// putBack stops a sequence midway, gives its slot and pages away, and begins it again; then a short one takes the slot.
func putBack(_ *suite, _ *subject, m *machine, texts [][]int32) ([]*history, error) {
	list := []*history{
		{text: 0, ids: texts[0], slot: 0, pages: []int32{4, 5}, from: begun, until: begun + 9}, {text: 1, ids: texts[1][:50], slot: 0, pages: []int32{4}},
		{text: 0, ids: texts[0][:134], slot: 0, pages: []int32{5, 4}, from: begun}, {text: 2, ids: texts[2], slot: 0, pages: []int32{5}},
	}
	for i, h := range list {
		if err := m.play([]*history{h}, func(int, int) int { return 33 - 10*i }); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// memories are the states of a machine, by name.
func (m *machine) memories() (map[string]op.Buffer, map[string]*loaded) {
	buffers, of := map[string]op.Buffer{}, map[string]*loaded{}
	for _, l := range []*loaded{m.forward, m.draft} {
		for i := 0; l != nil && i < len(l.Buffers); i++ {
			if b := l.Buffers[i]; b.Space == op.State {
				buffers[b.Name], of[b.Name] = b, l
			}
		}
	}
	return buffers, of
}

// restored saves all memories while a sequence is at a residue of its windows, lets another use the place, and goes on.
func restored(_ *suite, _ *subject, m *machine, texts [][]int32) ([]*history, error) {
	h := &history{ids: texts[0][:134], slot: 1, pages: []int32{2, 6}, from: begun}
	for _, stop := range []int{117, 126} {
		h.until = stop
		if err := m.play([]*history{h}, func(int, int) int { return 33 }); err != nil {
			return nil, err
		}
		saved := map[string][]byte{}
		buffers, of := m.memories()
		for name := range buffers {
			data, err := of[name].get(name, nil)
			if err != nil {
				return nil, err
			}
			saved[name] = data
		}
		other := &history{ids: texts[1][:30], slot: 1, pages: []int32{6, 2}}
		if err := m.play([]*history{other}, func(int, int) int { return 66 }); err != nil {
			return nil, err
		}
		for name, data := range saved {
			if err := of[name].put(name, data); err != nil {
				return nil, err
			}
		}
	}
	h.until = 0
	return []*history{h}, m.play([]*history{h}, func(int, int) int { return 1 })
}

// oneThread opens the device once more. What sequences have not written is NaN, and runs follow each other without a wait.
func oneThread(q *suite, s *subject, _ *machine, texts [][]int32) ([]*history, error) {
	var list []*history
	for range []int{Gate: 1, Standard: 3, Deep: 44}[q.Tier] {
		more, err := q.launch(s, texts)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

func (q *suite) launch(s *subject, texts [][]int32) ([]*history, error) {
	d, err := q.Open(1)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	m, err := newMachine(d, s, historyCaps)
	if err != nil {
		return nil, err
	}
	buffers, of := m.memories()
	for name, b := range buffers {
		if err := of[name].put(name, bytes.Repeat([]byte{0xff}, int(of[name].Bytes(b)))); err != nil {
			return nil, err
		}
	}
	h := &history{text: 1, ids: texts[1][:66], pages: []int32{0}}
	if err := m.play([]*history{h}, func(int, int) int { return 33 }); err != nil {
		return nil, err
	}
	queued := &history{text: 1, ids: texts[1][:40], slot: 2, pages: []int32{6}}
	return []*history{h, queued}, m.queue(queued)
}

// queue runs a history in pieces, and waits only before the last.
func (m *machine) queue(h *history) error {
	m.tables[h.slot] = h.pages
	for h.length < len(h.ids)-1 {
		n := min(7, len(h.ids)-1-h.length)
		rows := h.rows(n, 0)
		for i := range rows {
			rows[i].Logits = false // as in a prompt
		}
		args, err := m.forward.Args(rows, m.tables)
		if err == nil {
			err = m.forward.device.Run(m.forward.exe, args)
		}
		if err != nil {
			return err
		}
		h.length += n
	}
	h.logits = make([][]float32, h.length)
	if err := m.forward.device.Sync(); err != nil {
		return err
	}
	logits, err := m.call(m.forward, h.rows(1, 0), deepseek.LogitsName)
	h.logits, h.length = append(h.logits, logits...), h.length+1
	return err
}

// rows are the next n, with the tokens that lie ahead of them.
func (h *history) rows(n, ahead int) (rows []op.Row) {
	for p := h.length; p < min(h.length+n, len(h.ids)); p++ {
		rows = append(rows, op.Row{Token: h.ids[(p+ahead)%len(h.ids)], Slot: h.slot, Position: int32(p), Logits: true})
	}
	return rows
}
