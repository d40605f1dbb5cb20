// A write is pushed as a read.

#include "kaio/safe/kaio.h"

void write_for_read(kaio_write *write);

void write_for_read(kaio_write *write) {
#ifdef OK
    kaio_write_push(&write, 1);
#else
    kaio_read_push(&write, 1);
#endif
}
