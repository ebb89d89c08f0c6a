// Scores of the lightning indexer on FP4 codes: see index.go.

#include "lanes.h"

#define KEY_BYTES 68

// halves is the sixteen codes in half units, for a byte shuffle.
INLINE __m128i halves(void) { return _mm_set_epi64x(immediate64(0xf4f8fafcfdfeff00), immediate64(0x0c08060403020100)); }

// p[0] = n[0] blocks of 32 codes p[1] in half units, of every 8 channels the even ones first; p[2] = -12 times the sums.
INLINE void indexQueryOf(args *a) {
	__m128i *codes = a->p[0], table = halves(), mask = _mm_set1_epi8(immediate(0x0f));
	const __m128i *packed = a->p[1];
	int32_t *start = a->p[2];
	for (long i = 0; i < a->n[0]; i++) {
		__m128i b = _mm_loadu_si128(packed + i);
		__m128i even = _mm_shuffle_epi8(table, _mm_and_si128(b, mask));
		__m128i odd = _mm_shuffle_epi8(table, _mm_and_si128(_mm_srli_epi16(b, 4), mask));
		_mm_storeu_si128(codes + 2 * i, _mm_unpacklo_epi32(even, odd));
		_mm_storeu_si128(codes + 2 * i + 1, _mm_unpackhi_epi32(even, odd));
		__m128i one = _mm_set1_epi8(immediate(1));
		__m128i pairs = _mm_add_epi16(_mm_maddubs_epi16(one, even), _mm_maddubs_epi16(one, odd));
		__m128i sums = _mm_madd_epi16(pairs, _mm_set1_epi16(immediate(1)));
		sums = _mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums));
		start[i] = -12 * (_mm_cvtsi128_si32(sums) + _mm_extract_epi32(sums, 1));
	}
}

// A panel is 16 keys side by side: of every 8 channels the even ones, then the odd ones, as bytes w + 12; and their scales.
typedef struct {
	I codes[32];
	V scales[4];
} panel;

#ifdef __AVX512F__
// transpose exchanges rows and columns of 16 by 16.
INLINE void transpose(I r[16]) {
	I t[16];
#pragma GCC unroll 8
	for (int i = 0; i < 16; i += 2) {
		t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 16; i += 4) {
		r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
		r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
		r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
		r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		I a = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88), b = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
		I c = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88), d = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
		t[i] = _mm512_shuffle_i32x4(a, c, 0x88);
		t[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88);
		t[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
		t[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
	}
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) r[i] = t[i];
}

INLINE I unpacked(I nibbles) {
	I table = _mm512_broadcast_i32x4(_mm_add_epi8(halves(), _mm_set1_epi8(immediate(12))));
	return _mm512_shuffle_epi8(table, and(nibbles, KI(0x0f0f0f0f)));
}

// dots adds the dot product of four codes of every key and of a query.
INLINE I dots(I acc, I keys, uint32_t q) { return _mm512_dpbusd_epi32(acc, keys, alli(q)); }
INLINE I begun(int32_t start) { return alli(start); }
INLINE I ended(I acc, int32_t start) {
	(void)start;
	return acc;
}
#else
INLINE I unpacked(I nibbles) {
	__m128i bytes = _mm_add_epi8(halves(), _mm_set1_epi8(immediate(12)));
	__m256i table = _mm256_broadcastsi128_si256(bytes);
	I n = and(nibbles, KI(0x0f0f0f0f));
	return (I){_mm256_shuffle_epi8(table, n.l), _mm256_shuffle_epi8(table, n.h)};
}

// Pairs of products of a block, at most 8*2*24*12, fit into 16 bits.
INLINE I dots(I acc, I keys, uint32_t q) {
	__m256i v = _mm256_set1_epi32(q);
	return (I){_mm256_add_epi16(acc.l, _mm256_maddubs_epi16(keys.l, v)), _mm256_add_epi16(acc.h, _mm256_maddubs_epi16(keys.h, v))};
}
INLINE I begun(int32_t start) {
	(void)start;
	return alli(0);
}
INLINE I ended(I acc, int32_t start) {
	__m256i one = _mm256_set1_epi16(immediate(1));
	return addi((I){_mm256_madd_epi16(acc.l, one), _mm256_madd_epi16(acc.h, one)}, alli(start));
}
#endif

INLINE V scalesOf(I bytes, int b) {
	I e = and(b == 0 ? bytes : b == 1 ? RIGHT(bytes, 8) : b == 2 ? RIGHT(bytes, 16) : RIGHT(bytes, 24), KI(0xff));
	I bits = choosei(same(e, KI(0)), KI(0x400000), LEFT(e, 23));
	return floats(choosei(same(e, KI(255)), KI(0x7fc00000), bits));
}

// pack reads up to 16 keys; those that are missing are zeros.
INLINE void pack(panel *to, const uint8_t *keys, long n) {
	uint32_t scales[16] __attribute__((aligned(64)));
	for (long i = 0; i < 16; i++) scales[i] = i < n ? *(const uint32_t *)(keys + i * KEY_BYTES + 64) : 0;
	I bytes = loadi(scales);
#pragma GCC unroll 4
	for (int b = 0; b < 4; b++) to->scales[b] = scalesOf(bytes, b);
#ifdef __AVX512F__
	I r[16];
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) r[i] = i < n ? loadi(keys + i * KEY_BYTES) : _mm512_setzero_si512();
	transpose(r);
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) {
		to->codes[2 * i] = unpacked(r[i]);
		to->codes[2 * i + 1] = unpacked(RIGHT(r[i], 4));
	}
#else
	uint32_t r[16] __attribute__((aligned(64)));
	for (long d = 0; d < 16; d++) {
		for (long i = 0; i < 16; i++) r[i] = i < n ? *(const uint32_t *)(keys + i * KEY_BYTES + 4 * d) : 0;
		I v = loadi(r);
		to->codes[2 * d] = unpacked(v);
		to->codes[2 * d + 1] = unpacked(RIGHT(v, 4));
	}
#endif
}

#define TOGETHER 4

// someHeads adds what some heads say of a panel.
INLINE V someHeads(V sum, args *a, const panel *p, long h, int heads) {
	const uint32_t *q = (const uint32_t *)a->p[2] + h * 32;
	const int32_t *start = (const int32_t *)a->p[3] + h * 4;
	const float *units = (const float *)a->p[4] + h * 4, *w = (const float *)a->p[5] + h;
	V d[TOGETHER];
#pragma GCC unroll 4
	for (int i = 0; i < heads; i++) d[i] = zero();
#pragma GCC unroll 4
	for (int b = 0; b < 4; b++) {
		I acc[TOGETHER];
#pragma GCC unroll 4
		for (int i = 0; i < heads; i++) acc[i] = begun(start[4 * i + b]);
#pragma GCC unroll 8
		for (int s = 0; s < 8; s++) {
			I keys = heldi(p->codes[8 * b + s]);
#pragma GCC unroll 4
			for (int i = 0; i < heads; i++) acc[i] = dots(acc[i], keys, q[32 * i + 8 * b + s]);
		}
#pragma GCC unroll 4
		for (int i = 0; i < heads; i++) {
			V block = mul(converted(ended(acc[i], start[4 * i + b])), all(units[4 * i + b]));
			d[i] = fma(block, p->scales[b], d[i]);
		}
	}
#pragma GCC unroll 4
	for (int i = 0; i < heads; i++) sum = fma(all(w[i]), greater(zero(), d[i]), sum);
	return sum;
}

// p[0] = scores of n[0] keys p[1] of 68 bytes; p[2] to p[5] are the codes, starts, units and weights of n[1] heads, f[0]
// is the scale.
INLINE void indexOf(args *a) {
	float *y = a->p[0];
	for (long k = 0; k < a->n[0]; k += 16) {
		panel p;
		long left = a->n[0] - k;
		pack(&p, (const uint8_t *)a->p[1] + k * KEY_BYTES, left);
		V sum = zero();
		long h = 0;
		for (; h + TOGETHER <= a->n[1]; h += TOGETHER) sum = someHeads(sum, a, &p, h, TOGETHER);
		for (; h < a->n[1]; h++) sum = someHeads(sum, a, &p, h, 1);
		store(y + k, mul(sum, all(a->f[0])), left);
	}
}
