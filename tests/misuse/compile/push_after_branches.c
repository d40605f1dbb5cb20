// A request is pushed in both branches, and once more behind them.

#include "kaio/safe/kaio.h"

void push_after_branches(kaio_read *read, int is_urgent);

void push_after_branches(kaio_read *read, int is_urgent) {
    if (is_urgent) {
        kaio_read_push(&read, 1);
    } else {
        kaio_read_push(&read, 2);
    }
#ifndef OK
    kaio_read_push(&read, 3);
#endif
}
