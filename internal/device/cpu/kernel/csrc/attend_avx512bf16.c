// See attend.h.

#include "attend.h"

void fastScoresBF16(args *a) { fastScoresOf(a); }
void fastWeighBF16(args *a) { fastWeighOf(a); }
