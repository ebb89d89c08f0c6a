// Products of FP4 with activations of 8 bits by VPDPBUSD, which multiplies unsigned with signed bytes: 2w + 12 is unsigned, and
// what 12 adds to a sum is taken off before it.
#include "dot512.h"

#define IN 1
#define ACT 1
#define INTEGER
#define STRIDE(kind) 64
#define PER(kind) 8
#define STEPS(kind) 2
#define SIZED EVERY
#define TILES \
	TILE(1, 4) TILE(2, 4) TILE(3, 2) TILE(4, 1) TILE(5, 1) TILE(6, 1) TILE(8, 1) TILE(10, 1) TILE(12, 1)
#define AFTER 32 // 4 scales and 4 sums, one for each block; see Int8Row in Go

typedef struct {
	__m512i codes, low;
} Tables;

INLINE Tables load(int kind, const char *tables)
{
	(void)kind;
	return (Tables){_mm512_loadu_si512(tables + FP4_AS_INT8), _mm512_set1_epi8((char)CONST_I32(15))};
}

INLINE Int at(int i) { return 4 * i; }

INLINE void decode(Raw *w, int kind, const char *p, Tables t)
{
	(void)kind;
	__m512i v = _mm512_loadu_si512(p);
	w[0] = _mm512_shuffle_epi8(t.codes, _mm512_and_si512(v, t.low));
	w[1] = _mm512_shuffle_epi8(t.codes, _mm512_and_si512(_mm512_srli_epi16(v, 4), t.low));
}

INLINE Vec step(int T, Vec sum, Raw w, const char *x)
{
	(void)T;
	__m512i s = _mm512_dpbusd_epi32(_mm512_castps_si512(sum), w, _mm512_set1_epi32(load32(x)));
	return _mm512_castsi512_ps(s);
}

INLINE Vec begin(const char *group, int j)
{
	return _mm512_castsi512_ps(_mm512_set1_epi32(load32(group + GROUP + 16 + 4 * j)));
}

INLINE Vec end(int kind, Vec sum, Vec scale, Vec acc, const char *group, int j)
{
	(void)kind;
	scale = _mm512_mul_ps(scale, _mm512_set1_ps(*(const float *)(group + GROUP + 4 * j)));
	return _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_castps_si512(sum)), scale, acc);
}

#include "dottile.h"

void dotFP4Int8VNNI(Dot *a)
{
	dot(FP4, a);
}

typedef struct {
	char *to;
	const float *x;
	Int cols;
} int8Row;

// A row in 8 bits: see Int8Row in Go.
void int8RowVNNI(int8Row *a)
{
	const __m128i order = _mm_set_epi64x(CONST_I64(0x0f0b0e0a0d090c08), CONST_I64(0x0703060205010400));
	const __m512i size = _mm512_set1_epi32(CONST_I32(0x7fffffff));
	char *to = a->to;
#pragma GCC unroll 1
	for (Int c = 0; c < groupsOf(a->cols) * GROUP; c += BLOCK) {
		__m512 x[2];
		__m512i largest = _mm512_setzero_si512(), sum = largest;
		for (int i = 0; i < 2; i++) {
			Int left = a->cols - c - 16 * i;
			__mmask16 m = left >= 16 ? 0xffff : left <= 0 ? 0 : (1 << left) - 1;
			x[i] = _mm512_maskz_loadu_ps(m, a->x + c + 16 * i);
			largest = _mm512_max_epi32(largest, _mm512_and_si512(_mm512_castps_si512(x[i]), size));
		}
		union { int32_t i; float f; } max = {_mm512_reduce_max_epi32(largest)};
		float scale = max.f / CONST_F32(127.0f), inverse = CONST_F32(127.0f) / max.f;
		__mmask16 some = 0xffff;
		if (max.i >= CONST_I32(0x7f800000)) {
			some = 0;
			scale = CONST_F32(__builtin_nanf(""));
		} else if (max.i < CONST_I32((127 - 100) << 23)) {
			some = 0;
			scale = 0;
		}
		for (int i = 0; i < 2; i++) {
			__m512i q = _mm512_maskz_cvtps_epi32(some, _mm512_mul_ps(x[i], _mm512_set1_ps(inverse)));
			sum = _mm512_add_epi32(sum, q);
			_mm_storeu_si128((__m128i *)(to + c % GROUP + 16 * i), _mm_shuffle_epi8(_mm512_cvtepi32_epi8(q), order));
		}
		Int block = c % GROUP / BLOCK;
		((float *)(to + GROUP))[block] = scale * CONST_F32(0.5f);
		((int32_t *)(to + GROUP + 16))[block] = -12 * _mm512_reduce_add_epi32(sum);
		if (block == BLOCKS - 1)
			to += GROUP + AFTER;
	}
}
