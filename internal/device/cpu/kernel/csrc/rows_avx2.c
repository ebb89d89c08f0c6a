// See rows.h.

#include "rows.h"

void squaresAVX2(args *a) { squaresOf(a); }
void normAVX2(args *a) { normOf(a); }
void addAVX2(args *a) { addOf(a); }
void swiGLUAVX2(args *a) { swiGLUOf(a); }
void softplusAVX2(args *a) { softplusOf(a); }
void collapseAVX2(args *a) { collapseOf(a); }
void expandAVX2(args *a) { expandOf(a); }
void combineAVX2(args *a) { combineOf(a); }
void ropeAVX2(args *a) { ropeOf(a); }
void hadamardAVX2(args *a) { hadamardOf(a); }
void poolAVX2(args *a) { poolOf(a); }
void softmaxAVX2(args *a) { softmaxOf(a); }
void toBF16AVX2(args *a) { toBF16Of(a); }
