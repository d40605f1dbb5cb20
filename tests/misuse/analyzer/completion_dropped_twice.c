// A completion is dropped, and a copy of it too.

#include "kaio/safe/kaio.h"

kaio_status completion_dropped_twice(kaio_queue *queue);

kaio_status completion_dropped_twice(kaio_queue *queue) {
    kaio_completion completion;
    kaio_status status = kaio_queue_take(queue, &completion);
    if (kaio_status_is_ok(status)) {
        kaio_completion copy = completion;
        kaio_completion_drop(&completion);
#ifdef OK
        (void)copy;
#else
        kaio_completion_drop(&copy);
#endif
    }
    return status;
}
