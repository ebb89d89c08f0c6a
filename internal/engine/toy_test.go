package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"baleen/internal/kv"
	"baleen/internal/op"
)

const toyVocab = 500

// toy is a device and a model in one, for the scheduler's tests. It remembers as the real ones do, by slot, page and position,
// and its next token is a hash of what it finds there: a row in the wrong place gives a wrong answer.
type toy struct {
	caps  op.Caps
	pages [][kv.PageSize]int32
	rings [][]int32 // by slot; a row's place is its position modulo the length
	fed   []int     // by slot: positions of its present residence

	space *workspace // to draw tokens with the sequence's sampler; nil for toyNext
}

func newToy(caps op.Caps) *toy {
	m := &toy{caps: caps, pages: make([][kv.PageSize]int32, caps.Pages), fed: make([]int, caps.Slots)}
	for range caps.Slots {
		m.rings = append(m.rings, make([]int32, kv.PageSize+caps.Rows))
	}
	return m
}

// run gives the next tokens of a batch, as the engine would.
func (m *toy) run(b batch) ([][]Item, error) {
	if len(b.Rows) > m.caps.Rows {
		return nil, fmt.Errorf("%d rows", len(b.Rows))
	}
	for i, r := range b.Rows {
		if r.Position == 0 {
			m.fed[r.Slot] = 0 // a new residence; another begins with a checkpoint
		}
		if int(r.Position) != m.fed[r.Slot] {
			return nil, fmt.Errorf("row %d: slot %d: position %d after %d tokens", i, r.Slot, r.Position, m.fed[r.Slot])
		}
		m.fed[r.Slot]++
		page := b.Pages[r.Slot][r.Position/kv.PageSize]
		m.pages[page][r.Position%kv.PageSize] = r.Token
		ring := m.rings[r.Slot]
		ring[int(r.Position)%len(ring)] = r.Token
	}
	var logits []op.Row
	for _, r := range b.Rows {
		if r.Logits {
			logits = append(logits, r)
		}
	}
	var items [][]Item
	for _, w := range b.Wants {
		if w.first+len(w.guesses) >= len(logits) {
			return nil, errors.New("more is wanted than rows with logits")
		}
		some, err := m.follow(b, w, logits[w.first:][:1+len(w.guesses)])
		if err != nil {
			return nil, err
		}
		m.fed[w.slot] -= 1 + len(w.guesses) - len(some) // those that fell
		items = append(items, some)
	}
	if n := len(b.Wants); n > 0 && b.Wants[n-1].first+len(b.Wants[n-1].guesses)+1 != len(logits) || n == 0 && len(logits) > 0 {
		return nil, errors.New("rows with logits and Wants differ")
	}
	return items, nil
}

// follow gives the tokens of one sequence: up to the first that was not guessed.
func (m *toy) follow(b batch, w want, rows []op.Row) (items []Item, err error) {
	for k, r := range rows {
		var tokens []int32
		for p := range r.Position + 1 {
			tokens = append(tokens, m.pages[b.Pages[r.Slot][p/kv.PageSize]][p%kv.PageSize])
		}
		ring := m.rings[r.Slot]
		for p := max(0, int(r.Position)-kv.PageSize+1); p <= int(r.Position); p++ {
			if ring[p%len(ring)] != tokens[p] {
				return nil, fmt.Errorf("slot %d: the window has another token at position %d", r.Slot, p)
			}
		}
		it := Item{Token: toyNext(tokens)}
		if m.space != nil {
			if it, err = w.sampler.next(toyLogits(tokens), 1, m.space); err != nil {
				return nil, err
			}
		}
		it.Bytes = toyBytes(it.Token)
		items = append(items, it)
		if k < len(w.guesses) && w.guesses[k] != it.Token || w.ends(it.Token) {
			break
		}
	}
	return items, nil
}

// guess drafts for every want of a batch: first what will come, then wrong tokens, as many of each as count says.
func (m *toy) guess(b batch, items [][]Item, count func() (right, wrong int)) (drafts [][]int32) {
	for i, w := range b.Wants {
		tokens := slices.Clone(w.tokens)
		for _, it := range items[i] {
			tokens = append(tokens, it.Token)
		}
		from := len(tokens)
		right, wrong := count()
		for range right {
			tokens = append(tokens, toyNext(tokens))
		}
		for range wrong {
			tokens = append(tokens, (toyNext(tokens)+1)%toyVocab)
		}
		drafts = append(drafts, tokens[from:])
	}
	return drafts
}

// toyLimits are the sizes of what the toy remembers; so many checkpoints fit into memory, so many files on disk.
func toyLimits(checkpoints, files int) kv.Limits {
	return kv.Limits{Page: 4 * kv.PageSize, Checkpoint: 4 * kv.PageSize, Memory: int64(4 * kv.PageSize * checkpoints), Disk: int64(4 * kv.PageSize * files)}
}

func (m *toy) saveCheckpoint(slot int32, position int) []byte {
	var data []byte
	for p := position - kv.PageSize; p < position; p++ {
		data = binary.LittleEndian.AppendUint32(data, uint32(m.rings[slot][p%len(m.rings[slot])]))
	}
	return data
}

func (m *toy) loadCheckpoint(slot int32, position int, data []byte) {
	m.fed[slot] = position
	for p := position - kv.PageSize; p < position; p++ {
		m.rings[slot][p%len(m.rings[slot])] = int32(binary.LittleEndian.Uint32(data))
		data = data[4:]
	}
}

func (m *toy) savePage(page int32) []byte {
	var data []byte
	for _, token := range m.pages[page] {
		data = binary.LittleEndian.AppendUint32(data, uint32(token))
	}
	return data
}

func (m *toy) loadPage(page int32, data []byte) {
	for i := range m.pages[page] {
		m.pages[page][i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
	}
}

func toyNext(tokens []int32) int32 {
	h := fnv.New32a()
	for _, t := range tokens {
		h.Write([]byte{byte(t), byte(t >> 8)})
	}
	return int32(h.Sum32() % toyVocab)
}

func toyLogits(tokens []int32) []float32 {
	return randomLogits(rand.New(rand.NewPCG(uint64(toyNext(tokens)), 11)), toyVocab)
}

// toyBytes is one to three letters.
func toyBytes(token int32) []byte {
	return []byte{'a' + byte(token%3), 'a' + byte(token/3%3), 'a' + byte(token/9%3)}[:1+token%7%3]
}

// toyAnswer is the definition: what a request gives, alone on a machine without slots, pages or batches.
func toyAnswer(prompt []int32, l Limits, context int) (tokens []int32, text []byte, end Finish) {
	all := slices.Clone(prompt)
	for {
		token := toyNext(all)
		all = append(all, token)
		tokens = all[len(prompt):]
		if slices.Contains(l.StopIDs, token) {
			return tokens, text, Finish{}
		}
		text = append(text, toyBytes(token)...)
		if cut, found := naiveStop(text, l.Stop); found >= 0 {
			return tokens, cut, Finish{Stop: l.Stop[found]}
		}
		if len(tokens) == l.MaxTokens {
			return tokens, text, Finish{Reason: AtMaxTokens}
		}
		if len(all) >= context {
			return tokens, text, Finish{Reason: AtContext}
		}
	}
}

// valid checks what the doc comments of scheduler and sequence state.
func (s *scheduler) valid() error {
	tables := map[*kv.Table]*kv.Node{}
	slots := slices.Clone(s.free)
	arrival := uint64(0)
	for _, q := range slices.Concat(s.running, s.waiting) {
		if q.arrival <= arrival {
			return fmt.Errorf("sequence %d stands behind %d", q.arrival, arrival)
		}
		arrival = q.arrival
		if q.length < 0 || q.length >= len(q.tokens) || len(q.tokens) >= s.context || q.prompt > len(q.tokens) {
			return fmt.Errorf("sequence %d: length %d of %d tokens, context %d", q.arrival, q.length, len(q.tokens), s.context)
		}
	}
	for _, q := range s.running {
		if q.state != running || kv.PagesFor(q.length) > len(q.pages.Pages()) {
			return fmt.Errorf("sequence %d: %v, %d pages for %d positions", q.arrival, q.state, len(q.pages.Pages()), q.length)
		}
		if err := q.validWait(); err != nil {
			return fmt.Errorf("sequence %d: %w", q.arrival, err)
		}
		depth := 0
		if q.node != nil {
			depth = q.node.Depth
		}
		if !q.reading && depth != q.length/kv.PageSize {
			return fmt.Errorf("sequence %d: %d positions, and a prefix of %d pages", q.arrival, q.length, depth)
		}
		tables[&q.pages] = q.node
		slots = append(slots, q.slot)
	}
	for _, q := range s.waiting {
		if q.node != nil || q.state != waiting || len(q.pages.Pages()) > 0 || q.slot != -1 || q.length != 0 {
			return fmt.Errorf("sequence %d: %v with slot %d, length %d, %d pages", q.arrival, q.state, q.slot, q.length, len(q.pages.Pages()))
		}
	}
	slices.Sort(slots)
	for i, slot := range slots {
		if int(slot) != i || len(slots) > s.rows {
			return fmt.Errorf("slots %v with %d rows", slots, s.rows)
		}
	}
	return s.tree.Check(tables)
}

// validWait checks what a running sequence waits for.
func (q *sequence) validWait() error {
	switch leader := q.leader; {
	case !q.reading && (leader != nil || q.blob != nil):
		return errors.New("it waits for nothing, and yet for something")
	case q.reading && (q.length != 0 || (q.node == nil) != (leader != nil)):
		return fmt.Errorf("it waits with length %d for %v and %v", q.length, q.node, leader)
	case leader != nil && (leader.state != running || leader.arrival >= q.arrival || leader.begun() >= q.target || len(q.tokens) <= q.target ||
		!slices.Equal(leader.tokens[:q.target], q.tokens[:q.target])):
		return fmt.Errorf("it follows sequence %d, which is at %d, to %d", leader.arrival, leader.begun(), q.target)
	}
	return nil
}

// text joins the bytes of what was sent.
func text(items []Item) []byte {
	var parts [][]byte
	for _, it := range items {
		parts = append(parts, it.Bytes)
	}
	return bytes.Join(parts, nil)
}
