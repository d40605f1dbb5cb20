// kaio/safe/outcome_count.h (private): how a transfer ended that the kernel counted bytes of.

#ifndef KAIO_SAFE_OUTCOME_COUNT_H_
#define KAIO_SAFE_OUTCOME_COUNT_H_

#include <stdbool.h>
#include <stdint.h>

#include "kaio/safe/outcome.h"

// kaio_outcome_of_count is FULL, SHORT or END.
static inline kaio_transfer_outcome kaio_outcome_of_count(bool is_read, uint64_t moved_bytes,
                                                          uint64_t asked_bytes) {
    if (moved_bytes >= asked_bytes) {
        return KAIO_TRANSFER_FULL;  // first: a transfer of no bytes is full, it does not end
    }
    // A write that moves nothing has met no end of file: there is none for it.
    return moved_bytes > 0 || !is_read ? KAIO_TRANSFER_SHORT : KAIO_TRANSFER_END;
}

#endif  // KAIO_SAFE_OUTCOME_COUNT_H_
