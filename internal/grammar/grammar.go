package grammar

import (
	"slices"
	"sync"
)

// Grammar is a compiled language. It is safe for concurrent use.
type Grammar struct {
	nodes []*node // by id
	root  *node

	mu    sync.Mutex
	views map[*Vocabulary]*view
}

// AfterThinking is the language of an answer that begins inside the model's reasoning: free up to </think>, g from there on.
// The reasoning makes no calls.
func (g *Grammar) AfterThinking() *Grammar {
	b := builder{nodes: g.nodes[:len(g.nodes):len(g.nodes)]}
	return &Grammar{root: b.sequence(b.leaf(sharedTexts().reason), g.root), nodes: b.nodes}
}

// view is what a grammar knows of a vocabulary: costs in its tokens, and the masks of the grammar's own leaves.
type view struct {
	cost     []int32         // by node
	spelling map[int][]int32 // of literals, by node: what the text from each byte on costs
	rests    map[int][]int32 // of objects whose members are ordered, by node: what must still come, from each place on
	tables   *tables
}

// Start begins an answer.
func (g *Grammar) Start(v *Vocabulary) *Matcher {
	m := &Matcher{grammar: g, view: g.view(v), vocabulary: v}
	m.arena = newArena(m.view)
	m.stacks = slices.SortedStableFunc(slices.Values(m.arena.enter(g.root, m.arena.bottom).opened(m.arena)), byCost)
	return m
}

func (g *Grammar) view(v *Vocabulary) *view {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w := g.views[v]; w != nil {
		return w
	}
	w := &view{spelling: map[int][]int32{}, tables: newTables(v)}
	w.cost = g.costs(func(n *node) int32 {
		w.spelling[n.id] = v.spell(n.text)
		return w.spelling[n.id][0]
	})
	w.rests = map[int][]int32{}
	for _, n := range g.nodes {
		if n.kind == objectNode && n.ordered {
			w.rests[n.id] = n.rests(w.cost)
		}
	}
	if g.views == nil {
		g.views = map[*Vocabulary]*view{}
	}
	g.views[v] = w
	return w
}
