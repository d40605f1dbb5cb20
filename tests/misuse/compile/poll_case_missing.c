// A switch over how a poll ended forgets that it may have been cancelled.

#include "kaio/safe/kaio.h"

int poll_case_missing(const kaio_completion *completion);

int poll_case_missing(const kaio_completion *completion) {
    switch (completion->poll) {
        case KAIO_POLL_READY:
            return 0;
#ifdef OK
        case KAIO_POLL_CANCELLED:
#endif
        case KAIO_POLL_PENDING:
        case KAIO_POLL_REFUSED:
        case KAIO_POLL_FAILED:
            return 1;
    }
    return 1;
}
