// A buffer is dropped, and a copy of it too.

#include "kaio/safe/kaio.h"

void dropped_twice(kaio_buffer *buffer);

void dropped_twice(kaio_buffer *buffer) {
    kaio_buffer *alias = buffer;
    kaio_buffer_drop(&buffer);
#ifdef OK
    (void)alias;
#else
    kaio_buffer_drop(&alias);
#endif
}
