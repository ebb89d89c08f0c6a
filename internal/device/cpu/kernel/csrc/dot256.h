// A vector of 16 floats, one for each row of a panel, in two registers.
#pragma once
#include "dot.h"

typedef struct {
	__m256 h[2];
} Vec;
typedef struct {
	__m256i h[2];
} Raw;

INLINE Vec vecAll(float x) { return (Vec){{_mm256_set1_ps(x), _mm256_set1_ps(x)}}; }
INLINE Vec vecZero(void) { return (Vec){{_mm256_setzero_ps(), _mm256_setzero_ps()}}; }
INLINE Vec vecAdd(Vec a, Vec b) { return (Vec){{_mm256_add_ps(a.h[0], b.h[0]), _mm256_add_ps(a.h[1], b.h[1])}}; }

INLINE Vec vecFMA(Vec a, Vec b, Vec c)
{
	return (Vec){{_mm256_fmadd_ps(a.h[0], b.h[0], c.h[0]), _mm256_fmadd_ps(a.h[1], b.h[1], c.h[1])}};
}

// vecPowers returns 2^(code-127) of 16 bytes; code 0 gives 0.
INLINE Vec vecPowers(const char *codes)
{
	Vec v;
	for (int h = 0; h < 2; h++) {
		__m256i c = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(codes + 8 * h)));
		v.h[h] = _mm256_castsi256_ps(_mm256_slli_epi32(c, 23));
	}
	return v;
}

INLINE void vecStore(float *y, Vec v, Int rows)
{
	const __m256i lane = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(CONST_I64(0x0706050403020100)));
	for (int h = 0; h < 2; h++)
		_mm256_maskstore_ps(y + 8 * h, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)rows - 8 * h), lane), v.h[h]);
}

// copyRow writes a group of a row as the kernel reads it, of which there are so many columns; the others are zeros.
INLINE void copyRow(char *to, const char *from, Int columns, int in, int act)
{
	float *y = (float *)to;
	Int i = 0;
	(void)act;
	if (columns > GROUP)
		columns = GROUP;
#pragma GCC unroll 1
	for (; i + 8 <= columns; i += 8) {
		__m256i x;
		if (in == 4)
			x = _mm256_loadu_si256((const __m256i *)(from + 4 * i));
		else
			x = _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(from + 2 * i))), 16);
		_mm256_storeu_si256((__m256i *)(y + i), x);
	}
#pragma GCC unroll 1
	for (; i < GROUP; i++) {
		int32_t x = 0;
		__asm__ volatile(""); // gcc must not make vectors of this: their constants would lie in memory
		if (i < columns)
			x = in == 4 ? load32(from + 4 * i) : *(const uint16_t *)(from + 2 * i) << 16;
		((int32_t *)y)[i] = x;
	}
}
