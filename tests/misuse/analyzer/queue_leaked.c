// A queue is forgotten where a flush fails.

#include "kaio/safe/kaio.h"

kaio_status queue_leaked(const kaio_queue_options *options);

kaio_status queue_leaked(const kaio_queue_options *options) {
    kaio_queue *queue = KAIO_NULL;
    kaio_flush_report report;
    kaio_status status = kaio_queue_open(options, &queue);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    status = kaio_queue_flush(queue, &report);
#ifndef OK
    if (!kaio_status_is_ok(status)) {
        return status;
    }
#endif
    kaio_queue_drop(&queue);
    return status;
}
