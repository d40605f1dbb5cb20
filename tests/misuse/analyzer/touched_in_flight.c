// The bytes are asked for again when the buffer is the write's, and written to.

#include "kaio/safe/kaio.h"

kaio_status touched_in_flight(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer);

kaio_status touched_in_flight(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer) {
    const kaio_range range = {0, 0, 512};
    kaio_ticket ticket;
    kaio_status status = kaio_write_start(queue, file, range, kaio_rw_none(), 1, &buffer, &ticket);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    uint8_t *bytes = kaio_buffer_as_bytes(buffer);
#ifdef OK
    if (bytes == KAIO_NULL) {
        return status;
    }
#endif
    bytes[0] = 1;
    return status;
}
