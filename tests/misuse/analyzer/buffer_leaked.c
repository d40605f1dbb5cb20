// A buffer is forgotten where there is no place for its request.

#include "kaio/safe/kaio.h"

kaio_status buffer_leaked(kaio_queue *queue, kaio_file *file, kaio_ticket *out_ticket);

kaio_status buffer_leaked(kaio_queue *queue, kaio_file *file, kaio_ticket *out_ticket) {
    const kaio_range range = {0, 0, 512};
    kaio_buffer *buffer = KAIO_NULL;
    kaio_status status = kaio_buffer_new(512, 512, &buffer);
    if (kaio_status_is_ok(status)) {
        status = kaio_read_start(queue, file, range, kaio_rw_none(), 1, &buffer, out_ticket);
    }
#ifdef OK
    kaio_buffer_drop(&buffer);
#endif
    return status;
}
