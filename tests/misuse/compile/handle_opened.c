// A handle is taken for a pointer to something.

#include "kaio/safe/kaio.h"

size_t handle_opened(const kaio_buffer *buffer);

size_t handle_opened(const kaio_buffer *buffer) {
#ifdef OK
    return kaio_buffer_size(buffer);
#else
    return buffer->size_bytes;
#endif
}
