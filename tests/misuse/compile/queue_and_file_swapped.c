// Queue and file are given in the wrong order.

#include "kaio/safe/kaio.h"

kaio_status queue_and_file_swapped(kaio_queue *queue, kaio_file *file);

kaio_status queue_and_file_swapped(kaio_queue *queue, kaio_file *file) {
#ifdef OK
    return kaio_file_attach(file, queue);
#else
    return kaio_file_attach(queue, file);
#endif
}
