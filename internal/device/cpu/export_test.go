package cpu

import (
	"fmt"
	"io/fs"
	"testing/fstest"
)

// NewOn is New on a machine that describes its nodes so, and has some processors.
func NewOn(o Options, sys fs.FS, processors int) (*Device, error) {
	return newOn(o, readNodes(sys, upTo(processors)))
}

func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

// FakeNodes is the description of nodes that have these processors.
func FakeNodes(lists map[int]string) fs.FS {
	tree := fstest.MapFS{"online": {}, "possible": {}, "has_cpu": {}, "nodes": {}, "node": {}}
	for number, list := range lists {
		tree[fmt.Sprintf("node%d/cpulist", number)] = &fstest.MapFile{Data: []byte(list + "\n")}
		tree[fmt.Sprintf("node%d/meminfo", number)] = &fstest.MapFile{}
	}
	return tree
}
