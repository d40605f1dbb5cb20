// A buffer's address stands where the file belongs.

#include "kaio/safe/kaio.h"

kaio_status buffer_for_file(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer,
                            kaio_sync **out_sync);

kaio_status buffer_for_file(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer,
                            kaio_sync **out_sync) {
    (void)buffer;
#ifdef OK
    return kaio_sync_new(queue, file, KAIO_SYNC_DATA, out_sync);
#else
    (void)file;
    return kaio_sync_new(queue, &buffer, KAIO_SYNC_DATA, out_sync);
#endif
}
