// See attend.h.

#include "attend.h"

void scoresVNNI(args *a) { scoresOf(a); }
void weighVNNI(args *a) { weighOf(a); }
void relevanceVNNI(args *a) { relevanceOf(a); }
void fastScoresVNNI(args *a) { fastScoresOf(a); }
void fastWeighVNNI(args *a) { fastWeighOf(a); }
