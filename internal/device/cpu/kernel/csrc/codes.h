// Kernels that quantise, pack and unpack: see codes.go, and internal/quant for what is meant.

#include "lanes.h"

// A grid is what codes can hold at scale 1.
typedef struct {
	float floor, inverse; // the largest magnitude counts as at least floor; 1 / largest code
	int fp4;
} grid;

#define E4M3 ((grid){bits_float(immediate(float_bits(1e-4f))), bits_float(immediate(float_bits(1.0f / 448))), 0})
#define E2M1 ((grid){bits_float(immediate(float_bits(0x6p-126f))), bits_float(immediate(float_bits(1.0f / 6))), 1})

#define INFINITE 0x7f800000u

// scaleOf returns the bits of the power of two of a group, or INFINITE.
INLINE uint32_t scaleOf(grid g, const float *x, long n) {
	I most = KI(0);
	for (long c = 0; c < n; c += 16) most = maxi(most, and(ints(load(x + c, n - c)), KI(0x7fffffff)));
	uint32_t amax = largesti(most);
	if (amax < float_bits(g.floor)) amax = float_bits(g.floor);
	if (amax >= INFINITE) return INFINITE;
	return (float_bits(bits_float(amax) * g.inverse) + 0x7fffff) & ~0x7fffffu;
}

// inverseOf is 1 over a power of two from 2^-126 to 2^126.
INLINE uint32_t inverseOf(uint32_t scale) { return (254u << 23) - scale; }

// nearest rounds the magnitudes of q to the grid.
INLINE V nearest(grid g, V q) {
	V mag = less(magnitude(q), g.fp4 ? K(6) : K(448));
	I u = ints(mag);
	if (g.fp4) {
		I up = addi(u, addi(KI(0x1fffff), and(RIGHT(u, 22), KI(1))));
		V small = sub(add(mag, K(0x1p22f)), K(0x1p22f));
		return choose(below(mag, K(1)), small, floats(and(up, KI(0xffc00000))));
	}
	I up = addi(u, addi(KI(0x7ffff), and(RIGHT(u, 20), KI(1))));
	V small = sub(add(mag, K(0x1p14f)), K(0x1p14f));
	return choose(below(mag, K(0x1p-6f)), small, floats(and(up, KI(0xfff00000))));
}

// onGrid rounds q with its sign; a zero of FP4 has none.
INLINE V onGrid(grid g, V q) {
	V r = nearest(g, q);
	V s = floats(or(ints(r), and(ints(q), KI(0x80000000))));
	return g.fp4 ? choose(below(zero(), r), s, r) : s;
}

// p[0] = p[1] rounded to the grid, n[0] numbers in groups of n[1]; as bfloat16 if wanted. n[2] is set where a group is not
// finite.
INLINE void fakeOf(args *a, grid g, int bf16) {
	const float *x = a->p[1];
	long n = a->n[0], group = a->n[1];
	float *y = a->p[0];
	uint16_t *w = a->p[0];
	a->n[2] = 0;
	for (long start = 0; start < n; start += group) {
		long size = n - start < group ? n - start : group;
		uint32_t bits = scaleOf(g, x + start, size);
		long finite = bits != INFINITE;
		a->n[2] |= !finite;
		V scale = floats(KI(bits)), inverse = floats(KI(inverseOf(bits)));
		for (long c = start; c < start + size; c += 16) {
			long left = start + size - c;
			V r = mul(onGrid(g, mul(load(x + c, left), inverse)), scale);
			if (!finite) r = floats(KI(0x7fc00000));
			if (bf16) storeWords(w + c, narrow16(RIGHT(ints(r), 16)), left);
			else store(y + c, r, left);
		}
	}
}

// p[0] = codes and p[2] = scales of p[1]: n[0] numbers in groups of n[1], both multiples of 16. n[2] is set where a number
// is not what its code says, and the rest is left out.
INLINE void encodeOf(args *a, grid g) {
	const float *x = a->p[1];
	uint8_t *codes = a->p[0], *scales = a->p[2];
	long n = a->n[0], group = a->n[1];
	M lost = none();
	a->n[2] = 1;
	for (long start = 0; start < n; start += group) {
		long end = n - start < group ? n : start + group;
		uint32_t bits = scaleOf(g, x + start, end - start);
		if (bits == INFINITE) return;
		*scales++ = bits >> 23;
		V scale = floats(KI(bits)), inverse = floats(KI(inverseOf(bits)));
		for (long c = start; c < end; c += 16) {
			V v = load(x + c, 16), q = mul(v, inverse), r = nearest(g, q);
			I u = ints(r);
			lost = either(lost, differs(magnitude(v), mul(r, scale)));
			if (g.fp4) {
				I code = choosei(below(r, K(1)), subi(ints(add(r, K(0x1p22f))), KI(0x4a800000)), subi(RIGHT(u, 22), KI(252)));
				I sign = choosei(below(zero(), r), RIGHT(and(ints(q), KI(0x80000000)), 28), KI(0));
				__m128i pairs = _mm_maddubs_epi16(narrow8(or(code, sign)), _mm_set1_epi16(immediate(0x1001)));
				_mm_storel_epi64((__m128i *)(codes + c / 2), _mm_packus_epi16(pairs, pairs));
				continue;
			}
			I code = choosei(below(r, K(0x1p-6f)), subi(ints(add(r, K(0x1p14f))), KI(0x46800000)), subi(RIGHT(u, 20), KI(120 << 3)));
			code = or(code, RIGHT(and(ints(q), KI(0x80000000)), 24));
			_mm_storeu_si128((__m128i *)(codes + c), narrow8(code));
		}
	}
	a->n[2] = lanes(lost) != 0;
}

// ofE8M0 returns the bits of 2^(b-127); 255 is no number.
INLINE uint32_t ofE8M0(uint32_t b) { return b == 0 ? 0x400000 : b == 255 ? 0x7fc00000 : b << 23; }

INLINE V ofE4M3(I code) {
	I mag = and(code, KI(0x7f));
	V small = sub(floats(or(mag, KI(0x46800000))), K(0x1p14f));
	V v = choose(abovei(KI(8), mag), small, floats(addi(LEFT(mag, 20), KI(120 << 23))));
	v = choose(same(mag, KI(0x7f)), floats(KI(0x7fc00000)), v);
	return floats(or(ints(v), LEFT(and(code, KI(0x80)), 24)));
}

// tableE2M1 is the sixteen numbers of FP4.
INLINE V tableE2M1(void) {
	return mul(K(0.5f), converted(signedOctets(_mm_set_epi64x(immediate64(0xf4f8fafcfdfeff00), immediate64(0x0c08060403020100)))));
}

INLINE V ofE2M1(V table, __m128i bytes) {
	__m128i mask = _mm_set1_epi8(immediate(0x0f));
	__m128i nibbles = _mm_unpacklo_epi8(_mm_and_si128(bytes, mask), _mm_and_si128(_mm_srli_epi16(bytes, 4), mask));
	return lookup(table, octets(nibbles));
}

// What one token remembers is no longer near when the next one comes. Where it ends a fetch does nothing.
#define AHEAD 2048

// p[0] = numbers of n[3] rows p[1] of n[4] bytes: of each n[0] codes and then their scales, of groups of n[1], both
// multiples of 16; after them n[2] numbers of float32, or with n[5] of bfloat16 and a multiple of 16.
INLINE void decodeOf(args *a, int fp4) {
	float *y = a->p[0];
	const uint8_t *codes = a->p[1];
	long n = a->n[0], group = a->n[1], rest = a->n[2];
	V table = tableE2M1();
	for (long row = 0; row < a->n[3]; row++) {
		const uint8_t *scales = codes + (fp4 ? n / 2 : n);
		for (long ahead = 0; ahead < a->n[4]; ahead += 64) _mm_prefetch(codes + AHEAD + ahead, _MM_HINT_T0);
		for (long start = 0; start < n; start += group) {
			long end = n - start < group ? n : start + group;
			V scale = floats(KI(ofE8M0(*scales++)));
			for (long c = start; c < end; c += 16) {
				V v = fp4 ? ofE2M1(table, _mm_loadl_epi64((const __m128i *)(codes + c / 2)))
				          : ofE4M3(octets(_mm_loadu_si128((const __m128i *)(codes + c))));
				store(y + c, mul(v, scale), 16);
			}
		}
		for (long c = 0; c < rest; c += 16) {
			if (a->n[5]) store(y + n + c, widened((const uint16_t *)scales + c), 16);
			else store(y + n + c, load((const float *)scales + c, rest - c), rest - c);
		}
		y += n + rest;
		codes += a->n[4];
	}
}
