// See attend.h.

#include "attend.h"

void scoresAVX2(args *a) { scoresOf(a); }
void weighAVX2(args *a) { weighOf(a); }
void relevanceAVX2(args *a) { relevanceOf(a); }
void fastScoresAVX2(args *a) { fastScoresOf(a); }
void fastWeighAVX2(args *a) { fastWeighOf(a); }
