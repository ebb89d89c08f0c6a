//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package kv

import "os"

// lock only opens the file: two processes in one directory are not noticed here.
func lock(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }

// syncDir does nothing: directories cannot be synced here.
func syncDir(string) error { return nil }
