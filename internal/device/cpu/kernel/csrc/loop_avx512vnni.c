#include "loop.h"

void readVNNI(loop *a)
{
	const char *p = a->data, *end = p + a->count;
	__m512i s[4];
	for (int i = 0; i < 4; i++)
		s[i] = _mm512_setzero_si512();
	for (; p < end; p += 256)
		for (int i = 0; i < 4; i++)
			s[i] = _mm512_or_si512(s[i], _mm512_loadu_si512(p + 64 * i));
	s[0] = _mm512_or_si512(_mm512_or_si512(s[0], s[1]), _mm512_or_si512(s[2], s[3]));
	a->result = _mm512_reduce_or_epi64(s[0]);
}

void peakFMAVNNI(loop *a)
{
	__m512 s[CHAINS], x = _mm512_setzero_ps();
	for (int i = 0; i < CHAINS; i++)
		s[i] = x;
	for (Int n = a->count; n > 0; n--) {
#pragma GCC unroll 12
		for (int i = 0; i < CHAINS; i++)
			s[i] = _mm512_fmadd_ps(x, x, s[i]);
		KEEP(x);
	}
	for (int i = 1; i < CHAINS; i++)
		s[0] = _mm512_add_ps(s[0], s[i]);
	a->result = _mm512_movepi32_mask(_mm512_castps_si512(s[0]));
}

void peakVNNI(loop *a)
{
	__m512i s[CHAINS], x = _mm512_setzero_si512();
	for (int i = 0; i < CHAINS; i++)
		s[i] = x;
	for (Int n = a->count; n > 0; n--) {
#pragma GCC unroll 12
		for (int i = 0; i < CHAINS; i++)
			s[i] = _mm512_dpbusd_epi32(s[i], x, x);
		KEEP(x);
	}
	for (int i = 1; i < CHAINS; i++)
		s[0] = _mm512_or_si512(s[0], s[i]);
	a->result = _mm512_reduce_or_epi64(s[0]);
}
