// See index.h.

#include "index.h"

void indexQueryVNNI(args *a) { indexQueryOf(a); }
void indexVNNI(args *a) { indexOf(a); }
