#include "dot.h"

typedef struct {
	char *to;         // a panel
	const char *from; // 16 rows
	Int stride;       // of rows, in bytes
	Int groups;       // whole ones
	Int kind;         // of quant.Kind
	const char *scale; // of FP4: 16 rows
	Int blocks;        // scales of a row
} packing;

// transpose turns 16 dwords of 16 rows into 16 vectors of a dword of every row.
INLINE void transpose(__m512i *r)
{
	__m512i t[16], u[16];
#pragma GCC unroll 8
	for (int i = 0; i < 16; i += 2) {
		t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 16; i += 4) {
		u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
		u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
		u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
		u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
	}
	// Now lane l of u[4i+k] is dword 4l+k of rows 4i to 4i+3.
#pragma GCC unroll 4
	for (int k = 0; k < 4; k++) {
		__m512i a = _mm512_shuffle_i32x4(u[k], u[4 + k], 0x88), b = _mm512_shuffle_i32x4(u[k], u[4 + k], 0xdd);
		__m512i c = _mm512_shuffle_i32x4(u[8 + k], u[12 + k], 0x88), d = _mm512_shuffle_i32x4(u[8 + k], u[12 + k], 0xdd);
		r[k] = _mm512_shuffle_i32x4(a, c, 0x88);
		r[4 + k] = _mm512_shuffle_i32x4(b, d, 0x88);
		r[8 + k] = _mm512_shuffle_i32x4(a, c, 0xdd);
		r[12 + k] = _mm512_shuffle_i32x4(b, d, 0xdd);
	}
}

// spread puts the even nibbles of a dword into the low half and the odd ones into the high half.
INLINE __m512i spread(__m512i x)
{
	__m512i t = _mm512_and_si512(_mm512_xor_si512(x, _mm512_srli_epi32(x, 4)), _mm512_set1_epi32(CONST_I32(0x00f000f0)));
	x = _mm512_xor_si512(x, _mm512_xor_si512(t, _mm512_slli_epi32(t, 4)));
	t = _mm512_and_si512(_mm512_xor_si512(x, _mm512_srli_epi32(x, 8)), _mm512_set1_epi32(CONST_I32(0x0000ff00)));
	return _mm512_xor_si512(x, _mm512_xor_si512(t, _mm512_slli_epi32(t, 8)));
}

// codes returns the scales of a group, four of each row, as those of a block for every row.
INLINE __m512i codes(const char *from, Int blocks)
{
	const __m512i four = _mm512_broadcast_i32x4(_mm_set_epi64x(CONST_I64(0x0f0b07030e0a0602), CONST_I64(0x0d0905010c080400)));
	const __m512i lanes = _mm512_cvtepu8_epi32(_mm_set_epi64x(CONST_I64(0x0f0b07030e0a0602), CONST_I64(0x0d0905010c080400)));
	int32_t row[16];
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		row[i] = load32(from + i * blocks);
	__m512i x = _mm512_shuffle_epi8(_mm512_loadu_si512(row), four);
	return _mm512_permutexvar_epi32(lanes, x);
}

INLINE void pack(const packing *a, int kind)
{
	const int dwords = kind == FP4 ? 16 : kind == FP8 ? 32 : kind == BF16 ? 64 : 128, block = dwords / BLOCKS;
	const __m512i pairs = _mm512_broadcast_i32x4(_mm_set_epi64x(CONST_I64(0x0f0e0b0a07060302), CONST_I64(0x0d0c090805040100)));
	const char *from = a->from;
	char *to = a->to;
	for (Int g = 0; g < a->groups; g++) {
		if (kind == FP4)
			_mm512_stream_si512((__m512i *)to, codes(a->scale + g * BLOCKS, a->blocks));
		if (kind == FP4 || (kind == FP8 && g % SHARED == 0))
			to += VECTOR;
#pragma GCC unroll 1
		for (int first = 0; first < dwords; first += 16, from += 64) {
			__m512i r[16];
#pragma GCC unroll 16
			for (int i = 0; i < 16; i++) {
				r[i] = _mm512_loadu_si512(from + i * a->stride);
				if (kind == FP4)
					r[i] = spread(r[i]);
			}
			transpose(r);
#pragma GCC unroll 16
			for (int i = 0; i < 16; i++) {
				int v = (first + i) % block, b = (first + i) / block;
				int at = kind == F32 ? (v / 2 * BLOCKS + b) * 2 + v % 2 : v * BLOCKS + b;
				if (kind == FP8)
					r[i] = _mm512_shuffle_epi8(r[i], pairs);
				_mm512_stream_si512((__m512i *)(to + at * VECTOR), r[i]);
			}
		}
		to += dwords * VECTOR;
	}
	_mm_sfence();
}

void packVNNI(packing *a)
{
	if (a->kind == 0)
		pack(a, F32);
	else if (a->kind == 1)
		pack(a, BF16);
	else if (a->kind == 2)
		pack(a, FP8);
	else
		pack(a, FP4);
}
