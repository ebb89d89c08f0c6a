// See rows.h.

#include "rows.h"

void squaresVNNI(args *a) { squaresOf(a); }
void normVNNI(args *a) { normOf(a); }
void addVNNI(args *a) { addOf(a); }
void swiGLUVNNI(args *a) { swiGLUOf(a); }
void softplusVNNI(args *a) { softplusOf(a); }
void collapseVNNI(args *a) { collapseOf(a); }
void expandVNNI(args *a) { expandOf(a); }
void combineVNNI(args *a) { combineOf(a); }
void ropeVNNI(args *a) { ropeOf(a); }
void hadamardVNNI(args *a) { hadamardOf(a); }
void poolVNNI(args *a) { poolOf(a); }
void softmaxVNNI(args *a) { softmaxOf(a); }
void toBF16VNNI(args *a) { toBF16Of(a); }
