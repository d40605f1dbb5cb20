// A switch over how a transfer ended forgets the end of the file.

#include "kaio/safe/kaio.h"

int transfer_case_missing(const kaio_completion *completion);

int transfer_case_missing(const kaio_completion *completion) {
    switch (completion->transfer) {
        case KAIO_TRANSFER_FULL:
        case KAIO_TRANSFER_SHORT:
            return 0;
#ifdef OK
        case KAIO_TRANSFER_END:
#endif
        case KAIO_TRANSFER_PENDING:
        case KAIO_TRANSFER_WOULD_BLOCK:
        case KAIO_TRANSFER_CANCELLED:
        case KAIO_TRANSFER_REFUSED:
        case KAIO_TRANSFER_FAILED:
            return 1;
    }
    return 1;
}
