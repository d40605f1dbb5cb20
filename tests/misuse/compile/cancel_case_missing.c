// A switch over what a cancel could do forgets that it may come too late.

#include "kaio/safe/kaio.h"

int cancel_case_missing(kaio_cancel_answer answer);

int cancel_case_missing(kaio_cancel_answer answer) {
    switch (answer) {
        case KAIO_CANCEL_UNSENT:
        case KAIO_CANCEL_ASKED:
            return 0;
#ifdef OK
        case KAIO_CANCEL_CANNOT:
#endif
        case KAIO_CANCEL_STALE:
            return 1;
    }
    return 1;
}
