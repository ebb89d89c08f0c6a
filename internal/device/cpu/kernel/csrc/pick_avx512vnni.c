// See pick.h.

#include "pick.h"

void offerVNNI(args *a) { offerOf(a); }
