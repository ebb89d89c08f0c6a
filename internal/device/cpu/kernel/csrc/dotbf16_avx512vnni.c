// Products with bfloat16 activations where there is no instruction for them: they become float32.
#define IN 2
#define SIZED FEW
#define TILES FEW_TILES
#include "dotf32.h"

void dotFP4BF16VNNI(Dot *a)
{
	dot(FP4, a);
}

void dotFP8BF16VNNI(Dot *a)
{
	dot(FP8, a);
}

void dotBF16BF16VNNI(Dot *a)
{
	dot(BF16, a);
}

void dotF32BF16VNNI(Dot *a)
{
	dot(F32, a);
}
