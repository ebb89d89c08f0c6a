//go:build !linux

package cpu

// pin does nothing: this system has no call for it that needs no C.
func pin(int) {}
