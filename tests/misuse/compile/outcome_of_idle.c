// The outcome of a read is asked of the idle read itself.

#include "kaio/safe/kaio.h"

kaio_status outcome_of_idle(kaio_queue *queue, kaio_read *read, kaio_completion *out_completion);

kaio_status outcome_of_idle(kaio_queue *queue, kaio_read *read, kaio_completion *out_completion) {
#ifdef OK
    (void)read;
    return kaio_queue_take(queue, out_completion);
#else
    (void)out_completion;
    return kaio_queue_take(queue, read);
#endif
}
