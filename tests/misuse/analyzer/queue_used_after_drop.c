// A copy of a queue is waited for when the queue was dropped.

#include "kaio/safe/kaio.h"

kaio_status queue_used_after_drop(kaio_queue *queue, uint32_t *out_ready_count);

kaio_status queue_used_after_drop(kaio_queue *queue, uint32_t *out_ready_count) {
    kaio_queue *alias = queue;
#ifdef OK
    kaio_status status = kaio_queue_wait(alias, 1, kaio_deadline_never(), out_ready_count);
    kaio_queue_drop(&queue);
    return status;
#else
    kaio_queue_drop(&queue);
    return kaio_queue_wait(alias, 1, kaio_deadline_never(), out_ready_count);
#endif
}
