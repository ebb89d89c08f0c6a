#include "loop.h"

void readAVX2(loop *a)
{
	const char *p = a->data, *end = p + a->count;
	__m256i s[4];
	for (int i = 0; i < 4; i++)
		s[i] = _mm256_setzero_si256();
	for (; p < end; p += 128)
		for (int i = 0; i < 4; i++)
			s[i] = _mm256_or_si256(s[i], _mm256_loadu_si256((const __m256i *)(p + 32 * i)));
	s[0] = _mm256_or_si256(_mm256_or_si256(s[0], s[1]), _mm256_or_si256(s[2], s[3]));
	a->result = _mm256_extract_epi64(s[0], 0);
}

void peakFMAAVX2(loop *a)
{
	__m256 s[CHAINS], x = _mm256_setzero_ps();
	for (int i = 0; i < CHAINS; i++)
		s[i] = x;
	for (Int n = a->count; n > 0; n--) {
#pragma GCC unroll 12
		for (int i = 0; i < CHAINS; i++)
			s[i] = _mm256_fmadd_ps(x, x, s[i]);
		KEEP(x);
	}
	for (int i = 1; i < CHAINS; i++)
		s[0] = _mm256_add_ps(s[0], s[i]);
	a->result = _mm256_movemask_ps(s[0]);
}
