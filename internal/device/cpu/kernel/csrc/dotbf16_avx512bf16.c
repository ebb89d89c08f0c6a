// Products with bfloat16 activations by VDPBF16PS, which is the two steps of a pair of Dot: the odd product first.
#include "dot512.h"
#include "fp8.h"

#define IN 2
#define ACT 2
#define SIZED EVERY
#define TILES EVERY_TILES
#define STRIDE(kind) 64
#define PER(kind) width(kind)
#define STEPS(kind) (width(kind) / 2)

typedef struct {
	__m512i t[4];
} Tables;


INLINE Tables load(int kind, const char *tables)
{
	Tables t;
	for (int i = 0; i < 4; i++)
		t.t[i] = _mm512_loadu_si512(tables + (kind == FP8 ? FP8_HIGH + 64 * i : FP4_AS_BF16));
	return t;
}

INLINE Int at(int i) { return 4 * i; }

INLINE void decode(__m512i *w, int kind, const char *p, Tables t)
{
	__m512i v = _mm512_loadu_si512(p);
	if (kind == FP4) {
		w[0] = _mm512_permutexvar_epi16(v, t.t[0]);
		w[1] = _mm512_permutexvar_epi16(_mm512_srli_epi16(v, 4), t.t[0]);
		w[2] = _mm512_permutexvar_epi16(_mm512_srli_epi16(v, 8), t.t[0]);
		w[3] = _mm512_permutexvar_epi16(_mm512_srli_epi16(v, 12), t.t[0]);
	} else if (kind == FP8) {
		pairsOfFP8(w, v, t.t);
	} else {
		w[0] = v;
	}
}

INLINE __m512 step(int T, __m512 sum, __m512i w, const char *x)
{
	if (T > 2)
		return _mm512_dpbf16_ps(sum, (__m512bh)w, (__m512bh)_mm512_set1_epi32(load32(x)));
	// Where few rows share a decoded vector, an instruction less matters: gcc 12 would load and broadcast by another one.
	__asm__("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*(const int32_t *)x));
	return sum;
}

#include "dottile.h"

void dotFP4BF16(Dot *a)
{
	dot(FP4, a);
}

void dotFP8BF16(Dot *a)
{
	dot(FP8, a);
}

void dotBF16BF16(Dot *a)
{
	dot(BF16, a);
}
