#include "kaio/raw/kaio_raw.h"

int main(void) {
    kaio_raw_context ctx = 0;
    if (kaio_raw_setup(1, &ctx) != 0) {
        return 1;
    }
    return kaio_raw_destroy(ctx) == 0 ? 0 : 1;
}
