// A file is forgotten where there is no place for its sync.

#include <fcntl.h>

#include "kaio/safe/kaio.h"

kaio_status file_leaked(const char *path, kaio_queue *queue, kaio_ticket *out_ticket);

kaio_status file_leaked(const char *path, kaio_queue *queue, kaio_ticket *out_ticket) {
    kaio_file *file = KAIO_NULL;
    kaio_sync *sync = KAIO_NULL;
    kaio_status status = kaio_file_open(path, O_RDONLY, 0, &file);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    status = kaio_sync_new(queue, file, KAIO_SYNC_ALL, &sync);
    if (!kaio_status_is_ok(status)) {
#ifdef OK
        kaio_file_drop(&file);
#endif
        return status;
    }
    *out_ticket = kaio_sync_push(&sync, 1);
    kaio_file_drop(&file);
    return status;
}
