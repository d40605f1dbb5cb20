// Memory of the caller's own, here on its stack, stands where the buffer belongs.

#include "kaio/safe/kaio.h"

kaio_status bytes_for_buffer(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer,
                             kaio_ticket *out_ticket);

kaio_status bytes_for_buffer(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer,
                             kaio_ticket *out_ticket) {
    kaio_range range = {0, 0, 512};
#ifdef OK
    return kaio_read_start(queue, file, range, kaio_rw_none(), 1, &buffer, out_ticket);
#else
    uint8_t bytes[512];
    (void)buffer;
    return kaio_read_start(queue, file, range, kaio_rw_none(), 1, &bytes, out_ticket);
#endif
}
