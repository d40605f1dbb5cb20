// An owner is declared for a type that has no drop.

#include "kaio/safe/kaio.h"

size_t scoped_by_hand(void);

size_t scoped_by_hand(void) {
#ifdef OK
    KAIO_SCOPED(kaio_buffer) owner = KAIO_NULL;
#else
    KAIO_SCOPED(kaio_ticket) owner = KAIO_NULL;
#endif
    return sizeof owner;
}
