// A deadline is given as a number: of what, and from when?

#include "kaio/safe/kaio.h"

kaio_status deadline_as_integer(kaio_queue *queue, uint32_t *out_ready);

kaio_status deadline_as_integer(kaio_queue *queue, uint32_t *out_ready) {
#ifdef OK
    return kaio_queue_wait(queue, 1, kaio_deadline_after_ns(1000000), out_ready);
#else
    return kaio_queue_wait(queue, 1, 1000000, out_ready);
#endif
}
