package profile

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// allocate returns memory of whole pages outside of Go's heap, so that it can be given back at once; huge pages, if the
// system has them.
func allocate(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("out of memory: %d bytes to measure with (%w): free some", n, err)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a matter of speed only
	return b, nil
}

func release(b []byte) { _ = unix.Munmap(b) }

// pin binds the calling thread to the i-th of the processors that the process may use, until undo. Where that is not
// allowed, the thread stays where the system puts it.
func pin(i int) (undo func()) {
	var allowed unix.CPUSet
	if unix.SchedGetaffinity(0, &allowed) != nil {
		return func() {}
	}
	n := allowed.Count()
	for cpu, seen := 0, 0; seen < n; cpu++ {
		if !allowed.IsSet(cpu) {
			continue
		}
		if seen++; seen == i%n+1 {
			var one unix.CPUSet
			one.Set(cpu)
			_ = unix.SchedSetaffinity(0, &one)
			break
		}
	}
	return func() { _ = unix.SchedSetaffinity(0, &allowed) }
}

// openDirect opens a file so that reads do not go through the page cache.
func openDirect(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
}

// forget asks the system to drop a file from the page cache.
func forget(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
