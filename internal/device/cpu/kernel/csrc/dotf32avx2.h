// Products by FMA on float32, with two registers of 8: a step is a column, the odd one of a pair first.
#pragma once
#include "dot256.h"

#define ACT 4
#define PER(kind) ((kind) == F32 ? 2 : width(kind))
#define STRIDE(kind) ((kind) == F32 ? 128 : 64)
#define STEPS(kind) PER(kind)
#define MAXT 3
#define FEW_REGISTERS 1
#define SIZED(n) (n)
#define TILES TILE(1, 2) TILE(2, 1) TILE(3, 1)

typedef struct {
	__m256 fp4; // the codes without sign
} Tables;

INLINE Tables load(int kind, const char *tables)
{
	(void)kind;
	return (Tables){_mm256_loadu_ps((const float *)(tables + FP4_AS_F32))};
}

INLINE Int at(int i) { return 4 * (i ^ 1); }

// floatsOfFP8 returns the values of codes in the upper bytes of dwords; the other bytes do not matter.
INLINE __m256i floatsOfFP8(__m256i v)
{
	const __m256i sign = _mm256_set1_epi32(CONST_I32(0x80000000)), bias = _mm256_set1_epi32(CONST_I32(120 << 23));
	const __m256i one = _mm256_set1_epi32(CONST_I32(1 << 23)), nan = _mm256_set1_epi32(CONST_I32(0x7f << 20));
	__m256i code = _mm256_srli_epi32(_mm256_and_si256(v, _mm256_set1_epi32(CONST_I32(0x7f000000))), 4);
	__m256i normal = _mm256_add_epi32(code, bias);
	// With exponent 0 it is m/8 * 2^-6, which is (1 + m/8) * 2^-6 less 2^-6.
	__m256i least = _mm256_add_epi32(bias, one);
	__m256 tiny = _mm256_sub_ps(_mm256_castsi256_ps(_mm256_add_epi32(code, least)), _mm256_castsi256_ps(least));
	__m256i x = _mm256_blendv_epi8(normal, _mm256_castps_si256(tiny), _mm256_cmpgt_epi32(one, code));
	x = _mm256_or_si256(x, _mm256_cmpeq_epi32(code, nan));
	return _mm256_or_si256(x, _mm256_and_si256(v, sign));
}

INLINE void decode(Raw *w, int kind, const char *p, Tables t)
{
	for (int h = 0; h < 2; h++) {
		__m256i v = _mm256_loadu_si256((const __m256i *)(p + 32 * h));
		if (kind == FP4) {
			for (int i = 0; i < 8; i++) {
				int shift = i % 2 == 0 ? 16 + 2 * i : 2 * (i - 1);
				__m256i sign = _mm256_and_si256(_mm256_slli_epi32(v, 28 - shift), _mm256_set1_epi32(CONST_I32(0x80000000)));
				__m256 size = _mm256_permutevar8x32_ps(t.fp4, _mm256_srli_epi32(v, shift));
				w[i].h[h] = _mm256_or_si256(sign, _mm256_castps_si256(size));
			}
		} else if (kind == FP8) {
			const __m256i none = _mm256_setzero_si256();
			for (int i = 0; i < 2; i++) {
				__m256i pair = i == 0 ? _mm256_unpacklo_epi8(none, v) : _mm256_unpackhi_epi8(none, v);
				w[2 * i].h[h] = floatsOfFP8(pair);
				w[2 * i + 1].h[h] = floatsOfFP8(_mm256_slli_epi32(pair, 16));
			}
		} else if (kind == BF16) {
			w[0].h[h] = _mm256_and_si256(v, _mm256_set1_epi32(CONST_I32(0xffff0000)));
			w[1].h[h] = _mm256_slli_epi32(v, 16);
		} else {
			w[0].h[h] = _mm256_loadu_si256((const __m256i *)(p + 64 + 32 * h));
			w[1].h[h] = v;
		}
	}
}

INLINE Vec step(int T, Vec sum, Raw w, const char *x)
{
	(void)T;
	__m256 all = _mm256_broadcast_ss((const float *)x);
	for (int h = 0; h < 2; h++)
		sum.h[h] = _mm256_fmadd_ps(_mm256_castsi256_ps(w.h[h]), all, sum.h[h]);
	return sum;
}

#include "dottile.h"
