// A switch over how a sync ended forgets that a write before it failed.

#include "kaio/safe/kaio.h"

int sync_case_missing(const kaio_completion *completion);

int sync_case_missing(const kaio_completion *completion) {
    switch (completion->sync) {
        case KAIO_SYNC_SYNCED:
            return 0;
#ifdef OK
        case KAIO_SYNC_PRECEDED_BY_FAILURE:
#endif
        case KAIO_SYNC_PENDING:
        case KAIO_SYNC_CANCELLED:
        case KAIO_SYNC_REFUSED:
        case KAIO_SYNC_FAILED:
            return 1;
    }
    return 1;
}
