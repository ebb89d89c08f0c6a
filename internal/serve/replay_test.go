package serve

import (
	"fmt"
	"testing"

	"baleen/internal/chat"
)

// TestReplaysBounded: what is remembered has a bound, and what was used last stays longest.
func TestReplaysBounded(t *testing.T) {
	r := newReplays(64 << 10)
	message := func(i int) *chat.Message {
		return &chat.Message{Role: "assistant", Content: textParts("x"), Calls: []chat.Call{{ID: fmt.Sprint("call", i), Name: "f", Arguments: `{"b": 1, "a": [1.0]}`}}}
	}
	for i := range 1000 {
		m := message(i)
		r.add(&turn{content: "x", calls: m.Calls, ids: make([]int32, 100)})
		if r.bytes > r.most || r.order.Len() != len(r.byID) {
			t.Fatalf("%d bytes, %d turns, %d ids", r.bytes, r.order.Len(), len(r.byID))
		}
		m = message(0)
		m.Calls[0].Arguments = `{"a":[1],"b":1}`
		if r.find(m) == nil {
			t.Fatalf("the turn that is asked for all the time is forgotten after %d others", i)
		}
	}
	if r.find(message(1)) != nil || r.find(message(999)) == nil {
		t.Error("not the oldest are forgotten")
	}
	for name, change := range map[string]func(*chat.Message){
		"arguments":     func(m *chat.Message) { m.Calls[0].Arguments = `{"a":[1],"b":2}` },
		"name":          func(m *chat.Message) { m.Calls[0].Name = "g" },
		"content":       func(m *chat.Message) { m.Content = textParts("y") },
		"another call":  func(m *chat.Message) { m.Calls = append(m.Calls, chat.Call{ID: "z", Name: "f"}) },
		"a call less":   func(m *chat.Message) { m.Calls = nil },
		"continuation":  func(m *chat.Message) { m.Continue = true },
		"no JSON there": func(m *chat.Message) { m.Calls[0].Arguments = `{"a":[1]` },
	} {
		m := message(999)
		if change(m); r.find(m) != nil {
			t.Errorf("another turn is taken for the one that was sampled: %s", name)
		}
	}
}
