//go:build !linux

package cpu

// allowedProcessors does not tell any.
func allowedProcessors() []int { return nil }

// pin does nothing: this system has no call for it that needs no C.
func pin(int) {}
