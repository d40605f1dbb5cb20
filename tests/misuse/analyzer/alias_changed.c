// A copy of a write is given a priority when the write was pushed.

#include "kaio/safe/kaio.h"

void alias_changed(kaio_write *write);

void alias_changed(kaio_write *write) {
    kaio_write *alias = write;
#ifdef OK
    kaio_ignore(kaio_write_set_priority(alias, kaio_priority_idle()));
    kaio_write_push(&write, 1);
#else
    kaio_write_push(&write, 1);
    kaio_ignore(kaio_write_set_priority(alias, kaio_priority_idle()));
#endif
}
