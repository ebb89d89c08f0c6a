// Products with float32 activations.
#define IN 4
#define SIZED SOME
#define TILES SOME_TILES
#include "dotf32.h"

void dotFP4F32VNNI(Dot *a)
{
	dot(FP4, a);
}

void dotFP8F32VNNI(Dot *a)
{
	dot(FP8, a);
}

void dotBF16F32VNNI(Dot *a)
{
	dot(BF16, a);
}

void dotF32F32VNNI(Dot *a)
{
	dot(F32, a);
}
