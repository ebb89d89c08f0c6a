// Products of a matrix in panels, for any width of registers (dot512.h, dot256.h). An including file defines
//
//	IN, ACT              bytes of an activation in memory and as a step takes it
//	STRIDE(k), PER(k)    bytes of weights that are decoded at once, and how many columns they are
//	STEPS(k)             steps of a chain that these take, each with one decoded operand
//	Tables, load         constants of a decoder
//	decode               from weights to the operands
//	step                 one step of a chain with an operand and the activations at x
//	at(i)                where the activations of step i are, in bytes
//	INTEGER              if sums of a block are integers: then begin, end and AFTER, see dotint8_avx512vnni.c
//	SIZED(n), TILES      the tile for n rows, at least 3 if it is of more than 3; and all tiles with the blocks in flight
//
// A tile is T rows of activations, each with a chain of its own, which share every decoded operand. Where T is too small to
// hide the latency of a chain, U blocks of columns are in flight.
#pragma once
#include "dot.h"

// Rows of a tile lie in threes, which may have any distance between them: x86 addresses three rows by one register and a
// stride. So a tile that is larger than the rows that are left can take some twice.
#ifndef MAXT
#define MAXT 12
#endif
typedef struct {
	const char *three[MAXT / 3];
	Int stride;
} Rows;

INLINE const char *rowOf(const Rows *r, int t) { return r->three[t / 3] + t % 3 * r->stride; }

// firstOf returns the first row of the i-th three of a tile of T for k rows.
INLINE Int firstOf(int i, Int k, int T)
{
	Int size = T - 3 * i < 3 ? T - 3 * i : 3;
	return 3 * i < k - size ? 3 * i : k - size;
}

INLINE Rows rowsFrom(const char *base, Int stride, Int k, int T)
{
	Rows r = {.stride = stride};
	for (int i = 0; i < (T + 2) / 3; i++)
		r.three[i] = base + firstOf(i, k, T) * stride;
	return r;
}

// Memory answers one ascending stream of lines best, without a gap. So what stands before a group is fetched before its
// numbers although it is wanted after them; and where a core is too busy to look far ahead, or some blocks of a group are read
// before others, what follows is fetched in order. Beyond the last panel a fetch does nothing.
#define AHEAD 4096
INLINE void fetch(const char *p, int bytes)
{
	for (int i = 0; i < bytes; i += 64)
		_mm_prefetch(p + i, _MM_HINT_T0);
}

#ifndef INTEGER
#define AFTER 0 // bytes of activations behind a group

// begin returns what the sum of a block starts with, end adds it to those before it.
INLINE Vec begin(const char *group, int j)
{
	(void)group, (void)j;
	return vecZero();
}

INLINE Vec end(int kind, Vec sum, Vec scale, Vec acc, const char *group, int j)
{
	(void)group, (void)j;
	return kind == FP8 || kind == FP4 ? vecFMA(sum, scale, acc) : vecAdd(sum, acc);
}
#endif

// part is what a tile gets besides its size.
typedef struct {
	const Dot *a;
	const char *panel, *x; // x: the first of k rows
	float *y;
	char *copy; // a group of MAXT rows
	Int k, rows;
} Part;

INLINE void copyRows(const Part *p, Int column, int T)
{
#pragma GCC unroll 1
	for (int t = 0; t < T; t++) {
		const char *row = p->x + (firstOf(t / 3, p->k, T) + t % 3) * p->a->xstride * IN;
		copyRow(p->copy + t * GROUP * ACT, row + column * IN, p->a->cols - column, IN, ACT);
	}
}

INLINE void tile(int kind, int T, int U, const Part *part)
{
	const Tables tables = load(kind, part->a->tables);
	const Int cols = part->a->cols, groups = groupsOf(cols);
	const Rows copied = rowsFrom(part->copy, GROUP * ACT, T, T);
	const char *p = part->panel;
	Rows x = rowsFrom(part->x, part->a->xstride * IN, part->k, T);
	Vec acc[MAXT], b[BLOCKS][MAXT]; // not [T]: a length that is a variable, if only for the parser, keeps them in memory
	Int column = 0;                 // in bytes of activations
	const float *scales = 0; // of FP8
#pragma GCC unroll 12
	for (int t = 0; t < T; t++)
		acc[t] = vecZero();
#pragma GCC unroll 1
	for (Int g = 0; g < groups; g++) {
		if (kind == FP8 && g % SHARED == 0) {
			scales = (const float *)p;
			fetch(p, VECTOR);
			p += VECTOR;
		}
		const char *w = p + (kind == FP4 ? VECTOR : 0), *ahead = p + 4096;
		if (IN != ACT || (!AFTER && __builtin_expect(g == cols / GROUP, 0))) {
			copyRows(part, g * GROUP, T);
			x = copied;
			column = 0;
		}
		const Int start = column;
		if (kind == FP4)
			fetch(p, VECTOR);
#pragma GCC unroll 1
		for (int j = 0; j < BLOCKS; j += U) {
#pragma GCC unroll 4
			for (int u = 0; u < U; u++)
#pragma GCC unroll 12
				for (int t = 0; t < T; t++)
					b[u][t] = begin(rowOf(&x, t) + start, j + u);
			const char *from = w + j * STRIDE(kind);
#pragma GCC unroll 1
			for (Int v = 0; v < BLOCK / PER(kind); v++) {
				if (T > 1 || U < BLOCKS)
					fetch(ahead, U * STRIDE(kind));
				ahead += U * STRIDE(kind);
#ifdef FEW_REGISTERS
#pragma GCC unroll 4
				for (int u = 0; u < U; u++) {
					Raw operand[8];
					decode(operand, kind, from + u * STRIDE(kind), tables);
#pragma GCC unroll 8
					for (int i = 0; i < STEPS(kind); i++)
#pragma GCC unroll 12
						for (int t = 0; t < T; t++)
							b[u][t] = step(T, b[u][t], operand[i], rowOf(&x, t) + column + u * BLOCK * ACT + at(i));
				}
#else
				Raw operand[BLOCKS][8];
#pragma GCC unroll 4
				for (int u = 0; u < U; u++)
					decode(operand[u], kind, from + u * STRIDE(kind), tables);
#pragma GCC unroll 8
				for (int i = 0; i < STEPS(kind); i++)
#pragma GCC unroll 4
					for (int u = 0; u < U; u++)
#pragma GCC unroll 12
						for (int t = 0; t < T; t++)
							b[u][t] = step(T, b[u][t], operand[u][i], rowOf(&x, t) + column + u * BLOCK * ACT + at(i));
#endif
				from += BLOCKS * STRIDE(kind);
				column += PER(kind) * ACT;
			}
			column += (U - 1) * BLOCK * ACT;
#pragma GCC unroll 4
			for (int u = 0; u < U; u++) {
				Vec s = vecZero();
				if (kind == FP8)
					s = vecAll(scales[g % SHARED * BLOCKS + j + u]);
				else if (kind == FP4)
					s = vecPowers(p + (j + u) * LANES);
#pragma GCC unroll 12
				for (int t = 0; t < T; t++)
					acc[t] = end(kind, b[u][t], s, acc[t], rowOf(&x, t) + start, j + u);
			}
		}
		column += AFTER;
		p += groupBytes(kind);
	}
	const Rows y = rowsFrom((const char *)part->y, part->a->ystride * 4, part->k, T);
#pragma GCC unroll 12
	for (int t = 0; t < T; t++)
		vecStore((float *)rowOf(&y, t), acc[t], part->rows);
}

// Numbers that need no tables leave registers for more blocks, and so for reading in order.
#ifdef FEW_REGISTERS
#define INFLIGHT(kind, T, U) ((kind) == F32 && (T) == 1 ? BLOCKS : (U))
#else
#define INFLIGHT(kind, T, U) (((kind) == BF16 || (kind) == F32) && (T) <= 6 ? BLOCKS : (U))
#endif

#define TILE(T, U) \
	case T: \
		tile(kind, T, INFLIGHT(kind, T, U), &p); \
		break;

// Choices for SIZED and TILES.
#define EVERY(n) ((n) <= 6 ? (n) : ((n) + 1) / 2 * 2)
#define EVERY_TILES TILE(1, 4) TILE(2, 4) TILE(3, 2) TILE(4, 2) TILE(5, 2) TILE(6, 2) TILE(8, 1) TILE(10, 1) TILE(12, 1)
#define SOME(n) ((n) <= 2 ? (n) : (n) <= 4 ? 4 : (n) <= 6 ? 6 : (n) <= 8 ? 8 : 12)
#define SOME_TILES TILE(1, 4) TILE(2, 4) TILE(4, 2) TILE(6, 2) TILE(8, 1) TILE(12, 1)
#define FEW(n) ((n) <= 2 ? (n) : (n) <= 4 ? 4 : (n) <= 6 ? 6 : 12)
#define FEW_TILES TILE(1, 4) TILE(2, 4) TILE(4, 2) TILE(6, 2) TILE(12, 1)

INLINE void dot(int kind, const Dot *a)
{
	char copy[MAXT * GROUP * ACT];
	const Int groups = groupsOf(a->cols), bytes = panelBytes(kind, groups);
	Part p = {.a = a, .panel = a->panel, .copy = copy};
	for (Int row = 0; row < a->rows; row += LANES, p.panel += bytes) {
		p.rows = a->rows - row;
		// As few tiles as there can be, as equal as they can be.
		for (Int first = 0, tiles = (a->n + MAXT - 1) / MAXT; tiles > 0; tiles--, first += p.k) {
			p.k = (a->n - first + tiles - 1) / tiles;
			p.x = a->x + first * a->xstride * IN;
			p.y = a->y + first * a->ystride + row;
			switch (SIZED(p.k)) {
				TILES
			}
		}
	}
}
