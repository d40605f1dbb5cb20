// A status is used as a truth.

#include "kaio/safe/kaio.h"

int status_as_bool(kaio_queue *queue);

int status_as_bool(kaio_queue *queue) {
    kaio_flush_report report;
#ifdef OK
    if (kaio_status_is_ok(kaio_queue_flush(queue, &report))) {
#else
    if (kaio_queue_flush(queue, &report)) {
#endif
        return 1;
    }
    return 0;
}
