package serve

import (
	"container/list"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"

	"baleen/internal/chat"
	"baleen/internal/token"
)

// turn is an answer with calls of tools as it was sampled. Clients send it back with arguments written differently or without
// its reasoning; rendered from that, the next prompt would be another text, and even the same text may be cut into other
// tokens. So the tokens themselves are put into the prompt, which then continues what the engine remembers.
type turn struct {
	thought   bool // the prompt ended in <think>
	reasoning string
	content   string
	calls     []chat.Call // with ids
	ids       []int32     // all tokens but the end
	split     int         // where those of the reasoning end, </think> among them
}

// bytes is about what a turn takes in memory.
func (t *turn) bytes() int {
	n := 256 + len(t.reasoning) + len(t.content) + 4*len(t.ids)
	for _, c := range t.calls {
		n += 256 + len(c.ID) + len(c.Name) + len(c.Arguments)
	}
	return n
}

// replays remember turns by the ids of their calls. The oldest are forgotten where there are too many.
type replays struct {
	mu    sync.Mutex
	most  int // bytes
	bytes int
	byID  map[string]*list.Element
	order *list.List // of *turn, oldest first
}

func newReplays(bytes int) replays {
	return replays{most: bytes, byID: map[string]*list.Element{}, order: list.New()}
}

func (r *replays) add(t *turn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += t.bytes()
	e := r.order.PushBack(t)
	for _, c := range t.calls {
		r.byID[c.ID] = e
	}
	for r.bytes > r.most && r.order.Len() > 0 {
		oldest := r.order.Remove(r.order.Front()).(*turn)
		r.bytes -= oldest.bytes()
		for _, c := range oldest.calls {
			delete(r.byID, c.ID)
		}
	}
}

// find returns the turn that a message is, if it is one: its calls in number, order and meaning, and its content.
func (r *replays) find(m *chat.Message) *turn {
	if len(m.Calls) == 0 || m.Continue {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byID[m.Calls[0].ID]
	if e == nil {
		return nil
	}
	r.order.MoveToBack(e)
	t := e.Value.(*turn)
	if !slices.EqualFunc(t.calls, m.Calls, sameCall) || strings.TrimSpace(t.content) != strings.TrimSpace(joined(m.Content)) {
		return nil
	}
	return t
}

func sameCall(a, b chat.Call) bool {
	return a.ID == b.ID && a.Name == b.Name && (a.Arguments == b.Arguments || reflect.DeepEqual(meaning(a.Arguments), meaning(b.Arguments)))
}

// meaning is JSON without its spelling: order and blanks do not count, nor how a number is written.
func meaning(text string) (value any) {
	if json.Unmarshal([]byte(text), &value) != nil {
		return text
	}
	return value
}

func joined(parts []chat.Part) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.Text
	}
	return strings.Join(texts, "\n\n")
}

// Marks stand for what is replayed while a request is rendered. They are recognised only where a whole piece of the prompt is
// one, and hold what no text from outside may: a byte that is no UTF-8.
const (
	markReasoning = "\xff reasoning"
	markContent   = "\xff content"
)

// marked is a request with marks in place of what is replayed, and the turns that they stand for, in order. Where a client
// left the reasoning out, it comes back; where it changed it, its own stays.
func (r *replays) marked(messages []chat.Message) ([]chat.Message, []*turn) {
	messages = slices.Clone(messages)
	var turns []*turn
	for i := range messages {
		m := &messages[i]
		t := r.find(m)
		if t == nil {
			continue
		}
		turns = append(turns, t)
		if t.thought && (m.Reasoning == "" || strings.TrimSpace(m.Reasoning) == strings.TrimSpace(t.reasoning)) {
			m.Reasoning = markReasoning
		}
		m.Content = []chat.Part{{Type: "text", Text: markContent}}
	}
	return messages, turns
}

// splice encodes a prompt with the tokens of turns in place of their marks.
func splice(t *token.Tokenizer, pieces []token.Piece, turns []*turn) (ids []int32, err error) {
	encode := func(pieces []token.Piece) {
		more, failed := t.EncodePieces(pieces)
		if ids = append(ids, more...); failed != nil && err == nil {
			err = failed
		}
	}
	for _, turn := range turns {
		begin := slices.IndexFunc(pieces, isReplay)
		whole := begin >= 0 && pieces[begin].Text == markReasoning
		if begin < 0 {
			break
		}
		encode(pieces[:begin])
		if whole {
			ids = append(ids, turn.ids...)
		} else {
			ids = append(ids, turn.ids[turn.split:]...)
		}
		pieces = pieces[begin:]
		if end := slices.IndexFunc(pieces, isEnd); end >= 0 {
			pieces = pieces[end:]
		}
	}
	encode(pieces)
	return ids, err
}

func isReplay(p token.Piece) bool {
	return !p.Control && (p.Text == markReasoning || p.Text == markContent)
}

// isEnd tells where an assistant's turn ends.
func isEnd(p token.Piece) bool { return p.Control && p.Text == "<｜end▁of▁sentence｜>" }

// remembers tells whether an answer is one that may come back with calls.
func (a *answer) remembers() bool {
	c := a.ask.conversation
	return c != nil && !c.begun && len(c.callable()) > 0
}

// remember keeps an answer with calls, which ended by itself.
func (a *answer) remember(reply *chat.Reply) {
	ids := a.ids
	if n := len(ids); n > 0 && slices.Contains(a.ask.limits.StopIDs, ids[n-1]) {
		ids = ids[:n-1]
	}
	t := &turn{thought: a.ask.conversation.Mode == chat.Thinking, reasoning: reply.Reasoning, content: reply.Content, ids: ids, split: min(a.split, len(ids))}
	for i, c := range reply.Calls {
		t.calls = append(t.calls, chat.Call{ID: a.calls[i], Name: c.Name, Arguments: c.Arguments})
	}
	a.server.replays.add(t)
}
