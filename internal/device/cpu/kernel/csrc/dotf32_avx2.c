// Products with float32 activations.
#define IN 4
#include "dotf32avx2.h"

void dotFP4F32AVX2(Dot *a)
{
	dot(FP4, a);
}

void dotFP8F32AVX2(Dot *a)
{
	dot(FP8, a);
}

void dotBF16F32AVX2(Dot *a)
{
	dot(BF16, a);
}

void dotF32F32AVX2(Dot *a)
{
	dot(F32, a);
}
