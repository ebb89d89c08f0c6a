package cpu

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Memory of a machine may belong to nodes, each near to some of the processors (NUMA). Then workers are spread over the
// nodes, and each node has a share of every matrix: the same rows of all of its parts. The tasks of a step are spread in
// the same way, so that workers read from their own node until they help others. All of this is a matter of speed: what is
// computed does not depend on it. With one node nothing is bound.
//
// What all workers read alike is a state: its pages take turns among the nodes. Activations lie where they are first
// written: they are small, and mostly in caches.

// node is processors and the memory near them.
type node struct {
	number     int   // the system's
	processors []int // that the process may use, ascending
}

// readNodes reads a directory as /sys/devices/system/node is, and returns the nodes that have processors among those
// allowed. Processors whose node it does not tell count to the first one. Without any, or without the directory, all is one
// node.
func readNodes(sys fs.FS, allowed []int) []node {
	var nodes []node
	left := slices.Clone(allowed)
	dirs, _ := fs.Glob(sys, "node[0-9]*")
	for _, dir := range dirs {
		number, err := strconv.Atoi(strings.TrimPrefix(dir, "node"))
		if err != nil {
			continue
		}
		list, _ := fs.ReadFile(sys, dir+"/cpulist")
		near := parseList(string(list))
		n := node{number: number}
		left = slices.DeleteFunc(left, func(p int) bool {
			mine := slices.ContainsFunc(near, func(r [2]int) bool { return r[0] <= p && p <= r[1] })
			if mine {
				n.processors = append(n.processors, p)
			}
			return mine
		})
		if len(n.processors) > 0 {
			nodes = append(nodes, n)
		}
	}
	if len(nodes) == 0 {
		return []node{{processors: left}}
	}
	slices.SortFunc(nodes, func(a, b node) int { return a.number - b.number })
	nodes[0].processors = append(nodes[0].processors, left...)
	slices.Sort(nodes[0].processors)
	return nodes
}

// parseList reads what the system writes for some numbers: 0-3,8,10-11. What is no number is left out.
func parseList(text string) (ranges [][2]int) {
	for field := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		low, high, isRange := strings.Cut(field, "-")
		if !isRange {
			high = low
		}
		first, err1 := strconv.Atoi(low)
		last, err2 := strconv.Atoi(high)
		if err1 == nil && err2 == nil {
			ranges = append(ranges, [2]int{first, last})
		}
	}
	return ranges
}

// topology is workers on nodes. Each node has at least one, and they follow one another.
type topology struct {
	nodes []node
	first []int // by node: its first worker; at the end how many there are
}

// newTopology spreads workers over nodes, as many to each as it has processors, or in proportion. Nodes that get none are left out.
func newTopology(nodes []node, workers int) topology {
	all := 0
	for _, n := range nodes {
		all += max(1, len(n.processors))
	}
	t := topology{first: []int{0}}
	seen := 0
	for _, n := range nodes {
		seen += max(1, len(n.processors))
		if end := (seen*workers + all - 1) / all; end > t.first[len(t.nodes)] {
			t.nodes, t.first = append(t.nodes, n), append(t.first, end)
		}
	}
	return t
}

// nodeOf returns the node of a worker, as an index of nodes.
func (t *topology) nodeOf(worker int) int {
	i, found := slices.BinarySearch(t.first, worker)
	if !found {
		i--
	}
	return i
}

// processor returns the processor that a worker is to run on, or -1 where the system does not tell which there are.
func (t *topology) processor(worker int) int {
	k := t.nodeOf(worker)
	list := t.nodes[k].processors
	if len(list) == 0 {
		return -1
	}
	return list[(worker-t.first[k])%len(list)]
}

// workers is how many there are on all nodes.
func (t *topology) workers() int { return t.first[len(t.nodes)] }

// share returns which of n things in a row belong to a node.
func (t *topology) share(node, n int) (from, to int) {
	workers := t.workers()
	return t.first[node] * n / workers, t.first[node+1] * n / workers
}

func (t *topology) String() string {
	if len(t.nodes) == 1 {
		return fmt.Sprintf("%d threads", t.workers())
	}
	return fmt.Sprintf("%d threads on %d nodes", t.workers(), len(t.nodes))
}

// stretch is how the share of a node lies in an arena: that of part i begins at first + i*step.
type stretch struct{ first, step int }

// arena is memory of panels, by node: first all that the first node has of any part, then all that the second has.
type arena struct {
	bytes     []byte
	stretches []stretch
}

// bind has the memory of an arena come from the nodes that it is for. It must not have been touched.
func (a *arena) bind(t *topology) {
	if len(t.nodes) == 1 {
		return
	}
	for k, n := range t.nodes {
		end := len(a.bytes)
		if k+1 < len(t.nodes) {
			end = a.stretches[k+1].first
		}
		preferNode(a.bytes, a.stretches[k].first, end, n.number)
	}
}

// interleave has the pages of untouched memory come from all nodes by turns.
func (t *topology) interleave(b []byte) {
	if len(t.nodes) == 1 {
		return
	}
	numbers := make([]int, len(t.nodes))
	for k, n := range t.nodes {
		numbers[k] = n.number
	}
	interleaveNodes(b, numbers)
}
