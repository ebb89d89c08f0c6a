// Kernels over rows of float32: see rows.go for what they are called with and for the plain Go that they equal.

#include "lanes.h"

// EACH runs a step for every 16 of n columns, the last with what is left.
#define EACH(n, step, ...)                                   \
	do {                                                     \
		long c = 0;                                          \
		for (; c + 16 <= (n); c += 16) step(c, 16, __VA_ARGS__); \
		if (c < (n)) step(c, (n) - c, __VA_ARGS__);          \
	} while (0)

// d[0] = sum of squares of p[0][:n[0]].
INLINE void squaresOf(args *a) {
	const float *x = a->p[0];
	long n = a->n[0];
	D l = alld(0), h = alld(0);
	for (long c = 0; c < n; c += 16) {
		V v = n - c >= 16 ? load(x + c, 16) : load(x + c, n - c);
		D vl = low(v), vh = high(v);
		l = addd(l, muld(vl, vl));
		h = addd(h, muld(vh, vh));
	}
	a->d[0] = joind(l, h);
}

INLINE void normStep(long c, long left, float *y, const float *x, const float *w, D rho) {
	V v = load(x + c, left);
	D l = muld(low(v), rho), h = muld(high(v), rho);
	if (w) {
		V g = load(w + c, left);
		l = muld(l, low(g));
		h = muld(h, high(g));
	}
	store(y + c, narrow(l, h), left);
}

// p[0] = p[1] * d[0] * p[2], in float64; p[2] may be none.
INLINE void normOf(args *a) {
	D rho = alld(a->d[0]);
	float *y = a->p[0], *x = a->p[1], *w = a->p[2];
	long n = a->n[0];
	if (w) EACH(n, normStep, y, x, w, rho);
	else EACH(n, normStep, y, x, 0, rho);
}

INLINE void addStep(long c, long left, float *y, const float *x, const float *z) {
	store(y + c, add(load(x + c, left), load(z + c, left)), left);
}

// p[0] = p[1] + p[2]
INLINE void addOf(args *a) { EACH(a->n[0], addStep, a->p[0], a->p[1], a->p[2]); }

// sigmoid is that of lanes.go.
INLINE V sigmoid(V x) {
	V e = exponential(floats(or(ints(x), KI(0x80000000))));
	V above = choose(below(x, zero()), e, K(1));
	return quo(above, add(K(1), e));
}

INLINE void swiGLUStep(long c, long left, float *y, const float *gate, const float *up, V limit, V weight) {
	V g = less(limit, load(gate + c, left));
	V u = greater(negative(limit), less(limit, load(up + c, left)));
	store(y + c, mul(mul(mul(g, sigmoid(g)), u), weight), left);
}

// p[0] = SwiGLU of p[1] and p[2]; f[0] is the limit, f[1] the weight.
INLINE void swiGLUOf(args *a) {
	EACH(a->n[0], swiGLUStep, a->p[0], a->p[1], a->p[2], all(a->f[0]), all(a->f[1]));
}

INLINE void softplusStep(long c, long left, float *y, const float *from) {
	V x = load(from + c, left);
	M deep = below(x, K(-20)), large = below(K(20), x);
	V e = exponential(choose(deep, mul(x, K(0.5f)), floats(or(ints(x), KI(0x80000000)))));
	V s = quo(e, add(K(2), e));
	V z = mul(s, s);
	V p = K(0.1215044445511483f);
	p = fma(p, z, K(0.10713835499338752f));
	p = fma(p, z, K(0.1430844173419622f));
	p = fma(p, z, K(0.19999438898905206f));
	p = fma(p, z, K(0.333333378106197f));
	V twice = add(s, s);
	V log1p = fma(mul(twice, z), p, twice);
	V r = root(choose(large, x, add(greater(zero(), x), log1p)));
	store(y + c, choose(deep, e, r), left);
}

// p[0] = sqrt(softplus(p[1]))
INLINE void softplusOf(args *a) { EACH(a->n[0], softplusStep, a->p[0], a->p[1]); }

INLINE void collapseStep(long c, long left, float *y, const float *x, const float *pre, long n, long d) {
	V sum = mul(all(pre[0]), load(x + c, left));
	for (long j = 1; j < n; j++) sum = fma(all(pre[j]), load(x + j * d + c, left), sum);
	store(y + c, sum, left);
}

// p[0][:n[0]] = the sum of n[1] rows of p[1], n[2] apart, times p[2].
INLINE void collapseOf(args *a) {
	if (a->n[1] == 4) EACH(a->n[0], collapseStep, a->p[0], a->p[1], a->p[2], 4, a->n[2]);
	else EACH(a->n[0], collapseStep, a->p[0], a->p[1], a->p[2], a->n[1], a->n[2]);
}

INLINE void expandStep(long c, long left, float *y, args *a, long n) {
	const float *in = a->p[1], *x = a->p[2], *post = a->p[3], *comb = a->p[4];
	long d = a->n[2];
	V v = load(in + c, left);
	for (long k = 0; k < n; k++) {
		V sum = mul(all(post[k]), v);
		for (long j = 0; j < n; j++) sum = fma(all(comb[j * n + k]), load(x + j * d + c, left), sum);
		store(y + k * d + c, sum, left);
	}
}

// expand4Step has all that it reads before it writes, which needs four registers and not sixteen loads.
INLINE void expand4Step(long c, long left, float *y, args *a) {
	const float *in = a->p[1], *x = a->p[2], *post = a->p[3], *comb = a->p[4];
	long d = a->n[2];
	V v = load(in + c, left), x0 = load(x + c, left), x1 = load(x + d + c, left);
	V x2 = load(x + 2 * d + c, left), x3 = load(x + 3 * d + c, left);
	for (long k = 0; k < 4; k++) {
		V sum = fma(all(comb[k]), x0, mul(all(post[k]), v));
		sum = fma(all(comb[4 + k]), x1, sum);
		sum = fma(all(comb[8 + k]), x2, sum);
		store(y + k * d + c, fma(all(comb[12 + k]), x3, sum), left);
	}
}

// p[0] = n[1] rows, n[2] apart, of which n[0] columns are made: p[3] times p[1] plus p[4] transposed times the rows of p[2].
INLINE void expandOf(args *a) {
	if (a->n[1] == 4) EACH(a->n[0], expand4Step, a->p[0], a);
	else EACH(a->n[0], expandStep, a->p[0], a, a->n[1]);
}

INLINE void combineStep(long c, long left, float *y, const float *x, const float *shared, const int32_t *order, long k, long d) {
	V sum = load(x + order[0] * d + c, left);
	for (long s = 1; s < k; s++) sum = add(sum, load(x + order[s] * d + c, left));
	store(y + c, add(sum, load(shared + c, left)), left);
}

// p[0][:n[0]] = the rows of p[1], n[2] apart, in the order p[3] of n[1], then p[2].
INLINE void combineOf(args *a) {
	EACH(a->n[0], combineStep, a->p[0], a->p[1], a->p[2], a->p[3], a->n[1], a->n[2]);
}

// p[0] has n[0] parts n[1] apart, of which the first n[2] numbers, a multiple of 16, are rotated in place, pair i by the
// angle whose cosine is p[1][i] and whose sine p[2][i]; f[0] is -1 to rotate back, or 1.
INLINE void ropeOf(args *a) {
	const float *cosines = a->p[1], *sines = a->p[2];
	V sign = all(a->f[0]);
#ifdef __AVX512F__
	I twice = octets(_mm_set_epi64x(immediate64(0x0707060605050404), immediate64(0x0303020201010000)));
	sign = _mm512_mask_blend_ps(immediate(0x5555), sign, negative(sign));
#else
	__m256i twice = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(immediate64(0x0303020201010000)));
	V less = negative(sign);
	sign = (V){_mm256_blend_ps(sign.l, less.l, 0x55), _mm256_blend_ps(sign.h, less.h, 0x55)};
#endif
	for (long c = 0; c < a->n[2]; c += 16) {
#ifdef __AVX512F__
		V cosine = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(cosines + c / 2)));
		V sine = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(sines + c / 2)));
#else
#define TWICE(p) _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), twice)
		V cosine = {TWICE(cosines + c / 2), TWICE(cosines + c / 2 + 4)};
		V sine = {TWICE(sines + c / 2), TWICE(sines + c / 2 + 4)};
#endif
		sine = mul(sine, sign);
		float *x = (float *)a->p[0] + c;
		for (long part = 0; part < a->n[0]; part++, x += a->n[1]) {
			V v = load(x, 16);
			store(x, fma(v, cosine, mul(swapped(v), sine)), 16);
		}
	}
}

// butterfly writes the sums of pairs of registers that are half registers apart, and their differences.
INLINE void butterfly(D *v, int half) {
	for (int i = 0; i < 16; i++)
		if (!(i & half)) {
			D x = v[i], y = v[i + half];
			v[i] = addd(x, y);
			v[i + half] = subd(x, y);
		}
}

#ifdef __AVX512F__
// within does a stage inside of registers: other has the lanes of each pair exchanged, and those of minus are differences.
#define WITHIN(other, minus)                                                          \
	for (int i = 0; i < 16; i++) {                                                    \
		D x = v[i], y = other;                                                        \
		v[i] = _mm512_mask_sub_pd(addd(x, y), minus, y, x);                           \
	}
#define OTHER1 _mm512_permute_pd(x, 0x55)
#define OTHER2 _mm512_permutex_pd(x, 0x4e)
#define OTHER4 _mm512_shuffle_f64x2(x, x, 0x4e)
#define STAGE1 WITHIN(OTHER1, 0xaa)
#define STAGE2 WITHIN(OTHER2, 0xcc)
#define STAGE4 WITHIN(OTHER4, 0xf0)
#else
#define HALVES(f, mask)                                                               \
	for (int i = 0; i < 16; i++) {                                                    \
		__m256d l = v[i].l, h = v[i].h, ol = f(l), oh = f(h);                         \
		v[i].l = _mm256_blend_pd(_mm256_add_pd(l, ol), _mm256_sub_pd(ol, l), mask);   \
		v[i].h = _mm256_blend_pd(_mm256_add_pd(h, oh), _mm256_sub_pd(oh, h), mask);   \
	}
#define PAIRS(x) _mm256_permute_pd(x, 5)
#define QUADS(x) _mm256_permute4x64_pd(x, 0x4e)
#define STAGE1 HALVES(PAIRS, 0xa)
#define STAGE2 HALVES(QUADS, 0xc)
#define STAGE4                                                                        \
	for (int i = 0; i < 16; i++) v[i] = (D){_mm256_add_pd(v[i].l, v[i].h), _mm256_sub_pd(v[i].l, v[i].h)};
#endif

// p[0] has n[0] parts of 128 numbers, which are transformed in place and multiplied with d[0], in float64.
INLINE void hadamardOf(args *a) {
	float *x = a->p[0];
	D scale = alld(a->d[0]);
	for (long part = 0; part < a->n[0]; part++, x += 128) {
		D v[16];
#pragma GCC unroll 8
		for (int i = 0; i < 16; i += 2) {
			V w = load(x + 8 * i, 16);
			v[i] = low(w);
			v[i + 1] = high(w);
		}
#pragma GCC unroll 16
		STAGE1
#pragma GCC unroll 16
		STAGE2
#pragma GCC unroll 16
		STAGE4
		butterfly(v, 1);
		butterfly(v, 2);
		butterfly(v, 4);
		butterfly(v, 8);
#pragma GCC unroll 8
		for (int i = 0; i < 16; i += 2) store(x + 8 * i, narrow(muld(v[i], scale), muld(v[i + 1], scale)), 16);
	}
}

INLINE void poolStep(long c, long left, float *y, const float *values, const float *scores, long tokens, long stride) {
	V most = load(scores + c, left);
	for (long t = 1; t < tokens; t++) most = greater(most, load(scores + t * stride + c, left));
	V sum = zero(), above = zero();
	for (long t = 0; t < tokens; t++) {
		V p = exponential(sub(load(scores + t * stride + c, left), most));
		sum = add(sum, p);
		above = fma(p, load(values + t * stride + c, left), above);
	}
	store(y + c, quo(above, sum), left);
}

// p[0][:n[0]] = p[1] weighted with the softmax of p[2], both n[1] rows n[2] apart, channel by channel.
INLINE void poolOf(args *a) { EACH(a->n[0], poolStep, a->p[0], a->p[1], a->p[2], a->n[1], a->n[2]); }

// p[0][:n[0]] = softmax of itself, with the sink f[0] in the sum.
INLINE void softmaxOf(args *a) {
	float *x = a->p[0];
	long n = a->n[0];
	V lowest = floats(KI(0xff800000)), most = lowest;
	for (long c = 0; c < n; c += 16) {
		V v = load(x + c, n - c);
		if (n - c < 16) v = choose(first(n - c), v, lowest);
		most = greater(v, most);
	}
	most = all(largest(most));
	V sum = zero();
	for (long c = 0; c < n; c += 16) {
		V p = exponential(sub(load(x + c, n - c), most));
		store(x + c, p, n - c);
		if (n - c < 16) p = choose(first(n - c), p, zero());
		sum = add(sum, p);
	}
	V sink = exponential(sub(all(a->f[0]), most));
	V total = add(all(joinf(sum)), sink);
	for (long c = 0; c < n; c += 16) store(x + c, quo(load(x + c, n - c), total), n - c);
}

INLINE I rounded16(V x) {
	I u = ints(x), odd = and(RIGHT(u, 16), KI(1));
	I near = RIGHT(addi(u, addi(odd, KI(0x7fff))), 16);
	I quiet = or(RIGHT(u, 16), KI(0x40));
	return ints(choose(differs(x, x), floats(quiet), floats(near)));
}

// p[0][:n[0]] = p[1] in bfloat16.
INLINE void toBF16Of(args *a) {
	uint16_t *y = a->p[0];
	const float *x = a->p[1];
	long n = a->n[0], c = 0;
	for (; c + 16 <= n; c += 16) storeWords(y + c, narrow16(rounded16(load(x + c, 16))), 16);
	if (c < n) storeWords(y + c, narrow16(rounded16(load(x + c, n - c))), n - c);
}
