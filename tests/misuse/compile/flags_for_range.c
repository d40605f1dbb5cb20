// Flags stand where the range belongs, and the range where they do.

#include "kaio/safe/kaio.h"

kaio_status flags_for_range(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer,
                            kaio_ticket *out_ticket);

kaio_status flags_for_range(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer,
                            kaio_ticket *out_ticket) {
    kaio_range range = {0, 0, 512};
#ifdef OK
    return kaio_write_start(queue, file, range, kaio_rw_none(), 1, &buffer, out_ticket);
#else
    return kaio_write_start(queue, file, kaio_rw_none(), range, 1, &buffer, out_ticket);
#endif
}
