// Products with bfloat16 activations, which become float32.
#define IN 2
#include "dotf32avx2.h"

void dotFP4BF16AVX2(Dot *a)
{
	dot(FP4, a);
}

void dotFP8BF16AVX2(Dot *a)
{
	dot(FP8, a);
}

void dotBF16BF16AVX2(Dot *a)
{
	dot(BF16, a);
}

void dotF32BF16AVX2(Dot *a)
{
	dot(F32, a);
}
