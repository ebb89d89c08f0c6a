package cpu

import (
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// systemNodes is where the system describes its nodes.
func systemNodes() fs.FS { return os.DirFS("/sys/devices/system/node") }

// preferNode has the pages of b[from:to] come from a node while it has any, from others then: a node that is full must not end
// the process. Of a page that two nodes share the half counts. Pages are small ones here: what is lost is that one
// huge page around each border falls into small ones.
func preferNode(b []byte, from, to, node int) {
	page := os.Getpagesize()
	near := func(i int) int { return min((i+page/2)&^(page-1), len(b)) }
	setPolicy(b[near(from):near(to)], unix.MPOL_PREFERRED, node)
}

// interleaveNodes has the pages of b come from some nodes by turns.
func interleaveNodes(b []byte, nodes []int) { setPolicy(b, unix.MPOL_INTERLEAVE, nodes...) }

// setPolicy tells the system where pages are to come from that nobody has touched. Where it refuses, they come from the
// node of the thread that touches them first: that is a matter of speed only.
func setPolicy(b []byte, mode uintptr, nodes ...int) {
	if len(b) == 0 {
		return
	}
	const word = 8 * int(unsafe.Sizeof(uintptr(0)))
	var mask [1024 / word]uintptr // as many as any system has
	for _, n := range nodes {
		if n < len(mask)*word {
			mask[n/word] |= 1 << (n % word)
		}
	}
	_, _, _ = unix.Syscall6(unix.SYS_MBIND, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), mode,
		uintptr(unsafe.Pointer(&mask[0])), uintptr(len(mask)*word)+1, 0)
}
