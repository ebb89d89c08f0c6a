// See index.h.

#include "index.h"

void indexQueryAVX2(args *a) { indexQueryOf(a); }
void indexAVX2(args *a) { indexOf(a); }
