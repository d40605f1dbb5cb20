// Whether there is a read is not looked at before it is pushed.

#include "kaio/safe/kaio.h"

void push_unmade(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer);

void push_unmade(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer) {
    const kaio_range range = {0, 0, 512};
    kaio_read *read = KAIO_NULL;
    kaio_status status = kaio_read_new(queue, file, range, kaio_rw_none(), &buffer, &read);
#ifdef OK
    if (!kaio_status_is_ok(status)) {
        return;
    }
#else
    kaio_ignore(status);
#endif
    kaio_read_push(&read, 1);
}
