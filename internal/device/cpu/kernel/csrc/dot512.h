// A vector of 16 floats, one for each row of a panel, in one register.
#pragma once
#include "dot.h"

typedef __m512 Vec;
typedef __m512i Raw;

INLINE Vec vecZero(void) { return _mm512_setzero_ps(); }
INLINE Vec vecAll(float x) { return _mm512_set1_ps(x); }
INLINE Vec vecAdd(Vec a, Vec b) { return _mm512_add_ps(a, b); }
INLINE Vec vecFMA(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }

// vecPowers returns 2^(code-127) of 16 bytes; code 0 gives 0.
INLINE Vec vecPowers(const char *codes)
{
	__m512i c = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)codes));
	return _mm512_castsi512_ps(_mm512_slli_epi32(c, 23));
}

INLINE void vecStore(float *y, Vec v, Int rows)
{
	_mm512_mask_storeu_ps(y, rows >= LANES ? 0xffff : (1 << rows) - 1, v);
}

// copyRow writes a group of a row as the kernel reads it, of which there are so many columns; the others are zeros.
INLINE void copyRow(char *to, const char *from, Int columns, int in, int act)
{
#pragma GCC unroll 1
	for (Int i = 0; i < GROUP; i += 16) {
		Int left = columns - i;
		__mmask16 m = left >= 16 ? 0xffff : left <= 0 ? 0 : (1 << left) - 1;
		if (in == 4) {
			_mm512_storeu_si512(to + 4 * i, _mm512_maskz_loadu_epi32(m, from + 4 * i));
			continue;
		}
		__m256i x = _mm256_maskz_loadu_epi16(m, from + 2 * i);
		if (act == 2)
			_mm256_storeu_si256((__m256i *)(to + 2 * i), x);
		else
			_mm512_storeu_si512(to + 4 * i, _mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
	}
}
