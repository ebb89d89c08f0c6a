//go:build !linux

package kernel

import "testing"

// guarded returns n bytes; only linux tests see a read beyond them.
func guarded(_ testing.TB, n int) []byte { return make([]byte, n) }

func huge(_ testing.TB, n int) []byte { return make([]byte, n) }
