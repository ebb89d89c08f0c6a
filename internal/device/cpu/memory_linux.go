package cpu

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// hugePage is what memory is asked in, so that a walk through weights misses no translation.
const hugePage = 2 << 20

// allocate returns at least n bytes of zeros on a page boundary, in huge pages if they are many. They lie outside of Go's
// heap: the garbage collector neither scans nor counts them.
func allocate(n int64) ([]byte, error) {
	page := int64(4096)
	if n >= hugePage/2 {
		page = hugePage
	}
	size := (max(n, 1) + page - 1) &^ (page - 1)
	b, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("out of memory: %d bytes (%w): use a smaller model, context or batch, or give more memory", n, err)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a matter of speed only
	return b, nil
}

// release gives back what allocate returned.
func release(b []byte) { _ = unix.Munmap(b) }
