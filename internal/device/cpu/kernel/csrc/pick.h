// The numbers above a bound: see pick.go.

#include "lanes.h"

// Numbers of p[0] from n[1] up to n[0] that are above f[0] go to p[1], and their places plus n[2] to p[2], behind the n[3]
// that are there. It stops where fewer than 16 of n[4] places are free. n[5] is set where there was a NaN.
INLINE void offerOf(args *a) {
	const float *x = a->p[0];
	float *values = a->p[1];
	int32_t *places = a->p[2];
	long c = a->n[1], n = a->n[0], used = a->n[3];
	V bound = all(a->f[0]);
	M odd = none();
	for (; c < n && used + 16 <= a->n[4]; c += 16) {
		V v = load(x + c, n - c);
		odd = either(odd, differs(v, v));
		uint32_t above = lanes(below(bound, v));
		if (n - c < 16) above &= (1u << (n - c)) - 1;
		if (!above) continue;
#ifdef __AVX512F__
		I lane = octets(_mm_set_epi64x(immediate64(0x0f0e0d0c0b0a0908), immediate64(0x0706050403020100)));
		_mm512_storeu_ps(values + used, _mm512_maskz_compress_ps(above, v));
		_mm512_storeu_si512(places + used, _mm512_maskz_compress_epi32(above, addi(lane, alli(c + a->n[2]))));
		used += __builtin_popcount(above);
#else
		for (; above; above &= above - 1) {
			long i = __builtin_ctz(above);
			values[used] = x[c + i];
			places[used++] = c + a->n[2] + i;
		}
#endif
	}
	a->n[1] = c < n ? c : n;
	a->n[3] = used;
	a->n[5] = lanes(odd) != 0;
}
