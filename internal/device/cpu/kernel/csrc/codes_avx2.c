// See codes.h.

#include "codes.h"

void fakeE4M3AVX2(args *a) { fakeOf(a, E4M3, 0); }
void quantiseE4M3AVX2(args *a) { fakeOf(a, E4M3, 1); }
void fakeE2M1AVX2(args *a) { fakeOf(a, E2M1, 0); }
void encodeE4M3AVX2(args *a) { encodeOf(a, E4M3); }
void encodeE2M1AVX2(args *a) { encodeOf(a, E2M1); }
void decodeE4M3AVX2(args *a) { decodeOf(a, 0); }
void decodeE2M1AVX2(args *a) { decodeOf(a, 1); }
