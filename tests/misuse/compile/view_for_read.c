// A shared view is given to a read, which would change it.

#include "kaio/safe/kaio.h"

kaio_status view_for_read(kaio_queue *queue, kaio_file *file, kaio_view **view,
                          kaio_buffer **buffer, kaio_read **out_read);

kaio_status view_for_read(kaio_queue *queue, kaio_file *file, kaio_view **view,
                          kaio_buffer **buffer, kaio_read **out_read) {
    kaio_range range = {0, 0, 8};
    (void)view;
    (void)buffer;
#ifdef OK
    return kaio_read_new(queue, file, range, kaio_rw_none(), buffer, out_read);
#else
    return kaio_read_new(queue, file, range, kaio_rw_none(), view, out_read);
#endif
}
