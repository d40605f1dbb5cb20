// A ticket is kept as a number.

#include "kaio/safe/kaio.h"

uint64_t ticket_as_integer(kaio_sync *sync);

uint64_t ticket_as_integer(kaio_sync *sync) {
#ifdef OK
    kaio_ticket ticket = kaio_sync_push(&sync, 1);
    return ticket.bits;
#else
    uint64_t ticket = kaio_sync_push(&sync, 1);
    return ticket;
#endif
}
