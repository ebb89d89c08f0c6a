// Sinkhorn's iteration on a matrix of four by four numbers: see hyper.go.

#include "lanes.h"

// transpose exchanges lines and columns.
INLINE void transpose(__m256d *c) {
	__m256d a = _mm256_unpacklo_pd(c[0], c[1]), b = _mm256_unpackhi_pd(c[0], c[1]);
	__m256d d = _mm256_unpacklo_pd(c[2], c[3]), e = _mm256_unpackhi_pd(c[2], c[3]);
	c[0] = _mm256_permute2f128_pd(a, d, 0x20);
	c[1] = _mm256_permute2f128_pd(b, e, 0x20);
	c[2] = _mm256_permute2f128_pd(a, d, 0x31);
	c[3] = _mm256_permute2f128_pd(b, e, 0x31);
}

// p[0] = the matrix, whose columns and lines are divided by turns by their sums plus d[0], n[0] times, an odd number.
void sinkhornAVX2(args *a) {
	double *m = a->p[0];
	__m256d eps = _mm256_set1_pd(a->d[0]), one = _mm256_castsi256_pd(_mm256_set1_epi64x(immediate64(0x3ff0000000000000))), c[4];
	for (int i = 0; i < 4; i++) c[i] = _mm256_loadu_pd(m + 4 * i);
	for (long pass = a->n[0]; pass > 0; pass--) {
		__m256d sum = eps;
		for (int i = 0; i < 4; i++) sum = _mm256_add_pd(sum, c[i]);
		__m256d share = _mm256_div_pd(one, sum);
		for (int i = 0; i < 4; i++) c[i] = _mm256_mul_pd(c[i], share);
		transpose(c);
	}
	transpose(c);
	for (int i = 0; i < 4; i++) _mm256_storeu_pd(m + 4 * i, c[i]);
}
