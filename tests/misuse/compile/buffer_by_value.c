// A buffer is given to a request, and the caller's variable would keep it.

#include "kaio/safe/kaio.h"

kaio_status buffer_by_value(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer,
                            kaio_ticket *out_ticket);

kaio_status buffer_by_value(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer,
                            kaio_ticket *out_ticket) {
    kaio_range range = {0, 0, 512};
#ifdef OK
    return kaio_read_start(queue, file, range, kaio_rw_none(), 1, &buffer, out_ticket);
#else
    return kaio_read_start(queue, file, range, kaio_rw_none(), 1, buffer, out_ticket);
#endif
}
