//go:build !amd64

package cpu

// pause lets a few nanoseconds pass.
//
//go:noinline
func pause() {}
