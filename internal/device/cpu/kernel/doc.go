// Package kernel is the arithmetic of the cpu device: one table of functions per tier of instructions, all equal to the
// last bit to the plain Go that stands first in each file. It knows matrices and rows, no program, no worker and no model.
//
// A weight matrix is packed into panels of 16 rows, so that a kernel reads it as one stream and every output is a lane
// of a register. See Pack for the layout and Dot for the order of each sum.
//
// Kernels are C in csrc/, compiled ahead of time by gen/ into the .s files here; see gen for how to add one.
package kernel

//go:generate go run ./gen
