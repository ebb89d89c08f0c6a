// Package device is the seam between programs and chips: what a place that holds bytes and runs programs must be able to do.
// It knows no model, and the model knows no device.
package device

import (
	"fmt"
	"io"

	"baleen/internal/op"
)

// Device is a place that holds buffers and runs programs. Its methods may be called from one goroutine at a time.
type Device interface {
	// Info says what the device is and which ops it has.
	Info() Info
	// Alloc makes a buffer that a program describes: a Weight, a State or an IO. State and IO begin as zeros.
	Alloc(p *op.Program, id op.ID) (Buffer, error)
	// Upload fills a buffer from sources, which are read now or whenever the device needs them, until Close. A weight takes one
	// source for each of its parts; other buffers take one of exactly their size.
	Upload(b Buffer, parts []Source) error
	// Download reads len(to) bytes of a State or IO from offset on.
	Download(b Buffer, offset int64, to []byte) error
	// Load makes a program ready to run. bind holds a buffer for each Weight, State and IO of it.
	Load(p *op.Program, bind map[op.ID]Buffer) (Executable, error)
	// Run begins a run. What it finds wrong with the numbers, such as a NaN, it reports here or from the next Sync.
	Run(e Executable, args *op.Args) error
	// Sync waits until all runs are done.
	Sync() error
	// Close gives everything back.
	Close() error
}

// Buffer is a device's own handle of memory that it holds.
type Buffer any

// Executable is a device's own handle of a loaded program.
type Executable any

// Info describes a device.
type Info struct {
	Name   string           // as --device spells it
	Detail string           // chip, kernels, versions: what a report needs
	Has    func(op.Op) bool // whether it runs an op itself; others are lowered before Load
}

// Source is where the bytes of one matrix lie: its numbers, dense and row-major in the format that the buffer names, and
// its scales, which are empty where the format has none.
type Source struct {
	Name        string // file and tensor, for messages
	Data, Scale Span
}

// Span is a part of a file or of memory.
type Span struct {
	From           io.ReaderAt
	Offset, Length int64
}

// Read fills to from the span, beginning at an offset in it. A file that has become shorter is an error.
func (s Span) Read(to []byte, offset int64) error {
	if len(to) == 0 {
		return nil
	}
	if offset < 0 || offset+int64(len(to)) > s.Length {
		return fmt.Errorf("bytes %d to %d of %d: the reader asks for too much", offset, offset+int64(len(to)), s.Length)
	}
	n, err := s.From.ReadAt(to, s.Offset+offset)
	if n == len(to) {
		return nil
	}
	return fmt.Errorf("%d of %d bytes at offset %d: %w", n, len(to), s.Offset+offset, err)
}
