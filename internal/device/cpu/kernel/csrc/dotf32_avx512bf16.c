// FP8 has a shorter way with VBMI.
#define IN 4
#define SIZED SOME
#define TILES SOME_TILES
#include "dotf32.h"

void dotFP8F32BF16(Dot *a)
{
	dot(FP8, a);
}
