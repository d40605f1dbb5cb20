// A copy of a buffer is asked for its bytes when the write has the buffer.

#include "kaio/safe/kaio.h"

size_t alias_touched(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer);

size_t alias_touched(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer) {
    const kaio_range range = {0, 0, 512};
    kaio_buffer *alias = buffer;
    kaio_ticket ticket;
    kaio_status status = kaio_write_start(queue, file, range, kaio_rw_none(), 1, &buffer, &ticket);
#ifdef OK
    return kaio_status_is_ok(status) ? 0 : kaio_buffer_size(alias);
#else
    return kaio_status_is_ok(status) ? kaio_buffer_size(alias) : 0;
#endif
}
