// How a transfer ended is compared with how a sync did.

#include "kaio/safe/kaio.h"

int outcomes_compared(const kaio_completion *first, const kaio_completion *second);

int outcomes_compared(const kaio_completion *first, const kaio_completion *second) {
#ifdef OK
    return first->transfer == second->transfer;
#else
    return first->transfer == second->sync;
#endif
}
