// A copy of a buffer is dropped when the read has the buffer.

#include "kaio/safe/kaio.h"

void dropped_in_flight(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer);

void dropped_in_flight(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer) {
    const kaio_range range = {0, 0, 512};
    kaio_buffer *alias = buffer;
    kaio_ticket ticket;
    kaio_status status = kaio_read_start(queue, file, range, kaio_rw_none(), 1, &buffer, &ticket);
#ifdef OK
    if (!kaio_status_is_ok(status)) {
        kaio_buffer_drop(&alias);
    }
#else
    if (kaio_status_is_ok(status)) {
        kaio_buffer_drop(&alias);
    }
#endif
}
