package engine

import (
	"context"
	"errors"
	"fmt"

	"baleen/internal/kv"
)

// This half of the scheduler remembers prefixes: it looks up how much of a sequence is known, and keeps what it computes. The
// complete pages of a sequence are in the tree as soon as they are computed. A checkpoint can only be taken when the
// sequence is there, or less than a run behind it. So one is taken at the last page of every run, and the one before dropped,
// unless somebody is likely to come back to it: at the last page of the prompt, at the end of the turn, where another sequence
// went another way, and now and then in a long prompt.

// keepEvery is after how many tokens of a prompt a checkpoint stays.
const keepEvery = 4096

// mostWriting is how many files may wait to be written: each is in memory.
const mostWriting = 8

// move is a piece of state to be moved; the kind says which fields count.
type move struct {
	kind     moveKind
	slot     int32
	position int
	page     int32
	blob     *kv.Blob // of a checkpoint: filled by a save
	data     []byte   // of a page that was read
	file     kv.File
	id       kv.ID
}

type moveKind uint8

const (
	saveCheckpoint moveKind = iota // of slot, at position, into blob
	loadCheckpoint                 // from blob, into slot, at position
	loadPage                       // from data, into page
	readFile                       // file; fetched must follow
	writeFile                      // file, from page or blob as they are now; written must follow
	deleteFiles                    // of id
)

// prefix returns the name of the sequence's first pages.
func (q *sequence) prefix(pages int) kv.ID {
	for len(q.prefixes) < pages {
		i := len(q.prefixes)
		last := q.root
		if i > 0 {
			last = q.prefixes[i-1]
		}
		q.prefixes = append(q.prefixes, last.Next(q.tokens[i*kv.PageSize:(i+1)*kv.PageSize]))
	}
	return q.prefixes[pages-1]
}

// match returns what is remembered of a sequence, and the last node from which it can go on, or nil: at least one token is to
// be run.
func (s *scheduler) match(q *sequence) (path []*kv.Node, from *kv.Node) {
	whole := len(q.tokens) / kv.PageSize
	if whole > 0 {
		q.prefix(whole)
	}
	path = s.tree.Match(q.prefixes[:whole])
	for _, n := range path {
		if n.Resumes() && n.Depth*kv.PageSize < len(q.tokens) {
			from = n
		}
	}
	return path, from
}

// attach gives a sequence that has none pages for its tokens, so that reserve pages are left, and the remembered ones among
// them. If another is computing more of them it gets only the rest, and follows. It changes nothing where there are too few.
func (s *scheduler) attach(q *sequence, reserve int) bool {
	path, from := s.match(q)
	known := 0
	if from != nil {
		known = from.Depth
	}
	leader, shared := s.leader(q, known)
	if leader != nil {
		from = nil
	}
	s.tree.Pin(from)
	need := kv.PagesFor(len(q.tokens)) - shared + from.Missing()
	if need+reserve > s.pool.Free()+s.tree.Spare() || !s.tree.Free(need) {
		s.tree.Unpin(from)
		return false
	}
	q.node, q.branch, q.kept = from, 0, known*kv.PageSize
	reach := len(q.tokens)
	switch {
	case leader != nil:
		s.follow(q, leader, shared)
		reach = need * kv.PageSize
	case from != nil:
		for _, f := range s.tree.Fetch(from) {
			s.act(action{move: &move{kind: readFile, file: f}})
		}
		q.pages, q.blob, q.reading = s.tree.Table(from), from.Checkpoint(), true
		s.reading++
	}
	if err := s.pool.Grow(&q.pages, reach); err != nil {
		panic("engine: pages that were free are not: " + err.Error())
	}
	if len(path) > known && len(path)*kv.PageSize < len(q.tokens) {
		q.branch = len(path) * kv.PageSize
	}
	if q.end.Started == 0 && !s.bare {
		q.end.Why = q.why(path, from)
	}
	return true
}

// why says in a sentence what kept more of a prompt from being answered from memory.
func (q *sequence) why(path []*kv.Node, from *kv.Node) string {
	known, resumed := len(path)*kv.PageSize, 0
	if from != nil {
		resumed = from.Depth * kv.PageSize
	}
	switch whole := (q.prompt - 1) / kv.PageSize * kv.PageSize; {
	case resumed == whole && whole > 0:
		return ""
	case whole == 0:
		return fmt.Sprintf("prompts of at most %d tokens are not remembered", kv.PageSize)
	case known == 0:
		return fmt.Sprintf("nothing is remembered that begins with the same %d tokens", kv.PageSize)
	case known > resumed && known >= whole:
		return fmt.Sprintf("no state to go on from is remembered behind token %d", resumed)
	case known > resumed:
		return fmt.Sprintf("what is remembered differs or ends within %d tokens of token %d, and the last state to go on from is at %d", kv.PageSize, known, resumed)
	}
	return fmt.Sprintf("what is remembered differs or ends within %d tokens of token %d", kv.PageSize, known)
}

// detach takes pages and prefix from a sequence.
func (s *scheduler) detach(q *sequence) {
	if q.reading {
		s.reading--
	}
	s.pool.Release(&q.pages)
	s.tree.Unpin(q.node)
	q.node, q.leader, q.saved, q.blob, q.guesses = nil, nil, nil, nil, nil
	q.reading, q.length, q.awaited = false, 0, 0
}

// begin lets a sequence that was attached run, as soon as all that it goes on from is in memory.
func (s *scheduler) begin(q *sequence) {
	if q.reading {
		if q.blob == nil || !q.node.Complete() {
			return
		}
		q.reading, q.length = false, q.node.Depth*kv.PageSize
		s.reading--
		s.act(action{move: &move{kind: loadCheckpoint, slot: q.slot, position: q.length, blob: q.blob}})
		s.tree.Use(q.node)
		q.blob, q.saved = nil, q.node
	}
	if q.end.Started == 0 {
		q.end.Started, q.end.Cached, q.end.Awaited = s.now, q.length, q.awaited
		s.stats.Cached += uint64(q.length)
		s.stats.Awaited += uint64(q.awaited)
	}
	if q.length > 0 {
		s.act(action{sequence: q, done: min(q.length, q.prompt)})
	}
}

// resume begins the sequences whose prefix has come. Where a file was no good, or a leader has ended, they go on from less.
func (s *scheduler) resume() {
	for i := 0; i < len(s.running) && s.reading > 0; i++ {
		q := s.running[i]
		if !q.reading || q.follows() {
			continue
		}
		if q.lost() && !s.again(q) {
			for len(s.running) > i {
				s.preempt()
			}
			return
		}
		s.begin(q)
	}
}

// again attaches a sequence anew, to what is remembered now.
func (s *scheduler) again(q *sequence) bool {
	followed, came, known := q.node == nil, q.leader == nil, q.kept
	if !came {
		q.target = 0 // what it is, another may still compute
	}
	s.detach(q)
	switch ok := s.attach(q, 0); {
	case !ok:
		return false
	case followed && came:
		q.awaited = max(q.kept-known, 0)
	case !followed && q.end.Started == 0:
		q.end.Why = "a file of the cache on disk was broken"
	}
	return true
}

// lost tells whether something that a sequence waits for will not come, or has come otherwise.
func (q *sequence) lost() bool {
	return q.node == nil || q.node.Missing() > 0 || q.blob == nil && !q.node.Resumes()
}

// fetched takes what was read.
func (s *scheduler) fetched(f *fetched) {
	n := f.file.Node
	s.stats.Read++
	switch {
	case f.err != nil:
		s.stats.Refused++
		s.tree.Fetched(f.file, nil, false)
		return
	case !f.file.Checkpoint:
		s.act(action{move: &move{kind: loadPage, page: n.Page(), data: f.data}})
		s.tree.Fetched(f.file, nil, true)
		return
	}
	blob := &kv.Blob{Data: f.data}
	for _, q := range s.running {
		if q.reading && q.node == n {
			q.blob = blob // the tree may have no room for it
		}
	}
	s.tree.Fetched(f.file, blob, true)
}

// advance moves a sequence's length over rows that were run, and remembers the pages that are complete with them.
func (s *scheduler) advance(q *sequence, rows int) {
	before := q.length
	q.length += rows
	if before < q.prompt {
		done := min(q.prompt, q.length)
		s.stats.Prompt += uint64(done - before)
		s.act(action{sequence: q, done: done})
	}
	if before/kv.PageSize == q.length/kv.PageSize {
		return
	}
	for depth := before/kv.PageSize + 1; depth <= q.length/kv.PageSize; depth++ {
		q.node = s.tree.Add(q.node, q.prefix(depth), &q.pages)
		position := depth * kv.PageSize
		stays := s.arrive(q, position) || position == q.lastPage() || position == q.branch
		if stays || depth == q.length/kv.PageSize {
			s.save(q, stays)
		}
	}
}

// save takes a checkpoint at a sequence's last complete page, in the place of the one before, unless that stays.
func (s *scheduler) save(q *sequence, stays bool) {
	n, position := q.node, q.node.Depth*kv.PageSize
	if n.Checkpoint() == nil {
		blob := &kv.Blob{}
		s.act(action{move: &move{kind: saveCheckpoint, slot: q.slot, position: position, blob: blob}})
		s.tree.SetCheckpoint(n, blob)
	}
	if q.saved != nil {
		s.tree.Pass(q.saved)
	}
	q.saved = n
	if stays || position < q.prompt && position-q.kept >= keepEvery {
		s.tree.Keep(n)
		q.kept = position
	}
}

// keep keeps the last checkpoint of a sequence that ends, unless it ends because something is broken.
func (s *scheduler) keep(q *sequence) {
	if q.saved != nil && (q.end.Err == nil || errors.Is(q.end.Err, context.Canceled)) {
		s.tree.Keep(q.saved)
	}
}

// written takes that a file was written.
func (s *scheduler) written(w *written) {
	s.writing--
	s.stats.Written++
	if w.err != nil {
		s.stats.Unwritten++
	}
	s.tree.Written(w.file, w.err == nil)
}

// write brings to disk what is complete.
func (s *scheduler) write() {
	for s.writing < mostWriting {
		f, deleted, ok := s.tree.Write()
		for _, id := range deleted {
			s.act(action{move: &move{kind: deleteFiles, id: id}})
		}
		if !ok {
			return
		}
		s.writing++
		s.act(action{move: &move{kind: writeFile, file: f, page: f.Node.Page(), blob: f.Node.Checkpoint()}})
	}
}
