// A status is compared as if it were a number.

#include "kaio/safe/kaio.h"

int status_below_zero(kaio_queue *queue);

int status_below_zero(kaio_queue *queue) {
    kaio_flush_report report;
    kaio_status status = kaio_queue_flush(queue, &report);
#ifdef OK
    return kaio_status_is_ok(status) ? 0 : 1;
#else
    return status < 0;
#endif
}
