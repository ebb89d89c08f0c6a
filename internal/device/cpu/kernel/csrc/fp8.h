// E4M3 to bfloat16 by two tables of the 128 codes without sign: right for every code, subnormals and NaN too.
#pragma once
#include "kernel.h"

typedef struct {
	__m512i high0, high1, low0, low1;
} FP8Tables;

// pairsOfFP8 returns columns 0 and 1 of a vector of four, and columns 2 and 3.
INLINE void pairsOfFP8(__m512i *w, __m512i v, const __m512i *t)
{
	const __m512i sign = _mm512_set1_epi8((char)CONST_I32(0x80));
	__asm__("" : "+v"(v)); // or gcc reads the vector three times
	__m512i high = _mm512_permutex2var_epi8(t[0], v, t[1]);
	__m512i low = _mm512_permutex2var_epi8(t[2], v, t[3]);
	high = _mm512_ternarylogic_epi32(high, v, sign, 0xf8); // high | (v & sign)
	w[0] = _mm512_unpacklo_epi8(low, high);
	w[1] = _mm512_unpackhi_epi8(low, high);
}
