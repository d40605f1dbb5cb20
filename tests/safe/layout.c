// What a C compiler makes of the public types.

#include "tests/safe/layout.h"

const layout_row *layout_in_c(void) {
    return layout_here;
}
