// Attention of one query row over keys that all heads share: see attend.go.

#include "lanes.h"

// What a tile holds in registers: some heads by some keys, or by some vectors of channels. Heads that are left over come
// by FEWER, then one by one.
#ifdef __AVX512F__
#define HEADS 6
#define FEWER 4
#define KEYS 4
#define CHANNELS 4
#else
#define HEADS 2
#define FEWER 2
#define KEYS 2
#define CHANNELS 2
#endif

#ifdef __AVX512F__
// tree16 to tree2 are the steps of the tree that joinf climbs, for two vectors at once: of each lane of 16, 8, 4 or 2
// sums, half as many are left of a, and behind them those of b.
INLINE V tree16(V a, V b) { return add(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee)); }
INLINE V tree8(V a, V b) { return add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd)); }
INLINE V tree4(V a, V b) { return add(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee)); }
INLINE V tree2(V a, V b) { return add(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd)); }

// storeFour writes the scores of the first four heads: a lane of four is one of them, with all keys.
INLINE void storeFour(args *a, V acc[HEADS][KEYS], float *s) {
	V k[KEYS];
	for (int i = 0; i < KEYS; i++) k[i] = tree8(tree16(acc[0][i], acc[1][i]), tree16(acc[2][i], acc[3][i]));
	V sums = mul(tree2(tree4(k[0], k[1]), tree4(k[2], k[3])), all(a->f[0]));
	_mm_storeu_ps(s, _mm512_castps512_ps128(sums));
	_mm_storeu_ps(s + a->n[3], _mm512_extractf32x4_ps(sums, 1));
	_mm_storeu_ps(s + 2 * a->n[3], _mm512_extractf32x4_ps(sums, 2));
	_mm_storeu_ps(s + 3 * a->n[3], _mm512_extractf32x4_ps(sums, 3));
}

// storeTwo does so for heads 4 and 5: lanes of four are (4, 5) of the even or odd keys 0 or 1 and 2 or 3.
INLINE void storeTwo(args *a, V acc[HEADS][KEYS], float *s) {
	V k[KEYS];
	for (int i = 0; i < KEYS; i++) k[i] = tree16(acc[4][i], acc[5][i]);
	V sums = tree4(tree8(k[0], k[2]), tree8(k[1], k[3]));
	sums = mul(tree2(sums, sums), all(a->f[0]));
	_mm_storel_pi((__m64 *)s, _mm512_castps512_ps128(sums));
	_mm_storel_pi((__m64 *)(s + a->n[3]), _mm512_extractf32x4_ps(sums, 1));
	_mm_storel_pi((__m64 *)(s + 2), _mm512_extractf32x4_ps(sums, 2));
	_mm_storel_pi((__m64 *)(s + a->n[3] + 2), _mm512_extractf32x4_ps(sums, 3));
}
#else
// storePairs writes the scores of two heads and two keys.
INLINE void storePairs(args *a, V acc[HEADS][KEYS], float *s) {
	__m256 o[KEYS];
	for (int i = 0; i < KEYS; i++) {
		__m256 x = _mm256_add_ps(acc[0][i].l, acc[0][i].h), y = _mm256_add_ps(acc[1][i].l, acc[1][i].h);
		o[i] = _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
	}
	__m256 q = _mm256_add_ps(_mm256_shuffle_ps(o[0], o[1], 0x44), _mm256_shuffle_ps(o[0], o[1], 0xee));
	q = _mm256_add_ps(_mm256_shuffle_ps(q, q, 0x88), _mm256_shuffle_ps(q, q, 0xdd));
	q = _mm256_mul_ps(q, _mm256_set1_ps(a->f[0]));
	_mm_storel_pi((__m64 *)s, _mm256_castps256_ps128(q));
	_mm_storel_pi((__m64 *)(s + a->n[3]), _mm256_extractf128_ps(q, 1));
}
#endif

INLINE void storeScores(args *a, V acc[HEADS][KEYS], long h, long j, int heads, int keys) {
	float *s = (float *)a->p[0] + h * a->n[3] + j;
	if (keys == KEYS && heads >= FEWER) {
#ifdef __AVX512F__
		storeFour(a, acc, s);
		if (heads == HEADS) storeTwo(a, acc, s + 4 * a->n[3]);
#else
		storePairs(a, acc, s);
#endif
		return;
	}
	for (int i = 0; i < heads; i++)
		for (int k = 0; k < keys; k++) s[i * a->n[3] + k] = joinf(acc[i][k]) * a->f[0];
}

INLINE void scoreStep(V acc[HEADS][KEYS], const float *q, const float *key, long width, long left, int heads, int keys) {
	V k[KEYS];
	for (int i = 0; i < keys; i++) k[i] = held(load(key + i * width, left));
	for (int h = 0; h < heads; h++) {
		V v = held(load(q + h * width, left));
		for (int i = 0; i < keys; i++) acc[h][i] = fma(v, k[i], acc[h][i]);
	}
}

INLINE void scoreTile(args *a, long h, long j, int heads, int keys) {
	long width = a->n[1], c = 0;
	const float *q = (const float *)a->p[1] + h * width, *key = (const float *)a->p[2] + j * width;
	V acc[HEADS][KEYS];
	for (int i = 0; i < heads; i++)
		for (int k = 0; k < keys; k++) acc[i][k] = zero();
	for (; c + 16 <= width; c += 16) scoreStep(acc, q + c, key + c, width, 16, heads, keys);
	if (c < width) scoreStep(acc, q + c, key + c, width, width - c, heads, keys);
	storeScores(a, acc, h, j, heads, keys);
}

// ACROSS runs a tile of some heads over n[2] keys, OVER over all of n[0] heads.
#define ACROSS(tile, heads)                                              \
	do {                                                                 \
		long j = 0;                                                      \
		for (; j + KEYS <= a->n[2]; j += KEYS) tile(a, h, j, heads, KEYS); \
		for (; j < a->n[2]; j++) tile(a, h, j, heads, 1);                \
	} while (0)
#define OVER(tile)                                                       \
	do {                                                                 \
		long h = 0;                                                      \
		for (; h + HEADS <= a->n[0]; h += HEADS) ACROSS(tile, HEADS);    \
		for (; h + FEWER <= a->n[0]; h += FEWER) ACROSS(tile, FEWER);    \
		for (; h < a->n[0]; h++) ACROSS(tile, 1);                        \
	} while (0)

// p[0] = scores of n[0] heads, n[3] apart: the queries p[1] of width n[1] times n[2] keys p[2], times f[0].
INLINE void scoresOf(args *a) { OVER(scoreTile); }

// In `fast` the odd key of a pair comes first, all operands are bfloat16, and vectors of channels are whole.
INLINE long keyAt(args *a, long j, int fast) { return fast && (j | 1) < a->n[2] ? j ^ 1 : j; }

INLINE V weightAt(args *a, long i, int fast) {
	return fast ? floats(alli((uint32_t)((const uint16_t *)a->p[1])[i] << 16)) : all(((const float *)a->p[1])[i]);
}

INLINE V channelsAt(args *a, long i, long left, int fast) {
	return fast ? widened((const uint16_t *)a->p[2] + i) : load((const float *)a->p[2] + i, left);
}

// weighTile adds to heads from h on and channels from c on; keys are vectors of some channels of n[2] keys.
INLINE void weighTile(args *a, const float *keys, long h, long c, long left, int heads, int vectors, int fast) {
	long width = a->n[1], stride = a->n[3], n = a->n[2];
	float *y = (float *)a->p[0] + h * width + c;
	V acc[HEADS][CHANNELS];
	for (int i = 0; i < heads; i++)
		for (int v = 0; v < vectors; v++) acc[i][v] = zero();
	for (long j = 0; j < n; j++, keys += 16 * vectors) {
		V k[CHANNELS];
		for (int v = 0; v < vectors; v++) k[v] = held(load(keys + 16 * v, 16));
		for (int i = 0; i < heads; i++) {
			V w = weightAt(a, (h + i) * stride + keyAt(a, j, fast), fast);
			for (int v = 0; v < vectors; v++) acc[i][v] = fma(w, k[v], acc[i][v]);
		}
	}
	for (int i = 0; i < heads; i++)
		for (int v = 0; v < vectors; v++) {
			float *to = y + i * width + 16 * v;
			store(to, add(load(to, left), acc[i][v]), left);
		}
}

// weighColumns copies the channels of at most 64 keys together first: rows a power of two apart share a few lines of the L1
// cache.
INLINE void weighColumns(args *a, long c, long left, int vectors, int fast) {
	float keys[64 * 16 * CHANNELS] __attribute__((aligned(64)));
	for (long j = 0; j < a->n[2]; j++)
		for (int v = 0; v < vectors; v++)
			store(keys + (j * vectors + v) * 16, channelsAt(a, keyAt(a, j, fast) * a->n[1] + c + 16 * v, left, fast), 16);
	long h = 0;
	for (; h + HEADS <= a->n[0]; h += HEADS) weighTile(a, keys, h, c, left, HEADS, vectors, fast);
	for (; h + FEWER <= a->n[0]; h += FEWER) weighTile(a, keys, h, c, left, FEWER, vectors, fast);
	for (; h < a->n[0]; h++) weighTile(a, keys, h, c, left, 1, vectors, fast);
}

// p[0] += of n[0] heads by n[1] channels, the sum of n[2] keys p[2] times their weights p[1], which are n[3] apart. At most
// 64 keys.
INLINE void weighAll(args *a, int fast) {
	long c = 0;
	for (; c + 16 * CHANNELS <= a->n[1]; c += 16 * CHANNELS) weighColumns(a, c, 16, CHANNELS, fast);
	for (; c + 16 <= a->n[1]; c += 16) weighColumns(a, c, 16, 1, fast);
	if (c < a->n[1]) weighColumns(a, c, a->n[1] - c, 1, fast);
}
INLINE void weighOf(args *a) { weighAll(a, 0); }

// p[0][:n[2]] = the sum over n[0] heads of p[2] times what p[1], rows n[3] apart, has above zero; times f[0].
INLINE void relevanceOf(args *a) {
	float *y = a->p[0];
	const float *w = a->p[2];
	for (long c = 0; c < a->n[2]; c += 16) {
		const float *s = (const float *)a->p[1] + c;
		long left = a->n[2] - c;
		V sum = zero();
		for (long h = 0; h < a->n[0]; h++, s += a->n[3]) sum = fma(all(w[h]), greater(zero(), load(s, left)), sum);
		store(y + c, mul(sum, all(a->f[0])), left);
	}
}

// dotPairs adds the products of pairs of bfloat16, the odd ones first.
INLINE V dotPairs(V acc, I x, I y) {
#ifdef __AVX512BF16__
	return _mm512_dpbf16_ps(acc, (__m512bh)x, (__m512bh)y);
#else
	I odd = KI(0xffff0000);
	acc = fma(floats(and(x, odd)), floats(and(y, odd)), acc);
	return fma(floats(LEFT(x, 16)), floats(LEFT(y, 16)), acc);
#endif
}

INLINE void scoreTileBF16(args *a, long h, long j, int heads, int keys) {
	long width = a->n[1];
	const uint16_t *q = (const uint16_t *)a->p[1] + h * width, *key = (const uint16_t *)a->p[2] + j * width;
	V acc[HEADS][KEYS];
	for (int i = 0; i < heads; i++)
		for (int k = 0; k < keys; k++) acc[i][k] = zero();
	for (long c = 0; c < width; c += 32) {
		I k[KEYS];
		for (int i = 0; i < keys; i++) k[i] = heldi(loadi(key + i * width + c));
		for (int i = 0; i < heads; i++) {
			I v = heldi(loadi(q + i * width + c));
			for (int m = 0; m < keys; m++) acc[i][m] = dotPairs(acc[i][m], v, k[m]);
		}
	}
	storeScores(a, acc, h, j, heads, keys);
}

// scoresOf with queries and keys of bfloat16; n[1] is a multiple of 32.
INLINE void fastScoresOf(args *a) { OVER(scoreTileBF16); }

#ifndef __AVX512BF16__

// weighOf with weights and keys of bfloat16; n[1] is a multiple of 64.
INLINE void fastWeighOf(args *a) { weighAll(a, 1); }

#else

// weighPair adds two keys: their channels are woven into pairs, which leaves lanes of four out of order until the end.
INLINE void weighPair(V acc[HEADS][4], const uint16_t *even, const uint16_t *odd, const uint16_t *p, long stride, int heads, uint32_t used) {
	I k[4];
	for (int v = 0; v < 4; v += 2) {
		I x = loadi(even + 16 * v), y = used >> 16 ? loadi(odd + 16 * v) : _mm512_setzero_si512();
		k[v] = _mm512_unpacklo_epi16(x, y);
		k[v + 1] = _mm512_unpackhi_epi16(x, y);
	}
	for (int i = 0; i < heads; i++) {
		uint32_t pair = p[i * stride];
		if (used >> 16) pair |= (uint32_t)p[i * stride + 1] << 16;
		I w = alli(pair);
		for (int v = 0; v < 4; v++) acc[i][v] = dotPairs(acc[i][v], w, k[v]);
	}
}

INLINE void addTo(float *y, V v) { store(y, add(load(y, 16), v), 16); }

INLINE void fastWeighTile(args *a, long h, long c, int heads) {
	long width = a->n[1], stride = a->n[3], n = a->n[2], j = 0;
	const uint16_t *p = (const uint16_t *)a->p[1] + h * stride, *key = (const uint16_t *)a->p[2] + c;
	float *y = (float *)a->p[0] + h * width + c;
	V acc[HEADS][4];
	for (int i = 0; i < heads; i++)
		for (int v = 0; v < 4; v++) acc[i][v] = zero();
	for (; j + 2 <= n; j += 2, key += 2 * width) weighPair(acc, key, key + width, p + j, stride, heads, 0xffffffff);
	if (j < n) weighPair(acc, key, key, p + j, stride, heads, 0xffff);
	for (int i = 0; i < heads; i++)
		for (int v = 0; v < 4; v += 2) {
			V l = _mm512_shuffle_f32x4(acc[i][v], acc[i][v + 1], 0x44), u = _mm512_shuffle_f32x4(acc[i][v], acc[i][v + 1], 0xee);
			addTo(y + i * width + 16 * v, _mm512_shuffle_f32x4(l, l, 0xd8));
			addTo(y + i * width + 16 * v + 16, _mm512_shuffle_f32x4(u, u, 0xd8));
		}
}

INLINE void fastWeighOf(args *a) {
	for (long c = 0; c < a->n[1]; c += 64) {
		long h = 0;
		for (; h + HEADS <= a->n[0]; h += HEADS) fastWeighTile(a, h, c, HEADS);
		for (; h + FEWER <= a->n[0]; h += FEWER) fastWeighTile(a, h, c, FEWER);
		for (; h < a->n[0]; h++) fastWeighTile(a, h, c, 1);
	}
}

#endif
