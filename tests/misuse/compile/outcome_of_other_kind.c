// How a transfer ended is compared with a way that a sync can end.

#include "kaio/safe/kaio.h"

int outcome_of_other_kind(const kaio_completion *completion);

int outcome_of_other_kind(const kaio_completion *completion) {
#ifdef OK
    return completion->transfer == KAIO_TRANSFER_FAILED;
#else
    return completion->transfer == KAIO_SYNC_FAILED;
#endif
}
