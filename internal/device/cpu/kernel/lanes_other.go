//go:build !amd64

package kernel

func (*Set) run(code, *args) bool { return false }
