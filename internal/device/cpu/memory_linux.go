package cpu

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// allocate returns at least n bytes of zeros: from a page on, or where they are many from a huge page on and in huge pages.
// They lie outside of Go's heap: the garbage collector neither scans nor counts them.
func allocate(n int64) ([]byte, error) {
	page := uintptr(pageOf(n))
	size := (uintptr(max(n, 1)) + page - 1) &^ (page - 1)
	spare := page - smallPage // a mapping begins at any
	at, err := unix.MmapPtr(-1, 0, nil, size+spare, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("out of memory: %d bytes (%w): use a smaller model, context or batch, or give more memory", n, err)
	}
	skip := -uintptr(at) & (page - 1)
	unmap(at, skip)
	unmap(unsafe.Add(at, skip+size), spare-skip)
	b := unsafe.Slice((*byte)(unsafe.Add(at, skip)), size)
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a matter of speed only
	return b, nil
}

// populate has the system make the pages of memory now, on whose first use a whole huge page would be cleared.
func populate(b []byte) {
	if len(b) > 0 {
		_ = unix.Madvise(b, unix.MADV_POPULATE_WRITE) // a matter of speed only
	}
}

// unmap gives n bytes of mapped pages back.
func unmap(at unsafe.Pointer, n uintptr) {
	if n > 0 {
		_ = unix.MunmapPtr(at, n) // fails for what is not mapped
	}
}

// release gives back what allocate returned.
func release(b []byte) { unmap(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b))) }

// freeMemory is how many bytes the machine has free, without some that others may want: what the kernel says is available,
// and what control groups allow.
func freeMemory() int64 {
	free := meminfo("MemAvailable:")
	groups, _ := os.ReadFile("/proc/self/cgroup")
	for line := range bytes.Lines(groups) {
		_, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		controllers, group, _ := bytes.Cut(rest, []byte(":"))
		switch {
		case len(controllers) == 0:
			free = min(free, groupFree("/sys/fs/cgroup", string(group), "memory.max", "memory.current", "inactive_file"))
		case bytes.Contains(controllers, []byte("memory")):
			free = min(free, groupFree("/sys/fs/cgroup/memory", string(group), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))
		}
	}
	return free - min(free/10, 1<<30)
}

// groupFree is what a control group and those above it leave free. Pages of files that nobody used of late are.
func groupFree(root, group, limit, usage, cached string) int64 {
	free := int64(math.MaxInt64)
	for ; ; group = path.Dir(group) {
		dir := path.Join(root, group)
		most, limited := number(path.Join(dir, limit))
		used, _ := number(path.Join(dir, usage))
		if limited {
			free = min(free, max(most-used+field(path.Join(dir, "memory.stat"), cached), 0))
		}
		if group == "/" || group == "." || group == "" {
			return free
		}
	}
}

// number reads a file that holds a number, if it does.
func number(file string) (int64, bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	return n, err == nil
}

// field reads a line of a file that begins with a name and a number. Where there is none, it is 0.
func field(file, name string) int64 {
	data, _ := os.ReadFile(file)
	for line := range bytes.Lines(data) {
		if words := bytes.Fields(line); len(words) > 1 && string(words[0]) == name {
			n, _ := strconv.ParseInt(string(words[1]), 10, 64)
			return n
		}
	}
	return 0
}

// meminfo reads a line of what the kernel says about memory. Without it, memory has no end.
func meminfo(name string) int64 {
	if kibibytes := field("/proc/meminfo", name); kibibytes > 0 {
		return kibibytes << 10
	}
	return math.MaxInt64
}

// totalMemory is the memory of the machine in bytes.
func totalMemory() int64 { return meminfo("MemTotal:") }
