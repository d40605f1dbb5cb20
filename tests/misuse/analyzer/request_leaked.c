// A request is made and forgotten, where only half of the work is wanted.

#include "kaio/safe/kaio.h"

kaio_status request_leaked(kaio_queue *queue, kaio_file *file, bool is_wanted);

kaio_status request_leaked(kaio_queue *queue, kaio_file *file, bool is_wanted) {
    kaio_sync *sync = KAIO_NULL;
    kaio_status status = kaio_sync_new(queue, file, KAIO_SYNC_DATA, &sync);
    if (kaio_status_is_ok(status) && is_wanted) {
        kaio_sync_push(&sync, 1);
    }
#ifdef OK
    kaio_sync_drop(&sync);
#endif
    return status;
}
