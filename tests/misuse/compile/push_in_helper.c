// A small function pushes the request, and its caller does it again.

#include "kaio/safe/kaio.h"

void push_in_helper(kaio_write *write);

static inline void send_first(kaio_write **move_write) {
    kaio_write_push(move_write, 1);
}

void push_in_helper(kaio_write *write) {
    send_first(&write);
#ifndef OK
    kaio_write_push(&write, 2);
#endif
}
