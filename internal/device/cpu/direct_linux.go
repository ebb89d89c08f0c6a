package cpu

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openDirect opens a file again, for reads around the page cache. It returns nil where the file system has none.
func openDirect(f *os.File) *os.File {
	var direct *os.File
	onDescriptor(f, func(fd int) {
		direct, _ = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDONLY|unix.O_DIRECT, 0)
	})
	return direct
}

// forget takes a part of a file out of the page cache.
func forget(f *os.File, offset, n int64) {
	onDescriptor(f, func(fd int) { _ = unix.Fadvise(fd, offset, n, unix.FADV_DONTNEED) })
}

// onDescriptor calls f with the descriptor of a file, unless that is closed.
func onDescriptor(file *os.File, f func(fd int)) {
	if c, err := file.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { f(int(fd)) })
	}
}
