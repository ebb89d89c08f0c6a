// Sixteen lanes of 32 bits, the same on every tier, so that a kernel over rows is written once: one register with
// AVX-512, two with AVX2. Nothing here rounds other than the plain Go does; compile with -ffp-contract=off.
//
// Constants are immediates: a kernel may not refer to memory of its own.

#pragma once
#include <immintrin.h>
#include <stdint.h>

// What a kernel is called with; args in lanes.go. Which operand is what stands at the kernel.
typedef struct {
	void *p[6];
	long n[6];
	float f[4];
	double d[2];
} args;

#define INLINE static inline __attribute__((always_inline))

INLINE uint32_t float_bits(float x) {
	union { float f; uint32_t u; } b = {x};
	return b.u;
}

INLINE float bits_float(uint32_t u) {
	union { uint32_t u; float f; } b = {.u = u};
	return b.f;
}

// immediate keeps gcc from putting a constant into memory.
INLINE uint32_t immediate(uint32_t u) {
	__asm__("" : "+r"(u));
	return u;
}

INLINE uint64_t immediate64(uint64_t u) {
	__asm__("" : "+r"(u));
	return u;
}

#ifdef __AVX512F__

typedef __m512 V;
typedef __m512i I;
typedef __mmask16 M;
typedef __m512d D;

// first are as many lanes as there are left.
INLINE M first(long left) { return left >= 16 ? 0xffff : (1u << left) - 1; }

INLINE V load(const float *p, long left) { return left >= 16 ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(first(left), p); }
INLINE void store(float *p, V v, long left) {
	if (left >= 16) _mm512_storeu_ps(p, v);
	else _mm512_mask_storeu_ps(p, first(left), v);
}
INLINE I loadi(const void *p) { return _mm512_loadu_si512(p); }

INLINE V all(float x) { return _mm512_set1_ps(x); }
INLINE I alli(uint32_t x) { return _mm512_set1_epi32(x); }
INLINE V zero(void) { return _mm512_setzero_ps(); }
INLINE V add(V a, V b) { return _mm512_add_ps(a, b); }
INLINE V sub(V a, V b) { return _mm512_sub_ps(a, b); }
INLINE V mul(V a, V b) { return _mm512_mul_ps(a, b); }
INLINE V quo(V a, V b) { return _mm512_div_ps(a, b); }
INLINE V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
INLINE V root(V a) { return _mm512_sqrt_ps(a); }
// greater and less return b where one is no number or both are zero.
INLINE V greater(V a, V b) { return _mm512_max_ps(a, b); }
INLINE V less(V a, V b) { return _mm512_min_ps(a, b); }

INLINE V floats(I a) { return _mm512_castsi512_ps(a); }
INLINE I ints(V a) { return _mm512_castps_si512(a); }
INLINE V converted(I a) { return _mm512_cvtepi32_ps(a); }
INLINE I addi(I a, I b) { return _mm512_add_epi32(a, b); }
INLINE I subi(I a, I b) { return _mm512_sub_epi32(a, b); }
INLINE I and(I a, I b) { return _mm512_and_si512(a, b); }
INLINE I or(I a, I b) { return _mm512_or_si512(a, b); }
INLINE I xor(I a, I b) { return _mm512_xor_si512(a, b); }
INLINE I maxi(I a, I b) { return _mm512_max_epi32(a, b); }
#define LEFT(a, n) _mm512_slli_epi32(a, n)
#define RIGHT(a, n) _mm512_srli_epi32(a, n)

INLINE M below(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE M differs(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ); }
INLINE M abovei(I a, I b) { return _mm512_cmpgt_epi32_mask(a, b); }
INLINE M same(I a, I b) { return _mm512_cmpeq_epi32_mask(a, b); }
INLINE V choose(M m, V yes, V no) { return _mm512_mask_blend_ps(m, no, yes); }
INLINE M either(M a, M b) { return a | b; }
INLINE M none(void) { return 0; }
INLINE uint32_t lanes(M m) { return m; }

INLINE D low(V a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a)); }
INLINE D high(V a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)); }
INLINE V narrow(D l, D h) {
	return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(l)), _mm512_cvtpd_ps(h), 1);
}
INLINE D alld(double x) { return _mm512_set1_pd(x); }
INLINE D addd(D a, D b) { return _mm512_add_pd(a, b); }
INLINE D subd(D a, D b) { return _mm512_sub_pd(a, b); }
INLINE D muld(D a, D b) { return _mm512_mul_pd(a, b); }
INLINE void stored(double *p, D a) { _mm512_storeu_pd(p, a); }

// words widens 16 numbers of 16 bits, octets of 8.
INLINE I words(const void *p) { return _mm512_cvtepu16_epi32(_mm256_loadu_si256(p)); }
INLINE I octets(__m128i a) { return _mm512_cvtepu8_epi32(a); }
INLINE I signedOctets(__m128i a) { return _mm512_cvtepi8_epi32(a); }
// narrow16 and narrow8 keep the low bits of every lane.
INLINE __m256i narrow16(I a) { return _mm512_cvtepi32_epi16(a); }
INLINE __m128i narrow8(I a) { return _mm512_cvtepi32_epi8(a); }
// swapped exchanges the lanes of each pair.
INLINE V swapped(V a) { return _mm512_permute_ps(a, 0xb1); }
INLINE V lookup(V table, I index) { return _mm512_permutexvar_ps(index, table); }

// two to the power of n, times p: rounded once where it is subnormal.
INLINE V scaled(V p, V n) { return _mm512_scalef_ps(p, n); }

#else

typedef struct { __m256 l, h; } V;
typedef struct { __m256i l, h; } I;
typedef I M;
typedef struct { __m256d l, h; } D;

#define V1(f) ((V){f(a.l), f(a.h)})
#define V2(f) ((V){f(a.l, b.l), f(a.h, b.h)})
#define I2(f) ((I){f(a.l, b.l), f(a.h, b.h)})
#define D2(f) ((D){f(a.l, b.l), f(a.h, b.h)})

INLINE I alli(uint32_t x) { __m256i v = _mm256_set1_epi32(x); return (I){v, v}; }
INLINE I iota(void) {
	return (I){_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(immediate64(0x0706050403020100))),
	           _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(immediate64(0x0f0e0d0c0b0a0908)))};
}
INLINE I abovei(I a, I b) { return I2(_mm256_cmpgt_epi32); }
INLINE M first(long left) { return abovei(alli(left), iota()); }

INLINE V load(const float *p, long left) {
	if (left >= 16) return (V){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
	M m = first(left);
	return (V){_mm256_maskload_ps(p, m.l), _mm256_maskload_ps(p + 8, m.h)};
}
INLINE void store(float *p, V v, long left) {
	if (left >= 16) {
		_mm256_storeu_ps(p, v.l);
		_mm256_storeu_ps(p + 8, v.h);
		return;
	}
	M m = first(left);
	_mm256_maskstore_ps(p, m.l, v.l);
	_mm256_maskstore_ps(p + 8, m.h, v.h);
}
INLINE I loadi(const void *p) { return (I){_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i *)p + 1)}; }

INLINE V all(float x) { __m256 v = _mm256_set1_ps(x); return (V){v, v}; }
INLINE V zero(void) { return (V){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
INLINE V add(V a, V b) { return V2(_mm256_add_ps); }
INLINE V sub(V a, V b) { return V2(_mm256_sub_ps); }
INLINE V mul(V a, V b) { return V2(_mm256_mul_ps); }
INLINE V quo(V a, V b) { return V2(_mm256_div_ps); }
INLINE V fma(V a, V b, V c) { return (V){_mm256_fmadd_ps(a.l, b.l, c.l), _mm256_fmadd_ps(a.h, b.h, c.h)}; }
INLINE V root(V a) { return V1(_mm256_sqrt_ps); }
INLINE V greater(V a, V b) { return V2(_mm256_max_ps); }
INLINE V less(V a, V b) { return V2(_mm256_min_ps); }

INLINE V floats(I a) { return V1(_mm256_castsi256_ps); }
INLINE I ints(V a) { return (I){_mm256_castps_si256(a.l), _mm256_castps_si256(a.h)}; }
INLINE V converted(I a) { return V1(_mm256_cvtepi32_ps); }
INLINE I addi(I a, I b) { return I2(_mm256_add_epi32); }
INLINE I subi(I a, I b) { return I2(_mm256_sub_epi32); }
INLINE I and(I a, I b) { return I2(_mm256_and_si256); }
INLINE I or(I a, I b) { return I2(_mm256_or_si256); }
INLINE I xor(I a, I b) { return I2(_mm256_xor_si256); }
INLINE I maxi(I a, I b) { return I2(_mm256_max_epi32); }
#define LEFT(a, n) ((I){_mm256_slli_epi32((a).l, n), _mm256_slli_epi32((a).h, n)})
#define RIGHT(a, n) ((I){_mm256_srli_epi32((a).l, n), _mm256_srli_epi32((a).h, n)})

#define COMPARE(c) ((M){_mm256_castps_si256(_mm256_cmp_ps(a.l, b.l, c)), _mm256_castps_si256(_mm256_cmp_ps(a.h, b.h, c))})
INLINE M below(V a, V b) { return COMPARE(_CMP_LT_OQ); }
INLINE M differs(V a, V b) { return COMPARE(_CMP_NEQ_UQ); }
INLINE M same(I a, I b) { return I2(_mm256_cmpeq_epi32); }
INLINE V choose(M m, V yes, V no) {
	return (V){_mm256_blendv_ps(no.l, yes.l, _mm256_castsi256_ps(m.l)), _mm256_blendv_ps(no.h, yes.h, _mm256_castsi256_ps(m.h))};
}
INLINE M either(M a, M b) { return or(a, b); }
INLINE M none(void) { return alli(0); }
INLINE uint32_t lanes(M m) {
	return _mm256_movemask_ps(_mm256_castsi256_ps(m.l)) | _mm256_movemask_ps(_mm256_castsi256_ps(m.h)) << 8;
}

INLINE D half(__m256 a) {
	return (D){_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1))};
}
INLINE D low(V a) { return half(a.l); }
INLINE D high(V a) { return half(a.h); }
INLINE __m256 joined(D a) { return _mm256_set_m128(_mm256_cvtpd_ps(a.h), _mm256_cvtpd_ps(a.l)); }
INLINE V narrow(D l, D h) { return (V){joined(l), joined(h)}; }
INLINE D alld(double x) { __m256d v = _mm256_set1_pd(x); return (D){v, v}; }
INLINE D addd(D a, D b) { return D2(_mm256_add_pd); }
INLINE D subd(D a, D b) { return D2(_mm256_sub_pd); }
INLINE D muld(D a, D b) { return D2(_mm256_mul_pd); }
INLINE void stored(double *p, D a) {
	_mm256_storeu_pd(p, a.l);
	_mm256_storeu_pd(p + 4, a.h);
}

INLINE I words(const void *p) {
	const __m128i *w = p;
	return (I){_mm256_cvtepu16_epi32(_mm_loadu_si128(w)), _mm256_cvtepu16_epi32(_mm_loadu_si128(w + 1))};
}
INLINE I octets(__m128i a) { return (I){_mm256_cvtepu8_epi32(a), _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(a, a))}; }
INLINE I signedOctets(__m128i a) { return (I){_mm256_cvtepi8_epi32(a), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(a, a))}; }
INLINE __m256i narrow16(I a) {
	I b = and(a, alli(immediate(0xffff)));
	return _mm256_permute4x64_epi64(_mm256_packus_epi32(b.l, b.h), 0xd8);
}
INLINE __m128i narrow8(I a) {
	__m256i w = narrow16(and(a, alli(immediate(0xff))));
	return _mm_packus_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
}
INLINE V swapped(V a) { return (V){_mm256_permute_ps(a.l, 0xb1), _mm256_permute_ps(a.h, 0xb1)}; }
INLINE __m256 lookup8(V table, __m256i index) {
	__m256 l = _mm256_permutevar8x32_ps(table.l, index), h = _mm256_permutevar8x32_ps(table.h, index);
	return _mm256_blendv_ps(l, h, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}
INLINE V lookup(V table, I index) { return (V){lookup8(table, index.l), lookup8(table, index.h)}; }

INLINE V scaled(V p, V n) {
	I i = {_mm256_cvtps_epi32(n.l), _mm256_cvtps_epi32(n.h)};
	I half = {_mm256_srai_epi32(i.l, 1), _mm256_srai_epi32(i.h, 1)};
	I bias = alli(immediate(127));
	p = mul(p, floats(LEFT(addi(half, bias), 23)));
	return mul(p, floats(LEFT(addi(subi(i, half), bias), 23)));
}

#endif

INLINE V K(float x) { return floats(alli(immediate(float_bits(x)))); }
INLINE I KI(uint32_t x) { return alli(immediate(x)); }
INLINE I choosei(M m, I yes, I no) { return ints(choose(m, floats(yes), floats(no))); }
INLINE V magnitude(V x) { return floats(and(ints(x), KI(0x7fffffff))); }
INLINE V negative(V x) { return floats(xor(ints(x), KI(0x80000000))); }

// held keeps gcc from loading a vector again for each use, which costs more than the arithmetic.
INLINE V held(V v) {
#ifdef __AVX512F__
	__asm__("" : "+v"(v));
#else
	__asm__("" : "+x"(v.l), "+x"(v.h));
#endif
	return v;
}
INLINE I heldi(I v) { return ints(held(floats(v))); }

// joinf and joind sum lanes in the tree of join in lanes.go: the upper half is added to the lower, and so on.
INLINE float joinf4(__m128 q) {
	q = _mm_add_ps(q, _mm_movehl_ps(q, q));
	return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}
INLINE float joinf8(__m256 o) { return joinf4(_mm_add_ps(_mm256_castps256_ps128(o), _mm256_extractf128_ps(o, 1))); }
INLINE float joinf(V a) {
#ifdef __AVX512F__
	return joinf8(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)));
#else
	return joinf8(_mm256_add_ps(a.l, a.h));
#endif
}
INLINE double joind(D l, D h) {
	D a = addd(l, h);
#ifdef __AVX512F__
	__m256d q = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
#else
	__m256d q = _mm256_add_pd(a.l, a.h);
#endif
	__m128d d = _mm_add_pd(_mm256_castpd256_pd128(q), _mm256_extractf128_pd(q, 1));
	return _mm_cvtsd_f64(_mm_add_sd(d, _mm_unpackhi_pd(d, d)));
}

// largest is the largest lane.
INLINE float largest(V a) {
#ifdef __AVX512F__
	__m256 o = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
#else
	__m256 o = _mm256_max_ps(a.l, a.h);
#endif
	__m128 q = _mm_max_ps(_mm256_castps256_ps128(o), _mm256_extractf128_ps(o, 1));
	q = _mm_max_ps(q, _mm_movehl_ps(q, q));
	return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}

// largesti is the largest lane of integers.
INLINE int32_t largesti(I a) {
#ifdef __AVX512F__
	__m256i o = _mm256_max_epi32(_mm512_castsi512_si256(a), _mm512_extracti32x8_epi32(a, 1));
#else
	__m256i o = _mm256_max_epi32(a.l, a.h);
#endif
	__m128i q = _mm_max_epi32(_mm256_castsi256_si128(o), _mm256_extracti128_si256(o, 1));
	q = _mm_max_epi32(q, _mm_unpackhi_epi64(q, q));
	return _mm_cvtsi128_si32(_mm_max_epi32(q, _mm_shuffle_epi32(q, 1)));
}

// storeWords writes the first left of 16 numbers of 16 bits.
INLINE void storeWords(uint16_t *p, __m256i v, long left) {
	if (left >= 16) {
		_mm256_storeu_si256((__m256i *)p, v);
		return;
	}
#ifdef __AVX512F__
	_mm256_mask_storeu_epi16(p, first(left), v);
#else
	uint16_t w[16];
	_mm256_storeu_si256((__m256i *)w, v);
	for (long i = 0; i < left; i++) p[i] = w[i];
#endif
}

// widened reads 16 bfloat16 numbers.
INLINE V widened(const uint16_t *p) { return floats(LEFT(words(p), 16)); }

// exponential is exp in lanes.go, operation for operation.
INLINE V exponential(V x) {
	V round = K(0x1.8p23f);
	x = less(K(89), greater(K(-104), x));
	V n = sub(fma(x, K(0x1.715476p0f), round), round);
	V r = fma(n, K(-0x1.62ep-1f), x);
	r = fma(n, K(-0x1.0bfbe8p-15f), r);
	V p = K(0.001395047716294113f);
	p = fma(p, r, K(0.008368882203161834f));
	p = fma(p, r, K(0.041666206025477166f));
	p = fma(p, r, K(0.16666518899150992f));
	p = fma(p, r, K(0.5000000095105278f));
	p = add(fma(mul(r, r), p, r), K(1));
	return scaled(p, n);
}
