// A copy of a file is synced when the file was closed.

#include "kaio/safe/kaio.h"

kaio_status file_used_after_close(kaio_queue *queue, kaio_file *file, kaio_sync **out_sync);

kaio_status file_used_after_close(kaio_queue *queue, kaio_file *file, kaio_sync **out_sync) {
    kaio_file *alias = file;
    kaio_status status = kaio_file_close(&file);
#ifdef OK
    return kaio_status_is_ok(status) ? status
                                     : kaio_sync_new(queue, alias, KAIO_SYNC_DATA, out_sync);
#else
    return kaio_status_is_ok(status) ? kaio_sync_new(queue, alias, KAIO_SYNC_DATA, out_sync)
                                     : status;
#endif
}
