package cpu

import (
	"io/fs"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"unsafe"

	"baleen/internal/checkpoint"
	"baleen/internal/deepseek"
	"baleen/internal/demo"
	"baleen/internal/device/cpu/kernel"
	"baleen/internal/engine"
	"baleen/internal/op"
	"baleen/internal/quant"
)

func TestReadNodes(t *testing.T) {
	for name, c := range map[string]struct {
		sys     fs.FS
		allowed []int
		want    []node
	}{
		"no directory":       {fstest.MapFS{}, upTo(3), []node{{0, upTo(3)}}},
		"no processors told": {FakeNodes(map[int]string{0: "0-3"}), nil, []node{{0, nil}}},
		"one":                {FakeNodes(map[int]string{0: "0-3"}), upTo(4), []node{{0, upTo(4)}}},
		"two":                {FakeNodes(map[int]string{0: "0-1,4-5", 1: "2-3,6-7"}), upTo(8), []node{{0, []int{0, 1, 4, 5}}, {1, []int{2, 3, 6, 7}}}},
		"numbers with gaps":  {FakeNodes(map[int]string{10: "2", 2: "1", 0: "0"}), upTo(3), []node{{0, []int{0}}, {2, []int{1}}, {10, []int{2}}}},
		"some allowed":       {FakeNodes(map[int]string{0: "0-3", 1: "4-7"}), []int{1, 3, 6}, []node{{0, []int{1, 3}}, {1, []int{6}}}},
		"a node not allowed": {FakeNodes(map[int]string{0: "0-3", 1: "4-7"}), []int{5}, []node{{1, []int{5}}}},
		"memory only":        {FakeNodes(map[int]string{0: "0-1", 1: "", 2: "2-3"}), upTo(4), []node{{0, []int{0, 1}}, {2, []int{2, 3}}}},
		"a processor on none": {FakeNodes(map[int]string{1: "1", 2: "2-3"}), upTo(5),
			[]node{{1, []int{0, 1, 4}}, {2, []int{2, 3}}}},
		"one on two nodes": {FakeNodes(map[int]string{0: "0-2", 1: "2-3"}), upTo(4), []node{{0, upTo(3)}, {1, []int{3}}}},
		"damaged":          {FakeNodes(map[int]string{0: "x-,-,3-2,99999999999999999999,", 1: "0-0"}), upTo(2), []node{{1, upTo(2)}}},
		"no list":          {fstest.MapFS{"node0/meminfo": {}, "node1x/cpulist": {Data: []byte("0\n")}}, upTo(2), []node{{0, upTo(2)}}},
	} {
		if got := readNodes(c.sys, c.allowed); !reflect.DeepEqual(got, c.want) && (len(c.allowed) > 0 || len(got) != 1 || len(got[0].processors) > 0) {
			t.Errorf("%s: %v, expected %v", name, got, c.want)
		}
	}
	var all []int
	for _, n := range readNodes(systemNodes(), allowedProcessors()) {
		all = append(all, n.processors...)
	}
	if slices.Sort(all); !slices.Equal(all, allowedProcessors()) {
		t.Errorf("this machine: %v of %v", all, allowedProcessors())
	}
}

// topologies are workers on up to four nodes, some of them uneven.
func topologies() (list []topology) {
	for _, nodes := range [][]node{
		{{0, nil}},
		{{0, upTo(2)}},
		{{0, upTo(2)}, {1, []int{2, 3}}},
		{{0, []int{0}}, {3, []int{1, 2, 3, 4, 5}}},
		{{0, []int{0, 4}}, {1, []int{1, 5}}, {2, []int{2, 6}}, {3, []int{3, 7}}},
	} {
		for _, workers := range []int{1, 2, 3, 5, 8, 13} {
			list = append(list, newTopology(nodes, workers))
		}
	}
	return list
}

// TestTopology: every worker has a node and a processor of it, in proportion; and what is divided between nodes is whole.
func TestTopology(t *testing.T) {
	for _, on := range topologies() {
		processors := 0
		for _, n := range on.nodes {
			processors += len(n.processors)
		}
		users := map[int]int{}
		for worker := range on.workers() {
			k, p := on.nodeOf(worker), on.processor(worker)
			if worker < on.first[k] || worker >= on.first[k+1] {
				t.Errorf("%v: worker %d on node %d", &on, worker, k)
			}
			if users[p]++; p >= 0 && !slices.Contains(on.nodes[k].processors, p) || p < 0 && processors > 0 {
				t.Errorf("%v: worker %d of node %d on processor %d", on, worker, k, p)
			}
		}
		for p, n := range users {
			if p >= 0 && n > (on.workers()+processors-1)/processors {
				t.Errorf("%v: %d workers on processor %d of %d", on, n, p, processors)
			}
		}
		for n := range 40 {
			seen := 0
			for k := range on.nodes {
				from, to := on.share(k, n)
				if from != seen || to < from {
					t.Fatalf("%v: of %d things node %d has %d to %d, after %d", on, n, k, from, to, seen)
				}
				seen = to
			}
			if seen != n {
				t.Errorf("%v: %d of %d things are shared out", on, seen, n)
			}
		}
	}
	if one := newTopology([]node{{0, upTo(4)}, {1, []int{4, 5, 6, 7}}}, 1); len(one.nodes) != 1 || one.processor(0) != 0 {
		t.Errorf("one worker: %+v", one)
	}
}

// TestSteps: workers do every task of a step once, whatever its parts are, and whoever is absent.
func TestSteps(t *testing.T) {
	for _, on := range topologies() {
		d := &Device{team: &team{topology: on, n: on.workers()}}
		e := &executable{device: d, next: make([]counter, on.workers()), workers: make([]scratch, on.workers())}
		var s step
		var done [][]atomic.Int32
		for i, n := range []int{1, 0, 17, 8, 5 * 7, 3} {
			done = append(done, make([]atomic.Int32, n))
			p := part{tasks: func(*executable) int { return n }, do: func(_ *executable, _ *scratch, task int) { done[i][task].Add(1) }}
			if n == 5*7 {
				p.each = 7
			}
			s.parts = append(s.parts, p)
		}
		e.steps = []step{s}
		var all sync.WaitGroup
		for worker := on.workers() / 2; worker < on.workers(); worker++ {
			e.workers[worker].node, e.workers[worker].shares = on.nodeOf(worker), make([]share, len(s.parts))
			all.Go(func() { e.workStep(0, worker, &e.workers[worker]) })
		}
		all.Wait()
		for i := range done {
			for task := range done[i] {
				if n := done[i][task].Load(); n != 1 {
					t.Errorf("%v: part %d: task %d of %d is done %d times", on, i, task, len(done[i]), n)
				}
			}
		}
	}
}

// TestNear: the panels that tasks of a node read lie in that node's memory.
func TestNear(t *testing.T) {
	c, err := checkpoint.OpenFS(demo.Files())
	if err != nil {
		t.Fatal(err)
	}
	m, err := deepseek.Load(c, deepseek.Reference, deepseek.Quirks{})
	if err != nil {
		t.Fatal(err)
	}
	for _, lists := range []map[int]string{{0: "0-2", 1: "3"}, {0: "0", 1: "1", 2: "2", 3: "3"}} {
		for _, workers := range []int{1, 3, 6} {
			tiers := kernel.Tiers()
			d, err := NewOn(Options{Tier: tiers[len(tiers)-1], Threads: workers}, FakeNodes(lists), 4)
			if err != nil {
				t.Fatal(err)
			}
			r := &recorder{}
			d.kernel = r.kernels(*d.kernel)
			on, err := engine.Place(t.Context(), m, d, op.Caps{Rows: 4, Slots: 1, Pages: 1, Context: 128}, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := on.Forward([]op.Row{{Token: 1}, {Token: 2, Position: 1}, {Token: 3, Position: 2, Logits: true}}, [][]int32{{0}}); err != nil {
				t.Fatal(err)
			}
			for e := range d.enters {
				r.replay(t, e)
			}
			if r.panels == 0 {
				t.Error("no panel was read")
			}
			d.Close()
		}
	}
}

// recorder looks at the panels that products read.
type recorder struct {
	look   func(panel unsafe.Pointer) // nil: not at all
	panels int
}

// kernels are those of a set, recorded.
func (r *recorder) kernels(set kernel.Set) *kernel.Set {
	for _, kernels := range []*[4]func(*kernel.Dot){&set.BF16, &set.F32} {
		for kind, dot := range kernels {
			kernels[kind] = func(d *kernel.Dot) {
				if r.look != nil {
					r.look(d.Panel)
				}
				dot(d)
			}
		}
	}
	return &set
}

// replay does the tasks of a run again, node by node.
func (r *recorder) replay(t *testing.T, e *executable) {
	on := &e.device.team.topology
	for i := range e.steps {
		for node := range on.nodes {
			r.look = func(panel unsafe.Pointer) {
				r.panels++
				for id, b := range e.bound {
					w, ok := b.(*weight)
					if !ok || w.arena == nil {
						continue
					}
					at := int(uintptr(panel) - uintptr(unsafe.Pointer(&w.arena.bytes[0])))
					if at < 0 || at >= len(w.arena.bytes) {
						continue
					}
					s := w.arena.stretches[node]
					if at < s.first || at >= s.first+w.Parts*s.step {
						t.Errorf("%v: a task of node %d reads %s at %d, outside of %+v", on, node, e.Buffers[id].Name, at, s)
					}
					return
				}
				t.Errorf("%v: a panel of no weight", on)
			}
			for task := range e.allot(i, node, &e.workers[0]) {
				e.task(i, task, &e.workers[0])
			}
		}
	}
	r.look = nil
}

// TestExpertShares: a node has the same blocks of rows of every expert, those that its tasks read, in memory and in the slots of
// a cache; and no two panels lie in the same place.
func TestExpertShares(t *testing.T) {
	const experts, blocks, slots = 3, 5, 2
	up := op.Buffer{Name: "up", Format: quant.Format{Kind: quant.KindF32}, Parts: experts, Rows: blocks*blockRows - 40, Cols: 32}
	down := up
	down.Rows, down.Cols = 2*blockRows, 64
	for _, on := range topologies() {
		var all []*weight
		bytes := make([]int64, len(on.nodes))
		for _, b := range []op.Buffer{up, up, down} {
			w := &weight{Buffer: b, use: use{groups: 1}}
			w.divide(&on)
			for k := range bytes {
				bytes[k] += int64(w.shareBytes(k))
			}
			w.arena = &arena{make([]byte, experts*w.perPart*w.panel), w.stretches()}
			checkShares(t, &on, w, w.arena, experts, map[int]bool{})
			all = append(all, w)
		}
		c, err := newCache(&readers{}, slots, bytes, newRanking(1))
		if err != nil {
			t.Fatal(err)
		}
		l := c.layer(all[0], all[1], all[2])
		taken := map[int]bool{}
		for i, w := range all {
			checkShares(t, &on, w, &l.arenas[i], slots, taken)
		}
		release(c.arena.bytes)
	}
}

// checkShares looks where the panels of some parts lie in an arena, of which some lines are taken.
func checkShares(t *testing.T, on *topology, w *weight, a *arena, parts int, taken map[int]bool) {
	t.Helper()
	panels := 0
	for k := range on.nodes {
		begin, end := a.stretches[k].first, len(a.bytes)
		if k+1 < len(on.nodes) {
			end = a.stretches[k+1].first
		}
		from, to := on.share(k, (w.perPart+w.perTask-1)/w.perTask)
		from, to = from*w.perTask, min(to*w.perTask, w.perPart)
		for part := range parts {
			for panel := from; panel < to; panel++ {
				at, n := w.find(a, part, panel)
				if at < begin || at+w.panel > end || n != to-panel {
					t.Errorf("%v: panel %d of part %d of node %d lies at %d with %d side by side: %+v", on, panel, part, k, at, n, a.stretches)
				}
				for i := at; i < at+w.panel; i += 64 {
					if taken[i] {
						t.Fatalf("%v: panel %d of part %d lies at %d, where another does", on, panel, part, at)
					}
					taken[i] = true
				}
				panels++
			}
		}
	}
	if panels != parts*w.perPart {
		t.Errorf("%v: nodes have %d panels of %d", on, panels, parts*w.perPart)
	}
}

// TestFlowNear: workers take the blocks of their own node first, each block once, and those of other nodes when there are
// no more.
func TestFlowNear(t *testing.T) {
	const hidden, outputs, expert = 5, 7, 1
	for _, on := range topologies() {
		for node := range on.nodes {
			f := &flow{topology: &on}
			f.reset(2, 1)
			f.arrived(expert, nil)
			var got, want [2][]int
			for n := range hidden + outputs {
				p, ok := f.next(node, hidden, outputs)
				if !ok || p.expert != expert || p.output != (n >= hidden) {
					t.Fatalf("%v: task %d: %+v, %v", &on, n, p, ok)
				}
				if !p.output {
					f.progress[expert].hiddenDone++
				}
				stage := n / hidden
				got[min(stage, 1)] = append(got[min(stage, 1)], p.block)
			}
			if p, ok := f.next(node, hidden, outputs); ok {
				t.Errorf("%v: one more: %+v", &on, p)
			}
			for stage, blocks := range []int{hidden, outputs} {
				for k := range on.nodes {
					from, to := on.share((node+k)%len(on.nodes), blocks)
					for block := from; block < to; block++ {
						want[stage] = append(want[stage], block)
					}
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%v: node %d: %v, expected %v", &on, node, got, want)
			}
		}
	}
}
