// A queue is flushed once more when it was closed.

#include "kaio/safe/kaio.h"

kaio_status queue_used_after_close(kaio_queue *queue, kaio_flush_report *out_report);

kaio_status queue_used_after_close(kaio_queue *queue, kaio_flush_report *out_report) {
    kaio_status status = kaio_queue_close(&queue);
#ifdef OK
    return kaio_status_is_ok(status) ? status : kaio_queue_flush(queue, out_report);
#else
    return kaio_status_is_ok(status) ? kaio_queue_flush(queue, out_report) : status;
#endif
}
