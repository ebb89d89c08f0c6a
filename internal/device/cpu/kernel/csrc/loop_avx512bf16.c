#include "loop.h"

void peakBF16(loop *a)
{
	__m512 s[CHAINS];
	__m512i x = _mm512_setzero_si512();
	for (int i = 0; i < CHAINS; i++)
		s[i] = _mm512_setzero_ps();
	for (Int n = a->count; n > 0; n--) {
#pragma GCC unroll 12
		for (int i = 0; i < CHAINS; i++)
			s[i] = _mm512_dpbf16_ps(s[i], (__m512bh)x, (__m512bh)x);
		KEEP(x);
	}
	for (int i = 1; i < CHAINS; i++)
		s[0] = _mm512_add_ps(s[0], s[i]);
	a->result = _mm512_movepi32_mask(_mm512_castps_si512(s[0]));
}
