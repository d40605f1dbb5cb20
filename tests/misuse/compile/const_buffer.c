// A buffer that is only lent for reading is given to a read.

#include "kaio/safe/kaio.h"

kaio_status const_buffer(kaio_queue *queue, kaio_file *file, const kaio_buffer *lent,
                         kaio_buffer *own, kaio_ticket *out_ticket);

kaio_status const_buffer(kaio_queue *queue, kaio_file *file, const kaio_buffer *lent,
                         kaio_buffer *own, kaio_ticket *out_ticket) {
    kaio_range range = {0, 0, 512};
#ifdef OK
    (void)lent;
    return kaio_read_start(queue, file, range, kaio_rw_none(), 1, &own, out_ticket);
#else
    (void)own;
    return kaio_read_start(queue, file, range, kaio_rw_none(), 1, &lent, out_ticket);
#endif
}
