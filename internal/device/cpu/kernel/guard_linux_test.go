package kernel

import (
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// guarded returns n bytes that end where the next page is not accessible, so that a read or write beyond is a fault. They
// begin on a multiple of 64 if n is one.
func guarded(t testing.TB, n int) []byte {
	page := os.Getpagesize()
	size := (n + page - 1) / page * page
	all, err := syscall.Mmap(-1, 0, size+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(all) })
	if err := syscall.Mprotect(all[size:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return all[size-n : size : size]
}

// huge returns zeroed memory on huge pages, if the machine has them.
func huge(t testing.TB, n int) []byte {
	const page = 2 << 20
	all, err := syscall.Mmap(-1, 0, (n+page-1)/page*page+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(all) })
	all = all[page-int(uintptr(unsafe.Pointer(&all[0]))%page):][:n:n]
	if err := syscall.Madvise(all, syscall.MADV_HUGEPAGE); err != nil {
		t.Log("no huge pages:", err)
	}
	for i := range all {
		all[i] = byte(i) & 0x77 // touched, and of any format
	}
	return all
}
