// A request is given itself, and not the address of its variable.

#include "kaio/safe/kaio.h"

void push_by_value(kaio_read *read);

void push_by_value(kaio_read *read) {
#ifdef OK
    kaio_read_push(&read, 1);
#else
    kaio_read_push(read, 1);
#endif
}
