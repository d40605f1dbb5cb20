// Flags are given as a number.

#include "kaio/safe/kaio.h"

kaio_status flags_as_integer(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer,
                             kaio_ticket *out_ticket);

kaio_status flags_as_integer(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer,
                             kaio_ticket *out_ticket) {
    kaio_range range = {0, 0, 512};
#ifdef OK
    return kaio_write_start(queue, file, range, kaio_rw_dsync(), 1, &buffer, out_ticket);
#else
    return kaio_write_start(queue, file, range, 2, 1, &buffer, out_ticket);
#endif
}
