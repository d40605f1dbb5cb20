// A string literal stands where the buffer belongs.

#include "kaio/safe/kaio.h"

kaio_status literal_for_buffer(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer,
                               kaio_ticket *out_ticket);

kaio_status literal_for_buffer(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer,
                               kaio_ticket *out_ticket) {
    kaio_range range = {0, 0, 4};
#ifdef OK
    return kaio_read_start(queue, file, range, kaio_rw_none(), 1, &buffer, out_ticket);
#else
    (void)buffer;
    return kaio_read_start(queue, file, range, kaio_rw_none(), 1, "page", out_ticket);
#endif
}
