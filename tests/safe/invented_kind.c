// In C an enum parameter takes any number; C++ cannot even make such a value.

#include "kaio/safe/sync.h"

kaio_status start_sync_of_invented_kind(kaio_queue *queue, kaio_file *file);

kaio_status start_sync_of_invented_kind(kaio_queue *queue, kaio_file *file) {
    kaio_ticket ticket;
    return kaio_sync_start(queue, file, (kaio_sync_kind)4, 0, &ticket);
}
