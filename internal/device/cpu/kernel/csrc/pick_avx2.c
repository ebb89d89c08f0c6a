// See pick.h.

#include "pick.h"

void offerAVX2(args *a) { offerOf(a); }
