// The arguments of a product and the layout of panels: see Dot and Pack in Go.
#pragma once
#include "kernel.h"

#define LANES 16
#define BLOCK 32
#define GROUP 128
#define BLOCKS (GROUP / BLOCK)
#define VECTOR 64

enum { FP4, FP8, BF16, F32 };

typedef struct {
	const char *panel, *x;
	float *y;
	Int cols, xstride, ystride, n, rows;
	const char *tables;
} Dot;

// Offsets of the tables, which dottables.go fills.
enum {
	FP4_AS_BF16 = 0,   // 32 words, twice the 16 codes
	FP4_AS_F32 = 64,   // 16 floats
	FP8_HIGH = 128,    // the upper byte of the bfloat16 of 128 codes without sign
	FP8_LOW = 256,     // the lower byte
	FP8_TINY = 384,    // the bfloat16 of the 8 codes of exponent 0, and zeros
	FP4_AS_INT8 = 448, // 64 bytes, four times 2w + 12 of the 16 codes
};

INLINE Int groupsOf(Int cols) { return (cols + GROUP - 1) / GROUP; }

// Columns that a vector holds.
INLINE int width(int kind) { return kind == FP4 ? 8 : kind == FP8 ? 4 : kind == BF16 ? 2 : 1; }

INLINE Int groupBytes(int kind) { return (kind == FP4 ? VECTOR : 0) + GROUP / width(kind) * VECTOR; }

// Groups of FP8 that share a vector of scales before them.
#define SHARED 4

INLINE Int panelBytes(int kind, Int groups)
{
	return groups * groupBytes(kind) + (kind == FP8 ? (groups + SHARED - 1) / SHARED * VECTOR : 0);
}
