// Events are given as a number.

#include "kaio/safe/kaio.h"

kaio_status events_as_integer(kaio_queue *queue, kaio_file *file, kaio_ticket *out_ticket);

kaio_status events_as_integer(kaio_queue *queue, kaio_file *file, kaio_ticket *out_ticket) {
#ifdef OK
    return kaio_poll_start(queue, file, kaio_poll_readable(), 1, out_ticket);
#else
    return kaio_poll_start(queue, file, 1, 1, out_ticket);
#endif
}
