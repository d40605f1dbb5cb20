// A read is pushed where it is wanted, and behind that once more, wanted or not.

#include "kaio/safe/kaio.h"

void pushed_twice(kaio_read *read, bool is_urgent);

void pushed_twice(kaio_read *read, bool is_urgent) {
    if (is_urgent) {
        kaio_read_push(&read, 1);
    }
#ifdef OK
    if (!is_urgent) {
        kaio_read_push(&read, 2);
    }
#else
    kaio_read_push(&read, 2);
#endif
}
