// A switch over what a call answered forgets that there may be too little memory.

#include "kaio/safe/kaio.h"

int code_case_missing(kaio_status status);

int code_case_missing(kaio_status status) {
    switch ((kaio_code)status.code) {
        case KAIO_OK:
            return 0;
        case KAIO_NULL_ARGUMENT:
        case KAIO_STALE:
        case KAIO_FORKED:
        case KAIO_WRONG_THREAD:
        case KAIO_REENTERED:
        case KAIO_RANGE:
        case KAIO_ALIGN:
        case KAIO_ACCESS:
        case KAIO_UNSUPPORTED:
            return 1;
        case KAIO_BUSY:
        case KAIO_FULL:
        case KAIO_EMPTY:
        case KAIO_NOTHING_TO_WAIT_FOR:
        case KAIO_TIMED_OUT:
        case KAIO_AGAIN:
        case KAIO_CAN_STALL:
#ifdef OK
        case KAIO_NO_MEMORY:
#endif
        case KAIO_LIMIT:
        case KAIO_OS_ERROR:
        case KAIO_INTERRUPTED:
        case KAIO_MODIFIED_IN_FLIGHT:
        case KAIO_OVERLAP:
            return 2;
    }
    return 1;
}
