// Products by FMA on float32, with registers of 16: a step is a column, the odd one of a pair first.
#pragma once
#include "dot512.h"
#ifdef __AVX512VBMI__
#include "fp8.h"
#endif

#define ACT 4
#define PER(kind) ((kind) == F32 ? 2 : width(kind))
#define STRIDE(kind) ((kind) == F32 ? 128 : 64)
#define STEPS(kind) PER(kind)

typedef struct {
	__m512i t[4];
} Tables;

INLINE Tables load(int kind, const char *tables)
{
	Tables t;
	for (int i = 0; i < 4; i++)
		t.t[i] = _mm512_loadu_si512(tables + (kind == FP4 ? FP4_AS_F32 : FP8_HIGH + 64 * i));
#ifndef __AVX512VBMI__
	t.t[0] = _mm512_loadu_si512(tables + (kind == FP4 ? FP4_AS_F32 : FP8_TINY));
#endif
	return t;
}

INLINE Int at(int i) { return 4 * (i ^ 1); }

// split makes floats of a vector of pairs.
INLINE void split(__m512i *w, __m512i pair)
{
	w[0] = _mm512_and_si512(pair, _mm512_set1_epi32(CONST_I32(0xffff0000)));
	w[1] = _mm512_slli_epi32(pair, 16);
}

#ifndef __AVX512VBMI__
// wordsOfFP8 returns the bfloat16 of codes that are in the upper bytes of words.
INLINE __m512i wordsOfFP8(__m512i v, __m512i tiny)
{
	__m512i code = _mm512_srli_epi16(_mm512_and_si512(v, _mm512_set1_epi16(CONST_I32(0x7f00))), 4);
	__m512i w = _mm512_add_epi16(code, _mm512_set1_epi16(CONST_I32(120 << 7))); // the exponent's bias is 127, not 7
	__mmask32 small = _mm512_cmplt_epu16_mask(code, _mm512_set1_epi16(CONST_I32(8 << 4)));
	__mmask32 nan = _mm512_cmpeq_epi16_mask(code, _mm512_set1_epi16(CONST_I32(0x7f << 4)));
	w = _mm512_mask_permutexvar_epi16(w, small, _mm512_srli_epi16(code, 4), tiny);
	w = _mm512_mask_mov_epi16(w, nan, _mm512_set1_epi16(CONST_I32(0x7fc0)));
	return _mm512_ternarylogic_epi32(w, v, _mm512_set1_epi16((short)CONST_I32(0x8000)), 0xf8); // w | (v & sign)
}
#endif

INLINE void decode(__m512i *w, int kind, const char *p, Tables t)
{
	__m512i v = _mm512_loadu_si512(p);
	if (kind == FP4) {
		for (int i = 0; i < 4; i++) {
			w[2 * i] = _mm512_permutexvar_epi32(_mm512_srli_epi32(v, 16 + 4 * i), t.t[0]);
			w[2 * i + 1] = _mm512_permutexvar_epi32(i == 0 ? v : _mm512_srli_epi32(v, 4 * i), t.t[0]);
		}
	} else if (kind == FP8) {
		__m512i pair[2];
#ifdef __AVX512VBMI__
		pairsOfFP8(pair, v, t.t);
#else
		const __m512i none = _mm512_setzero_si512();
		pair[0] = wordsOfFP8(_mm512_unpacklo_epi8(none, v), t.t[0]);
		pair[1] = wordsOfFP8(_mm512_unpackhi_epi8(none, v), t.t[0]);
#endif
		split(w, pair[0]);
		split(w + 2, pair[1]);
	} else if (kind == BF16) {
		split(w, v);
	} else {
		w[0] = _mm512_loadu_si512(p + 64);
		w[1] = v;
	}
}

INLINE __m512 step(int T, __m512 sum, __m512i w, const char *x)
{
	(void)T;
	return _mm512_fmadd_ps(_mm512_castsi512_ps(w), _mm512_set1_ps(*(const float *)x), sum);
}

#include "dottile.h"
